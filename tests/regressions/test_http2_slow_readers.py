"""Clients that do not take their answers hold up nobody else whose answer comes over the same upstream connection."""

import socket

from tests.support.client import Client, fetch
from tests.support.http2_origin import Exchange, Http2Origin
from tests.support.proxy import Proxy, reverse
from tests.support.wait import settled

LARGE = bytes(16 << 20)


def test_a_few_stalled_clients_do_not_stall_the_others() -> None:
    def large(exchange: Exchange) -> None:
        exchange.head(200)
        exchange.send(LARGE, end=True)

    with Http2Origin() as origin, Proxy(reverse([origin.address], pool={"protocol": "h2"}, workers=1)) as proxy:
        origin.on("/large", large)
        assert fetch(proxy.port, "/warm").status == 200
        stalled = []
        for _ in range(6):
            client = Client(proxy.port)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.request("GET", "/large")
            assert client.head().status == 200
            stalled.append(client)
        # they have got the last byte that they will get
        connection = origin.connections[0]
        settled(lambda: (1 << 31) - connection.http.outbound_flow_control_window)
        for number in range(3):
            with Client(proxy.port, timeout=5) as client:
                assert client.ask("GET", f"/small-{number}").text == f"origin GET /small-{number}"
        for client in stalled:
            client.close()
