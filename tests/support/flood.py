"""Many small requests fast: an origin and a client that speak just enough HTTP/1.1 to be quick."""

import asyncio
import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Self


def body_of(path: str) -> bytes:
    """What the origin answers for a path: nothing else has this body."""
    return hashlib.sha256(path.encode()).hexdigest().encode()


class _Protocol(asyncio.Protocol):
    def __init__(self, owner: "QuickOrigin") -> None:
        self.owner, self.rest = owner, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *heads, self.rest = (self.rest + data).split(b"\r\n\r\n")
        for head in heads:
            path = head.split(b" ", 2)[1].decode()
            self.owner.asked += 1
            self.transport.write(self.owner.head + body_of(path))


class QuickOrigin:
    """Answers each GET by `body_of` its path, fresh for a day, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=86400\r\nContent-Length: 64\r\n\r\n"
        self.loop = asyncio.new_event_loop()
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.server = self.loop.run_until_complete(self.loop.create_server(lambda: _Protocol(self), sock=self.sock))
        self.loop.run_forever()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.sock.close()


def _batches(paths: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), size):
        yield paths[start : start + size]


class _Asker:
    """One connection that sends many requests before it reads their responses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, paths: Sequence[str]) -> Iterable[tuple[int, bytes]]:
        text = "".join(f"GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n" for path in paths)
        self.writer.write(text.encode())
        return [await self._read() for _ in paths]

    async def _read(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        low = head.lower()
        at = low.index(b"content-length:") + len(b"content-length:")
        length = int(low[at : low.index(b"\r", at)])
        return int(head[9:12]), await self.reader.readexactly(length)


def flood(port: int, paths: Sequence[str], *, connections: int = 16, at_once: int = 32) -> int:
    """Asks for every path; the number of responses that are not 200 with `body_of` the path."""

    async def run() -> int:
        wrong = 0

        async def work(number: int) -> None:
            nonlocal wrong
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            asker = _Asker(reader, writer)
            for batch in _batches(paths[number::connections], at_once):
                for path, (status, body) in zip(batch, await asker.ask(batch), strict=True):
                    wrong += status != 200 or body != body_of(path)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

        await asyncio.gather(*(work(number) for number in range(connections)))
        return wrong

    return asyncio.run(run())
