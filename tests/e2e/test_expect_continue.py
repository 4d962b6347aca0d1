"""`Expect: 100-continue` (RFC 9110, section 10.1.1): the origin decides, the proxy carries."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.client import Client
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.wait import wait_for

EXPECT = ("Expect", "100-continue")


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], timeout={"body": "5s", "first_byte": "10s"})) as proxy:
        yield proxy


def cautious(exchange: Exchange) -> None:
    """Wants the body, says so, and answers its length."""
    exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    exchange.respond(200, b"%d" % len(exchange.read_body()))


def test_the_origins_100_reaches_the_client(proxy: Proxy, origin: Origin) -> None:
    origin.on("/relayed", cautious)
    with Client(proxy.port) as client:
        client.request("POST", "/relayed", [EXPECT, ("Content-Length", "5")])
        assert client.head().status == 100
        client.send(b"hello")
        response = client.response()
        assert (response.status, response.text) == (200, "5")
        assert client.ask("GET", "/next").status == 200
    assert (origin.only("/relayed").fields.get("Expect") or "").lower() == "100-continue"


def test_with_a_chunked_body(proxy: Proxy, origin: Origin) -> None:
    origin.on("/relayed-chunked", cautious)
    with Client(proxy.port) as client:
        client.request("POST", "/relayed-chunked", [EXPECT, ("Transfer-Encoding", "chunked")])
        assert client.head().status == 100
        client.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert client.response().text == "5"


def test_no_100_before_the_origin_agrees(proxy: Proxy, origin: Origin) -> None:
    agreed = threading.Event()

    def hesitant(exchange: Exchange) -> None:
        wait_for(agreed, "the test's leave")
        cautious(exchange)

    origin.on("/hesitant", hesitant)
    with Client(proxy.port) as client:
        client.request("POST", "/hesitant", [EXPECT, ("Content-Length", "5")])
        origin.wait_for("/hesitant")
        assert client.is_quiet(), "the proxy promised what only the origin can promise"
        agreed.set()
        assert client.head().status == 100
        client.send(b"hello")
        assert client.response().status == 200


@pytest.mark.parametrize("status", [401, 403, 413, 417])
def test_a_final_answer_instead_of_100(proxy: Proxy, origin: Origin, status: int) -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno" % status)
        exchange.close()

    path = f"/refused{status}"
    origin.on(path, refuse)
    with Client(proxy.port) as client:
        client.request("POST", path, [EXPECT, ("Content-Length", "500000")])
        response = client.response()
        assert (response.status, response.text, response.interim) == (status, "no", [])
    assert origin.only(path).body == b""


def test_after_a_refusal_unsent_bytes_are_never_a_request(proxy: Proxy, origin: Origin) -> None:
    """The client may not send the body after a final answer, or may: both are understood in one way only."""

    def refuse(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        exchange.close()

    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
    origin.on("/refused-then-sent", refuse)
    with Client(proxy.port) as client:
        client.request("POST", "/refused-then-sent", [EXPECT, ("Content-Length", str(len(smuggled)))])
        assert client.response().status == 403
        client.send(smuggled)
        client.half_close()
        assert b"HTTP/1.1 200" not in client.read_rest()
    assert not origin.seen("/smuggled")


def test_a_client_that_does_not_wait(proxy: Proxy, origin: Origin) -> None:
    origin.on("/impatient", lambda exchange: exchange.respond(200, exchange.read_body()))
    with Client(proxy.port) as client:
        assert client.ask("POST", "/impatient", [EXPECT], b"at once").text == "at once"


def test_an_origin_that_ignores_the_expectation_gets_the_body_all_the_same(proxy: Proxy, origin: Origin) -> None:
    origin.on("/ignored", lambda exchange: exchange.respond(200, exchange.read_body()))
    with Client(proxy.port) as client:
        client.request("POST", "/ignored", [EXPECT, ("Content-Length", "5")])
        origin.wait_for("/ignored")
        client.send(b"hello")
        response = client.response()
        assert (response.status, response.text) == (200, "hello")


def test_a_client_of_http10_gets_no_100(proxy: Proxy, origin: Origin) -> None:
    origin.on("/old-client", cautious)
    with Client(proxy.port) as client:
        client.send(b"POST /old-client HTTP/1.0\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
        response = client.response()
        assert (response.status, response.interim) == (200, [])


@pytest.mark.parametrize("value", ["200-ok", "100-continue, something", "x"])
def test_an_unknown_expectation_is_417(proxy: Proxy, origin: Origin, value: str) -> None:
    with Client(proxy.port) as client:
        client.request("POST", "/unknown", [("Expect", value), ("Content-Length", "0")])
        assert client.response().status == 417
    assert not origin.seen("/unknown")
