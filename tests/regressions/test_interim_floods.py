"""A server that sends nothing but interim responses."""

import threading

import pytest

from tests.support.client import Client
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Closed
from tests.support.wait import wait_for


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_flood_ends_with_its_client(version: str) -> None:
    """The client does not get 1xx responses as HTTP/1.0, so no write to it fails."""
    ended = threading.Event()

    def flood(exchange: Exchange) -> None:
        try:
            while True:
                exchange.send(b"HTTP/1.1 103 Early\r\nX: y\r\n\r\n" * 1000)
        except (Closed, OSError):
            ended.set()
            exchange.close()

    with Origin() as origin, Proxy(reverse([origin.address], workers=1)) as proxy:
        origin.on("/flood", flood)
        client = Client(proxy.port)
        client.send(f"GET /flood HTTP/{version}\r\nHost: t\r\n\r\n".encode())
        origin.wait_for("/flood")
        assert client.is_quiet() == (version == "1.0")
        client.reset()
        wait_for(ended, "the flood to end")
