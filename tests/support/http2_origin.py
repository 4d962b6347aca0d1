"""An HTTP/2 origin on the library `h2`: over TLS, or with prior knowledge without; a memory of all that it saw."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.support.client import Given
from tests.support.stream import PATIENCE, Closed, Fields
from tests.support.tls import ServerTls


@dataclass
class Request:
    """A request as the origin received it."""

    method: str
    #: `:path`; empty for CONNECT.
    target: str
    scheme: str
    authority: str
    #: `:protocol` of an extended CONNECT.
    protocol: str | None
    fields: Fields
    #: Serial number of the connection that it came over, from 1, and its stream.
    connection: int
    stream: int
    body: bytearray = field(default_factory=bytearray)
    trailers: Fields = field(default_factory=Fields)
    #: Whether the client ended its side.
    complete: bool = False
    #: Error code of the client's RST_STREAM.
    reset: int | None = None
    #: Bytes whose room was not given back, as `greedy` is off.
    owed: int = 0


class Connection:
    """One connection. The lock guards the protocol's state, the socket and the requests on it."""

    def __init__(self, origin: "Http2Origin", sock: socket.socket, serial: int) -> None:
        self.origin, self.sock, self.serial = origin, sock, serial
        self.state = threading.Condition()
        self.requests: dict[int, Request] = {}
        self.over = False
        #: Error code of the client's GOAWAY.
        self.goaway: int | None = None
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.http = h2.connection.H2Connection(config)
        self.http.local_settings = h2.settings.Settings(client=False, initial_values=origin.settings)

    def run(self) -> None:
        if self.origin.tls:
            self.sock = self.origin.tls.wrap(self.sock)
        self.http.initiate_connection()
        # `h2` would end the connection over one stream too many; what is over the limit is refused instead
        self.http.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1 << 31
        self.http.local_settings.acknowledge()
        if self.origin.window > 65_535:
            self.http.increment_flow_control_window(self.origin.window - 65_535)
        self.flush()
        while data := self._receive():
            with self.state:
                try:
                    for event in self.http.receive_data(data):
                        self._note(event)
                finally:
                    self.flush()
                    self.state.notify_all()

    def _receive(self) -> bytes:
        """What comes next. The lock is not held while nothing comes; OpenSSL's objects serve one thread at a time."""
        while True:
            pending = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
            if not pending:
                select.select([self.sock], [], [])
            with self.state:
                self.sock.settimeout(0)
                try:
                    return self.sock.recv(262_144)
                except (ssl.SSLWantReadError, BlockingIOError):
                    continue
                except (ssl.SSLEOFError, ConnectionError):
                    return b""
                finally:
                    self.sock.settimeout(60)

    def flush(self) -> None:
        """Writes what is to be written. The caller holds the lock."""
        if data := self.http.data_to_send():
            self.sock.sendall(data)

    def _note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                pairs = [(str(name), str(value)) for name, value in event.headers]
                pseudo = {name: value for name, value in pairs if name.startswith(":")}
                request = Request(
                    pseudo[":method"],
                    pseudo.get(":path", ""),
                    pseudo.get(":scheme", ""),
                    pseudo.get(":authority", ""),
                    pseudo.get(":protocol"),
                    Fields(pair for pair in pairs if not pair[0].startswith(":")),
                    self.serial,
                    event.stream_id,
                )
                self.requests[event.stream_id] = request
                limit = self.origin.settings.get(SettingCodes.MAX_CONCURRENT_STREAMS, 100)
                if self.http.open_inbound_streams > limit:
                    self.origin.refused += 1
                    self.http.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
                else:
                    self.origin.arrived(Exchange(self, request))
            case h2.events.DataReceived():
                request = self.requests[event.stream_id]
                request.body += event.data
                request.owed += event.flow_controlled_length
                if self.origin.greedy:
                    self.http.acknowledge_received_data(request.owed, event.stream_id)
                    request.owed = 0
            case h2.events.TrailersReceived():
                self.requests[event.stream_id].trailers = Fields((str(n), str(v)) for n, v in event.headers)
            case h2.events.StreamEnded():
                self.requests[event.stream_id].complete = True
            case h2.events.StreamReset():
                self.requests[event.stream_id].reset = int(event.error_code or 0)
            case h2.events.ConnectionTerminated():
                self.goaway = int(event.error_code or 0)


class Exchange:
    """A stream that is being answered, in a thread of its own."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self.connection, self.request, self.stream = connection, request, request.stream
        self.state, self.http = connection.state, connection.http

    def until(self, condition: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Waits for something that frames bring. `Closed` where the stream or the connection ends before."""
        with self.state:
            arrived = self.state.wait_for(lambda: condition() or self._is_over(), seconds)
            assert arrived, f"waited in vain: {what}"
            if not condition():
                raise Closed(f"ended before: {what}")

    def _is_over(self) -> bool:
        return self.connection.over or self.request.reset is not None

    def read_body(self) -> bytes:
        """Waits for the whole request."""
        self.until(lambda: self.request.complete, "the request's end")
        return bytes(self.request.body)

    def read_some(self, size: int = 1) -> bytes:
        """Waits for at least so many bytes of the body, and takes all that is there; less at its end."""
        self.until(lambda: len(self.request.body) >= size or self.request.complete, f"{size} bytes of the body")
        with self.state:
            taken = bytes(self.request.body)
            self.request.body.clear()
        return taken

    def take(self) -> None:
        """Gives back the room of all that came, where the origin is not greedy."""
        with self.state:
            self.http.acknowledge_received_data(self.request.owed, self.stream)
            self.request.owed = 0
            self.connection.flush()

    def wait_reset(self) -> int:
        with self.state:
            done = self.state.wait_for(lambda: self.request.reset is not None or self.connection.over, PATIENCE)
        assert done, "the stream is not reset"
        assert self.request.reset is not None, "the connection ended instead"
        return self.request.reset

    def head(self, status: int = 200, *fields: tuple[str, str], end: bool = False) -> None:
        """Sends a head: an interim one below 200."""
        with self.state:
            self.http.send_headers(self.stream, [(":status", str(status)), *fields], end_stream=end)
            self.connection.flush()

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Sends body bytes as the client gives room."""
        rest = memoryview(data)
        while len(rest):
            self.until(lambda: self.http.local_flow_control_window(self.stream), "room at the client")
            with self.state:
                room = min(self.http.local_flow_control_window(self.stream), self.http.max_outbound_frame_size)
                self.http.send_data(self.stream, bytes(rest[:room]))
                rest = rest[room:]
                self.connection.flush()
        if end:
            self.end()

    def end(self) -> None:
        with self.state:
            self.http.end_stream(self.stream)
            self.connection.flush()

    def trailers(self, *fields: tuple[str, str]) -> None:
        with self.state:
            self.http.send_headers(self.stream, list(fields), end_stream=True)
            self.connection.flush()

    def respond(self, status: int = 200, body: bytes = b"", *fields: tuple[str, str], trailers: Given = ()) -> None:
        """A whole response; the request is read first."""
        self.read_body()
        trailers = list(trailers)
        self.head(status, *fields, end=not body and not trailers)
        if body:
            self.send(body, end=not trailers)
        if trailers:
            self.trailers(*trailers)

    def reset(self, code: int = ErrorCodes.INTERNAL_ERROR) -> None:
        with self.state:
            self.http.reset_stream(self.stream, code)
            self.connection.flush()

    def go_away(self, last: int | None = None, code: int = 0) -> None:
        """GOAWAY by hand: `h2` would end the connection with it."""
        last = self.stream if last is None else last
        with self.state:
            self.raw(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + last.to_bytes(4, "big") + code.to_bytes(4, "big"))

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are."""
        with self.state:
            self.connection.flush()
            self.connection.sock.sendall(data)

    def cut(self) -> None:
        """Ends the TCP connection."""
        with contextlib.suppress(OSError):
            self.connection.sock.shutdown(socket.SHUT_RDWR)


Handler = Callable[[Exchange], None]


def responds(status: int = 200, body: bytes = b"", *fields: tuple[str, str], trailers: Given = ()) -> Handler:
    return lambda exchange: exchange.respond(status, body, *fields, trailers=trailers)


def echo(exchange: Exchange) -> None:
    """Answers with the request's body and trailers as they come."""
    exchange.head(200)
    while data := exchange.read_some():
        exchange.send(data)
    if exchange.request.trailers.pairs:
        exchange.trailers(*exchange.request.trailers.pairs)
    else:
        exchange.end()


class Http2Origin:
    """Answers `200` and `NAME METHOD TARGET`, or what the handler of the target's path says."""

    def __init__(
        self,
        name: str = "origin",
        *,
        tls: ServerTls | None = None,
        settings: Mapping[SettingCodes, int] | None = None,
        greedy: bool = True,
        window: int = 65_535,
    ) -> None:
        self.name, self.tls, self.greedy, self.window = name, tls, greedy, window
        self.settings = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1, **(settings or {})}
        self.handlers: dict[str, Handler] = {}
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.failures: list[BaseException] = []
        #: Streams that were over MAX_CONCURRENT_STREAMS.
        self.refused = 0
        self._news = threading.Condition()
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self.sock.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def on(self, path: str, handler: Handler) -> None:
        """Answers requests for `path` (without the query) by `handler`."""
        self.handlers[path] = handler

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._news:
                connection = Connection(self, sock, len(self.connections) + 1)
                self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.run()
        except (OSError, ValueError):
            pass
        except BaseException as error:  # shown by `check`: what `h2` found wrong with the proxy's frames
            self.failures.append(error)
        finally:
            with connection.state:
                connection.over = True
                connection.sock.close()
                connection.state.notify_all()
            with self._news:
                self._news.notify_all()

    def arrived(self, exchange: Exchange) -> None:
        with self._news:
            self.requests.append(exchange.request)
            self._news.notify_all()
        threading.Thread(target=self._answer, args=(exchange,), daemon=True).start()

    def _answer(self, exchange: Exchange) -> None:
        try:
            self.handlers.get(exchange.request.target.partition("?")[0], self._name_yourself)(exchange)
        except (Closed, OSError, h2.exceptions.StreamClosedError):
            pass
        except BaseException as error:  # shown by `check`
            if not exchange.connection.over:
                self.failures.append(error)

    def _name_yourself(self, exchange: Exchange) -> None:
        request = exchange.request
        body = f"{self.name} {request.method} {request.target}".encode("latin-1")
        exchange.respond(200, b"" if request.method == "HEAD" else body, ("x-origin", self.name))

    def seen(self, path: str) -> list[Request]:
        """The requests for `path`, whatever their query."""
        with self._news:
            return [request for request in self.requests if request.target.partition("?")[0] == path]

    def only(self, path: str) -> Request:
        seen = self.seen(path)
        assert len(seen) == 1, f"{len(seen)} requests for {path}"
        return seen[0]

    def wait_for(self, path: str, count: int = 1, seconds: float = PATIENCE) -> Request:
        """Waits until the head of the `count`-th request for `path` is here."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.seen(path)) >= count, seconds), f"no request for {path}"
        return self.seen(path)[count - 1]

    def wait_over(self, serial: int, seconds: float = PATIENCE) -> None:
        """Waits until a connection has ended."""
        with self._news:
            assert self._news.wait_for(lambda: self.connections[serial - 1].over, seconds), "it stays open"

    def check(self) -> None:
        if self.failures:
            raise self.failures[0]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        if kind is None:
            self.check()
