"""No state of a connection makes the proxy spin: with nothing to move it takes no processor time."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client, connect, encode_request
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, forward, reverse

TICK = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(scope="module")
def origin(release: threading.Event) -> Iterator[Origin]:
    def half(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        release.wait()

    def early(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        exchange.half_close()
        release.wait()

    def unread(exchange: Exchange) -> None:
        release.wait()

    with Origin() as origin:
        origin.on("/half", half)
        origin.on("/unread", unread)
        origin.on("/early", early)
        yield origin
        release.set()


def spent(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def stays_calm(proxy: Proxy) -> None:
    time.sleep(0.3)  # what is under way settles
    before = spent(proxy.pid)
    time.sleep(1.5)
    assert spent(proxy.pid) - before < 0.3


def test_reverse(origin: Origin) -> None:
    with Proxy(reverse([origin.address], workers=1)) as proxy:
        clients = [Client(proxy.port) for _ in range(8)]
        clients[0].send(b"GET /inc")
        clients[1].request("GET", "/half")
        clients[2].request("GET", "/half")
        clients[2].half_close()
        clients[3].request("POST", "/unread", [("Content-Length", "100000000")])
        clients[3].send(b"x" * 100_000)
        clients[4].send(b"\r\n")
        clients[5].request("POST", "/unread", [("Content-Length", "10")])
        clients[6].send(encode_request("GET", "/half") + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        clients[7].request("POST", "/unread", [("Transfer-Encoding", "chunked")])
        clients[7].half_close()
        stays_calm(proxy)
        for client in clients:
            client.reset()


def test_tunnels(origin: Origin) -> None:
    with Proxy(forward()) as proxy:
        ends = [connect(proxy.port, origin.address)[0] for _ in range(3)]
        ends[0].request("GET", "/early")
        ends[1].half_close()
        ends[2].request("GET", "/half")
        ends[2].half_close()
        stays_calm(proxy)
        for end in ends:
            end.reset()
