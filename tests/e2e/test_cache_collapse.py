"""One fetch for a key, however many wait for it."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.cache import Answer, Script, Stage, stage
from tests.support.cache_status import cache_status
from tests.support.client import Client
from tests.support.origin import Exchange, Handler
from tests.support.stream import PATIENCE
from tests.support.wait import Together, wait_for

HOUR = "Cache-Control: max-age=3600"
HALF = bytes(range(256)) * 64
HEAD = f"HTTP/1.1 200 OK\r\n{HOUR}\r\nContent-Length: {2 * len(HALF)}\r\n\r\n".encode()


class InTwo:
    """Sends the head and half of the body, and the rest when it is let go; counts nothing but the first request."""

    def __init__(self) -> None:
        self.rest = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(HEAD + HALF)
        wait_for(self.rest, "the test")
        exchange.send(HALF)


class Gate:
    """Holds the first request until it is let go; then answers it, and all others, by another handler."""

    def __init__(self, then: Handler) -> None:
        self.then, self.open, self.count = then, threading.Event(), 0

    def __call__(self, exchange: Exchange) -> None:
        self.count += 1
        if self.count == 1:
            wait_for(self.open, "the test")
        self.then(exchange)


@pytest.fixture(scope="module", params=["reverse", "forward"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage(request.param, collapse_timeout="15s") as ready:
        yield ready


@pytest.fixture
def clients(on: Stage) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Client(on.proxy.port)) for _ in range(200)]


def test_200_clients_make_one_fetch_and_stream(on: Stage, clients: list[Client]) -> None:
    """Each has half of the body while the origin has not sent the other."""
    path, handler = on.path("herd"), InTwo()
    on.origin.on(path, handler)
    for client in clients:
        on.request(client, path)
    for client in clients:
        head = client.head()
        assert (head.status, head.fields.get("Content-Length")) == (200, str(2 * len(HALF)))
        assert client.read_exactly(len(HALF)) == HALF
    handler.rest.set()
    for client in clients:
        assert client.read_exactly(len(HALF)) == HALF
    assert on.asked(path) == 1
    assert on.ask(path).body == HALF * 2
    assert on.asked(path) == 1


def test_200_clients_wait_for_one_head(on: Stage, clients: list[Client]) -> None:
    path, script = on.path("slow-head"), Script(Answer(200, (HOUR,)))
    gate = Gate(script)
    on.origin.on(path, gate)
    on.request(clients[0], path)
    on.origin.wait_for(path)
    for client in clients[1:]:
        on.request(client, path)
    assert clients[1].is_quiet()
    gate.open.set()
    collapsed = 0
    for client in clients:
        response = client.response()
        assert (response.status, response.body) == (200, script.bodies[0])
        collapsed += cache_status(response).collapsed
    assert on.asked(path) == 1
    assert collapsed, "some of them say that they have shared a fetch"


def test_what_cannot_be_stored_sets_all_free_at_once(on: Stage, clients: list[Client]) -> None:
    """And is remembered: the next ones do not queue."""
    path, some = on.path("private"), clients[:20]
    together = threading.Barrier(len(some) - 1)

    def private(exchange: Exchange) -> None:
        if exchange.request.fields.get("X-Wave") != "0":
            together.wait(PATIENCE)  # passes only when all are here at the same time
        Answer(200, ("Cache-Control: private",)).send(exchange, b"for one")

    gate = Gate(private)
    on.origin.on(path, gate)
    on.request(some[0], path, "X-Wave: 0")
    on.origin.wait_for(path)
    for client in some[1:]:
        on.request(client, path)
    gate.open.set()
    assert [client.response().status for client in some] == [200] * len(some)
    assert on.asked(path) == len(some)
    for client in some[1:]:
        on.request(client, path, "X-Wave: 2")
    assert [client.response().status for client in some[1:]] == [200] * (len(some) - 1)


def test_bodies_of_private_responses_are_not_shared(on: Stage, clients: list[Client]) -> None:
    """Each waiter gets its own, although they stood in one queue."""
    path, some = on.path("own"), clients[:10]

    def own(exchange: Exchange) -> None:
        user = exchange.request.fields.get("X-User") or ""
        Answer(200, ("Cache-Control: private, max-age=60",)).send(exchange, user.encode())

    gate = Gate(own)
    on.origin.on(path, gate)
    for number, client in enumerate(some):
        on.request(client, path, f"X-User: {number}")
    on.origin.wait_for(path)
    gate.open.set()
    assert [client.response().text for client in some] == [str(number) for number in range(len(some))]


def test_waiters_of_another_variant_get_theirs(on: Stage, clients: list[Client]) -> None:
    """The response says only when it comes that it is not for all (Vary)."""
    path, some = on.path("variants"), clients[:10]

    def varied(exchange: Exchange) -> None:
        kind = exchange.request.fields.get("X-Kind") or ""
        Answer(200, (HOUR, "Vary: X-Kind")).send(exchange, kind.encode())

    gate = Gate(varied)
    on.origin.on(path, gate)
    for number, client in enumerate(some):
        on.request(client, path, f"X-Kind: {number % 2}")
    on.origin.wait_for(path)
    gate.open.set()
    assert [client.response().text for client in some] == [str(number % 2) for number in range(len(some))]


def test_a_fetch_that_dies_is_taken_over(on: Stage, clients: list[Client]) -> None:
    path, script = on.path("dies"), Script(Answer(200, (HOUR,)))

    def dies_first(exchange: Exchange) -> None:
        if gate.count == 1:
            exchange.reset()
        else:
            script(exchange)

    gate = Gate(dies_first)
    on.origin.on(path, gate)
    on.request(clients[0], path)
    on.origin.wait_for(path)
    for client in clients[1:20]:
        on.request(client, path)
    gate.open.set()
    assert clients[0].response().status in (200, 502)
    for client in clients[1:20]:
        response = client.response()
        assert (response.status, response.body) == (200, script.bodies[0])
    assert on.asked(path) == 2


def test_a_body_that_breaks_off_is_not_stored(on: Stage, clients: list[Client]) -> None:
    path = on.path("half")

    def half(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(HEAD + HALF)
        wait_for(cut, "the test")
        exchange.reset()

    cut = threading.Event()
    on.origin.on(path, half)
    some = clients[:10]
    for client in some:
        on.request(client, path)
    heads = [client.head() for client in some]
    cut.set()
    for client, head in zip(some, heads, strict=True):
        client.expect_broken_off(head)
    script = on.on(path, HOUR)
    assert on.ask(path).body == script.bodies[0]


def test_the_first_client_leaves_and_the_others_get_all(on: Stage, clients: list[Client]) -> None:
    path, handler = on.path("leaves"), InTwo()
    on.origin.on(path, handler)
    on.request(clients[0], path)
    assert clients[0].head().status == 200
    for client in clients[1:20]:
        on.request(client, path)
        client.head()
        assert client.read_exactly(len(HALF)) == HALF
    clients[0].reset()
    on.proxy.wait_records(lambda record: record.get("path") == path)
    handler.rest.set()
    for client in clients[1:20]:
        assert client.read_exactly(len(HALF)) == HALF
    assert on.asked(path) == 1


def test_the_first_client_leaves_before_the_head(on: Stage, clients: list[Client]) -> None:
    path, script = on.path("leaves-early"), Script(Answer(200, (HOUR,)))
    gate = Gate(script)
    on.origin.on(path, gate)
    on.request(clients[0], path)
    on.origin.wait_for(path)
    for client in clients[1:20]:
        on.request(client, path)
    clients[0].reset()
    on.proxy.wait_records(lambda record: record.get("path") == path)
    gate.open.set()
    bodies = {client.response().body for client in clients[1:20]}
    assert len(bodies) == 1
    assert on.asked(path) <= 2, "the fetch is gone with its client, or went on: there is no third one"


def test_a_reader_that_is_slow_holds_up_nobody(on: Stage, clients: list[Client]) -> None:
    path, size = on.path("slow-reader"), 8 << 20
    on.on(path, HOUR, body=bytes(size))
    on.request(clients[0], path)
    on.origin.wait_for(path)
    assert clients[0].head().status == 200
    for client in clients[1:4]:
        on.request(client, path)
        assert len(client.response().body) == size
    assert on.asked(path) == 1
    assert len(clients[0].read_exactly(size)) == size


def test_posts_are_not_collapsed(on: Stage, clients: list[Client]) -> None:
    path, some = on.path("posts"), clients[:10]
    together = threading.Barrier(len(some))

    def post(exchange: Exchange) -> None:
        together.wait(PATIENCE)
        Answer(200, (HOUR,)).send(exchange, exchange.read_body())

    on.origin.on(path, post)
    for number, client in enumerate(some):
        on.request(client, path, method="POST", body=b"%d" % number)
    assert [client.response("POST").body for client in some] == [b"%d" % number for number in range(len(some))]


def test_a_slow_fetch_is_taken_over() -> None:
    """After `collapse_timeout` the next one asks for itself and the others follow it: no herd either."""
    with stage("reverse", collapse_timeout="300ms") as on:
        path, script = on.path("slow"), Script(Answer(200, (HOUR,)))
        gate = Gate(script)
        on.origin.on(path, gate)
        with Client(on.proxy.port) as first:
            on.request(first, path)
            on.origin.wait_for(path)
            bodies: list[bytes] = []
            Together(lambda _: bodies.append(on.ask(path).body), 10).join()
            assert len(bodies) == 10, "they have it while the first fetch still hangs"
            assert on.asked(path) <= 4, "the first one, and who took over; on two threads that may be two at a time"
            gate.open.set()
            assert first.response().status == 200


def test_none_waits_where_the_time_is_zero() -> None:
    with stage("reverse", collapse_timeout="0s") as on:
        path, together = on.path("none"), threading.Barrier(10)

        def all_at_once(exchange: Exchange) -> None:
            together.wait(PATIENCE)
            Answer(200, (HOUR,)).send(exchange, b"x")

        on.origin.on(path, all_at_once)
        Together(lambda _: assert_ok(on.ask(path).status), 10).join()
        assert on.asked(path) == 10


def assert_ok(status: int) -> None:
    assert status == 200
