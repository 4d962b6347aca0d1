"""Spellings of private addresses, and names that lead to them, through a forward proxy that denies them."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.client import Client, absolute, connect
from tests.support.names import NameServer
from tests.support.origin import Origin
from tests.support.proxy import Proxy, forward
from tests.support.socks import SUCCEEDED, greet, request


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with NameServer() as server:
        server.set("private.test", "127.0.0.1")
        server.set("mapped.test", "::ffff:7f00:1")
        server.set("nat64.test", "64:ff9b::7f00:1")
        server.set("zero.test", "0.0.0.0")
        server.set("six.test", "::1")
        server.set("127.1", "127.0.0.1")
        server.set("2130706433", "127.0.0.1")
        yield server


@pytest.fixture(scope="module")
def proxy(names: NameServer) -> Iterator[Proxy]:
    with Proxy(forward(private_destinations="deny", top={"resolver": names.config})) as proxy:
        yield proxy


HOSTS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "169.254.169.254",
    "localhost",
    "LOCALHOST.",
    "private.test",
    "PRIVATE.TEST.",
    "mapped.test",
    "nat64.test",
    "zero.test",
    "six.test",
    "user@private.test",
    "private.test@1.1.1.1",
    "private.test%00.example",
    "private.test#.example",
    "private.test\\.example",
]


@pytest.mark.parametrize("host", HOSTS)
def test_absolute_form(proxy: Proxy, origin: Origin, host: str) -> None:
    before = origin.connections
    with Client(proxy.port) as client:
        client.send(f"GET http://{host}:{origin.port}/ HTTP/1.1\r\nHost: 1.1.1.1\r\n\r\n".encode())
        assert client.response().status in (400, 403, 502)
    assert origin.connections == before


@pytest.mark.parametrize("host", HOSTS)
def test_connect(proxy: Proxy, origin: Origin, host: str) -> None:
    before = origin.connections
    client, response = connect(proxy.port, f"{host}:{origin.port}")
    client.close()
    assert response.status in (400, 403, 502)
    assert origin.connections == before


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "private.test", "PRIVATE.TEST", "localhost"])
def test_socks(proxy: Proxy, origin: Origin, host: str) -> None:
    before = origin.connections
    with Client(proxy.port) as client:
        greet(client, 0)
        assert request(client, host, origin.port).code != SUCCEEDED
    assert origin.connections == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "127.0.0.2", "[::ffff:127.0.0.1]"])
def test_the_proxy_does_not_connect_to_itself(host: str) -> None:
    """Also where private destinations are allowed: a loop would end only with the last descriptor."""
    config = forward()
    with Proxy(config) as proxy:
        if host == "localhost":
            assert socket.gethostbyname(host) == "127.0.0.1"
        response = absolute(proxy.port, f"http://{host}:{proxy.port}/")
        assert response.status in (502, 508)
        client, response = connect(proxy.port, f"{host}:{proxy.port}")
        client.close()
        assert response.status in (502, 508)
