"""An origin that answers before it has the whole request."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.client import Client
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Closed
from tests.support.wait import wait_for


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address])) as proxy:
        yield proxy


def refuse(exchange: Exchange) -> None:
    """Answers by the head alone and closes, as an origin with an upload limit does."""
    exchange.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
    exchange.half_close()
    exchange.read_rest()


def test_the_answer_comes_while_the_body_is_held_back(proxy: Proxy, origin: Origin) -> None:
    origin.on("/held", refuse)
    with Client(proxy.port) as client:
        client.request("POST", "/held", [("Content-Length", "1000000")])
        client.send(b"x" * 1000)
        response = client.response()
        assert (response.status, response.text) == (413, "big")


def test_the_answer_survives_a_client_that_keeps_sending(proxy: Proxy, origin: Origin) -> None:
    """Closing with unread bytes in the socket would reset the connection and lose the answer."""
    origin.on("/pushing", refuse)
    with Client(proxy.port) as client:
        client.request("POST", "/pushing", [("Content-Length", "4000000")])

        def push() -> None:
            try:
                for _ in range(40):
                    client.send(b"x" * 100_000)
            except OSError:
                pass

        pusher = threading.Thread(target=push, daemon=True)
        pusher.start()
        response = client.response()
        assert (response.status, response.text) == (413, "big")
        client.close()
        pusher.join(15)
        assert not pusher.is_alive()


def test_unread_body_bytes_are_never_a_request(proxy: Proxy, origin: Origin) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
    origin.on("/stop", refuse)
    with Client(proxy.port) as client:
        client.request("POST", "/stop", [("Content-Length", str(100_000 + len(smuggled)))])
        assert client.response().status == 413
        try:
            client.send(b"x" * 100_000 + smuggled)
            client.half_close()
        except OSError:
            pass
        assert b"HTTP/1.1 200" not in client.read_rest()
    assert not origin.seen("/smuggled")


def test_full_duplex(proxy: Proxy, origin: Origin) -> None:
    """The response may flow while the request still does."""

    def echo(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while data := exchange.read_chunk():
            exchange.send(b"%x\r\n%b\r\n" % (len(data), data))
        exchange.read_trailers()
        exchange.request.complete = True
        exchange.send(b"0\r\n\r\n")

    origin.on("/duplex", echo)
    with Client(proxy.port) as client:
        client.request("POST", "/duplex", [("Transfer-Encoding", "chunked")])
        client.send(b"3\r\none\r\n")
        assert client.head().status == 200
        assert client.read_chunk() == b"one"
        for word in (b"two", b"three"):
            client.send(b"%x\r\n%b\r\n" % (len(word), word))
            assert client.read_chunk() == word
        client.send(b"0\r\n\r\n")
        assert client.read_chunk() == b""


def test_an_origin_that_dies_during_the_upload(proxy: Proxy, origin: Origin) -> None:
    dead = threading.Event()

    def die(exchange: Exchange) -> None:
        exchange.read_exactly(10_000)
        exchange.reset()
        dead.set()

    origin.on("/dies", die)
    with Client(proxy.port) as client:
        client.request("POST", "/dies", [("Content-Length", "1000000")])
        client.send(b"x" * 20_000)
        wait_for(dead, "the origin to die")
        try:
            assert client.response().status == 502
        except Closed:
            pytest.fail("an upload that failed gets an answer")
    assert len(origin.seen("/dies")) == 1, "a body that was sent in part is not sent again"
