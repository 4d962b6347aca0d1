"""The client side of SOCKS5 (RFC 1928, RFC 1929), byte by byte."""

import ipaddress
from dataclasses import dataclass

from tests.support.client import Client

CONNECT, BIND, UDP_ASSOCIATE = 1, 2, 3
NO_AUTH, USERNAME, NONE_ACCEPTABLE = 0x00, 0x02, 0xFF

SUCCEEDED, NOT_ALLOWED, HOST_UNREACHABLE, REFUSED = 0x00, 0x02, 0x04, 0x05
COMMAND_NOT_SUPPORTED, ADDRESS_TYPE_NOT_SUPPORTED = 0x07, 0x08


@dataclass
class Reply:
    """A reply; its bound address is checked to be well-formed and then not looked at."""

    code: int


def greet(client: Client, *methods: int) -> int:
    """Offers methods; the one that the proxy chose."""
    client.send(bytes([5, len(methods), *methods]))
    version, method = client.read_exactly(2)
    assert version == 5
    return method


def login(client: Client, user: str, password: str) -> bool:
    """The subnegotiation of RFC 1929."""
    name, word = user.encode(), password.encode()
    client.send(bytes([1, len(name)]) + name + bytes([len(word)]) + word)
    version, status = client.read_exactly(2)
    assert version == 1
    return status == 0


def encode_address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode()
        return bytes([3, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed


def request(client: Client, host: str, port: int, command: int = CONNECT) -> Reply:
    client.send(bytes([5, command, 0]) + encode_address(host) + port.to_bytes(2, "big"))
    return read_reply(client)


def read_reply(client: Client) -> Reply:
    version, code, reserved, kind = client.read_exactly(4)
    assert (version, reserved) == (5, 0)
    assert kind in (1, 3, 4), f"address type {kind}"
    length = {1: 4, 4: 16}.get(kind) or client.read_exactly(1)[0]
    client.read_exactly(length + 2)
    return Reply(code)


def open_tunnel(proxy_port: int, host: str, port: int, command: int = CONNECT) -> tuple[Client, Reply]:
    """A connection without authentication, up to the reply."""
    client = Client(proxy_port)
    assert greet(client, NO_AUTH) == NO_AUTH
    return client, request(client, host, port, command)
