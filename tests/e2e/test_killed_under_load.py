"""Servers are killed, frozen and restarted under load: no request that may be repeated fails."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.load import Load
from tests.support.origin_process import OriginProcess
from tests.support.pools import HEALTH, states, wait_states
from tests.support.proxy import Config, Proxy, reverse

BALANCERS = ["round_robin", "least_requests", "power_of_two", "random", "hash", "maglev", "peak_ewma", "first"]


@pytest.fixture
def three() -> Iterator[list[OriginProcess]]:
    with ExitStack() as stack:
        yield [stack.enter_context(OriginProcess(name, f"127.0.0.{21 + i}")) for i, name in enumerate("abc")]


def start(three: list[OriginProcess], *, retry: Config | None = None, **pool: object) -> Proxy:
    routes: list[Config] = [{"name": "all", "match": {"path": "/*"}, "pool": "all", "retry": retry or {}}]
    return Proxy(reverse([one.address for one in three], pool=pool, routes=routes))


@pytest.mark.parametrize("balance", BALANCERS)
def test_one_of_three_is_killed(three: list[OriginProcess], balance: str) -> None:
    """Eight clients at once; without health checks, by retries and ejection alone."""
    with start(three, balance=balance) as proxy, Load(proxy.port) as load:
        load.wait_more(1_000)
        three[0].kill()
        load.wait_more(3_000)
        assert set(load.outcomes) == {200}
        assert "a" not in load.fresh(500)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
def test_other_methods_that_may_be_repeated(three: list[OriginProcess], method: str) -> None:
    body = b"x" * 10_000 if method == "PUT" else None
    with start(three) as proxy, Load(proxy.port, method=method, body=body) as load:
        load.wait_more(1_000)
        three[1].kill()
        load.wait_more(2_000)
        assert set(load.outcomes) == {200}


def test_one_after_the_other_is_killed_and_comes_back(three: list[OriginProcess]) -> None:
    """With health checks, which bring it back soon."""
    with start(three, health=HEALTH) as proxy, Load(proxy.port) as load:
        for number, one in enumerate(three):
            load.wait_more(500)
            one.kill()
            load.wait_more(500)
            wait_states(proxy, *("down" if other == number else "up" for other in range(3)))
            one.start()
            wait_states(proxy, "up", "up", "up")
        load.wait_more(500)
        assert set(load.outcomes) == {200}
        assert set(load.fresh(500)) == {"a", "b", "c"}


def test_two_of_three_are_killed(three: list[OriginProcess]) -> None:
    with start(three, health=HEALTH, retry_budget="none") as proxy, Load(proxy.port) as load:
        load.wait_more(500)
        three[0].kill()
        three[1].kill()
        load.wait_more(2_000)
        assert set(load.outcomes) == {200}
        assert set(load.fresh(300)) == {"c"}


def test_one_freezes(three: list[OriginProcess]) -> None:
    """It takes connections and answers nothing, as a process that is stopped: each try has its time, and the checks
    find it down."""
    retry: Config = {"try_timeout": "1s"}
    with start(three, health=HEALTH, retry=retry) as proxy, Load(proxy.port) as load:
        load.wait_more(500)
        three[2].freeze()
        wait_states(proxy, "up", "up", "down")
        load.wait_more(1_000)
        three[2].thaw()
        wait_states(proxy, "up", "up", "up")
        assert "c" in load.fresh(1_000)
        assert set(load.outcomes) == {200}


def test_killed_while_the_configuration_is_read_again(three: list[OriginProcess]) -> None:
    """Neither what is known of the servers nor a request is lost between two plans."""
    with start(three, health=HEALTH) as proxy, Load(proxy.port) as load:
        load.wait_more(500)
        three[0].kill()
        for size in range(16, 24):
            proxy.config["limits"] = {"head": f"{size}KiB"}
            assert proxy.reload().returncode == 0
        load.wait_more(1_000)
        wait_states(proxy, "down", "up", "up")
        assert set(load.outcomes) == {200}


def test_all_are_killed_and_come_back(three: list[OriginProcess]) -> None:
    """Errors while nobody is there, and none once somebody is."""
    with start(three, health=HEALTH) as proxy:
        wait_states(proxy, "up", "up", "up")
        for one in three:
            one.kill()
        with Load(proxy.port, threads=2, pause=0.005) as outage:
            wait_states(proxy, "down", "down", "down")
            outage.wait_more(50)
            assert set(outage.outcomes) <= {502, 503}, outage.outcomes
        three[1].start()
        wait_states(proxy, "down", "up", "down")
        with Load(proxy.port, threads=4) as load:
            load.wait_more(500)
            assert load.outcomes.keys() == {200}
        assert states(proxy) == ["down", "up", "down"]
