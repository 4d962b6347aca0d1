"""What a server sends beyond its response must never become the answer to another request."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.client import Client, encode_request, fetch
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.wait import wait_for

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + EVIL,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + EVIL,
    "no-content": b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL,
    "no-content-with-length": b"HTTP/1.1 204 No Content\r\nContent-Length: 49\r\n\r\n" + EVIL,
    "not-modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 49\r\n\r\n" + EVIL,
    "not-modified-chunked": b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n" + EVIL,
    "zero": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + EVIL,
}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], workers=1)) as proxy:
        yield proxy


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_in_one_segment(proxy: Proxy, origin: Origin, name: str, method: str) -> None:
    path = f"/{name}/{method}"

    def handler(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(RESPONSES[name])

    origin.on(path, handler)
    with Client(proxy.port) as client:
        client.send(encode_request(method, path) + encode_request("GET", f"{path}/next"))
        assert b"evil" not in client.response(method).body
        assert client.response().text == f"origin GET {path}/next"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_later_on_the_kept_connection(proxy: Proxy, origin: Origin, method: str) -> None:
    """The connection is silent when it is kept; what comes then spoils it."""
    path = f"/later/{method}"
    answered, sent = threading.Event(), threading.Event()

    def handler(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        wait_for(answered, "the response to pass")
        exchange.send(EVIL)
        sent.set()

    origin.on(path, handler)
    assert fetch(proxy.port, path, method=method).status == 200
    answered.set()
    wait_for(sent, "the surplus to be sent")
    for number in range(5):
        assert fetch(proxy.port, f"/after/{number}").text == f"origin GET /after/{number}"


@pytest.mark.parametrize("status", [200, 304])
def test_two_lengths_in_a_head_without_a_body_are_not_passed_on(proxy: Proxy, origin: Origin, status: int) -> None:
    """A client or cache that reads one of them would keep what another disputes (RFC 9110, section 8.6)."""
    path = f"/lengths/{status}"

    def handler(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n" % status)

    origin.on(path, handler)
    response = fetch(proxy.port, path, method="HEAD" if status == 200 else "GET")
    assert len(response.fields.values("Content-Length")) <= 1
