"""Servers that their own answers take out for a time."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.client import fetch
from tests.support.fleet import Flapping, Mortal, addresses, breaks_off, fleet, slow, spread
from tests.support.load import Load
from tests.support.origin import Handler, Refusing, replies, responds
from tests.support.pools import notes, server, states, wait_note, wait_states
from tests.support.proxy import Config, Proxy, reverse
from tests.support.wait import until

#: Nobody comes back within a test.
LONG: Config = {"eject": "60s", "max_eject": "10m"}


@pytest.fixture
def servers() -> Iterator[list[Mortal]]:
    with fleet(4) as servers:
        yield servers


def start(servers: list[Mortal], outlier: object, **pool: object) -> Proxy:
    return Proxy(reverse(addresses(servers), pool={"outlier": outlier, "retry_budget": "none", **pool}))


def test_connection_failures_count_by_default(servers: list[Mortal]) -> None:
    """Five in a row; clients notice nothing, as the request goes to another one."""
    with Refusing() as dead, Proxy(reverse([dead.address, servers[0].address])) as proxy:
        assert spread(proxy.port, 60) == {"a": 60}
        row = server(proxy, dead.address)
        assert (row["state"], row["ejections"], row["errors"]) == ("ejected", 1, 5)
        assert 0 < row["ejected_ms"] <= 10_000
        attempts = Counter(record["attempts"] for record in proxy.wait_records(lambda record: True, 60))
        assert attempts == {1: 55, 2: 5}


def test_answers_do_not_count_by_default(servers: list[Mortal]) -> None:
    """What a server says is its business, until somebody writes otherwise."""
    servers[0].default = responds(500)
    with Proxy(reverse(addresses(servers[:2]))) as proxy:
        assert spread(proxy.port, 40) == {"500": 20, "b": 20}
        assert states(proxy) == ["up", "up"]


FAILURES: dict[str, Handler] = {
    "reset": breaks_off,
    "no HTTP": replies(b"220 mail ESMTP\r\n", close=True),
    "closed": lambda exchange: exchange.close(),
}


@pytest.mark.parametrize("how", FAILURES)
def test_failures_of_each_kind(servers: list[Mortal], how: str) -> None:
    servers[0].default = FAILURES[how]
    with start(servers, {"consecutive_errors": 3, **LONG}) as proxy:
        for _ in range(24):
            fetch(proxy.port, "/x")
        assert states(proxy) == ["ejected", "up", "up", "up"]
        assert len(servers[0].seen("/x")) == 3


def test_timeouts_count(servers: list[Mortal]) -> None:
    servers[0].default = slow(30)
    tree = reverse(addresses(servers), pool={"outlier": {"consecutive_errors": 2, **LONG}})
    tree["reverse"]["routes"][0]["retry"] = {"attempts": 2, "try_timeout": "200ms", "on": ["connect", "reset"]}
    with Proxy(tree) as proxy:
        assert set(spread(proxy.port, 12)) == {"b", "c", "d"}
        assert states(proxy) == ["ejected", "up", "up", "up"]
        assert len(servers[0].requests) == 2


@pytest.mark.parametrize(
    ("status", "answer", "counts"),
    [
        (None, 500, True),
        (None, 503, True),
        (None, 429, False),
        ("5xx", 599, True),
        ([429, 503], 429, True),
        ([429, 503], 500, False),
        (["500-502", 429], 502, True),
        (["500-502", 429], 503, False),
    ],
)
def test_statuses_that_count(servers: list[Mortal], status: object, answer: int, counts: bool) -> None:
    """5xx where `outlier` is written and does not say. Clients get what came until then."""
    servers[0].default = responds(answer)
    outlier: Config = {"consecutive_errors": 4, **LONG, **({} if status is None else {"status": status})}
    with start(servers, outlier) as proxy:
        got = spread(proxy.port, 40)
        assert got[str(answer)] == (4 if counts else 10)
        assert states(proxy)[0] == ("ejected" if counts else "up")


def test_a_success_between_sets_the_count_back(servers: list[Mortal]) -> None:
    servers[0].default = Flapping(responds(500), servers[0].name_yourself, 3)
    with start(servers, {"consecutive_errors": 4, **LONG}) as proxy:
        spread(proxy.port, 4 * 24)
        assert states(proxy) == ["up"] * 4


def test_who_is_ejected_comes_back(servers: list[Mortal]) -> None:
    servers[0].default = responds(500)
    with start(servers, {"consecutive_errors": 1, "eject": "500ms", "max_eject": "1m"}) as proxy:
        assert spread(proxy.port, 20)["500"] == 1
        servers[0].heal()
        wait_states(proxy, "up", "up", "up", "up")
        assert spread(proxy.port, 20) == dict.fromkeys("abcd", 5)


def test_each_ejection_is_longer(servers: list[Mortal]) -> None:
    """By as much as the first, up to a bound."""
    servers[0].default = responds(500)
    with start(servers, {"consecutive_errors": 1, "eject": "1500ms", "max_eject": "3s"}) as proxy:
        for number, (more_than, at_most) in enumerate([(0, 1_500), (1_500, 3_000), (1_500, 3_000)]):
            until(lambda: spread(proxy.port, 4)["500"], "an error", 10)
            row = server(proxy, servers[0].address)
            assert (row["state"], row["ejections"]) == ("ejected", number + 1)
            assert more_than < row["ejected_ms"] <= at_most
            wait_states(proxy, "up", "up", "up", "up")


@pytest.mark.parametrize(("share", "most"), [("50%", 2), ("25%", 1), ("100%", 3), ("1%", 1), ("75%", 3)])
def test_no_more_than_a_share_is_ejected(servers: list[Mortal], share: str, most: int) -> None:
    """One always may be, and the last one never. The others go on, sick as they are."""
    for sick in servers:
        sick.default = responds(500)
    with start(servers, {"consecutive_errors": 2, "max_ejected": share, **LONG}) as proxy:
        spread(proxy.port, 60)
        assert Counter(states(proxy)) == {"ejected": most, "up": 4 - most}


def test_half_at_most_by_default(servers: list[Mortal]) -> None:
    for sick in servers:
        sick.default = responds(500)
    with start(servers, {"consecutive_errors": 2}) as proxy:
        assert set(spread(proxy.port, 60)) == {"500"}
        assert Counter(states(proxy)) == {"ejected": 2, "up": 2}


def test_the_only_server_is_never_ejected(servers: list[Mortal]) -> None:
    """There is nothing better."""
    servers[0].default = responds(500)
    with start(servers[:1], {"consecutive_errors": 1, "max_ejected": "100%", **LONG}) as proxy:
        assert spread(proxy.port, 20) == {"500": 20}
        assert states(proxy) == ["up"]


def test_one_line_for_each_ejection_and_return(servers: list[Mortal]) -> None:
    servers[0].default = responds(500)
    with start(servers, {"consecutive_errors": 3, "eject": "1s"}) as proxy:
        spread(proxy.port, 100)
        line = wait_note(proxy, servers[0].address, "ejected")
        assert "3" in line, "it says why"
        servers[0].heal()
        wait_states(proxy, "up", "up", "up", "up")
        wait_note(proxy, servers[0].address, "return")
        spread(proxy.port, 100)
        assert len(notes(proxy, servers[0].address)) == 2


def test_switched_off(servers: list[Mortal]) -> None:
    """The dead one is tried at each of its turns."""
    with Refusing() as dead:
        pool: Config = {"outlier": False, "retry_budget": "none"}
        with Proxy(reverse([dead.address, servers[0].address], pool=pool)) as proxy:
            assert spread(proxy.port, 40) == {"a": 40}
            attempts = Counter(record["attempts"] for record in proxy.wait_records(lambda record: True, 40))
            assert attempts == {1: 20, 2: 20}
            assert states(proxy) == ["up", "up"]


def test_by_success_rate(servers: list[Mortal]) -> None:
    """Never two errors in a row, yet half of its answers, where the peers have none. 1.5 standard deviations below the
    mean of four: the worst of them is 1.73 below, when all others are equal."""
    servers[0].default = Flapping(responds(500), servers[0].name_yourself, 1)
    outlier: Config = {
        "consecutive_errors": 0,
        "success_rate": {"deviations": 1.5, "min_requests": 20, "min_servers": 3},
        "every": "500ms",
        **LONG,
    }
    with start(servers, outlier) as proxy, Load(proxy.port, threads=4):
        wait_states(proxy, "ejected", "up", "up", "up")


def test_by_success_rate_few_are_not_judged(servers: list[Mortal]) -> None:
    """Neither servers with few requests, nor where few servers can be compared."""
    servers[0].default = Flapping(responds(500), servers[0].name_yourself, 1)
    for needs in ({"min_requests": 1_000_000, "min_servers": 3}, {"min_requests": 1, "min_servers": 5}):
        outlier: Config = {
            "consecutive_errors": 0,
            "success_rate": {"deviations": 1.1, **needs},
            "every": "100ms",
            **LONG,
        }
        with start(servers, outlier) as proxy, Load(proxy.port, threads=4) as load:
            load.wait_more(1_500)
            assert states(proxy) == ["up"] * 4


def test_by_latency(servers: list[Mortal]) -> None:
    """Ten times slower than the median of its peers, who are slow enough to differ little."""
    for server_, seconds in zip(servers, (0.3, 0.03, 0.03, 0.03), strict=True):
        server_.default = slow(seconds, server_.name_yourself)
    outlier: Config = {
        "consecutive_errors": 0,
        "latency": {"factor": 4, "min_requests": 5, "min_servers": 3},
        "every": "1s",
        **LONG,
    }
    with start(servers, outlier) as proxy, Load(proxy.port, threads=8):
        wait_states(proxy, "ejected", "up", "up", "up", seconds=30)


def test_an_ejection_outlives_a_reload(servers: list[Mortal]) -> None:
    servers[0].default = responds(500)
    with start(servers, {"consecutive_errors": 2, **LONG}) as proxy:
        spread(proxy.port, 20)
        assert states(proxy)[0] == "ejected"
        proxy.config["limits"] = {"head": "16KiB"}
        assert proxy.reload().returncode == 0
        assert states(proxy)[0] == "ejected"
        assert "a" not in spread(proxy.port, 20)
        assert len(servers[0].requests) == 2


def test_a_backup_stands_in_for_the_ejected(servers: list[Mortal]) -> None:
    a, b, spare, _ = servers
    for sick in (a, b):
        sick.default = breaks_off
    tree = [*addresses([a, b]), {"address": spare.address, "backup": True}]
    pool: Config = {"outlier": {"consecutive_errors": 2, "max_ejected": "100%", **LONG}}
    with Proxy(reverse(tree, pool=pool)) as proxy:
        assert spread(proxy.port, 20) == {"c": 20}
        assert states(proxy) == ["ejected", "ejected", "up"]
        assert len(a.requests) + len(b.requests) == 4
