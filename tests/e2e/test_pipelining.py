"""Several requests in flight on one connection (RFC 9112, section 9.3.2): answers come in order."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.client import Client, chunked, encode_request
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.wait import wait_for


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address])) as proxy:
        yield proxy


def test_fifty_in_one_packet(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        client.send(b"".join(encode_request("GET", f"/n/{i}") for i in range(50)))
        assert [client.response().text for _ in range(50)] == [f"origin GET /n/{i}" for i in range(50)]


def test_bodies_between_them(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        client.send(
            encode_request("POST", "/p/1", body=b"one")
            + encode_request("POST", "/p/2", [("Transfer-Encoding", "chunked")], chunked(b"two"))
            + encode_request("HEAD", "/p/3")
            + encode_request("GET", "/p/4")
        )
        for method, path in (("POST", "/p/1"), ("POST", "/p/2"), ("HEAD", "/p/3"), ("GET", "/p/4")):
            response = client.response(method)
            assert response.body == (b"" if method == "HEAD" else f"origin {method} {path}".encode())
    assert [origin.only(f"/p/{i}").body for i in (1, 2)] == [b"one", b"two"]


def test_a_slow_one_holds_up_those_behind_it(proxy: Proxy, origin: Origin) -> None:
    go = threading.Event()

    def slow(exchange: Exchange) -> None:
        wait_for(go, "the test's leave")
        exchange.respond(200, b"slow")

    origin.on("/slow", slow)
    with Client(proxy.port) as client:
        client.send(encode_request("GET", "/slow") + encode_request("GET", "/quick"))
        origin.wait_for("/slow")
        assert client.is_quiet()
        go.set()
        assert client.response().text == "slow"
        assert client.response().text == "origin GET /quick"


def test_nothing_after_close(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        client.send(encode_request("GET", "/last", [("Connection", "close")]) + encode_request("GET", "/ignored"))
        response = client.response()
        assert response.text == "origin GET /last"
        assert (response.fields.get("Connection") or "").lower() == "close"
        client.expect_closed()
    assert not origin.seen("/ignored")


def test_a_bad_one_ends_the_connection_after_the_good_ones(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        client.send(
            encode_request("GET", "/good") + b"GET /bad HTTP/1.1\r\nHost : t\r\n\r\n" + encode_request("GET", "/never")
        )
        assert client.response().text == "origin GET /good"
        assert client.response().status == 400
        client.expect_closed()
    assert not origin.seen("/bad")
    assert not origin.seen("/never")


def test_empty_lines_between_requests_are_skipped(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        client.send(encode_request("POST", "/crlf/1", body=b"x") + b"\r\n" + encode_request("GET", "/crlf/2"))
        assert client.response().status == 200
        assert client.response().text == "origin GET /crlf/2"


def test_each_has_its_record(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        client.send(b"".join(encode_request("GET", f"/rec/{i}") for i in range(5)))
        for _ in range(5):
            client.response()
        port = client.port
    records = proxy.wait_records(lambda record: str(record.get("path", "")).startswith("/rec/"), 5)
    assert sorted(record["path"] for record in records) == [f"/rec/{i}" for i in range(5)]
    assert all(str(port) in str(record["client"]) or "127.0.0.1" in str(record["client"]) for record in records)
