"""HTTP/2 towards servers, over TLS and with prior knowledge, for clients of both versions."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.support.client import Client, chunked, fetch
from tests.support.http2 import Http2Client, fetch2
from tests.support.http2_origin import Exchange, Http2Origin, echo, responds
from tests.support.origin import Origin
from tests.support.proxy import Config, Proxy, reverse
from tests.support.tls import ServerTls, authority
from tests.support.wait import Together, settled, until

TLS = {"tls": {"ca": str(authority().file)}}
PRIOR = {"protocol": "h2"}
Both = tuple[Proxy, Http2Origin]
Start = Callable[..., Both]


@pytest.fixture(scope="module", params=["prior knowledge", "TLS"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Proxy, Http2Origin]]:
    """One worker, so that one connection is enough."""
    tls = ServerTls(alpn=["h2"]) if request.param == "TLS" else None
    pool: Config = {**PRIOR, **(TLS if tls else {})}
    with Http2Origin(tls=tls, window=1 << 24) as origin:
        origin.on("/echo", echo)
        origin.on("/back", lambda exchange: exchange.respond(200, exchange.read_body()))
        with Proxy(reverse([origin.address], pool=pool, workers=1)) as proxy:
            yield proxy, origin


# -- both versions of the client


def test_what_the_server_sees(both: Both) -> None:
    proxy, origin = both
    fields = [("X-A", "1"), ("X-A", "2"), ("Cookie", "a=1; b=2")]
    fields += [("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "1")]
    assert fetch(proxy.port, "/sees?q=1", fields).text == "origin GET /sees?q=1"
    request = origin.only("/sees")
    assert (request.method, request.target, request.authority) == ("GET", "/sees?q=1", "test.example")
    assert request.scheme in ("http", "https")
    assert request.fields.values("x-a") == ["1", "2"]
    assert "; ".join(request.fields.values("cookie")) == "a=1; b=2"
    assert not {"connection", "keep-alive", "x-hop", "transfer-encoding", "proxy-connection"} & request.fields.names()
    assert request.fields.get("host") in (None, "test.example")
    assert request.fields.get("x-forwarded-for") == "127.0.0.1"
    assert (request.fields.get("via") or "").startswith("1.1 ")
    record = proxy.record("/sees")
    assert (record["protocol"], record["upstream_status"], record["reason"]) == ("HTTP/1.1", 200, "forwarded")


def test_one_connection_for_many_clients(both: Both) -> None:
    proxy, origin = both
    fetch(proxy.port, "/first")
    connections = len(origin.connections)

    def some(index: int) -> None:
        with Client(proxy.port) as client:
            for i in range(20):
                assert client.ask("GET", f"/shared/{index}-{i}").text == f"origin GET /shared/{index}-{i}"

    Together(some, 8).join()
    assert len(origin.connections) == connections
    records = proxy.wait_records(lambda record: record.get("path", "?").startswith("/shared/"), 160)
    assert not [record for record in proxy.records() if "path" not in record], "nothing but requests"
    assert {record["upstream_connection"] for record in records} == {"reused"}


def test_many_flows_at_the_same_time(both: Both) -> None:
    proxy, origin = both
    barrier = threading.Barrier(20, timeout=15)

    def together(exchange: Exchange) -> None:
        barrier.wait()
        exchange.respond(200, b"together")

    origin.on("/together", together)
    with Http2Client(proxy.port, tls=False) as client:
        streams = [client.request("GET", "/together") for _ in range(20)]
        assert {client.response(stream).text for stream in streams} == {"together"}


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_bodies_both_ways(both: Both, version: str) -> None:
    proxy, origin = both
    body = bytes(range(256)) * 8_000
    if version == "2":
        assert fetch2(proxy.port, "/echo", method="POST", body=body, tls=False).body == body
        return
    assert fetch(proxy.port, "/echo", method="POST", body=body).body == body, "also while the request is still sent"
    assert origin.seen("/echo")[-1].fields.get("content-length") == str(len(body))
    with Client(proxy.port) as client:
        client.request("POST", "/back", [("Transfer-Encoding", "chunked")])
        client.send(chunked(body[:100_000], body[100_000:]))
        response = client.response()
        assert response.body == body
        assert response.framing == "chunked"
        assert client.ask("GET", "/next").status == 200
    assert "content-length" not in origin.seen("/back")[-1].fields


def test_a_client_of_http_10(both: Both) -> None:
    """It knows no chunks: the body ends with the connection."""
    proxy, origin = both
    origin.on("/ten", responds(200, b"old"))
    with Client(proxy.port) as client:
        client.send(b"GET /ten HTTP/1.0\r\nHost: test.example\r\n\r\n")
        response = client.response()
        assert (response.body, response.framing) in ((b"old", "close"), (b"old", "length"))


def test_trailers_both_ways(both: Both) -> None:
    proxy, _ = both
    with Client(proxy.port) as client:
        client.request("POST", "/echo", [("Transfer-Encoding", "chunked"), ("TE", "trailers"), ("Connection", "TE")])
        client.send(chunked(b"abc", trailers=[("X-Sum", "1"), ("X-More", "2")]))
        response = client.response()
        assert response.body == b"abc"
        assert (response.trailers.get("X-Sum"), response.trailers.get("X-More")) == ("1", "2")
    with Http2Client(proxy.port, tls=False) as two:
        stream = two.request("POST", "/echo", end=False)
        two.send(stream, b"abc")
        two.trailers(stream, [("x-sum", "1")])
        reply = two.response(stream)
        assert (reply.body, reply.trailers.get("x-sum")) == (b"abc", "1")


def test_trailers_without_a_body(both: Both) -> None:
    """What gRPC calls trailers-only, and an empty stream with a status."""
    proxy, origin = both
    origin.on("/status", responds(200, b"", ("content-type", "application/grpc"), trailers=[("grpc-status", "5")]))
    response = fetch2(proxy.port, "/status", tls=False)
    assert response.body == b""
    assert response.trailers.get("grpc-status") == "5"


def test_head_and_statuses_without_a_body(both: Both) -> None:
    proxy, origin = both

    def head(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.head(200, ("content-length", "1234"), end=True)

    origin.on("/head", head)
    origin.on("/204", responds(204))
    origin.on("/304", responds(304, b"", ("etag", '"e"')))
    with Client(proxy.port) as client:
        response = client.ask("HEAD", "/head")
        assert (response.status, response.fields.get("Content-Length")) == (200, "1234")
        assert client.ask("GET", "/204").status == 204
        assert client.ask("GET", "/304").fields.get("ETag") == '"e"'
        assert client.ask("GET", "/still-there").status == 200


def test_interim_heads(both: Both) -> None:
    proxy, origin = both

    def hints(exchange: Exchange) -> None:
        exchange.head(103, ("link", "</a.css>"))
        exchange.respond(200, b"page")

    origin.on("/hints", hints)
    response = fetch(proxy.port, "/hints")
    assert [status for status, _ in response.interim] == [103]
    assert response.text == "page"
    assert fetch2(proxy.port, "/hints", tls=False).interim[0][0] == 103


def test_expect_continue(both: Both) -> None:
    proxy, origin = both

    def wants(exchange: Exchange) -> None:
        exchange.head(100)
        exchange.respond(200, exchange.read_body())

    origin.on("/wants", wants)
    with Client(proxy.port) as client:
        client.request("POST", "/wants", [("Expect", "100-continue"), ("Content-Length", "3")])
        assert client.head().status == 100
        client.send(b"abc")
        assert client.response().body == b"abc"


def test_an_early_answer(both: Both) -> None:
    proxy, origin = both

    def early(exchange: Exchange) -> None:
        exchange.head(403)
        exchange.send(b"nope", end=True)
        exchange.reset(ErrorCodes.NO_ERROR)

    origin.on("/early", early)
    with Client(proxy.port) as client:
        client.request("POST", "/early", [("Content-Length", "1000000")])
        client.send(b"x" * 1000)
        response = client.response()
        assert (response.status, response.text) == (403, "nope")
    assert fetch(proxy.port, "/after-early").status == 200


def test_a_client_that_goes_resets_its_stream_alone(both: Both) -> None:
    proxy, origin = both
    codes: list[int] = []
    origin.on("/gone", lambda exchange: codes.append(exchange.wait_reset()))
    connections = len(origin.connections)
    with Client(proxy.port) as client:
        client.request("GET", "/gone")
        origin.wait_for("/gone")
    until(lambda: codes, "the stream's reset")
    assert codes == [ErrorCodes.CANCEL]
    assert fetch(proxy.port, "/after-gone").status == 200
    assert len(origin.connections) == max(connections, 1)
    assert proxy.record("/gone")["ending"] == "client_aborted"


# -- flow control and settings


def test_the_servers_limit_of_streams(start_http2: Start) -> None:
    """More requests than it takes wait, or go over another connection; what it refuses is asked again."""
    proxy, origin = start_http2(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    barrier = threading.Barrier(2, timeout=15)

    def in_pairs(exchange: Exchange) -> None:
        barrier.wait()
        exchange.respond(200, b"counted")

    origin.on("/counted", in_pairs)
    fetch(proxy.port, "/settle")
    with Http2Client(proxy.port, tls=False) as client:
        streams = [client.request("GET", "/counted") for _ in range(30)]
        assert {client.response(stream).text for stream in streams} == {"counted"}
    assert origin.refused <= 5 * len(origin.connections), "only before the settings of a connection are known"


def test_the_limit_that_is_known_is_kept(start_http2: Start) -> None:
    proxy, origin = start_http2(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    fetch(proxy.port, "/settle")
    with Http2Client(proxy.port, tls=False) as client:
        for _ in range(20):
            pair = [client.request("GET", "/pair") for _ in range(2)]
            assert {client.response(stream).status for stream in pair} == {200}
    assert origin.refused == 0
    assert len(origin.connections) == 1


def test_a_slow_server_holds_up_the_client(start_http2: Start) -> None:
    """A server that gives no room: the proxy takes so much and no more, and gives up in time."""
    routes = [{"name": "all", "pool": "all", "timeout": {"idle": "1s"}}]
    proxy, origin = start_http2({"routes": routes}, greedy=False)
    origin.on("/no-room", lambda exchange: exchange.respond(200, exchange.read_body()))
    with Client(proxy.port) as client:
        client.request("POST", "/no-room", [("Content-Length", "100000000")])
        client.sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100_000_000:
                sent += client.sock.send(b"x" * 100_000)
        assert sent < 20_000_000
        client.sock.settimeout(15)
        assert client.response().status == 504
    assert proxy.record("/no-room")["reason"] == "write_timeout"


def test_a_slow_client_holds_up_its_stream_alone(both: Both) -> None:
    proxy, origin = both
    poured = 0

    def pours(exchange: Exchange) -> None:
        nonlocal poured
        exchange.head(200)
        for _ in range(1000):
            exchange.send(b"x" * 100_000)
            poured += 100_000

    origin.on("/pour", pours)
    with Client(proxy.port) as client:
        client.request("GET", "/pour")
        assert client.head().status == 200
        assert settled(lambda: poured) < 50_000_000
        for i in range(3):
            assert fetch(proxy.port, f"/beside-{i}").status == 200, "the connection's own window is not used up"


def test_auto() -> None:
    """Over TLS by ALPN; without TLS it is HTTP/1.1."""
    tls = ServerTls(alpn=["h2", "http/1.1"])
    with Http2Origin(tls=tls) as origin, Proxy(reverse([origin.address], pool=TLS, workers=1)) as proxy:
        for i in range(5):
            assert fetch(proxy.port, f"/auto/{i}").text == f"origin GET /auto/{i}"
        assert tls.agreed == ["h2"]
    with Origin() as plain, Proxy(reverse([plain.address])) as proxy:
        assert fetch(proxy.port, "/auto").status == 200
        assert plain.only("/auto").version == "HTTP/1.1"
