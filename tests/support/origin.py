"""A scriptable origin: real sockets, exact bytes, and a memory of all that it saw."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from tests.support.stream import PATIENCE, Closed, Fields, Stream, parse_fields
from tests.support.tls import ServerTls


@dataclass
class Request:
    """A request as the origin received it."""

    raw: bytes
    method: str
    target: str
    version: str
    fields: Fields
    #: Serial number of the connection that it came over, from 1.
    connection: int
    body: bytes = b""
    trailers: Fields = field(default_factory=Fields)
    #: Whether the body was read to its end.
    complete: bool = False


class Exchange(Stream):
    """The origin's end of one connection, with the request that is being answered."""

    def __init__(self, sock: socket.socket, serial: int) -> None:
        super().__init__(sock)
        self.serial = serial
        self.request: Request
        #: Requests so far on this connection, this one included.
        self.count = 0

    def next_request(self) -> Request:
        raw = self.read_head()
        start, *lines = raw[:-4].split(b"\r\n")
        method, target, version = start.decode("latin-1").split(" ")
        self.request = Request(raw, method, target, version, parse_fields(lines), self.serial)
        self.count += 1
        return self.request

    def read_body(self) -> bytes:
        """Reads the whole request body, once."""
        request = self.request
        if not request.complete:
            coding, length = request.fields.get("Transfer-Encoding"), request.fields.get("Content-Length")
            assert coding is None or length is None, f"two framings: {request.raw!r}"
            if coding is not None:
                assert coding.lower() == "chunked", coding
                request.body, request.trailers = self.read_chunked()
            elif length is not None:
                request.body = self.read_exactly(int(length))
            request.complete = True
        return request.body

    def respond(
        self, status: int = 200, body: bytes = b"", *fields: tuple[str, str], reason: str = "Fine", close: bool = False
    ) -> None:
        """A whole response with Content-Length; the request body is read first."""
        self.read_body()
        lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in fields] + (["Connection: close"] if close else [])
        bodiless = self.request.method == "HEAD" or status in (204, 304)
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if bodiless else body))
        if close:
            self.close()


Handler = Callable[[Exchange], None]


def replies(data: bytes, *, close: bool = False) -> Handler:
    """A handler that reads the request and answers exactly these bytes."""

    def handler(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(data)
        if close:
            exchange.close()

    return handler


def responds(status: int = 200, body: bytes = b"", *fields: tuple[str, str]) -> Handler:
    """A handler that answers a whole response with Content-Length."""
    return lambda exchange: exchange.respond(status, body, *fields)


class Waits:
    """Never answers; notes that its connection was closed by the proxy."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        try:
            while True:
                exchange.read_some()
        except Closed:
            self.closed.set()
            exchange.close()


class Origin:
    """Answers `200` and `NAME METHOD TARGET`, or what the handler of the target's path says; over TLS with `tls`.

    A handler that returns without having read the whole request body, or that closed the stream, ends the
    connection; otherwise the next request is read from it.
    """

    def __init__(
        self,
        name: str = "origin",
        handler: Handler | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ServerTls | None = None,
    ) -> None:
        self.name = name
        self.tls = tls
        self.default = handler or self.name_yourself
        self.handlers: dict[str, Handler] = {}
        self.requests: list[Request] = []
        #: Serials of connections that have ended, from this side or the other.
        self.ended: set[int] = set()
        self.failures: list[BaseException] = []
        self.connections = 0
        self._open: dict[int, Exchange] = {}
        self._news = threading.Condition()
        self.listen(host, port)
        self.port = int(self.sock.getsockname()[1])
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def listen(self, host: str, port: int) -> None:
        """Takes connections from here on."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.create_server((host, port), family=family, backlog=512)
        threading.Thread(target=self._accept, args=(self.sock,), daemon=True).start()

    def name_yourself(self, exchange: Exchange) -> None:
        body = f"{self.name} {exchange.request.method} {exchange.request.target}".encode("latin-1")
        exchange.respond(200, body, ("X-Origin", self.name))

    def on(self, path: str, handler: Handler) -> None:
        """Answers requests for `path` (without the query) by `handler`."""
        self.handlers[path] = handler

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            with self._news:
                self.connections += 1
                exchange = self._open[self.connections] = Exchange(sock, self.connections)
                self._news.notify_all()
            threading.Thread(target=self._serve, args=(exchange,), daemon=True).start()

    def begin(self, exchange: Exchange) -> None:
        """What comes before the first request."""
        if self.tls:
            exchange.sock = self.tls.wrap(exchange.sock)

    def _serve(self, exchange: Exchange) -> None:
        try:
            exchange.sock.settimeout(120)
            self.begin(exchange)
            while exchange.sock.fileno() >= 0:
                request = exchange.next_request()
                with self._news:
                    self.requests.append(request)
                    self._news.notify_all()
                path = request.target.partition("?")[0]
                self.handlers.get(path, self.default)(exchange)
                if not request.complete and {"content-length", "transfer-encoding"} & request.fields.names():
                    break
        except (Closed, OSError):
            pass
        except BaseException as error:  # shown by `check`
            self.failures.append(error)
        finally:
            exchange.close()
            with self._news:
                self._open.pop(exchange.serial, None)
                self.ended.add(exchange.serial)
                self._news.notify_all()

    def seen(self, path: str) -> list[Request]:
        """The requests for `path`, whatever their query."""
        with self._news:
            return [request for request in self.requests if request.target.partition("?")[0] == path]

    def only(self, path: str) -> Request:
        """The one request for `path`."""
        seen = self.seen(path)
        assert len(seen) == 1, f"{len(seen)} requests for {path}"
        return seen[0]

    def wait_for(self, path: str, count: int = 1, seconds: float = PATIENCE) -> Request:
        """Waits until the head of the `count`-th request for `path` is here."""
        with self._news:
            arrived = self._news.wait_for(lambda: len(self.seen(path)) >= count, seconds)
        assert arrived, f"the origin waits in vain for {path}"
        return self.seen(path)[count - 1]

    def wait_ended(self, serial: int, seconds: float = PATIENCE) -> None:
        """Waits until a connection has ended."""
        with self._news:
            assert self._news.wait_for(lambda: serial in self.ended, seconds), "the connection stays open"

    def open_connections(self) -> int:
        with self._news:
            return len(self._open)

    def check(self) -> None:
        """Raises what went wrong in a handler (a malformed message from the proxy, a failed assertion)."""
        if self.failures:
            raise self.failures[0]

    def close(self) -> None:
        """Refuses new connections from here on and ends the open ones."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept(), which would keep the port open
        self.sock.close()
        with self._news:
            for exchange in list(self._open.values()):
                exchange.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        if kind is None:
            self.check()


class Refusing:
    """A port that refuses connections and that nobody else can take meanwhile."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.sock.bind((host, 0))
        self.port = int(self.sock.getsockname()[1])
        self.address = f"{host}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()
