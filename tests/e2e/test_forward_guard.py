"""Who may use the forward proxy, and what it must not be used for."""

from collections.abc import Iterator

import pytest

from tests.support import socks
from tests.support.client import Client, absolute, connect, fetch
from tests.support.names import NameServer
from tests.support.origin import Origin
from tests.support.proxy import Proxy, cli, forward, free_port

#: Documentation's own public address: nothing answers there.
PUBLIC = "93.184.216.34"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with NameServer() as names:
        yield names


@pytest.fixture(scope="module")
def guarded(names: NameServer) -> Iterator[Proxy]:
    top = {"resolver": names.config, "timeout": {"connect": "500ms"}}
    with Proxy(forward(private_destinations="deny", top=top)) as proxy:
        yield proxy


PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[fe80::1]",
    "[fd00::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_by_literal(guarded: Proxy, origin: Origin, host: str) -> None:
    before = origin.connections
    response = absolute(guarded.port, f"http://{host}:{origin.port}/literal")
    assert response.status == 403
    assert "error=destination_ip_prohibited" in (response.fields.get("Proxy-Status") or "")
    client, response = connect(guarded.port, f"{host}:{origin.port}")
    client.close()
    assert response.status == 403
    client, reply = socks.open_tunnel(guarded.port, host.strip("[]"), origin.port)
    client.close()
    assert reply.code == socks.NOT_ALLOWED
    assert origin.connections == before


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1."])
def test_private_addresses_in_strange_spellings(guarded: Proxy, origin: Origin, host: str) -> None:
    before = origin.connections
    assert absolute(guarded.port, f"http://{host}:{origin.port}/strange").status in (400, 403, 502)
    assert origin.connections == before


def test_private_addresses_by_name(guarded: Proxy, origin: Origin, names: NameServer) -> None:
    names.set("inside.test", "127.0.0.1")
    names.set("inside6.test", "::1")
    before = origin.connections
    for host in ("inside.test", "inside6.test"):
        response = absolute(guarded.port, f"http://{host}:{origin.port}/named")
        assert response.status == 403
        assert "error=destination_ip_prohibited" in (response.fields.get("Proxy-Status") or "")
        client, response = connect(guarded.port, f"{host}:{origin.port}")
        client.close()
        assert response.status == 403
        client, reply = socks.open_tunnel(guarded.port, host, origin.port)
        client.close()
        assert reply.code == socks.NOT_ALLOWED
    assert origin.connections == before


def test_localhost_by_the_hosts_file(origin: Origin) -> None:
    before = origin.connections
    with Proxy(forward(private_destinations="deny")) as proxy:
        assert absolute(proxy.port, f"http://localhost:{origin.port}/localhost").status == 403
    assert origin.connections == before


def test_a_public_name_beside_a_private_one(guarded: Proxy, origin: Origin, names: NameServer) -> None:
    """Of several addresses only the allowed ones are tried."""
    names.set("both.test", PUBLIC, "127.0.0.1")
    before = origin.connections
    for _ in range(3):
        assert absolute(guarded.port, f"http://both.test:{origin.port}/both").status in (403, 502, 504)
    assert origin.connections == before


@pytest.mark.parametrize("kind", ["absolute", "connect", "socks"])
def test_a_name_that_is_rebound(guarded: Proxy, origin: Origin, names: NameServer, kind: str) -> None:
    """The address that was checked is the one that is connected to, however often the name changes."""
    name = f"rebound-{kind}.test"
    names.sequence(name, [PUBLIC], ["127.0.0.1"])
    before = origin.connections
    for _ in range(3):
        if kind == "absolute":
            assert absolute(guarded.port, f"http://{name}:{origin.port}/rebound").status in (403, 502, 504)
        elif kind == "connect":
            client, response = connect(guarded.port, f"{name}:{origin.port}")
            client.close()
            assert response.status in (403, 502, 504)
        else:
            client, reply = socks.open_tunnel(guarded.port, name, origin.port)
            client.close()
            assert reply.code != socks.SUCCEEDED
    assert names.asked(name) >= 1
    assert origin.connections == before


def test_the_record_names_the_line(guarded: Proxy) -> None:
    absolute(guarded.port, "http://10.9.9.9/recorded")
    record = guarded.record("/recorded")
    assert (record["status"], record["reason"]) == (403, "private_destination")
    assert "reviver.json:" in record["at"]


def test_clients(origin: Origin) -> None:
    with Proxy(forward(clients=["127.7.0.0/16"])) as proxy:
        url = f"http://{origin.address}/clients"
        response = absolute(proxy.port, url)
        assert response.status == 403
        assert "error=http_request_denied" in (response.fields.get("Proxy-Status") or "")
        assert not origin.seen("/clients")
        record = proxy.record("/clients")
        assert record["reason"] == "client_not_allowed"
        with Client(proxy.port) as client:
            assert client.ask("CONNECT", origin.address).status == 403
        with Client(proxy.port) as client:
            client.send(
                b"\x05\x01\x00\x05\x01\x00" + socks.encode_address("127.0.0.1") + origin.port.to_bytes(2, "big")
            )
            assert b"\x05\x00\x00\x01" not in client.read_rest()
        assert fetch(proxy.port, url, source="127.7.1.1", host=origin.address).status == 200


def test_an_untrusted_header_does_not_change_the_client(origin: Origin) -> None:
    with Proxy(forward(clients=["127.7.0.0/16"])) as proxy:
        fields = [("X-Forwarded-For", "127.7.1.1"), ("Forwarded", "for=127.7.1.1")]
        assert absolute(proxy.port, f"http://{origin.address}/pretend", fields).status == 403
    assert not origin.seen("/pretend")


@pytest.mark.parametrize(
    ("ports", "allowed", "denied"), [([443], 443, 444), (["8000-8002", 443], 8001, 8003), (["1-65535"], 1, None)]
)
def test_connect_ports(ports: list[object], allowed: int, denied: int | None) -> None:
    with Proxy(forward(connect_ports=ports)) as proxy:
        client, response = connect(proxy.port, f"127.0.0.1:{allowed}")
        client.close()
        assert response.status in (200, 502), "allowed, whether somebody listens or not"
        if denied is not None:
            client, response = connect(proxy.port, f"127.0.0.1:{denied}")
            client.close()
            assert response.status == 403


def test_connect_ports_do_not_bind_plain_requests(origin: Origin) -> None:
    with Proxy(forward(connect_ports=[443])) as proxy:
        assert absolute(proxy.port, f"http://{origin.address}/plain").status == 200


def test_tunnels_go_to_443_alone_by_default() -> None:
    with Proxy({"listeners": {"f": {"bind": f"127.0.0.1:{free_port()}", "role": "forward"}}, "forward": {}}) as proxy:
        for port, statuses in ((22, {403}), (80, {403}), (443, {200, 502})):
            client, response = connect(proxy.port, f"127.0.0.1:{port}")
            client.close()
            assert response.status in statuses, port


@pytest.mark.parametrize("bind", ["0.0.0.0:{port}", ":{port}", "[::]:{port}"])
def test_an_open_proxy_is_a_configuration_error(bind: str) -> None:
    config = forward()
    config["listeners"]["office"]["bind"] = bind.format(port=free_port())
    proxy = Proxy(config, wait=False)
    try:
        assert proxy.wait() == 2
        assert "clients" in proxy.stderr
        assert "auth" in proxy.stderr
        assert "reviver.json:" in proxy.stderr
        assert cli("check", proxy.path).returncode == 2
    finally:
        proxy.kill()
