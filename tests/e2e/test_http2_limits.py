"""Limits of HTTP/2 connections that honest clients meet: streams, heads, requests, time."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import HeadersFrame, RstStreamFrame

from tests.support.client import Client, fetch
from tests.support.frames import PREFACE, RawClient, block, continuation, data, headers, request, settings
from tests.support.http2 import Http2Client, fetch2
from tests.support.origin import Exchange, Origin, Waits
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Closed
from tests.support.tls import tls_listener
from tests.support.wait import until

Limited = Callable[..., Proxy]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        origin.on("/held", Waits())
        yield origin


@pytest.fixture
def limited(origin: Origin) -> Iterator[Limited]:
    """Starts proxies with limits, without TLS; they end with the test."""
    running: list[Proxy] = []

    def start(**top: Any) -> Proxy:
        running.append(Proxy(reverse([origin.address], **top)))
        return running[-1]

    yield start
    for proxy in running:
        with proxy:
            pass


# -- streams at the same time


def test_a_limit_of_streams(limited: Limited, origin: Origin) -> None:
    """RFC 9113, section 5.1.2: more than was announced are refused, and nothing else is disturbed."""
    proxy = limited(limits={"streams": 5}, workers=1)
    with RawClient(proxy.port) as client:
        assert client.settings[SettingCodes.MAX_CONCURRENT_STREAMS] == 5
        before = len(origin.seen("/held"))
        for stream in range(1, 11, 2):
            client.ask(stream, request("/held"))
        origin.wait_for("/held", before + 5)
        client.ask(11, request("/one-more"))
        outcome = client.outcome(11)
        assert outcome.what == "reset"
        assert outcome.code in (ErrorCodes.REFUSED_STREAM, ErrorCodes.PROTOCOL_ERROR)
        assert client.alive()
        assert not origin.seen("/one-more")
        client.send(headers(13, block(request("/held")), end=True))
        assert client.outcome(13).what == "reset"
    assert proxy.wait_records(lambda record: record["reason"] == "too_many_streams")


def test_a_stream_that_ended_makes_room(limited: Limited) -> None:
    proxy = limited(limits={"streams": 2})
    with Http2Client(proxy.port, tls=False) as client:
        client.greeted()
        for turn in range(20):
            pair = [client.request("GET", f"/turn/{turn}") for _ in range(2)]
            assert [client.response(stream).status for stream in pair] == [200, 200]


def test_many_clients_share_nothing(limited: Limited) -> None:
    proxy = limited(limits={"streams": 3})
    clients = [Http2Client(proxy.port, tls=False).greeted() for _ in range(5)]
    for client in clients:
        for _ in range(2):
            client.request("GET", "/held")
    for client in clients:
        assert client.ask("GET", "/beside").status == 200
        client.close()


# -- heads


@pytest.mark.parametrize("how", ["one field", "many fields", "one cookie in crumbs"])
def test_a_head_too_large_is_431(limited: Limited, origin: Origin, how: str) -> None:
    proxy = limited(limits={"head": "8KiB", "fields": 256})
    with Http2Client(proxy.port, tls=False) as client:
        fields = {
            "one field": [("x-large", "a" * 10_000)],
            "many fields": [(f"x-{i}", "a" * 100) for i in range(100)],
            "one cookie in crumbs": [("cookie", "a=" + "b" * 100)] * 100,
        }[how]
        assert client.verdict(client.request("GET", "/large-head", fields)) == 431
        assert client.ask("GET", "/after", [("x-small", "a" * 5_000)]).status == 200
        assert proxy.wait_records(lambda record: record.get("status") == 431)[0]["reason"] == "head_too_large"
    assert not origin.seen("/large-head")


def test_number_of_fields(limited: Limited) -> None:
    proxy = limited(limits={"fields": 20})
    with Http2Client(proxy.port, tls=False) as client:
        assert client.ask("GET", "/few", [(f"x-{i}", "a") for i in range(15)]).status == 200
        assert client.verdict(client.request("GET", "/many", [(f"x-{i}", "a") for i in range(40)])) == 431
        assert client.ask("GET", "/after").status == 200


def test_target_size(limited: Limited) -> None:
    proxy = limited(limits={"target": "1KiB"})
    with Http2Client(proxy.port, tls=False) as client:
        assert client.ask("GET", "/" + "a" * 1000).status == 200
        assert client.ask("GET", "/" + "a" * 1100).status == 414
        assert client.ask("GET", "/after").status == 200


def test_trailers_too_large(limited: Limited, origin: Origin) -> None:
    proxy = limited(limits={"fields": 20, "head": "8KiB"})
    with Http2Client(proxy.port, tls=False) as client:
        stream = client.request("POST", "/trailers", end=False)
        client.send(stream, b"abc")
        client.trailers(stream, [(f"x-{i}", "a") for i in range(60)])
        assert client.verdict(stream) in (400, 431, "PROTOCOL_ERROR", "ENHANCE_YOUR_CALM")
        assert client.ask("GET", "/after").status == 200
    assert not any(one.complete for one in origin.seen("/trailers"))


def test_a_response_head_too_large(limited: Limited, origin: Origin) -> None:
    """A server's head that is too large for this client is no reason to end the connection."""
    origin.on("/fat", lambda exchange: exchange.respond(200, b"", ("X-Fat", "a" * 9_000)))
    proxy = limited()
    with Http2Client(proxy.port, tls=False, settings={SettingCodes.MAX_HEADER_LIST_SIZE: 4_096}) as client:
        client.verdict(client.request("GET", "/fat"))
        assert client.ask("GET", "/after").status == 200


# -- requests and time


def test_requests_on_one_connection(limited: Limited) -> None:
    """The last ones are answered, and GOAWAY tells which they were."""
    proxy = limited(limits={"requests_per_connection": 5})
    with Http2Client(proxy.port, tls=False) as client:
        for number in range(5):
            assert client.ask("GET", f"/{number}").status == 200
        client.expect_closed()
        assert client.goaway == (0, 9)


def test_an_idle_connection_is_closed_in_order(limited: Limited) -> None:
    proxy = limited(timeout={"keep_alive": "300ms"})
    with Http2Client(proxy.port, tls=False) as client:
        assert client.ask("GET", "/idle").status == 200
        assert client.wait_goaway()[0] == 0
        client.expect_closed()
    assert len(proxy.wait_records(lambda record: True)) == 1, "an idle close is no request"


def test_a_connection_with_a_stream_is_not_idle(limited: Limited, origin: Origin) -> None:
    def slow(exchange: Exchange) -> None:
        assert exchange.is_quiet(0.8)
        exchange.respond(200, b"late")

    origin.on("/slow-but-there", slow)
    proxy = limited(timeout={"keep_alive": "200ms"})
    with Http2Client(proxy.port, tls=False) as client:
        assert client.ask("GET", "/slow-but-there").text == "late"


def test_a_preface_that_does_not_go_on(limited: Limited) -> None:
    """Also a client that answers no PING is let go."""
    proxy = limited(timeout={"head": "300ms", "keep_alive": "300ms", "handshake": "300ms"})
    starts = (PREFACE[:10], PREFACE, PREFACE + settings()[:4], PREFACE + settings())
    clients = [Client(proxy.port) for _ in starts]
    for client, start in zip(clients, starts, strict=True):
        client.send(start)
    for client in clients:
        client.read_rest()
        client.close()
    assert fetch(proxy.port, "/served").status == 200


def test_a_head_that_does_not_end(limited: Limited) -> None:
    """Half a field block holds up the whole connection: it has the time of a head."""
    proxy = limited(timeout={"head": "300ms"})
    with RawClient(proxy.port) as client:
        client.send(headers(1, block(request("/"))[:10], whole=False))
        assert client.connection_error().what in ("goaway", "closed")
    assert len(proxy.wait_records(lambda record: record["reason"] == "head_timeout")) == 1


def test_the_first_byte_of_a_response(limited: Limited) -> None:
    routes = [{"name": "all", "pool": "all", "timeout": {"first_byte": "300ms"}}]
    proxy = limited(routes=routes)
    with Http2Client(proxy.port, tls=False) as client:
        stream = client.request("GET", "/held")
        response = client.response(stream)
        assert response.status == 504
        assert "response_timeout" in (response.fields.get("proxy-status") or "")
        assert client.ask("GET", "/after").status == 200


def test_a_response_that_stalls(limited: Limited, origin: Origin) -> None:
    def begins(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
        Waits()(exchange)

    origin.on("/stalls", begins)
    routes = [{"name": "all", "pool": "all", "timeout": {"idle": "300ms"}}]
    proxy = limited(routes=routes)
    with Http2Client(proxy.port, tls=False) as client:
        stream = client.request("GET", "/stalls")
        assert client.wait_reset(stream) in (ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL)
        assert client.ask("GET", "/after").status == 200
    assert proxy.record("/stalls")["reason"] == "read_timeout"


def test_tls_and_limits_of_a_listener(origin: Origin) -> None:
    listener = tls_listener(limits={"streams": 7, "stream_window": "64KiB"})
    config = reverse([origin.address], listener=listener, limits={"streams": 50})
    with Proxy(config) as proxy, Http2Client(proxy.port) as client:
        assert client.setting(SettingCodes.MAX_CONCURRENT_STREAMS) == 7
        assert client.setting(SettingCodes.INITIAL_WINDOW_SIZE) == 65_536


def test_many_connections_at_the_same_time(limited: Limited) -> None:
    proxy = limited(limits={"connections": 4})
    clients = [Http2Client(proxy.port, tls=False) for _ in range(4)]
    for client in clients:
        assert client.ask("GET", "/in").status == 200
    extra = Http2Client(proxy.port, tls=False)
    stream = extra.request("GET", "/waits")
    extra.settimeout(0.3)
    with pytest.raises((TimeoutError, Closed)):
        extra.response(stream)
    clients[0].close()
    if not extra.closed:
        extra.settimeout()
        assert extra.response(stream).status == 200
    for client in (*clients, extra):
        client.close()
    assert until(lambda: fetch2(proxy.port, "/free", tls=False).status == 200, "a place")


def test_no_answer_is_torn_by_the_limit_of_frames(limited: Limited) -> None:
    """A field block of the proxy's own that needs CONTINUATION is in order."""
    proxy = limited(limits={"head": "64KiB"})
    with RawClient(proxy.port) as client:
        long = [(f"x-{i}", "a" * 4_000) for i in range(8)]
        whole = block([*request("/"), *long])
        client.send(headers(1, whole[:16_000], whole=False))
        client.send(continuation(1, whole[16_000:32_000]), continuation(1, whole[32_000:], whole=True))
        assert client.response(1).status == 200
        assert not [one for one in client.seen if isinstance(one, RstStreamFrame)]
        assert any(isinstance(one, HeadersFrame) for one in client.seen)
        client.send(headers(3, block(request("/", method="POST")), end=False), data(3, b"x", end=True))
        assert client.response(3).status == 200
