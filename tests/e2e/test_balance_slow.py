"""What servers do and what comes of it: a stalled one, a slow one, one that has just come back, too few that are up."""

from collections import Counter
from contextlib import ExitStack

import pytest

from tests.support.client import Client, fetch
from tests.support.fleet import Crowd, Gate, addresses, fleet, slow, spread, who
from tests.support.load import Load
from tests.support.origin import responds
from tests.support.pools import HEALTH, notes, server, states, wait_note, wait_states
from tests.support.proxy import Config, Proxy, reverse
from tests.support.wait import until


@pytest.mark.parametrize("balance", ["least_requests", "power_of_two"])
def test_a_stalled_server_gets_no_more(balance: str) -> None:
    """Of two different ones the stalled one always carries more: while one request hangs there, no other joins it."""
    with fleet() as servers:
        gate = Gate()
        servers[0].default = gate
        config = reverse(addresses(servers), pool={"balance": balance})
        with Proxy(config) as proxy, ExitStack() as stack:
            hanging = 0
            while not gate.holding:
                client = stack.enter_context(Client(proxy.port))
                client.request()
                hanging += 1
                until(lambda client=client: gate.holding or not client.is_quiet(0.02), "an answer or a stall")  # type: ignore[misc]
                assert hanging < 100
            # over one connection each request has ended before the next one comes
            with Client(proxy.port) as client:
                got = Counter(who(client.ask()) for _ in range(200))
            assert set(got) == {"b", "c"}
            assert gate.holding == 1
            gate.open()


@pytest.mark.parametrize("balance", ["least_requests", "power_of_two", "peak_ewma"])
def test_a_stalled_server_under_load(balance: str) -> None:
    """Eight clients at once: a few hang, and the others go on by the other two."""
    with fleet() as servers:
        gate = Gate()
        servers[0].default = gate
        config = reverse(addresses(servers), pool={"balance": balance})
        with Proxy(config) as proxy, Load(proxy.port) as load:
            load.wait_more(1_000)
            assert gate.holding <= 4, "half of them at most: as many as could carry the other two"
            gate.open()


def test_peak_ewma_avoids_a_slow_server() -> None:
    """One at a time, so that counts of requests say nothing: only its latency does. A third would be 67 of 200; as few
    as 40 have a chance of 1 in 30,000 with a balancer that does not look."""
    with fleet() as servers:
        servers[0].default = slow(0.03, servers[0].name_yourself)
        with Proxy(reverse(addresses(servers), pool={"balance": "peak_ewma"})) as proxy, Crowd(proxy.port) as crowd:
            got = Counter(who(crowd.ask()) for _ in range(200))
        assert got["a"] <= 40, got
        assert got["b"], got
        assert got["c"], got


def test_peak_ewma_notices_who_becomes_slow_and_who_recovers() -> None:
    with fleet(2) as servers, Proxy(reverse(addresses(servers), pool={"balance": "peak_ewma"})) as proxy:
        a = servers[0]

        def shares() -> Counter[str]:
            return Counter(who(crowd.ask()) for _ in range(60))

        with Crowd(proxy.port) as crowd:
            shares()
            a.default = slow(0.01, a.name_yourself)
            until(lambda: shares()["a"] <= 8, "the slow one to be avoided")
            a.heal()
            until(lambda: shares()["a"] >= 12, "the quick one to be used again", 100)


def test_latency_is_shown() -> None:
    with fleet(2) as (a, b):
        a.default = slow(0.05, a.name_yourself)
        with Proxy(reverse(addresses([a, b]))) as proxy:
            assert server(proxy, a.address)["latency_ms"] is None
            spread(proxy.port, 20)
            assert 50 <= server(proxy, a.address)["latency_ms"] < 5_000
            assert server(proxy, b.address)["latency_ms"] < server(proxy, a.address)["latency_ms"]


@pytest.mark.parametrize("balance", ["round_robin", "least_requests", "random", "power_of_two"])
def test_who_comes_back_gets_little_at_first(balance: str) -> None:
    """A minute after it is up it has its full share: 0.375 of both would be due after 36 seconds."""
    with fleet(2) as (a, b):
        b.on("/healthz", responds(503))
        pool: Config = {"balance": balance, "health": HEALTH, "slow_start": "60s"}
        with Proxy(reverse(addresses([a, b]), pool=pool)) as proxy, Load(proxy.port, threads=4) as load:
            wait_states(proxy, "up", "down")
            assert load.fresh(100)["b"] == 0
            del b.handlers["/healthz"]
            wait_states(proxy, "up", "warming")
            early = load.fresh(200)
            assert early["b"] < 0.375 * early.total(), early


def test_the_share_grows_until_it_is_full() -> None:
    """By chance that is 320 to 480 of 800 in all but one of ten million runs."""
    with fleet(2) as (a, b):
        b.on("/healthz", responds(503))
        pool: Config = {"balance": "random", "health": HEALTH, "slow_start": "5s"}
        with Proxy(reverse(addresses([a, b]), pool=pool)) as proxy, Load(proxy.port, threads=4) as load:
            wait_states(proxy, "up", "down")
            del b.handlers["/healthz"]
            until(lambda: load.fresh(100)["b"] >= 10, "a tenth")
            until(lambda: load.fresh(100)["b"] >= 30, "a third")
            wait_states(proxy, "up", "up")
            late = load.fresh(800)
            assert 0.4 * late.total() < late["b"] < 0.6 * late.total(), late


def test_all_that_start_together_start_at_once() -> None:
    """Nobody has to warm up where there is nobody else."""
    with fleet(2) as servers:
        pool: Config = {"slow_start": "60s", "health": HEALTH}
        with Proxy(reverse(addresses(servers), pool=pool)) as proxy:
            got = spread(proxy.port, 40)
            assert abs(got["a"] - got["b"]) <= 4, got


def test_panic_uses_all_and_says_so_once() -> None:
    """The checks of three of four fail, yet they answer: below the threshold all are used as if they were up."""
    with fleet(4) as servers:
        pool: Config = {"health": HEALTH, "panic": "50%"}
        with Proxy(reverse(addresses(servers), pool=pool)) as proxy:
            wait_states(proxy, "up", "up", "up", "up")
            for sick in servers[:2]:
                sick.on("/healthz", responds(503))
            wait_states(proxy, "down", "down", "up", "up")
            assert spread(proxy.port, 40) == {"c": 20, "d": 20}, "half is enough"
            assert not notes(proxy, "panic")
            servers[2].on("/healthz", responds(503))
            wait_states(proxy, "down", "down", "down", "up")
            assert spread(proxy.port, 40) == dict.fromkeys("abcd", 10)
            wait_note(proxy, "panic", "all")
            spread(proxy.port, 40)
            for sick in servers[:3]:
                del sick.handlers["/healthz"]
            wait_states(proxy, "up", "up", "up", "up")
            assert len(notes(proxy, "panic")) <= 2, "once when it begins, and once at most when it ends"
            assert spread(proxy.port, 40) == dict.fromkeys("abcd", 10)


def test_panic_when_all_are_down() -> None:
    with fleet(2, None) as servers:
        for sick in servers:
            sick.on("/healthz", responds(503))
        pool: Config = {"health": HEALTH, "panic": "1%"}
        with Proxy(reverse(addresses(servers), pool=pool)) as proxy:
            wait_states(proxy, "down", "down")
            assert spread(proxy.port, 20) == {"a": 10, "b": 10}
            assert states(proxy) == ["down", "down"], "it is still said what they are"


def test_without_panic_the_last_one_carries_all() -> None:
    with fleet(4) as servers:
        for sick in servers[:3]:
            sick.on("/healthz", responds(503))
        with Proxy(reverse(addresses(servers), pool={"health": HEALTH})) as proxy:
            wait_states(proxy, "down", "down", "down", "up")
            assert spread(proxy.port, 20) == {"d": 20}
            servers[3].on("/healthz", responds(503))
            wait_states(proxy, "down", "down", "down", "down")
            assert fetch(proxy.port).status == 503
