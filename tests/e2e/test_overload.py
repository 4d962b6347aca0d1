"""Bounds of a pool as a whole, and who is refused first where there is more than it can take."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.support.client import Client, Response, fetch
from tests.support.fleet import Gate, Mortal, addresses, fleet, held_one_by_one, who, with_gates
from tests.support.origin import Exchange
from tests.support.pools import wait_waiting
from tests.support.proxy import Config, Proxy, reverse
from tests.support.splits import tree
from tests.support.wait import Together, until

PRIORITIES = ("low", "normal", "high")
AT_ONCE = {"max": 0}
"""The queue of pools in which none waits."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(servers: Sequence[Mortal], **pool: object) -> Proxy:
    """Routes `/low`, `/normal` and `/high` of these priorities; the rest has none."""
    routes: list[Config] = [
        {"name": name, "match": {"path": f"/{name}*"}, "pool": "all", "priority": name} for name in PRIORITIES
    ]
    routes.append({"name": "rest", "match": {"path": "/*"}, "pool": "all"})
    return Proxy(reverse(addresses(servers), routes=routes, pool={"queue": AT_ONCE, **pool}))


def sent(stack: ExitStack, proxy: Proxy, gates: Sequence[Gate], count: int, target: str = "/") -> list[Client]:
    """So many more requests that are held, each sent when the one before is."""
    clients = []
    for _ in range(count):
        wanted = sum(gate.holding for gate in gates) + 1
        client = stack.enter_context(Client(proxy.port))
        client.request("GET", target)
        until(lambda wanted=wanted: sum(gate.holding for gate in gates) == wanted, f"{wanted} to be held")  # type: ignore[misc]
        clients.append(client)
    return clients


def assert_refused(response: Response, reason: str = "overloaded") -> None:
    """503, with what a client and a reader of the field want to know."""
    assert response.status == 503
    assert int(response.fields.get("Retry-After") or "0") >= 1
    told = response.fields.get("Proxy-Status") or ""
    assert "error=connection_limit_reached" in told
    assert f'details="{reason}"' in told


# -- max_requests


@pytest.mark.parametrize("balance", ["round_robin", "least_requests", "hash", "peak_ewma"])
def test_the_bound_holds_over_all_servers_and_workers(stack: ExitStack, balance: str) -> None:
    """Forty at the same time on two workers and three servers."""
    with fleet(3) as servers:
        gates = with_gates(servers)
        with start(servers, max_requests=10, balance=balance) as proxy:
            responses: list[Response] = []
            refused = threading.Semaphore(0)

            def one(number: int) -> None:
                response = fetch(proxy.port, f"/{number}")
                responses.append(response)
                if response.status == 503:
                    assert_refused(response)
                    refused.release()

            crowd = Together(one, 40)
            for _ in range(30):
                assert refused.acquire(timeout=15), "who is too much is told so while the others are held"
            until(lambda: sum(gate.holding for gate in gates) == 10, "the others to be held")
            for gate in gates:
                gate.open()
            crowd.join()
            assert Counter(response.status for response in responses) == {200: 10, 503: 30}
            records = proxy.wait_records(lambda record: record["reason"] == "overloaded", 30)
            assert {(record["status"], record.get("server")) for record in records} == {(503, None)}
            assert sum(len(gate.came) for gate in gates) == 10


def test_the_bound_holds_under_load() -> None:
    """Sixteen clients that ask again and again, and never more than four at once."""
    with fleet(2) as servers:
        lock = threading.Lock()
        now, most = 0, 0

        def counts(exchange: Exchange) -> None:
            nonlocal now, most
            exchange.read_body()
            with lock:
                now += 1
                most = max(most, now)
            threading.Event().wait(0.002)
            with lock:
                now -= 1
            exchange.respond(200, b"x")

        for server in servers:
            server.default = counts
        with start(servers, max_requests=4, queue={"max": 100, "timeout": "60s"}) as proxy:

            def one(_: int) -> None:
                with Client(proxy.port) as client:
                    assert [client.ask().status for _ in range(50)] == [200] * 50

            Together(one, 16).join()
            assert 2 <= most <= 4


def test_who_ends_gives_its_place_to_another(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, max_requests=2) as proxy:
            sent(stack, proxy, [gate], 2)
            assert_refused(fetch(proxy.port))
            gate.release()
            proxy.wait_records(lambda record: record["status"] == 200)
            sent(stack, proxy, [gate], 1)
            assert_refused(fetch(proxy.port))
            gate.open()


def test_who_goes_away_gives_its_place_to_another(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, max_requests=1) as proxy:
            (client,) = sent(stack, proxy, [gate], 1)
            assert_refused(fetch(proxy.port))
            client.close()
            proxy.wait_records(lambda record: record["reason"] == "client_aborted")
            sent(stack, proxy, [gate], 1)
            gate.open()


def test_those_beyond_wait_where_there_is_a_queue(stack: ExitStack) -> None:
    with fleet(2) as servers:
        gates = with_gates(servers)
        with start(servers, max_requests=4, queue={"max": 3, "timeout": "60s"}) as proxy:
            held = held_one_by_one(stack, proxy.port, gates, 4)
            waiting = [stack.enter_context(Client(proxy.port)) for _ in range(3)]
            for number, client in enumerate(waiting):
                client.request("GET", f"/waits/{number}")
                wait_waiting(proxy, number + 1)
            assert_refused(fetch(proxy.port, "/full"), "queue_full")
            assert sum(gate.holding for gate in gates) == 4
            for gate in gates:
                gate.open()
            assert {client.response().status for client in held + waiting} == {200}
            assert sum(gate.peak for gate in gates) <= 4


def test_who_waits_too_long(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, max_requests=1, queue={"max": 3, "timeout": "300ms"}) as proxy:
            sent(stack, proxy, [gate], 1)
            assert_refused(fetch(proxy.port, "/late"), "queue_timeout")
            gate.open()


def test_tunnels_count(stack: ExitStack) -> None:
    def switches(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        while True:
            exchange.send(exchange.read_some())

    with fleet(1) as servers:
        servers[0].on("/tunnel", switches)
        with start(servers, max_requests=1) as proxy:
            tunnel = stack.enter_context(Client(proxy.port))
            assert tunnel.ask("GET", "/tunnel", [("Upgrade", "echo"), ("Connection", "Upgrade")]).status == 101
            assert_refused(fetch(proxy.port))
            tunnel.close()
            until(lambda: fetch(proxy.port).status == 200, "room after the tunnel")


def test_both_bounds_hold(stack: ExitStack) -> None:
    """Of a server and of the pool."""
    with fleet(2) as servers:
        gates = with_gates(servers)
        routes: list[Config] = [{"name": "all", "pool": "all"}]
        pool = {"max_requests": 3, "queue": AT_ONCE}
        with Proxy(reverse(addresses(servers, max_connections=2), routes=routes, pool=pool)) as proxy:
            sent(stack, proxy, gates, 3)
            assert_refused(fetch(proxy.port))
            assert sorted(gate.holding for gate in gates) == [1, 2]
            for gate in gates:
                gate.open()


def test_another_try_is_not_another_request() -> None:
    with fleet(2) as servers:
        servers[0].die()
        with start(servers, max_requests=1) as proxy, Client(proxy.port) as client:
            assert [who(client.ask("GET", f"/{number}")) for number in range(8)] == ["b"] * 8


def test_pools_have_bounds_of_their_own(stack: ExitStack) -> None:
    with fleet(2) as (new, old):
        gates = with_gates([new, old])
        config = tree(
            {"v1": [old], "v2": [new]},
            {"shop": {"stable": "v1", "canary": "v2", "weight": "50%", "force": {"header": "x-to"}}},
        )
        config["reverse"]["pools"]["v2"].update(max_requests=1, queue=AT_ONCE)
        with Proxy(config) as proxy:

            def to(side: str) -> Client:
                client = stack.enter_context(Client(proxy.port))
                client.request("GET", "/", [("X-To", side)])
                return client

            to("always")
            gates[0].wait(1)
            assert_refused(fetch(proxy.port, fields=[("X-To", "always")]))
            for number in range(5):
                to("never")
                gates[1].wait(number + 1)
            for gate in gates:
                gate.open()


def test_a_reload_changes_the_bound(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, max_requests=2) as proxy:
            held = sent(stack, proxy, [gate], 2)
            assert_refused(fetch(proxy.port))
            pool = proxy.config["reverse"]["pools"]["all"]
            pool["max_requests"] = 4
            assert proxy.reload().returncode == 0
            held += sent(stack, proxy, [gate], 2)
            assert_refused(fetch(proxy.port))
            pool["max_requests"] = 1
            assert proxy.reload().returncode == 0
            assert_refused(fetch(proxy.port))
            del pool["max_requests"]
            assert proxy.reload().returncode == 0
            held += sent(stack, proxy, [gate], 3)
            gate.open()
            assert {client.response().status for client in held} == {200}


# -- priorities


def test_low_is_refused_first_and_high_last(stack: ExitStack) -> None:
    """Of ten: seven for low, ten for normal, twelve for high."""
    with fleet(2) as servers:
        gates = with_gates(servers)
        with start(servers, max_requests=10) as proxy:
            held = sent(stack, proxy, gates, 7, "/low")
            assert_refused(fetch(proxy.port, "/low/more"))
            held += sent(stack, proxy, gates, 2, "/normal") + sent(stack, proxy, gates, 1)
            for path in ("/low/more", "/normal/more", "/more"):
                assert_refused(fetch(proxy.port, path))
            held += sent(stack, proxy, gates, 2, "/high")
            for path in ("/low/more", "/normal/more", "/more", "/high/more"):
                assert_refused(fetch(proxy.port, path))
            for gate in gates:
                gate.open()
            assert {client.response().status for client in held} == {200}


def test_low_takes_nothing_that_others_could_have(stack: ExitStack) -> None:
    """Whoever carries the requests that are there: low is refused from 70 % on."""
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, max_requests=10) as proxy:
            sent(stack, proxy, [gate], 6, "/high")
            sent(stack, proxy, [gate], 1, "/low")
            assert_refused(fetch(proxy.port, "/low/more"))
            gate.release(2)
            proxy.wait_records(lambda record: record["status"] == 200, 2)
            sent(stack, proxy, [gate], 2, "/low")
            assert_refused(fetch(proxy.port, "/low/more"))
            gate.open()


def test_low_never_waits(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, max_requests=2, queue={"max": 10, "timeout": "60s"}) as proxy:
            held = sent(stack, proxy, [gate], 2, "/normal")
            assert_refused(fetch(proxy.port, "/low"))
            waits = stack.enter_context(Client(proxy.port))
            waits.request("GET", "/normal/waits")
            wait_waiting(proxy, 1)
            assert_refused(fetch(proxy.port, "/low"))
            gate.open()
            assert {client.response().status for client in [*held, waits]} == {200}


def test_high_does_not_stand_behind_those_who_wait(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, max_requests=5, queue={"max": 10, "timeout": "60s"}) as proxy:
            held = sent(stack, proxy, [gate], 5, "/normal")
            waits = stack.enter_context(Client(proxy.port))
            waits.request("GET", "/normal/waits")
            wait_waiting(proxy, 1)
            held += sent(stack, proxy, [gate], 1, "/high")
            assert gate.came[-1] == "/high"
            gate.open()
            assert {client.response().status for client in [*held, waits]} == {200}


def test_without_a_bound_all_are_alike(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers) as proxy:
            held = [client for name in PRIORITIES for client in sent(stack, proxy, [gate], 20, f"/{name}")]
            gate.open()
            assert {client.response().status for client in held} == {200}


# -- adaptive


class Worked:
    """A server that can do `at_once` things in `seconds`; what comes beyond stands in a line, so latency grows."""

    def __init__(self, at_once: int, seconds: float) -> None:
        self.room = threading.Semaphore(at_once)
        self.seconds = seconds
        self.never = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_body()
        with self.room:
            self.never.wait(self.seconds)
        exchange.respond(200, b"done")


def test_more_than_servers_can_do_is_refused_and_comes_back() -> None:
    with fleet(1) as servers:
        work = Worked(8, 0.01)
        servers[0].default = work
        pool = {"adaptive": {"min": 2, "max": 60, "tolerance": "120%"}, "queue": AT_ONCE}
        with Proxy(reverse(addresses(servers), pool=pool)) as proxy:
            end = threading.Event()
            seen: Counter[int] = Counter()
            lock = threading.Lock()

            def one(_: int) -> None:
                with Client(proxy.port) as client:
                    while not end.is_set():
                        response = client.ask()
                        with lock:
                            seen[response.status] += 1
                        if response.status == 503:
                            assert_refused(response)
                            work.never.wait(0.005)

            with Client(proxy.port) as calm:
                assert [calm.ask().status for _ in range(200)] == [200] * 200
            crowd = Together(one, 40)
            try:
                until(lambda: seen[503] >= 20, "refusals under load", 60)
                served = seen[200]
                until(lambda: seen[200] >= served + 200, "answers under load", 60)
            finally:
                end.set()
            crowd.join()
            assert set(seen) == {200, 503}
            with Client(proxy.port) as calm:
                assert [calm.ask().status for _ in range(200)] == [200] * 200


def test_the_least_is_always_let_through(stack: ExitStack) -> None:
    """However slow the servers have become."""
    with fleet(1) as servers:
        gate = Gate()
        servers[0].on("/held", gate)
        with start(servers, adaptive={"min": 3, "max": 3}) as proxy:
            with Client(proxy.port) as client:
                assert {client.ask().status for _ in range(50)} == {200}
            sent(stack, proxy, [gate], 3, "/held")
            assert_refused(fetch(proxy.port))
            gate.open()


def test_of_two_bounds_the_lower_one_holds(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, max_requests=2, adaptive={"min": 10, "max": 20}) as proxy:
            sent(stack, proxy, [gate], 2)
            assert_refused(fetch(proxy.port))
            gate.open()
