"""Kept connections upstream: used again, and dead ones noticed."""

from collections.abc import Iterator

import pytest

from tests.support.client import Client, fetch
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    """One worker, so that there is one pool of connections."""
    with Proxy(reverse([origin.address], workers=1)) as proxy:
        yield proxy


def test_one_connection_for_many_requests(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        for i in range(30):
            assert client.ask("GET", f"/{i}").status == 200
    assert origin.connections == 1


def test_and_for_many_clients(proxy: Proxy, origin: Origin) -> None:
    for i in range(30):
        assert fetch(proxy.port, f"/{i}", method="POST" if i % 2 else "GET", body=b"x" if i % 2 else None).status == 200
    assert origin.connections == 1


def test_kept_after_every_framing(proxy: Proxy, origin: Origin) -> None:
    def chunky(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    origin.on("/chunked", chunky)
    origin.on("/204", lambda exchange: exchange.send(b"HTTP/1.1 204 No\r\n\r\n"))
    origin.on("/304", lambda exchange: exchange.send(b"HTTP/1.1 304 No\r\nETag: x\r\n\r\n"))
    for path in ("/chunked", "/204", "/304", "/last"):
        fetch(proxy.port, path)
    assert fetch(proxy.port, "/head", method="HEAD").status == 200
    assert fetch(proxy.port, "/end").status == 200
    assert origin.connections == 1


def test_close_is_obeyed(proxy: Proxy, origin: Origin) -> None:
    origin.on(
        "/close", lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    )
    assert fetch(proxy.port, "/close").status == 200
    origin.wait_ended(1)
    assert fetch(proxy.port, "/next").status == 200
    assert origin.only("/next").connection == 2


def dies_on_second(exchange: Exchange) -> None:
    """Answers the first request of a connection and breaks off at any later one."""
    exchange.read_body()
    if exchange.count == 1:
        exchange.respond(200, b"first")
    else:
        exchange.close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_kept_connection_that_dies_is_tried_anew_where_that_is_safe(method: str) -> None:
    with Origin(handler=dies_on_second) as origin, Proxy(reverse([origin.address], workers=1)) as proxy:
        assert fetch(proxy.port, "/warm").status == 200
        assert fetch(proxy.port, "/again", method=method).status == 200
        assert [request.connection for request in origin.seen("/again")] == [1, 2]


def test_but_not_for_a_post(proxy: Proxy, origin: Origin) -> None:
    """The origin may have acted on it (RFC 9110, section 9.2.2)."""
    origin.default = dies_on_second
    assert fetch(proxy.port, "/warm").status == 200
    response = fetch(proxy.port, "/buy", method="POST", body=b"one")
    assert response.status == 502
    assert "error=connection_terminated" in (response.fields.get("Proxy-Status") or "")
    assert len(origin.seen("/buy")) == 1


def test_a_connection_closed_while_idle_is_not_used_even_for_a_post(proxy: Proxy, origin: Origin) -> None:
    def answers_and_leaves(exchange: Exchange) -> None:
        exchange.respond(200, b"bye")
        exchange.close()

    origin.on("/leaves", answers_and_leaves)
    assert fetch(proxy.port, "/leaves").status == 200
    origin.wait_ended(1)
    assert fetch(proxy.port, "/buy", method="POST", body=b"one").status == 200
    assert origin.only("/buy").connection == 2


def test_bytes_that_nobody_asked_for_spoil_a_connection(proxy: Proxy, origin: Origin) -> None:
    """An answer before its question would be taken for the answer to somebody else's."""

    def talkative(exchange: Exchange) -> None:
        exchange.read_body()
        extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra)

    origin.on("/talkative", talkative)
    assert fetch(proxy.port, "/talkative").text == "ok"
    assert fetch(proxy.port, "/victim").text == "origin GET /victim"
    assert origin.only("/victim").connection == 2


def test_a_response_that_was_not_read_to_its_end_spoils_it_too(proxy: Proxy, origin: Origin) -> None:
    def long(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(50):
            exchange.send(b"x" * 1_000_000)

    origin.on("/long", long)
    with Client(proxy.port) as client:
        client.request("GET", "/long")
        assert client.head().status == 200
        client.reset()
    origin.wait_ended(1)
    assert fetch(proxy.port, "/next").text == "origin GET /next"


def test_idle_connections_are_closed_in_time() -> None:
    pool = {"keep_alive": {"idle": "200ms", "max": 4}}
    with Origin() as origin, Proxy(reverse([origin.address], pool=pool, workers=1)) as proxy:
        assert fetch(proxy.port, "/").status == 200
        origin.wait_ended(1)


def test_clients_do_not_share_an_origin_connection_at_one_time(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as one, Client(proxy.port) as two:
        one.request("POST", "/one", [("Content-Length", "3")])
        origin.wait_for("/one")
        assert two.ask("GET", "/two").text == "origin GET /two"
        one.send(b"abc")
        assert one.response().text == "origin POST /one"
    assert origin.connections == 2
