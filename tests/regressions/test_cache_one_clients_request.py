"""One client's request costs the others nothing of what is stored."""

import threading
from contextlib import ExitStack

import pytest

from tests.support.cache import Answer, reverse_stage, says, serves
from tests.support.client import Client, chunked
from tests.support.origin import Exchange
from tests.support.wait import wait_for

HOUR = "Cache-Control: max-age=3600"


@pytest.mark.parametrize(
    ("ask", "tag"),
    [
        pytest.param(("Cache-Control: no-cache, no-store",), ('ETag: "a"',), id="no-store, validated"),
        pytest.param(("Cache-Control: no-cache", "Authorization: Basic eDp5"), ('ETag: "a"',), id="user, validated"),
        pytest.param(("Cache-Control: no-cache", "Authorization: Basic eDp5"), (), id="user, anew"),
    ],
)
def test_a_reload_that_may_not_be_stored(ask: tuple[str, ...], tag: tuple[str, ...]) -> None:
    with reverse_stage() as on:
        on.origin.on("/x", serves(b"for everyone", HOUR, *tag))
        on.ask("/x")
        on.ask("/x", *ask)
        assert on.asked("/x") == 2
        assert on.ask("/x").body == b"for everyone"
        assert on.asked("/x") == 2


def test_a_reload_does_not_wait() -> None:
    go = threading.Event()

    def gate(exchange: Exchange) -> None:
        if len(on.origin.seen("/x")) == 1:
            wait_for(go, "the test")
        Answer(200, (HOUR,)).send(exchange, b"x")

    with reverse_stage(collapse_timeout="15s") as on, Client(on.proxy.port) as one, Client(on.proxy.port) as other:
        on.origin.on("/x", gate)
        on.request(one, "/x")
        on.origin.wait_for("/x")
        on.request(other, "/x", "Cache-Control: no-cache")
        try:
            on.origin.wait_for("/x", 2, seconds=3)
        finally:
            go.set()


def test_a_head_of_a_chunked_response_is_stored() -> None:
    def handler(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(f"HTTP/1.1 200 OK\r\n{HOUR}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        exchange.send(chunked(b"a", b"b"))

    with reverse_stage() as on:
        on.origin.on("/x", handler)
        for _ in range(10):
            assert on.ask("/x", method="HEAD").status == 200
        assert on.asked("/x") < 10


def test_those_who_wait_for_a_head_share_its_fetch() -> None:
    head, body = threading.Event(), threading.Event()

    def handler(exchange: Exchange) -> None:
        exchange.read_body()
        wait_for(head, "the test")
        exchange.send(f"HTTP/1.1 200 OK\r\n{HOUR}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        wait_for(body, "the test")
        exchange.send(chunked(b"a", b"b"))

    with reverse_stage({"workers": 1}, collapse_timeout="15s") as on, ExitStack() as stack:
        clients = [stack.enter_context(Client(on.proxy.port)) for _ in range(20)]
        on.origin.on("/x", handler)
        on.request(clients[0], "/x", method="HEAD")
        on.origin.wait_for("/x")
        for client in clients[1:]:
            on.request(client, "/x")
        assert clients[-1].is_quiet()
        head.set()
        assert clients[0].response("HEAD").status == 200
        body.set()
        assert [client.response().body for client in clients[1:]] == [b"ab"] * 19
        assert on.asked("/x") <= 2


def test_only_if_cached_beside_a_precondition() -> None:
    with reverse_stage() as on:
        on.on("/x", HOUR)
        assert on.ask("/x", "Cache-Control: only-if-cached", 'If-Match: "a"').status == 504
        assert on.asked("/x") == 0


def test_a_body_that_never_comes() -> None:
    with reverse_stage(stale_if_error="1h") as on:
        on.origin.on("/x", says("Cache-Control: max-age=0", body=b"kept"))
        on.ask("/x")

        def broken(exchange: Exchange) -> None:
            exchange.read_body()
            exchange.send(f"HTTP/1.1 200 OK\r\n{HOUR}\r\nContent-Length: 100000\r\n\r\n".encode())
            exchange.close()

        on.origin.on("/x", broken)
        assert on.ask("/x").body == b"kept"
