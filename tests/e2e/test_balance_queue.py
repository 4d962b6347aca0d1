"""`max_connections`: so many requests and tunnels at once on a server, all workers in sum; the others queue."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.support.client import Client, Response, fetch
from tests.support.fleet import Gate, Mortal, addresses, fleet, held_one_by_one, with_gates
from tests.support.http2_origin import Exchange as Http2Exchange
from tests.support.http2_origin import Http2Origin
from tests.support.origin import Exchange
from tests.support.pools import pool, wait_in_flight, wait_waiting
from tests.support.proxy import Config, Proxy, reverse
from tests.support.wait import Together, settled, until, wait_for

BALANCERS = ["round_robin", "least_requests", "power_of_two", "random", "hash", "maglev", "peak_ewma", "first"]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(servers: Sequence[Mortal], bound: int, **keys: object) -> Proxy:
    """With a queue that is long enough for all that comes, unless `queue` says otherwise."""
    pool = {"queue": {"max": 100, "timeout": "60s"}, **keys}
    return Proxy(reverse(addresses(servers, max_connections=bound), pool=pool))


def sent(stack: ExitStack, proxy: Proxy, count: int, target: str = "/") -> list[Client]:
    """Requests that are on their way, in no order."""
    clients = [stack.enter_context(Client(proxy.port)) for _ in range(count)]
    for client in clients:
        client.request("GET", target)
    return clients


def queued(stack: ExitStack, proxy: Proxy, *targets: str) -> list[Client]:
    """Requests that wait for room, in this order."""
    clients, before = [], pool(proxy)["waiting"]
    for number, target in enumerate(targets):
        client = stack.enter_context(Client(proxy.port))
        client.request("GET", target)
        wait_waiting(proxy, before + number + 1)
        clients.append(client)
    return clients


def assert_refused(proxy: Proxy, response: Response, path: str, reason: str) -> None:
    assert response.status == 503
    assert int(response.fields.get("Retry-After") or "-1") >= 0, response.fields
    assert "error=" in (response.fields.get("Proxy-Status") or ""), response.fields
    record = proxy.record(path)
    assert (record["status"], record["reason"]) == (503, reason)


@pytest.mark.parametrize("balance", BALANCERS)
def test_it_holds_in_sum_over_all_workers(stack: ExitStack, balance: str) -> None:
    """Twenty at once, from both workers, and never more than two at each server."""
    with fleet(2) as servers:
        gates = with_gates(servers)
        with start(servers, 2, balance=balance) as proxy:
            clients = sent(stack, proxy, 20)
            for gate in gates:
                gate.wait(2)
            assert settled(lambda: sum(len(gate.came) for gate in gates)) == 4
            for done in range(16):
                gates[done % 2].release()
                until(lambda done=done: sum(len(gate.came) for gate in gates) == 5 + done, "the next")  # type: ignore[misc]
            for gate in gates:
                gate.open()
            assert {client.response().status for client in clients} == {200}
            assert [gate.peak for gate in gates] == [2, 2]


def test_it_holds_under_load() -> None:
    """Sixteen clients that ask again and again: all are served, and the bound is never passed."""
    with fleet(2) as servers:
        gates = [Gate(server.name_yourself) for server in servers]
        for server, gate in zip(servers, gates, strict=True):
            gate.open()  # holds nothing, but counts
            server.default = gate

        def some(_: int) -> None:
            with Client(proxy.port) as client:
                assert {client.ask().status for _ in range(100)} == {200}

        with start(servers, 3) as proxy:
            Together(some, 16).join()
        assert all(gate.peak <= 3 for gate in gates)
        assert sum(len(gate.came) for gate in gates) == 1_600


def test_who_came_first_is_served_first(stack: ExitStack) -> None:
    """Whichever worker carries it."""
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, 1) as proxy:
            first = held_one_by_one(stack, proxy.port, [gate], 1)
            targets = [f"/waits/{number}" for number in range(8)]
            clients = queued(stack, proxy, *targets)
            for number in range(8):
                gate.release()
                gate.wait_came(number + 2)
            gate.open()
            assert {client.response().status for client in first + clients} == {200}
            assert gate.came[1:] == targets


def test_nobody_overtakes_who_waits(stack: ExitStack) -> None:
    """Not even who comes in the moment in which room is made."""
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, 1) as proxy:
            held_one_by_one(stack, proxy.port, [gate], 1)
            targets = [f"/waits/{number}" for number in range(3)]
            queued(stack, proxy, *targets)
            gate.release()
            late = sent(stack, proxy, 10, "/late")
            gate.open()
            assert {client.response().status for client in late} == {200}
            assert gate.came[1:4] == targets


def test_who_goes_away_gives_up_the_place(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, 1, queue={"max": 2, "timeout": "60s"}) as proxy:
            held_one_by_one(stack, proxy.port, [gate], 1)
            gone, stays = queued(stack, proxy, "/gone", "/stays")
            gone.reset()
            wait_waiting(proxy, 1)
            (new,) = queued(stack, proxy, "/new")
            gate.open()
            assert (stays.response().status, new.response().status) == (200, 200)
            assert gate.came == ["/0", "/stays", "/new"]
            assert pool(proxy)["waiting"] == 0


def test_a_full_queue(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, 1, queue={"max": 2, "timeout": "60s"}) as proxy:
            held = held_one_by_one(stack, proxy.port, [gate], 1)
            waiting = queued(stack, proxy, "/w1", "/w2")
            assert_refused(proxy, fetch(proxy.port, "/full"), "/full", "queue_full")
            gate.open()
            assert {client.response().status for client in held + waiting} == {200}
            assert not servers[0].seen("/full")
            assert fetch(proxy.port, "/after").status == 200


def test_without_a_queue_nobody_waits(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, 1, queue={"max": 0}) as proxy:
            held_one_by_one(stack, proxy.port, [gate], 1)
            assert_refused(proxy, fetch(proxy.port, "/full"), "/full", "queue_full")
            gate.open()


def test_who_waits_too_long(stack: ExitStack) -> None:
    with fleet(1) as servers:
        (gate,) = with_gates(servers)
        with start(servers, 1, queue={"max": 10, "timeout": "300ms"}) as proxy:
            held = held_one_by_one(stack, proxy.port, [gate], 1)
            assert_refused(proxy, fetch(proxy.port, "/late"), "/late", "queue_timeout")
            assert pool(proxy)["waiting"] == 0
            gate.open()
            assert held[0].response().status == 200
            assert not servers[0].seen("/late")


def test_a_backup_is_not_for_overflow(stack: ExitStack) -> None:
    """It is for when no other server is left; a full one is not gone."""
    with fleet(2) as (a, spare):
        gates = with_gates([a, spare])
        servers: list[Config] = [
            {"address": a.address, "max_connections": 1},
            {"address": spare.address, "backup": True, "max_connections": 1},
        ]
        with Proxy(reverse(servers)) as proxy:
            held_one_by_one(stack, proxy.port, gates, 1)
            queued(stack, proxy, "/waits")
            gates[0].release()
            gates[0].wait_came(2)
            assert not gates[1].came
            for gate in gates:
                gate.open()


def test_a_server_that_dies_frees_nothing_for_itself(stack: ExitStack) -> None:
    """Who waits for a full pool goes to the server that is left."""
    with fleet(2) as servers:
        gates = with_gates(servers)
        with start(servers, 1) as proxy:
            held = held_one_by_one(stack, proxy.port, gates, 2)
            waiting = queued(stack, proxy, "/waits")
            servers[0].die()
            for gate in gates:
                gate.open()
            assert {client.response().status for client in held + waiting} == {200}


def test_in_flight_and_waiting_are_shown(stack: ExitStack) -> None:
    with fleet(2) as servers:
        gates = with_gates(servers)
        with start(servers, 2) as proxy:
            held_one_by_one(stack, proxy.port, gates, 4)
            queued(stack, proxy, "/w1", "/w2", "/w3")
            row = pool(proxy)
            assert row["waiting"] == 3
            assert [(one["in_flight"], one["max_connections"]) for one in row["servers"]] == [(2, 2), (2, 2)]
            text = proxy.cli("pool", "status").stdout
            assert servers[0].address in text
            for gate in gates:
                gate.open()
            wait_in_flight(proxy, 0, 0)


def test_streams_of_http2_count_one_by_one(stack: ExitStack) -> None:
    """Many share one connection; what is bounded are requests."""
    with Http2Origin() as origin:
        leave = threading.Event()
        stack.callback(leave.set)

        def held(exchange: Http2Exchange) -> None:
            wait_for(leave, "the test's leave", 60)
            exchange.respond(200, b"held")

        origin.on("/held", held)
        server = {"address": origin.address, "max_connections": 3}
        with Proxy(reverse([server], pool={"protocol": "h2", "queue": {"max": 50, "timeout": "60s"}})) as proxy:
            clients = sent(stack, proxy, 8, "/held")
            origin.wait_for("/held", 3)
            assert settled(lambda: len(origin.seen("/held"))) == 3
            wait_waiting(proxy, 5)
            leave.set()
            assert {client.response().status for client in clients} == {200}


def test_a_tunnel_takes_a_place_until_its_end(stack: ExitStack) -> None:
    def switches(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        while True:
            exchange.send(exchange.read_some())

    with fleet(1) as servers:
        servers[0].on("/tunnel", switches)
        with start(servers, 1) as proxy:
            tunnel = stack.enter_context(Client(proxy.port))
            assert tunnel.ask("GET", "/tunnel", [("Upgrade", "echo"), ("Connection", "Upgrade")]).status == 101
            tunnel.send(b"hello")
            assert tunnel.read_exactly(5) == b"hello"
            (waits,) = queued(stack, proxy, "/waits")
            assert not servers[0].seen("/waits")
            tunnel.close()
            assert waits.response().status == 200
