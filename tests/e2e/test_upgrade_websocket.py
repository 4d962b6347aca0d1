"""Upgrade (RFC 9110, section 7.8) and WebSocket (RFC 6455) through both directions."""

from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as websocket

from tests.support.client import Client, connect, fetch
from tests.support.origin import Exchange, Origin, replies
from tests.support.proxy import Proxy, forward, reverse
from tests.support.websocket import WebSocketServer

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\nX-Extra: 1\r\n\r\n"
UPGRADE = [("Upgrade", "echo"), ("Connection", "Upgrade")]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def peer() -> Iterator[WebSocketServer]:
    with WebSocketServer() as peer:
        yield peer


@pytest.fixture(scope="module")
def proxy(origin: Origin, peer: WebSocketServer) -> Iterator[Proxy]:
    routes = [
        {"name": "ws", "match": {"path": "/ws/*"}, "pool": "ws"},
        {"name": "all", "match": {"path": "/*"}, "pool": "all"},
    ]
    with Proxy(reverse([origin.address], routes=routes, pools={"ws": {"servers": [peer.address]}})) as proxy:
        yield proxy


def test_websocket_messages_of_all_sizes(proxy: Proxy, peer: WebSocketServer) -> None:
    with websocket(f"ws://127.0.0.1:{proxy.port}/ws/a?b=c", max_size=None, compression=None, proxy=None) as ws:
        for message in ("hello", "", "ü" * 70_000, b"\x00\xff" * 1_000_000):
            ws.send(message)
            assert ws.recv(timeout=15) == message
    assert "/ws/a?b=c" in peer.paths
    record = proxy.record("/ws/a")
    assert (record["status"], record["tunnel"], record["route"]) == (101, True, "ws")
    assert record["response_body"] > 2_000_000
    assert record["request_body"] > 2_000_000, "in both directions, as in any other tunnel"


def test_the_peers_close_code_arrives(proxy: Proxy) -> None:
    with websocket(f"ws://127.0.0.1:{proxy.port}/ws/close", proxy=None) as ws:
        ws.send("close me")
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(timeout=15)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "as you wish")


def test_websocket_through_connect(peer: WebSocketServer) -> None:
    with Proxy(forward()) as proxy:
        client, response = connect(proxy.port, peer.address)
        assert response.status == 200
        with websocket("ws://peer.example/inside", sock=client.sock, proxy=None) as ws:
            ws.send("through the tunnel")
            assert ws.recv(timeout=15) == "through the tunnel"


def test_websocket_by_an_absolute_url(peer: WebSocketServer) -> None:
    with Proxy(forward()) as proxy, Client(proxy.port) as client:
        client.request(
            "GET",
            f"http://{peer.address}/plain",
            [
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
            host=peer.address,
        )
        response = client.response()
        assert response.status == 101
        assert response.fields.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def switches(exchange: Exchange) -> None:
    """Switches, says something at once in the same packet, and echoes."""
    exchange.send(SWITCH + b"early")
    while True:
        exchange.send(exchange.read_some())


def test_another_protocol_with_early_bytes_of_the_origin(proxy: Proxy, origin: Origin) -> None:
    origin.on("/switch", switches)
    with Client(proxy.port) as client:
        client.request("GET", "/switch", UPGRADE)
        response = client.response()
        assert response.status == 101
        assert (response.fields.get("Upgrade"), response.fields.get("X-Extra")) == ("echo", "1")
        assert "upgrade" in (response.fields.get("Connection") or "").lower()
        assert client.read_exactly(5) == b"early"
        client.send(b"ping")
        assert client.read_exactly(4) == b"ping"
    seen = origin.only("/switch").fields
    assert seen.get("Upgrade") == "echo"
    assert "upgrade" in (seen.get("Connection") or "").lower()


def test_early_bytes_of_the_client(proxy: Proxy, origin: Origin) -> None:
    """Bytes right behind the request are for the new protocol, once there is one."""
    origin.on("/eager", switches)
    with Client(proxy.port) as client:
        client.send(b"GET /eager HTTP/1.1\r\nHost: t\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhello")
        assert client.response().status == 101
        assert client.read_exactly(10) == b"earlyhello"


def test_an_origin_that_does_not_switch(proxy: Proxy, origin: Origin) -> None:
    origin.on("/no-switch", replies(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nplain"[:-1]))
    with Client(proxy.port) as client:
        response = client.ask("GET", "/no-switch", UPGRADE)
        assert (response.status, response.text) == (200, "plai")
        assert client.ask("GET", "/next").text == "origin GET /next"


def test_426_passes(proxy: Proxy, origin: Origin) -> None:
    origin.on("/426", replies(b"HTTP/1.1 426 No\r\nUpgrade: h9\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"))
    assert fetch(proxy.port, "/426").status == 426


def test_a_switch_that_nobody_asked_for_is_502(proxy: Proxy, origin: Origin) -> None:
    origin.on("/unasked", replies(SWITCH))
    response = fetch(proxy.port, "/unasked")
    assert response.status == 502
    assert "error=http_upgrade_failed" in (response.fields.get("Proxy-Status") or "")
    assert proxy.record("/unasked")["reason"] == "upgrade_failed"


def test_upgrade_without_connection_is_not_passed_on(proxy: Proxy, origin: Origin) -> None:
    """Upgrade is hop-by-hop: without its Connection option it is only a stray field."""
    assert fetch(proxy.port, "/stray", [("Upgrade", "echo")]).status == 200
    assert "Upgrade" not in origin.only("/stray").fields


def test_the_origins_end_closes_the_client(proxy: Proxy, origin: Origin) -> None:
    origin.on("/ends", replies(SWITCH + b"bye", close=True))
    with Client(proxy.port) as client:
        client.request("GET", "/ends", UPGRADE)
        assert client.response().status == 101
        assert client.read_rest() == b"bye"


def test_the_clients_half_close_arrives(proxy: Proxy, origin: Origin) -> None:
    def answers_at_the_end(exchange: Exchange) -> None:
        exchange.send(SWITCH)
        exchange.send(b"got %d" % len(exchange.read_rest()))

    origin.on("/half", answers_at_the_end)
    with Client(proxy.port) as client:
        client.request("GET", "/half", UPGRADE)
        assert client.response().status == 101
        client.send(b"x" * 1000)
        client.half_close()
        assert client.read_rest() == b"got 1000"
