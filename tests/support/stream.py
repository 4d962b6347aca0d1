"""A socket read exactly: lines, heads, bodies, nothing lenient.

Both ends of the tests read through this file, so that neither a client nor an origin overlooks a message
that is framed wrongly: a missing CRLF or a stray byte is an assertion that fails.
"""

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterable, Iterator
from typing import Self

#: Long enough for a loaded machine; a test that gets here has found something that hangs.
PATIENCE = 15.0

Pairs = list[tuple[str, str]]


class Closed(Exception):
    """The peer closed (or reset) the connection where more was owed."""


class Fields:
    """The fields of a head in order, looked up without case."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs: Pairs = list(pairs)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The only value of a field, or None. Several are a failure."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    def names(self) -> set[str]:
        return {key.lower() for key, _ in self.pairs}

    def __contains__(self, name: str) -> bool:
        return bool(self.values(name))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __repr__(self) -> str:
        return f"<Fields {self.pairs}>"


def parse_fields(lines: Iterable[bytes]) -> Fields:
    pairs: Pairs = []
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon and name and name.strip() == name, f"a malformed field line: {line!r}"
        pairs.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    return Fields(pairs)


class Stream:
    """A connected socket with a buffer."""

    def __init__(self, sock: socket.socket, timeout: float = PATIENCE) -> None:
        self.sock = sock
        sock.settimeout(timeout)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        #: Whether TLS ended without a close_notify: the peer cannot know that it has everything.
        self.ragged = False

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _more(self) -> None:
        try:
            data = self.sock.recv(262_144)
        except ssl.SSLEOFError as error:
            self.ragged = True
            raise Closed(f"no close_notify, with {bytes(self.buffer[:200])!r} unread") from error
        except ConnectionError as error:
            raise Closed(f"reset, with {bytes(self.buffer)!r} unread") from error
        if not data:
            raise Closed(f"closed, with {bytes(self.buffer[:200])!r} unread")
        self.buffer += data

    def read_exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._more()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`."""
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark) + 1)
            self._more()
        return self.read_exactly(at + len(mark))

    def read_some(self) -> bytes:
        """Whatever comes next, at least one byte."""
        if not self.buffer:
            self._more()
        return self.read_exactly(len(self.buffer))

    def read_rest(self) -> bytes:
        """Everything until the peer closes; a reset counts as a close."""
        with contextlib.suppress(Closed):
            while True:
                self._more()
        return self.read_exactly(len(self.buffer))

    def read_head(self) -> bytes:
        """A message head with its final empty line."""
        return self.read_until(b"\r\n\r\n")

    def read_chunk(self) -> bytes:
        """One chunk's data; empty for the last chunk (its trailer section is not yet read)."""
        size = self.read_until(b"\r\n")[:-2].partition(b";")[0]
        assert size and all(c in b"0123456789abcdefABCDEF" for c in size), f"a malformed chunk size: {size!r}"
        data = self.read_exactly(int(size, 16))
        if data:
            assert self.read_exactly(2) == b"\r\n", "no CRLF after a chunk's data"
        return data

    def read_trailers(self) -> Fields:
        lines: list[bytes] = []
        while line := self.read_until(b"\r\n")[:-2]:
            lines.append(line)
        return parse_fields(lines)

    def read_chunked(self) -> tuple[bytes, Fields]:
        body = bytearray()
        while chunk := self.read_chunk():
            body += chunk
        return bytes(body), self.read_trailers()

    def expect_closed(self) -> None:
        """Waits until the peer closes and checks that it sent nothing more."""
        rest = self.read_rest()
        assert not rest, f"bytes after the end: {rest[:300]!r}"

    def is_quiet(self, seconds: float = 0.3) -> bool:
        """Whether neither bytes nor a close arrive for a while: for what must not come."""
        if self.buffer:
            return False
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self._more()
        except TimeoutError:
            return True
        except Closed:
            return False
        finally:
            self.sock.settimeout(before)
        return False

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Closes with a TCP reset: what a killed peer looks like."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Ends it in order; over TLS by a close_notify, whose answer is not waited for."""
        if isinstance(self.sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self.sock.settimeout(0)
                self.sock.unwrap()
        self.cut()

    def cut(self) -> None:
        """Ends the TCP connection; over TLS without a close_notify."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
