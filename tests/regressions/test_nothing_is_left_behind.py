"""Aborted, refused and broken flows give back their descriptors, and leave one record each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client, connect, encode_request
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, forward, reverse
from tests.support.wait import settled, until


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n"

    def cut(exchange: Exchange) -> None:
        exchange.send(big + b"x" * 300_000)
        exchange.reset()

    def endless(exchange: Exchange) -> None:
        exchange.send(big)
        while True:
            exchange.send(b"x" * 100_000)

    with Origin() as origin:
        origin.on("/cut", cut)
        origin.on("/endless", endless)
        yield origin


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_reverse(origin: Origin) -> None:
    rounds = 25
    with Proxy(reverse([origin.address], workers=1)) as proxy:
        before = descriptors(proxy.pid)
        for _ in range(rounds):
            with Client(proxy.port) as client:  # cut off by the origin in the middle of a splice
                client.request("GET", "/cut")
                client.read_rest()
            client = Client(proxy.port)  # cut off by the client in the middle of a splice
            client.request("GET", "/endless")
            client.read_exactly(200_000)
            client.reset()
            client = Client(proxy.port)  # an upload that breaks off
            client.request("POST", "/up", [("Content-Length", "9000000")])
            client.send(b"x" * 200_000)
            client.reset()
            client = Client(proxy.port)  # a head that breaks off
            client.send(b"GET /broken")
            client.reset()
            with Client(proxy.port) as client:  # refused
                client.send(b"GET / HTTP/9.9\r\n\r\n")
                client.read_rest()
        until(
            lambda: descriptors(proxy.pid) <= before + 70, "connections to close"
        )  # some connections and pipes are kept
        count = settled(lambda: len(proxy.records()), 1.5)
        # an upload or a head may be reset before any byte of it was read
        assert 3 * rounds <= count <= 5 * rounds, count


def test_tunnels(origin: Origin) -> None:
    rounds = 30
    with Proxy(forward()) as proxy:
        before = descriptors(proxy.pid)
        for number in range(rounds):
            client, response = connect(proxy.port, origin.address)
            assert response.status == 200
            client.send(encode_request("GET", "/endless"))
            client.read_exactly(300_000)
            if number % 2:
                client.reset()
            else:
                client.close()
        until(lambda: descriptors(proxy.pid) <= before + 20, "tunnels to close")
        assert settled(lambda: len(proxy.records()), 1.0) == rounds
