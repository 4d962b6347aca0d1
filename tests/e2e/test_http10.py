"""HTTP/1.0 on either side (RFC 9112, appendix C)."""

from collections.abc import Iterator

import pytest

from tests.support.client import Client, chunked, fetch
from tests.support.origin import Origin, replies
from tests.support.proxy import Proxy, reverse


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address])) as proxy:
        yield proxy


def test_a_client_of_http10_is_closed_after_its_answer(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        client.send(b"GET /old HTTP/1.0\r\nHost: t\r\n\r\n")
        assert client.response().text == "origin GET /old"
        client.expect_closed()
    assert origin.only("/old").version == "HTTP/1.1", "the next hop has its own version"


def test_keep_alive_when_it_asks(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        for i in range(3):
            client.send(b"GET /keep%d HTTP/1.0\r\nHost: t\r\nConnection: Keep-Alive\r\n\r\n" % i)
            response = client.response()
            assert response.text == f"origin GET /keep{i}"
            assert (response.fields.get("Connection") or "").lower() == "keep-alive"
        client.send(b"GET /keep3 HTTP/1.0\r\nHost: t\r\n\r\n")
        assert client.response().status == 200
        client.expect_closed()


def test_no_host_is_needed(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        client.send(b"GET /hostless HTTP/1.0\r\n\r\n")
        assert client.response().status == 200
    assert len(origin.only("/hostless").fields.values("Host")) == 1, "HTTP/1.1 wants a Host"


def test_chunks_are_undone_for_it(proxy: Proxy, origin: Origin) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    origin.on("/chunks", replies(head + chunked(b"abc", b"def" * 10_000, trailers=[("X-T", "1")])))
    with Client(proxy.port) as client:
        client.send(b"GET /chunks HTTP/1.0\r\nHost: t\r\nConnection: keep-alive\r\n\r\n")
        response = client.response()
        assert (response.framing, response.body) == ("close", b"abc" + b"def" * 10_000)
        assert "Transfer-Encoding" not in response.fields


def test_a_body_from_it(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        client.send(b"POST /upload HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")
        assert client.response().status == 200
    assert origin.only("/upload").body == b"hello"


def test_chunked_from_it_is_refused(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        client.send(b"POST /no-chunks HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert client.response().status == 400
        client.expect_closed()
    assert not origin.seen("/no-chunks")


def test_an_origin_of_http10(proxy: Proxy, origin: Origin) -> None:
    origin.on("/old-origin", replies(b"HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nuntil the end", close=True))
    with Client(proxy.port) as client:
        response = client.ask("GET", "/old-origin")
        assert (response.version, response.text) == ("HTTP/1.1", "until the end")
        assert client.ask("GET", "/next").status == 200, "the client's connection is its own"


def test_an_origin_of_http10_is_not_kept_unless_it_says_so(proxy: Proxy, origin: Origin) -> None:
    origin.on("/once", replies(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    with Client(proxy.port) as client:
        assert client.ask("GET", "/once").text == "ok"
        origin.wait_ended(origin.only("/once").connection)
        assert client.ask("GET", "/next").status == 200


def test_the_answer_to_http11_says_nothing_needless(proxy: Proxy) -> None:
    assert "Keep-Alive" not in fetch(proxy.port, "/plain").fields


def test_close_is_answered_with_close(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        response = client.ask("GET", "/bye", [("Connection", "Close")])
        assert (response.fields.get("Connection") or "").lower() == "close"
        client.expect_closed()
