"""SOCKS5 on the forward port (RFC 1928), with and without a password (RFC 1929)."""

import contextlib
from collections.abc import Iterator

import pytest
import socks as pysocks

from tests.support import socks
from tests.support.client import Client
from tests.support.echo import Server
from tests.support.names import NameServer
from tests.support.origin import Origin, Refusing
from tests.support.proxy import Proxy, forward, reverse
from tests.support.stream import Closed

USERS = "ann:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n"


@pytest.fixture(scope="module")
def echo() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with NameServer() as names:
        names.set("echo.test", "127.0.0.1")
        yield names


@pytest.fixture(scope="module")
def proxy(names: NameServer) -> Iterator[Proxy]:
    with Proxy(forward(connect_ports=["1024-65535"], top={"resolver": names.config})) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def locked() -> Iterator[Proxy]:
    with Proxy(forward(auth={"basic": "users"}), files={"users": USERS}) as proxy:
        yield proxy


@pytest.mark.parametrize("host", ["127.0.0.1", "echo.test", "ECHO.test"])
def test_connect(proxy: Proxy, echo: Server, host: str) -> None:
    client, reply = socks.open_tunnel(proxy.port, host, echo.port)
    with client:
        assert reply.code == socks.SUCCEEDED
        client.send(b"hello")
        assert client.read_exactly(5) == b"hello"


def test_connect_ipv6(proxy: Proxy, ipv6: None) -> None:
    with Server(host="::1") as six:
        client, reply = socks.open_tunnel(proxy.port, "::1", six.port)
        with client:
            assert reply.code == socks.SUCCEEDED
            client.send(b"six")
            assert client.read_exactly(3) == b"six"


def test_names_are_resolved_by_the_proxy(proxy: Proxy, echo: Server, names: NameServer) -> None:
    names.set("only-there.test", "127.0.0.1")
    client, reply = socks.open_tunnel(proxy.port, "only-there.test", echo.port)
    client.close()
    assert reply.code == socks.SUCCEEDED
    assert names.asked("only-there.test") >= 1


def test_bytes_one_by_one(proxy: Proxy, echo: Server) -> None:
    with Client(proxy.port) as client:
        for byte in b"\x05\x02\x00\x02":
            client.send(bytes([byte]))
        assert client.read_exactly(2) == b"\x05\x00"
        for byte in b"\x05\x01\x00" + socks.encode_address("echo.test") + echo.port.to_bytes(2, "big"):
            client.send(bytes([byte]))
        assert socks.read_reply(client).code == socks.SUCCEEDED


def test_everything_in_one_packet(proxy: Proxy, echo: Server) -> None:
    """A client that does not wait for answers: what follows the request is already for the tunnel."""
    address = socks.encode_address("127.0.0.1") + echo.port.to_bytes(2, "big")
    with Client(proxy.port) as client:
        client.send(b"\x05\x01\x00" + b"\x05\x01\x00" + address + b"early")
        assert client.read_exactly(2) == b"\x05\x00"
        assert socks.read_reply(client).code == socks.SUCCEEDED
        assert client.read_exactly(5) == b"early"


@pytest.mark.parametrize("command", [socks.BIND, socks.UDP_ASSOCIATE, 9])
def test_other_commands_are_not_supported(proxy: Proxy, echo: Server, command: int) -> None:
    accepted = echo.accepted
    client, reply = socks.open_tunnel(proxy.port, "127.0.0.1", echo.port, command)
    with client:
        assert reply.code == socks.COMMAND_NOT_SUPPORTED
        client.expect_closed()
    assert echo.accepted == accepted


def test_a_refused_connection(proxy: Proxy) -> None:
    with Refusing() as dead:
        client, reply = socks.open_tunnel(proxy.port, "127.0.0.1", dead.port)
    with client:
        assert reply.code == socks.REFUSED
        client.expect_closed()


def test_a_name_that_does_not_exist(proxy: Proxy) -> None:
    client, reply = socks.open_tunnel(proxy.port, "nowhere.test", 8080)
    with client:
        assert reply.code == socks.HOST_UNREACHABLE


def test_a_port_that_is_not_allowed(proxy: Proxy) -> None:
    client, reply = socks.open_tunnel(proxy.port, "127.0.0.1", 25)
    with client:
        assert reply.code == socks.NOT_ALLOWED
    assert proxy.wait_records(lambda record: record["reason"] == "connect_port_denied")


def test_a_private_destination(echo: Server) -> None:
    accepted = echo.accepted
    with Proxy(forward(private_destinations="deny")) as proxy:
        client, reply = socks.open_tunnel(proxy.port, "127.0.0.1", echo.port)
        client.close()
        assert reply.code == socks.NOT_ALLOWED
    assert echo.accepted == accepted


def test_no_acceptable_method(proxy: Proxy, locked: Proxy) -> None:
    with Client(proxy.port) as client:
        assert socks.greet(client, 0x01, 0x80) == socks.NONE_ACCEPTABLE
        client.expect_closed()
    with Client(locked.port) as client:
        assert socks.greet(client, socks.NO_AUTH) == socks.NONE_ACCEPTABLE
        client.expect_closed()


def test_with_a_password(locked: Proxy, echo: Server) -> None:
    with Client(locked.port) as client:
        assert socks.greet(client, socks.NO_AUTH, socks.USERNAME) == socks.USERNAME
        assert socks.login(client, "ann", "open sesame")
        assert socks.request(client, "127.0.0.1", echo.port).code == socks.SUCCEEDED
        client.send(b"in")
        assert client.read_exactly(2) == b"in"
    records = locked.wait_records(lambda record: record.get("user") == "ann")
    assert records[0]["tunnel"] is True
    assert "sesame" not in "".join(locked.lines())


@pytest.mark.parametrize(
    ("user", "password"), [("ann", "wrong"), ("eve", "open sesame"), ("ann", "x" * 255), ("u" * 255, "x")]
)
def test_with_a_wrong_password(locked: Proxy, echo: Server, user: str, password: str) -> None:
    accepted = echo.accepted
    with Client(locked.port) as client:
        assert socks.greet(client, socks.USERNAME) == socks.USERNAME
        assert not socks.login(client, user, password)
        with contextlib.suppress(OSError):
            client.send(b"\x05\x01\x00" + socks.encode_address("127.0.0.1") + echo.port.to_bytes(2, "big"))
        assert client.read_rest() == b""
    assert echo.accepted == accepted
    assert locked.wait_records(lambda record: record["reason"] == "auth_failed")


@pytest.mark.parametrize(
    "data",
    [
        b"\x05\x00",
        b"\x05\x01\x00\x04\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
        b"\x05\x01\x00\x05\x01\x00\x02\x7f\x00\x00\x01\x00\x50",
        b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50",
        b"\x05\x01\x00\x05\x01\x07\x01\x7f\x00\x00\x01\x00\x50",
        b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
    ],
    ids=["no methods", "version 4 request", "address type 2", "empty name", "reserved byte", "SOCKS4"],
)
def test_what_is_no_socks5_is_not_served(proxy: Proxy, data: bytes) -> None:
    with Client(proxy.port) as client:
        client.send(data)
        client.half_close()
        answer = client.read_rest()
    if answer[:2] == b"\x05\x00":
        answer = answer[2:]
    assert b"\x05\x00\x00" not in answer, "no tunnel was opened"


@pytest.mark.parametrize("name", ["a b.test", "x\r\ny.test", "a/b", "user@echo.test", "echo.test:80", "\x00"])
def test_names_that_are_no_names(proxy: Proxy, name: str) -> None:
    try:
        client, reply = socks.open_tunnel(proxy.port, name, 8080)
    except Closed:
        return
    client.close()
    assert reply.code not in (socks.SUCCEEDED, socks.REFUSED)


def test_socks_is_not_spoken_on_a_reverse_listener() -> None:
    with Origin() as origin, Proxy(reverse([origin.address])) as proxy, Client(proxy.port) as client:
        client.send(b"\x05\x01\x00")
        assert client.read_rest()[:12] in (b"", b"HTTP/1.1 400")
        assert not origin.requests


def test_another_implementation(locked: Proxy, echo: Server) -> None:
    sock = pysocks.socksocket()
    sock.settimeout(15)
    sock.set_proxy(pysocks.SOCKS5, "127.0.0.1", locked.port, True, "ann", "open sesame")
    with contextlib.closing(sock):
        sock.connect(("127.0.0.1", echo.port))
        sock.sendall(b"hello")
        assert sock.recv(5) == b"hello"


def test_the_record(proxy: Proxy, echo: Server) -> None:
    client, _ = socks.open_tunnel(proxy.port, "echo.test", echo.port)
    with client:
        client.send(b"y" * 4321)
        client.read_exactly(4321)
    records = proxy.wait_records(lambda record: record["request_body"] == 4321)
    assert len(records) == 1
    assert (records[0]["tunnel"], records[0]["reason"]) == (True, "tunnelled")
    assert "echo.test" in records[0]["host"]
    assert records[0]["upstream"] == echo.address
