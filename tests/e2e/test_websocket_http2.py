"""WebSocket over HTTP/2 (RFC 8441): extended CONNECT and the Upgrade of HTTP/1.1, each from the other."""

import struct
import threading
from collections.abc import Iterator

import pytest
from h2.settings import SettingCodes
from websockets.sync.client import connect as websocket

from tests.support.client import Client
from tests.support.http2 import Http2Client
from tests.support.http2_origin import Exchange, Http2Origin
from tests.support.origin import Origin, replies
from tests.support.proxy import Proxy, reverse
from tests.support.tls import TlsClient, client_context, tls_listener
from tests.support.wait import until
from tests.support.websocket import WebSocketServer

OPENING = [("sec-websocket-version", "13")]


def masked(payload: bytes, opcode: int = 1, *, final: bool = True) -> bytes:
    """A client's frame (RFC 6455, section 5.2)."""
    key = b"\x01\x02\x03\x04"
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size)
    body = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    return bytes([(0x80 if final else 0) | opcode]) + length + key + body


def unmasked(payload: bytes, opcode: int = 1) -> bytes:
    """A server's frame."""
    size = len(payload)
    length = bytes([size]) if size < 126 else bytes([126]) + struct.pack(">H", size)
    return bytes([0x80 | opcode]) + length + payload


@pytest.fixture(scope="module")
def peer() -> Iterator[WebSocketServer]:
    with WebSocketServer() as peer:
        yield peer


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def echoes(exchange: Exchange) -> None:
    """A server of RFC 8441 that sends back what it gets, unmasked."""
    assert exchange.request.protocol == "websocket"
    exchange.head(200, ("sec-websocket-protocol", "chat"))
    while data := exchange.read_some(6):
        size = data[1] & 0x7F
        key, payload = data[2:6], data[6 : 6 + size]
        opcode = data[0] & 0xF
        exchange.send(unmasked(bytes(byte ^ key[i % 4] for i, byte in enumerate(payload)), opcode))
        if opcode == 8:  # RFC 6455, section 7.1.1: the server closes first
            break
    exchange.end()


@pytest.fixture(scope="module")
def two() -> Iterator[Http2Origin]:
    with Http2Origin() as origin:
        origin.on("/h2/echo", echoes)
        yield origin


@pytest.fixture(scope="module")
def proxy(peer: WebSocketServer, origin: Origin, two: Http2Origin) -> Iterator[Proxy]:
    routes = [
        {"name": "ws", "match": {"path": "/ws/*"}, "pool": "ws"},
        {"name": "h2", "match": {"path": "/h2/*"}, "pool": "h2"},
        {"name": "all", "match": {"path": "/*"}, "pool": "all"},
    ]
    pools = {"ws": {"servers": [peer.address]}, "h2": {"servers": [two.address], "protocol": "h2"}}
    config = reverse([origin.address], routes=routes, pools=pools, listener=tls_listener(), workers=1)
    with Proxy(config) as proxy:
        yield proxy


def test_from_http2_to_http1(proxy: Proxy, peer: WebSocketServer) -> None:
    with Http2Client(proxy.port) as client:
        assert client.setting(SettingCodes.ENABLE_CONNECT_PROTOCOL) == 1
        stream = client.request("CONNECT", "/ws/a?b=c", OPENING, protocol="websocket", end=False)
        reply = client.head(stream)
        assert reply.status == 200
        assert not {"upgrade", "connection", "sec-websocket-accept"} & reply.fields.names()
        client.send(stream, masked(b"hello"))
        assert client.body(stream, 7) == unmasked(b"hello")
        long = b"x" * 60_000
        client.send(stream, masked(long))
        assert client.body(stream, len(long) + 4) == unmasked(long)
        assert client.ask("GET", "/beside").status == 200, "the connection serves others meanwhile"
        client.send(stream, masked(struct.pack(">H", 1000), 8))
        assert client.body(stream, 4) == unmasked(struct.pack(">H", 1000), 8)
        client.send(stream, end=True)
        assert client.response(stream).body == b""
    assert "/ws/a?b=c" in peer.paths
    record = proxy.record("/ws/a")
    assert (record["method"], record["status"], record["tunnel"], record["route"]) == ("GET", 200, True, "ws")
    assert record["protocol"] == "HTTP/2.0"
    assert record["request_body"] > 60_000
    assert record["response_body"] > 60_000


def test_many_on_one_connection(proxy: Proxy) -> None:
    with Http2Client(proxy.port) as client:
        client.greeted()
        streams = [client.request("CONNECT", f"/ws/{i}", OPENING, protocol="websocket", end=False) for i in range(20)]
        for stream in streams:
            assert client.head(stream).status == 200
        for turn in range(3):
            for stream in streams:
                client.send(stream, masked(b"%d-%d" % (turn, stream)))
            for stream in streams:
                wanted = unmasked(b"%d-%d" % (turn, stream))
                assert client.body(stream, len(wanted)) == wanted


def test_what_the_http1_server_sees(proxy: Proxy, origin: Origin) -> None:
    """RFC 8441, section 5.1, and RFC 6455: a GET with a key that the proxy makes, whose answer it checks."""
    origin.on("/seen", replies(b"HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nnot me"))
    with Http2Client(proxy.port) as client:
        fields = [*OPENING, ("sec-websocket-protocol", "chat, super"), ("origin", "https://test.example")]
        stream = client.request("CONNECT", "/seen", fields, protocol="websocket", end=False)
        response = client.response(stream)
        assert (response.status, response.text) == (403, "not me"), "a refusal passes with its page"
    request = origin.only("/seen")
    assert (request.method, request.version) == ("GET", "HTTP/1.1")
    assert (request.fields.get("Upgrade") or "").lower() == "websocket"
    assert "upgrade" in (request.fields.get("Connection") or "").lower()
    assert request.fields.get("Sec-WebSocket-Version") == "13"
    assert len(request.fields.get("Sec-WebSocket-Key") or "") == 24
    assert request.fields.get("Sec-WebSocket-Protocol") == "chat, super"
    assert request.fields.get("Origin") == "https://test.example"
    assert request.fields.get("Host") == "test.example"
    assert "Transfer-Encoding" not in request.fields


def test_a_false_accept_is_502(proxy: Proxy, origin: Origin) -> None:
    switch = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n\r\n"
    origin.on("/false-accept", replies(switch))
    with Http2Client(proxy.port) as client:
        stream = client.request("CONNECT", "/false-accept", OPENING, protocol="websocket", end=False)
        assert client.response(stream).status == 502
    assert proxy.record("/false-accept")["reason"] == "upgrade_failed"


def test_a_server_that_does_not_switch(proxy: Proxy, origin: Origin) -> None:
    """200 of HTTP/1.1 is not the 200 that opens a tunnel: it must not look like success."""
    with Http2Client(proxy.port) as client:
        stream = client.request("CONNECT", "/no-switch", OPENING, protocol="websocket", end=False)
        assert client.response(stream).status >= 400
        assert client.ask("GET", "/after").status == 200


def test_another_protocol_is_501(proxy: Proxy, origin: Origin) -> None:
    """RFC 8441, section 4, and RFC 9220: what is not known is not implemented."""
    with Http2Client(proxy.port) as client:
        stream = client.request("CONNECT", "/other", protocol="connect-udp", end=False)
        assert client.verdict(stream) in (400, 501)
    assert not origin.seen("/other")


def test_the_clients_reset_ends_the_server(proxy: Proxy, origin: Origin) -> None:
    with Http2Client(proxy.port) as client:
        stream = client.request("CONNECT", "/ws/reset", OPENING, protocol="websocket", end=False)
        assert client.head(stream).status == 200
        client.reset(stream)
        assert proxy.record("/ws/reset")["tunnel"]


# -- the other way


def test_from_http1_to_http2(proxy: Proxy, two: Http2Origin) -> None:
    context = client_context()
    url = f"wss://localhost:{proxy.port}/h2/echo?x=1"
    with websocket(url, ssl=context, proxy=None, compression=None, subprotocols=["chat"]) as ws:  # type: ignore[list-item]
        assert ws.subprotocol == "chat"
        for message in ("hello", "", "wörld"):
            ws.send(message)
            assert ws.recv(timeout=15) == message
    request = two.wait_for("/h2/echo")
    assert (request.method, request.protocol, request.target) == ("CONNECT", "websocket", "/h2/echo?x=1")
    assert not {"upgrade", "connection", "sec-websocket-key"} & request.fields.names()
    assert request.fields.get("sec-websocket-version") == "13"
    record = proxy.record("/h2/echo")
    assert (record["status"], record["tunnel"], record["protocol"]) == (101, True, "HTTP/1.1")


def test_over_tls_from_http1_to_http1(proxy: Proxy) -> None:
    with websocket(f"wss://localhost:{proxy.port}/ws/tls", ssl=client_context(), proxy=None, max_size=None) as ws:
        for message in ("hello", "x" * 500_000, b"\x00\xff" * 100_000):
            ws.send(message)
            assert ws.recv(timeout=15) == message
    record = proxy.record("/ws/tls")
    assert (record["status"], record["tunnel"], record["tls"]) == (101, True, "TLSv1.3")


def test_from_http2_to_http2(proxy: Proxy, two: Http2Origin) -> None:
    two.on("/h2/both", echoes)
    with Http2Client(proxy.port) as client:
        stream = client.request("CONNECT", "/h2/both", OPENING, protocol="websocket", end=False)
        reply = client.head(stream)
        assert reply.status == 200
        assert reply.fields.get("sec-websocket-protocol") == "chat"
        client.send(stream, masked(b"through"))
        assert client.body(stream, 9) == unmasked(b"through")


def test_the_http2_servers_refusal(proxy: Proxy, two: Http2Origin) -> None:
    def refuses(exchange: Exchange) -> None:
        exchange.head(403)
        exchange.send(b"no", end=True)

    two.on("/h2/refuses", refuses)
    with TlsClient(proxy.port) as client:
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
        response = client.ask("GET", "/h2/refuses", [*fields, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
        assert (response.status, response.text) == (403, "no")


def test_a_server_without_extended_connect() -> None:
    """One that does not announce it is never asked (RFC 8441, section 3); the client gets a clear answer."""
    with Http2Origin(settings={SettingCodes.ENABLE_CONNECT_PROTOCOL: 0}) as origin:
        with Proxy(reverse([origin.address], pool={"protocol": "h2"})) as proxy, Client(proxy.port) as client:
            fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
            response = client.ask("GET", "/plain", [*fields, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
            assert response.status != 101
        assert not any(request.protocol for request in origin.requests)


def test_the_end_of_the_http2_server(proxy: Proxy, two: Http2Origin) -> None:
    gone = threading.Event()

    def ends(exchange: Exchange) -> None:
        exchange.head(200)
        exchange.send(unmasked(struct.pack(">H", 1001), 8), end=True)
        gone.set()

    two.on("/h2/ends", ends)
    with TlsClient(proxy.port) as client:
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
        client.request("GET", "/h2/ends", [*fields, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
        response = client.head()
        assert response.status == 101
        assert response.fields.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert client.read_rest() == unmasked(struct.pack(">H", 1001), 8)
    until(gone.is_set, "the server's end")
