"""Interim responses to a client of HTTP/2 that reads nothing wait at the server, and not in memory."""

import socket
import threading

from tests.support.frames import RawClient, request
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, resident, reverse
from tests.support.wait import settled

PART = (b"HTTP/1.1 103 Early Hints\r\nLink: </" + b"a" * 8000 + b">\r\n\r\n") * 8
MOST = 200 << 20


def test_a_client_that_reads_nothing_is_sent_no_more() -> None:
    sent = 0
    over = threading.Event()

    def flood(exchange: Exchange) -> None:
        nonlocal sent
        while sent < MOST and not over.is_set():
            exchange.send(PART)
            sent += len(PART)

    with Origin() as origin:
        origin.on("/flood", flood)
        with Proxy(reverse([origin.address], workers=1)) as proxy, RawClient(proxy.port) as client:
            client.stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            before = resident(proxy)
            client.ask(1, request("/flood"))
            settled(lambda: sent)
            over.set()
            grown = resident(proxy) - before
            assert grown < 32 << 20, f"{grown >> 20} MiB for {sent >> 20} MiB of interim responses"
