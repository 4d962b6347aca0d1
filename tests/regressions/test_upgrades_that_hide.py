"""Upgrades by which a client could leave the proxy's rules behind."""

from collections.abc import Iterator

import pytest

from tests.support.client import Client
from tests.support.origin import Exchange, Origin, replies
from tests.support.proxy import Proxy, reverse


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address])) as proxy:
        yield proxy


@pytest.mark.parametrize("protocol", ["h2c", "H2C", "websocket, h2c"])
def test_http_2_is_never_offered_through_upgrade(proxy: Proxy, origin: Origin, protocol: str) -> None:
    """A server that takes h2c would serve any route in a tunnel that no rule sees (h2c smuggling)."""
    path = f"/h2c-{protocol.replace(', ', '-')}"
    with Client(proxy.port) as client:
        fields = [("Upgrade", protocol), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
        assert client.ask("GET", path, [*fields, ("Connection", "Upgrade, HTTP2-Settings")]).status == 200
    offered = ",".join(origin.only(path).fields.values("Upgrade")).lower()
    assert "h2c" not in [name.strip() for name in offered.split(",")]
    assert "HTTP2-Settings" not in origin.only(path).fields


def test_a_server_must_not_switch_to_what_was_not_offered(proxy: Proxy, origin: Origin) -> None:
    """RFC 9110, section 7.8."""
    origin.on("/other", replies(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"))
    with Client(proxy.port) as client:
        response = client.ask("GET", "/other", [("Upgrade", "websocket"), ("Connection", "Upgrade")])
        assert response.status == 502


def test_a_switch_before_the_end_of_the_body_is_refused(proxy: Proxy, origin: Origin) -> None:
    """RFC 9110, section 7.8: the switch comes after the request's content, or the two could not be told apart."""
    after: list[bytes] = []

    def early(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        after.append(exchange.read_rest())

    origin.on("/early", early)
    with Client(proxy.port) as client:
        client.request("POST", "/early", [("Upgrade", "echo"), ("Connection", "Upgrade"), ("Content-Length", "100000")])
        client.send(b"x" * 10)
        assert client.response("POST").status == 502
