"""Servers of HTTP/2 that fail, refuse, leave or break the rules."""

import threading
from collections.abc import Callable, Iterator

import pytest
from h2.errors import ErrorCodes

from tests.support.client import Client, fetch
from tests.support.frames import block, headers
from tests.support.http2_origin import Exchange, Http2Origin
from tests.support.origin import Origin
from tests.support.proxy import Config, Proxy, reverse
from tests.support.tls import ServerTls, authority
from tests.support.wait import until, wait_for

TLS = {"tls": {"ca": str(authority().file)}}
PRIOR = {"protocol": "h2"}
Both = tuple[Proxy, Http2Origin]
Start = Callable[..., Both]


@pytest.fixture(scope="module", params=["prior knowledge", "TLS"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Proxy, Http2Origin]]:
    """One worker, so that one connection is enough."""
    tls = ServerTls(alpn=["h2"]) if request.param == "TLS" else None
    pool: Config = {**PRIOR, **(TLS if tls else {})}
    with Http2Origin(tls=tls) as origin, Proxy(reverse([origin.address], pool=pool, workers=1)) as proxy:
        yield proxy, origin


@pytest.mark.parametrize(
    "code", [ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL, ErrorCodes.PROTOCOL_ERROR, ErrorCodes.ENHANCE_YOUR_CALM]
)
def test_a_reset_before_the_head_is_502(both: Both, code: int) -> None:
    proxy, origin = both
    path = f"/reset-{code}"
    origin.on(path, lambda exchange: exchange.reset(code))
    response = fetch(proxy.port, path, method="POST", body=b"x")
    assert response.status == 502
    assert proxy.record(path)["reason"] in ("connection_terminated", "response_invalid")
    assert len(origin.seen(path)) == 1, "a POST that may have been worked on is not sent twice"


def test_a_reset_within_the_body_breaks_it_off(both: Both) -> None:
    proxy, origin = both

    def breaks(exchange: Exchange) -> None:
        exchange.head(200, ("content-length", "1000"))
        exchange.send(b"part")
        exchange.reset(ErrorCodes.INTERNAL_ERROR)

    origin.on("/breaks", breaks)
    with Client(proxy.port) as client:
        client.request("GET", "/breaks")
        client.expect_broken_off(client.head())
    record = proxy.record("/breaks")
    assert (record["reason"], record["ending"]) == ("response_incomplete", "upstream_aborted")


def test_a_refused_stream_is_asked_again(both: Both) -> None:
    """RFC 9113, section 8.7: nothing was done with it, so that even a POST is safe."""
    proxy, origin = both

    def refuses_once(exchange: Exchange) -> None:
        if len(origin.seen("/refused")) == 1:
            exchange.reset(ErrorCodes.REFUSED_STREAM)
        else:
            exchange.respond(200, b"second")

    origin.on("/refused", refuses_once)
    assert fetch(proxy.port, "/refused", method="POST", body=b"abc").text == "second"
    assert proxy.record("/refused")["attempts"] == 2


def test_a_goaway_lets_finish_and_the_next_go_elsewhere(start_http2: Start) -> None:
    proxy, origin = start_http2()
    go = threading.Event()

    def leaves(exchange: Exchange) -> None:
        exchange.go_away()
        wait_for(go, "the test's leave")
        exchange.respond(200, b"finished")

    origin.on("/leaves", leaves)
    with Client(proxy.port) as client:
        client.request("GET", "/leaves")
        origin.wait_for("/leaves")
        until(lambda: fetch(proxy.port, "/elsewhere") and len(origin.connections) == 2, "a new connection")
        go.set()
        assert client.response().text == "finished"
    assert origin.seen("/elsewhere")[-1].connection == 2


def test_a_goaway_for_a_request_that_was_not_taken(start_http2: Start) -> None:
    """Section 6.8: what is above the last stream was not begun, and is asked again elsewhere."""
    proxy, origin = start_http2()
    assert fetch(proxy.port, "/settle").status == 200

    def turns_away(exchange: Exchange) -> None:
        if exchange.connection.serial == 1:
            exchange.go_away(last=1)
            exchange.cut()
        else:
            exchange.respond(200, exchange.read_body())

    origin.on("/turned", turns_away)
    assert fetch(proxy.port, "/turned", method="POST", body=b"abc").body == b"abc"
    assert [request.connection for request in origin.seen("/turned")] == [1, 2]


def test_a_connection_that_is_cut(start_http2: Start) -> None:
    """A GET is tried again over a new connection; a POST, which may have been done, is not."""
    proxy, origin = start_http2()

    def cuts(exchange: Exchange) -> None:
        if exchange.connection.serial == 1:
            exchange.cut()
        else:
            exchange.respond(200, b"again")

    origin.on("/cut", cuts)
    assert fetch(proxy.port, "/settle").status == 200
    assert fetch(proxy.port, "/cut").text == "again"
    origin.on("/cut-post", lambda exchange: exchange.cut())
    assert fetch(proxy.port, "/cut-post", method="POST", body=b"x").status == 502
    assert len(origin.seen("/cut-post")) == 1
    assert proxy.record("/cut-post")["reason"] == "connection_terminated"
    assert fetch(proxy.port, "/after").status == 200


def test_a_dead_kept_connection(start_http2: Start) -> None:
    proxy, origin = start_http2()
    assert fetch(proxy.port, "/alive").status == 200
    origin.connections[0].sock.shutdown(2)
    origin.wait_over(1)
    assert fetch(proxy.port, "/alive-again", method="POST", body=b"x").status == 200
    assert len(origin.connections) == 2


@pytest.mark.parametrize(
    "fields",
    [
        [(":status", "200"), ("connection", "close")],
        [(":status", "200"), ("Upper", "case")],
        [(":status", "abc")],
        [("x-no", "status")],
        [(":status", "101")],
        [(":status", "200"), ("x-value", "a\r\nx-smuggled: 1")],
        [(":status", "200"), ("content-length", "1"), ("content-length", "2")],
    ],
    ids=["connection", "upper case", "no number", "no status", "101", "CRLF", "two lengths"],
)
def test_a_malformed_response_is_502(both: Both, fields: list[tuple[str, str]]) -> None:
    """RFC 9113, section 8.1.1."""
    proxy, origin = both
    path = f"/malformed-{abs(hash(str(fields)))}"
    origin.on(path, lambda exchange: exchange.raw(headers(exchange.stream, block(fields), end=True)))
    response = fetch(proxy.port, path, method="POST", body=b"x")
    assert response.status == 502
    assert "x-smuggled" not in response.fields
    assert proxy.record(path)["reason"] in ("response_invalid", "connection_terminated", "upgrade_failed")
    assert fetch(proxy.port, "/after-malformed").status == 200


def test_a_body_that_is_not_as_long_as_it_says(both: Both) -> None:
    proxy, origin = both

    def short(exchange: Exchange) -> None:
        exchange.head(200, ("content-length", "10"))
        exchange.send(b"short", end=True)

    origin.on("/short", short)
    with Client(proxy.port) as client:
        client.request("GET", "/short")
        client.expect_broken_off(client.head())
    assert proxy.record("/short")["ending"] == "upstream_aborted"


def test_a_server_without_http2() -> None:
    with Origin() as origin, Proxy(reverse([origin.address], pool=PRIOR)) as proxy:
        assert fetch(proxy.port, "/prior").status == 502
        assert proxy.record("/prior")["reason"] in ("response_invalid", "connection_terminated")
        origin.failures.clear()  # a preface is no request of HTTP/1.1
