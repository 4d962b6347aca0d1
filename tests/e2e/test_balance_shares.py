"""Who gets how much: each way of balancing, with weights and backups, over two workers.

Bounds on shares by chance are five standard deviations and more from the mean: less than one run in a million fails
by bad luck.
"""

from collections import Counter
from contextlib import ExitStack

import pytest

from tests.support.client import Client
from tests.support.fleet import Crowd, addresses, breaks_off, fleet, held_one_by_one, spread, who, with_gates
from tests.support.pools import wait_in_flight
from tests.support.proxy import Config, Proxy, reverse

BALANCERS = ["round_robin", "least_requests", "power_of_two", "random", "hash", "maglev", "peak_ewma", "first"]
HASHES = ["hash", "maglev"]


def keys(balance: str) -> Config:
    """The pool's keys; the hashing ones go by a header, so that one client is many."""
    return {"balance": balance, **({"hash_on": "header:X-Key"} if balance in HASHES else {})}


@pytest.mark.parametrize("balance", [name for name in BALANCERS if name != "first"])
def test_all_servers_are_used(balance: str) -> None:
    """The least even of them by right is `peak_ewma`, which prefers whoever is quickest at the moment."""
    with (
        fleet() as servers,
        Proxy(reverse(addresses(servers), pool=keys(balance))) as proxy,
        Crowd(proxy.port) as crowd,
    ):
        got = Counter(who(crowd.ask("/", [("X-Key", str(number))])) for number in range(300))
    assert set(got) == {"a", "b", "c"}, got
    match balance:
        case "round_robin":
            assert max(got.values()) - min(got.values()) <= 1, got
        case "least_requests" | "power_of_two" | "random" | "maglev":
            # by chance: mean 100, standard deviation 8.2
            assert all(55 <= count <= 145 for count in got.values()), got
        case "hash":
            # shares of the ring are uneven too
            assert all(30 <= count <= 180 for count in got.values()), got


def test_round_robin_is_smooth() -> None:
    """By weights 4, 2 and 1 in each seven requests, and the heavy one never more than twice in a row."""
    with fleet() as (a, b, c):
        servers: list[Config] = [
            {"address": a.address, "weight": 4},
            {"address": b.address, "weight": 2},
            {"address": c.address, "weight": 1},
        ]
        with Proxy(reverse(servers)) as proxy, Crowd(proxy.port) as crowd:
            got = [who(crowd.ask()) for _ in range(70)]
    for start in range(0, 70, 7):
        assert Counter(got[start : start + 7]) == {"a": 4, "b": 2, "c": 1}, got[start : start + 7]
    assert "aaa" not in "".join(got)


@pytest.mark.parametrize("balance", ["random", "maglev", "hash"])
def test_weights_by_chance(balance: str) -> None:
    with fleet(2) as (a, b):
        servers: list[Config] = [{"address": a.address, "weight": 3}, {"address": b.address, "weight": 1}]
        with Proxy(reverse(servers, pool=keys(balance))) as proxy, Crowd(proxy.port) as crowd:
            got = Counter(who(crowd.ask("/", [("X-Key", str(number))])) for number in range(800))
    # mean 600, standard deviation 12.2; the ring's shares of 3 to 1 are uneven too
    low, high = (520, 680) if balance == "hash" else (535, 665)
    assert low <= got["a"] <= high, got
    assert got.total() == got["a"] + got["b"]


@pytest.mark.parametrize("balance", ["least_requests", "power_of_two", "round_robin"])
def test_weights_of_what_is_carried(balance: str) -> None:
    """40 requests at the same time on weights of 3 and 1; with two servers `power_of_two` sees both."""
    with fleet(2) as (a, b):
        gates = with_gates([a, b])
        servers: list[Config] = [{"address": a.address, "weight": 3}, {"address": b.address, "weight": 1}]
        with Proxy(reverse(servers, pool=keys(balance))) as proxy, ExitStack() as stack:
            clients = held_one_by_one(stack, proxy.port, gates, 40)
            assert abs(gates[0].holding - 30) <= 2, [gate.holding for gate in gates]
            for gate in gates:
                gate.open()
            assert {client.response().status for client in clients} == {200}


def test_least_requests_counts_over_all_workers() -> None:
    """Sent one by one, each finds the server that carries the fewest, whichever worker takes it: exactly even."""
    with fleet() as servers:
        gates = with_gates(servers)
        with Proxy(reverse(addresses(servers), pool=keys("least_requests"))) as proxy, ExitStack() as stack:
            clients = held_one_by_one(stack, proxy.port, gates, 30)
            assert [gate.holding for gate in gates] == [10, 10, 10]
            gates[1].release(10)
            wait_in_flight(proxy, 10, 0, 10)
            more = held_one_by_one(stack, proxy.port, gates, 10)
            assert [gate.holding for gate in gates] == [10, 10, 10], "the one that was set free got all that came"
            for gate in gates:
                gate.open()
            assert {client.response().status for client in clients + more} == {200}


def test_power_of_two_is_nearly_even() -> None:
    """Nobody is more than four off the mean; by chance alone somebody would be in two of five runs."""
    with fleet() as servers:
        gates = with_gates(servers)
        with Proxy(reverse(addresses(servers), pool=keys("power_of_two"))) as proxy, ExitStack() as stack:
            held_one_by_one(stack, proxy.port, gates, 60)
            assert all(abs(gate.holding - 20) <= 4 for gate in gates), [gate.holding for gate in gates]
            for gate in gates:
                gate.open()


@pytest.mark.parametrize("balance", BALANCERS)
def test_weight_zero_takes_nothing(balance: str) -> None:
    with fleet(2) as (a, b):
        servers: list[Config] = [{"address": a.address, "weight": 0}, {"address": b.address}]
        with Proxy(reverse(servers, pool=keys(balance))) as proxy, Crowd(proxy.port) as crowd:
            got = Counter(who(crowd.ask("/", [("X-Key", str(number))])) for number in range(60))
    assert got == {"b": 60}


@pytest.mark.parametrize("balance", BALANCERS)
def test_backups_rest_until_all_others_are_gone(balance: str) -> None:
    """And again when one of those is back; with the backups it is chosen among as it is among others."""
    with fleet(3) as (a, spare, other):
        servers: list[Config] = [
            {"address": a.address},
            {"address": spare.address, "backup": True},
            {"address": other.address, "backup": True},
        ]
        config = reverse(servers, pool={**keys(balance), "outlier": False, "retry_budget": "none"})
        with Proxy(config) as proxy:
            assert spread(proxy.port, 20) == {"a": 20}
            a.die()
            with Crowd(proxy.port) as crowd:
                got = Counter(who(crowd.ask("/", [("X-Key", str(number))])) for number in range(40))
            assert set(got) == ({"b"} if balance == "first" else {"b", "c"}), got
            a.rise()
            assert spread(proxy.port, 20) == {"a": 20}


@pytest.mark.parametrize("balance", BALANCERS)
def test_a_server_that_breaks_off_costs_nobody_anything(balance: str) -> None:
    """All balancers pass over what a request has tried already."""
    with fleet(3) as (a, b, c):
        a.default = breaks_off
        with Proxy(reverse(addresses([a, b, c]), pool=keys(balance))) as proxy, Crowd(proxy.port) as crowd:
            got = Counter(who(crowd.ask("/", [("X-Key", str(number))])) for number in range(60))
        assert set(got) <= {"b", "c"}, got
        assert got.total() == 60


def test_first_fills_one_after_the_other() -> None:
    with fleet() as servers:
        gates = with_gates(servers)
        config = reverse(addresses(servers, max_connections=3), pool={"balance": "first"})
        with Proxy(config) as proxy, ExitStack() as stack:
            clients: list[Client] = []
            for expected in ([3, 0, 0], [3, 3, 0], [3, 3, 1]):
                missing = sum(expected) - len(clients)
                clients += held_one_by_one(stack, proxy.port, gates, missing)
                assert [gate.holding for gate in gates] == expected
            gates[0].release()
            wait_in_flight(proxy, 2, 3, 1)
            held_one_by_one(stack, proxy.port, gates, 1)
            assert [gate.holding for gate in gates] == [3, 3, 1], "the first again, where it has room"
            for gate in gates:
                gate.open()
