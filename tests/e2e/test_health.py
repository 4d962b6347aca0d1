"""What comes of health checks: who gets requests, what is said, what clients see when nobody is left."""

import statistics
import time
from collections.abc import Iterator

import pytest

from tests.support.client import fetch
from tests.support.fleet import Crowd, Flapping, Mortal, addresses, fleet, spread
from tests.support.origin import responds
from tests.support.pools import HEALTH, notes, server, servers, states, wait_note, wait_states
from tests.support.proxy import Config, Proxy, reverse
from tests.support.wait import settled, until

#: Checks that come so rarely that only the first one takes place in a test.
RARE: Config = {"path": "/healthz", "every": "60s", "every_down": "60s", "rise": 2, "fall": 3}
GOOD, BAD = responds(200), responds(503)


@pytest.fixture
def two() -> Iterator[list[Mortal]]:
    with fleet(2) as two:
        yield two


def start(fleet: list[Mortal], health: Config | None = None, **top: object) -> Proxy:
    return Proxy(reverse(addresses(fleet), pool={"health": health or HEALTH, **top}))


def sick(server: Mortal) -> None:
    server.on("/healthz", BAD)


def well(server: Mortal) -> None:
    server.on("/healthz", GOOD)


def test_who_is_down_gets_nothing(two: list[Mortal]) -> None:
    with start(two) as proxy:
        wait_states(proxy, "up", "up")
        assert spread(proxy.port, 20) == {"a": 10, "b": 10}
        sick(two[0])
        wait_states(proxy, "down", "up")
        assert spread(proxy.port, 20) == {"b": 20}
        well(two[0])
        wait_states(proxy, "up", "up")
        assert spread(proxy.port, 20) == {"a": 10, "b": 10}


def test_the_first_check_decides_alone(two: list[Mortal]) -> None:
    """Neither are three failures needed nor two successes, and it does not wait for its interval."""
    sick(two[0])
    with start(two, RARE) as proxy:
        wait_states(proxy, "down", "up")
        assert spread(proxy.port, 20) == {"b": 20}
        assert [len(one.seen("/healthz")) for one in two] == [1, 1]


def test_fewer_failures_than_fall_change_nothing(two: list[Mortal]) -> None:
    flapping = Flapping(GOOD, BAD, 2)
    two[0].on("/healthz", flapping)
    with start(two, {**HEALTH, "every": "200ms", "timeout": "200ms", "rise": 1, "fall": 9}) as proxy:
        until(lambda: flapping.count >= 12, "some checks")
        assert states(proxy) == ["up", "up"]
        assert not notes(proxy, two[0].address, "down")


def test_fewer_successes_than_rise_change_nothing(two: list[Mortal]) -> None:
    flapping = Flapping(BAD, GOOD, 2)
    two[0].on("/healthz", flapping)
    with start(two, {**HEALTH, "every_down": "50ms", "rise": 3, "fall": 1}) as proxy:
        until(lambda: flapping.count >= 24, "some checks")
        assert states(proxy) == ["down", "up"]
        assert not notes(proxy, two[0].address, " up")
        well(two[0])
        wait_states(proxy, "up", "up")


def test_checks_are_faster_when_down(two: list[Mortal]) -> None:
    """Every minute; yet who is down is found up again in a moment."""
    sick(two[0])
    with start(two, {**HEALTH, "every": "60s", "every_down": "100ms"}) as proxy:
        wait_states(proxy, "down", "up")
        two[0].wait_for("/healthz", 5)
        assert len(two[1].seen("/healthz")) == 1
        well(two[0])
        wait_states(proxy, "up", "up")


def test_a_killed_server_is_found_down(two: list[Mortal]) -> None:
    with start(two) as proxy:
        wait_states(proxy, "up", "up")
        two[0].die()
        wait_states(proxy, "down", "up")
        assert "refused" in server(proxy, two[0].address)["check"].lower()
        two[0].rise()
        wait_states(proxy, "up", "up")
        assert server(proxy, two[0].address)["check"] is None


def test_one_line_for_each_change(two: list[Mortal]) -> None:
    """However many requests and checks there are meanwhile."""
    with start(two) as proxy:
        wait_states(proxy, "up", "up")
        for turn in (1, 2):
            sick(two[0])
            wait_states(proxy, "down", "up")
            seen = len(two[0].seen("/healthz"))
            spread(proxy.port, 100)
            two[0].wait_for("/healthz", seen + 5)
            well(two[0])
            wait_states(proxy, "up", "up")
            spread(proxy.port, 100)
            until(lambda turn=turn: len(notes(proxy, two[0].address, " up")) == turn, "the line")  # type: ignore[misc]
            down = notes(proxy, two[0].address, "down")
            assert len(down) == turn
            assert "503" in down[-1], "it says why"
        assert not notes(proxy, two[1].address, "down")


def test_all_down_is_503_at_once(two: list[Mortal]) -> None:
    """With `Retry-After` and `Proxy-Status`, one line for the pool, no try at any server; and it ends by itself."""
    with start(two, queue={"max": 100, "timeout": "60s"}) as proxy:
        wait_states(proxy, "up", "up")
        for one in two:
            sick(one)
        wait_states(proxy, "down", "down")
        took = []
        with Crowd(proxy.port) as crowd:
            for number in range(200):
                began = time.monotonic()
                response = crowd.ask(f"/down/{number}")
                took.append(time.monotonic() - began)
                assert response.status == 503
                assert int(response.fields.get("Retry-After") or "0") > 0
                assert "error=destination_unavailable" in (response.fields.get("Proxy-Status") or "")
        assert statistics.median(took) < 0.3
        assert all(not one.seen(f"/down/{number}") for one in two for number in range(200))
        record = proxy.record("/down/0")
        assert (record["reason"], record["attempts"]) == ("no_server", 0)
        for one in two:
            well(one)
        wait_states(proxy, "up", "up")
        assert fetch(proxy.port).status == 200
        for one in two:
            wait_note(proxy, one.address, " up")
            assert len(notes(proxy, one.address, "down")) == 1
        assert len(proxy.stderr.splitlines()) < 20, "a line for each change, not for each request"


def test_the_pool_says_when_nobody_is_left_and_when_somebody_is_back(two: list[Mortal]) -> None:
    with start(two) as proxy:
        wait_states(proxy, "up", "up")
        for one in two:
            sick(one)
        wait_note(proxy, "all", "no server")
        well(two[1])
        wait_states(proxy, "down", "up")
        assert len(notes(proxy, "no server")) == 1


def test_nobody_waits_for_who_is_down(two: list[Mortal]) -> None:
    """A full queue is for servers that have no room; where none is up there is nothing to wait for."""
    for one in two:
        sick(one)
    tree = reverse(addresses(two, max_connections=1), pool={"health": HEALTH, "queue": {"max": 9, "timeout": "60s"}})
    with Proxy(tree) as proxy:
        wait_states(proxy, "down", "down")
        assert [fetch(proxy.port).status for _ in range(10)] == [503] * 10


def test_a_backup_takes_over_from_who_is_down(two: list[Mortal]) -> None:
    sick(two[0])
    tree = [{"address": two[0].address}, {"address": two[1].address, "backup": True}]
    with Proxy(reverse(tree, pool={"health": HEALTH})) as proxy:
        wait_states(proxy, "down", "up")
        assert spread(proxy.port, 10) == {"b": 10}
        well(two[0])
        wait_states(proxy, "up", "up")
        assert spread(proxy.port, 10) == {"a": 10}


def test_state_is_kept_over_a_reload(two: list[Mortal]) -> None:
    """Who is down stays down without a new check, who is up stays up, and nobody is asked at all in between."""
    sick(two[0])
    with start(two, RARE) as proxy:
        wait_states(proxy, "down", "up")
        well(two[0])
        for size in (16, 17, 18):
            proxy.config["limits"] = {"head": f"{size}KiB"}
            assert proxy.reload().returncode == 0
            assert spread(proxy.port, 20) == {"b": 20}
        assert states(proxy) == ["down", "up"]
        wait_note(proxy, two[0].address, "down")
        assert len(notes(proxy, two[0].address, "down")) == 1


def test_a_server_that_a_reload_brings_is_checked(two: list[Mortal]) -> None:
    with start(two[:1], RARE) as proxy:
        wait_states(proxy, "up")
        sick(two[1])
        proxy.config["reverse"]["pools"]["all"]["servers"] = addresses(two)
        assert proxy.reload().returncode == 0
        wait_states(proxy, "up", "down")
        assert spread(proxy.port, 10) == {"a": 10}


def test_health_that_a_reload_takes_away(two: list[Mortal]) -> None:
    sick(two[0])
    with start(two, RARE) as proxy:
        wait_states(proxy, "down", "up")
        del proxy.config["reverse"]["pools"]["all"]["health"]
        assert proxy.reload().returncode == 0
        until(lambda: spread(proxy.port, 20) == {"a": 10, "b": 10}, "both: nothing is known against it any more")


def test_checks_are_no_traffic(two: list[Mortal]) -> None:
    """Neither in the log nor in the counts of the servers."""
    with start(two) as proxy:
        for one in two:
            one.wait_for("/healthz", 4)
        assert [row["requests"] for row in servers(proxy).values()] == [0, 0]
        spread(proxy.port, 4)
        proxy.wait_records(lambda record: True, 4)
        assert [record["path"] for record in proxy.records()] == ["/"] * 4


def test_each_server_is_checked_by_one_worker(two: list[Mortal]) -> None:
    """Not once by each of them."""
    with Proxy(reverse(addresses(two), pool={"health": RARE}, workers=4)) as proxy:
        for one in two:
            one.wait_for("/healthz")
        wait_states(proxy, "up", "up")
        assert settled(lambda: sum(len(one.seen("/healthz")) for one in two)) == 2
