"""The PROXY protocol's headers, versions 1 and 2, byte by byte."""

import ipaddress
import socket
import struct
from dataclasses import dataclass

from tests.support.origin import Exchange, Origin
from tests.support.stream import Stream
from tests.support.tls import ServerTls

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6, UDP4, UNIX = 0x11, 0x21, 0x12, 0x31


@dataclass(frozen=True)
class Told:
    """What a header says: version, and the two ends unless it is LOCAL or UNKNOWN."""

    version: int
    source: tuple[str, int] | None
    destination: tuple[str, int] | None


def v1(source: str, source_port: int, destination: str = "127.0.0.1", destination_port: int = 80) -> bytes:
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {source_port} {destination_port}\r\n".encode()


def addresses(source: str, source_port: int, destination: str = "127.0.0.1", destination_port: int = 80) -> bytes:
    """The address block of version 2."""
    if ":" in source and ":" not in destination:
        destination = "::1"
    packed = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    return packed + struct.pack(">HH", source_port, destination_port)


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack(">BH", kind, len(value)) + value


def v2(
    source: str = "", source_port: int = 0, *, command: int = PROXY, family: int | None = None, extra: bytes = b""
) -> bytes:
    """A whole header; without a source it has no address block."""
    block = (addresses(source, source_port) if source else b"") + extra
    if family is None:
        family = (TCP6 if ":" in source else TCP4) if source else 0
    return SIGNATURE + struct.pack(">BBH", command, family, len(block)) + block


def read_header(stream: Stream) -> Told:
    """Reads a header strictly, as the specification has it."""
    start = stream.read_exactly(12)
    if start == SIGNATURE:
        command, family, length = struct.unpack(">BBH", stream.read_exactly(4))
        block = stream.read_exactly(length)
        assert command in (LOCAL, PROXY), command
        if command == LOCAL:
            return Told(2, None, None)
        size = {TCP4: 4, TCP6: 16}[family]
        version = socket.AF_INET if size == 4 else socket.AF_INET6
        ends = [socket.inet_ntop(version, block[i : i + size]) for i in (0, size)]
        ports = struct.unpack(">HH", block[2 * size : 2 * size + 4])
        return Told(2, (ends[0], ports[0]), (ends[1], ports[1]))
    line = start + stream.read_until(b"\r\n")
    assert len(line) <= 107
    word, family_name, *rest = line[:-2].decode("ascii").split(" ")
    assert word == "PROXY"
    if family_name == "UNKNOWN":
        return Told(1, None, None)
    assert family_name in ("TCP4", "TCP6")
    source, destination, source_port, destination_port = rest
    for address in (source, destination):
        assert ipaddress.ip_address(address).version == (4 if family_name == "TCP4" else 6)
    return Told(1, (source, int(source_port)), (destination, int(destination_port)))


class ToldOrigin(Origin):
    """An origin whose connections begin with a header."""

    def __init__(self, tls: ServerTls | None = None) -> None:
        #: What each connection said, by its serial.
        self.told: dict[int, Told] = {}
        super().__init__(tls=tls)

    def begin(self, exchange: Exchange) -> None:
        # byte by byte, so that nothing of a TLS hello behind it is taken
        taken = bytearray()
        while not _whole(taken):
            byte = exchange.sock.recv(1)
            assert byte, "ended within the header"
            taken += byte
        exchange.buffer += taken
        self.told[exchange.serial] = read_header(exchange)
        super().begin(exchange)


def _whole(taken: bytearray) -> bool:
    if taken[:12] == SIGNATURE:
        return len(taken) >= 16 and len(taken) == 16 + int.from_bytes(taken[14:16], "big")
    return taken.endswith(b"\r\n") and not SIGNATURE.startswith(taken)
