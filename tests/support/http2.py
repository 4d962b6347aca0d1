"""An HTTP/2 client on the library `h2`, which checks all that the proxy sends."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.settings
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import Frame, GoAwayFrame

from tests.support.client import Client, Given, Response
from tests.support.stream import PATIENCE, Closed, Fields
from tests.support.tls import TlsClient, client_context


@dataclass
class Reply:
    """What has come on a stream so far."""

    status: int | None = None
    fields: Fields = field(default_factory=Fields)
    interim: list[tuple[int, Fields]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: Fields = field(default_factory=Fields)
    ended: bool = False
    #: Error code of the peer's RST_STREAM.
    reset: int | None = None
    #: Bytes that came and whose room was not given back yet.
    owed: int = 0


class Reset(Exception):
    """The peer reset the stream."""

    def __init__(self, code: int) -> None:
        super().__init__(ErrorCodes(code).name if code in set(ErrorCodes) else hex(code))
        self.code = code


class _Connection(h2.connection.H2Connection):
    """`h2` takes a GOAWAY for the end; yet streams that are open go on (RFC 9113, section 6.8)."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]


class Http2Client:
    """One connection. Nothing is read but inside of a call that waits for something.

    With `greedy=False` no room is given back to the peer: it may send what the first windows hold and no more.
    """

    def __init__(
        self,
        port: int,
        *,
        tls: bool = True,
        context: ssl.SSLContext | None = None,
        sni: str | None = "test.example",
        authority: str = "test.example",
        settings: Mapping[SettingCodes, int] | None = None,
        greedy: bool = True,
        source: str | None = None,
        before: bytes = b"",
        stream: Client | None = None,
    ) -> None:
        self.authority, self.greedy, self.scheme = authority, greedy, "https" if tls else "http"
        if stream is not None:
            self.stream = stream
        elif tls:
            context = context or client_context(alpn=["h2", "http/1.1"])
            self.stream = TlsClient(port, sni=sni, context=context, source=source, before=before)
            assert self.stream.alpn == "h2", f"ALPN agreed on {self.stream.alpn}"
        else:
            self.stream = Client(port, source=source)
            self.stream.send(before)
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.connection = _Connection(config)
        values = {SettingCodes.ENABLE_PUSH: 0, **(settings or {})}
        self.connection.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self.connection.initiate_connection()
        self.replies: dict[int, Reply] = {}
        #: Error code and last stream of the peer's GOAWAY.
        self.goaway: tuple[int, int] | None = None
        self.settled = False
        self.closed = False
        self._flush()

    # -- sending

    def request(
        self,
        method: str = "GET",
        path: str | None = "/",
        fields: Given = (),
        body: bytes | None = None,
        *,
        authority: str | None = None,
        scheme: str | None = None,
        protocol: str | None = None,
        end: bool = True,
    ) -> int:
        """Sends a request without waiting; its stream. With `end=False` more is to come."""
        stream = self.connection.get_next_available_stream_id()
        head = [(":method", method), (":scheme", scheme or self.scheme)]
        head += [(":authority", self.authority if authority is None else authority), (":path", path or "")]
        if method == "CONNECT" and protocol is None:
            head = [(":method", method), (":authority", authority or self.authority)]
        if protocol is not None:
            head.insert(1, (":protocol", protocol))
        self.replies[stream] = Reply()
        self.connection.send_headers(stream, [*head, *fields], end_stream=end and not body)
        self._flush()
        if body:
            self.send(stream, body, end=end)
        return stream

    def send(self, stream: int, data: bytes = b"", *, end: bool = False) -> None:
        """Sends body bytes, waiting for room as long as there is none."""
        rest = memoryview(data)
        while len(rest):
            if (code := self.replies[stream].reset) is not None:
                raise Reset(code)
            room = min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size)
            if room == 0:
                self._pump()
                continue
            self.connection.send_data(stream, bytes(rest[:room]))
            rest = rest[room:]
            self._flush()
        if end:
            self.connection.end_stream(stream)
            self._flush()

    def trailers(self, stream: int, fields: Given) -> None:
        self.connection.send_headers(stream, list(fields), end_stream=True)
        self._flush()

    def reset(self, stream: int, code: int = ErrorCodes.CANCEL) -> None:
        self.connection.reset_stream(stream, code)
        self._flush()

    def take(self, stream: int) -> None:
        """Gives back the room of all that came on a stream."""
        reply = self.replies[stream]
        if reply.owed and not self.closed:
            self.connection.acknowledge_received_data(reply.owed, stream)
            reply.owed = 0
            self._flush()

    def _flush(self) -> None:
        if data := self.connection.data_to_send():
            self.stream.send(data)

    # -- receiving

    def _pump(self) -> None:
        """Reads what comes next. `Closed` at the end of the connection."""
        try:
            data = self.stream.read_some()
        except Closed:
            self.closed = True
            raise
        for event in self.connection.receive_data(data):
            self._note(event)
        self._flush()

    def _note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.InformationalResponseReceived():
                status, fields = _split(event.headers)
                self.replies[event.stream_id].interim.append((status, fields))
            case h2.events.ResponseReceived():
                reply = self.replies[event.stream_id]
                reply.status, reply.fields = _split(event.headers)
            case h2.events.TrailersReceived():
                self.replies[event.stream_id].trailers = Fields(_text(event.headers))
            case h2.events.DataReceived():
                reply = self.replies[event.stream_id]
                reply.body += event.data
                reply.owed += event.flow_controlled_length
                if self.greedy:
                    self.connection.acknowledge_received_data(reply.owed, event.stream_id)
                    reply.owed = 0
            case h2.events.StreamEnded():
                self.replies[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.replies[event.stream_id].reset = int(event.error_code or 0)
            case h2.events.ConnectionTerminated():
                self.goaway = (int(event.error_code or 0), event.last_stream_id or 0)
            case h2.events.RemoteSettingsChanged():
                self.settled = True

    def until(self, condition: Callable[[], object]) -> None:
        """Reads until something is so. `Closed` where the connection ends before."""
        while not condition():
            self._pump()

    def greeted(self) -> Self:
        """Waits for the server's settings."""
        self.until(lambda: self.settled)
        return self

    def setting(self, code: SettingCodes) -> int:
        """What the server announced."""
        return int(self.greeted().connection.remote_settings[code])

    def head(self, stream: int) -> Reply:
        """Waits for the final head on a stream."""
        reply = self.replies[stream]
        self.until(lambda: reply.status is not None or reply.reset is not None)
        if reply.status is None:
            raise Reset(reply.reset or 0)
        return reply

    def body(self, stream: int, size: int) -> bytes:
        """Waits until so many bytes of the body are here, and takes exactly them."""
        reply = self.replies[stream]
        self.until(lambda: len(reply.body) >= size or reply.ended or reply.reset is not None)
        assert len(reply.body) >= size, f"only {bytes(reply.body[:200])!r}"
        taken = bytes(reply.body[:size])
        del reply.body[:size]
        return taken

    def response(self, stream: int) -> Response:
        """The whole response on a stream. `Reset` where it breaks off."""
        reply = self.replies[stream]
        self.until(lambda: reply.ended or reply.reset is not None)
        # a whole response may be followed by a reset that only stops the request (RFC 9113, section 8.1)
        if not reply.ended:
            raise Reset(reply.reset or 0)
        assert reply.status is not None
        return Response("HTTP/2", reply.status, "", reply.fields, bytes(reply.body), reply.trailers, reply.interim)

    def verdict(self, stream: int) -> int | str:
        """The status of a stream's whole response, or the name of the code that it was reset with."""
        try:
            return self.response(stream).status
        except Reset as error:
            return str(error)

    def ask(
        self,
        method: str = "GET",
        path: str = "/",
        fields: Given = (),
        body: bytes | None = None,
        *,
        authority: str | None = None,
        scheme: str | None = None,
    ) -> Response:
        return self.response(self.request(method, path, fields, body, authority=authority, scheme=scheme))

    def wait_reset(self, stream: int) -> int:
        """Waits until a stream is reset; the code."""
        reply = self.replies[stream]
        self.until(lambda: reply.reset is not None)
        assert reply.reset is not None
        return reply.reset

    def wait_goaway(self) -> tuple[int, int]:
        self.until(lambda: self.goaway is not None)
        assert self.goaway is not None
        return self.goaway

    def expect_closed(self) -> None:
        """Waits until the peer closes; frames before that are noted."""
        try:
            while True:
                self._pump()
        except Closed:
            pass

    def settimeout(self, seconds: float = PATIENCE) -> None:
        self.stream.sock.settimeout(seconds)

    def close(self) -> None:
        self.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _text(pairs: object) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in pairs]  # type: ignore[attr-defined]


def _split(pairs: object) -> tuple[int, Fields]:
    """The status and the other fields."""
    (name, status), *rest = _text(pairs)
    assert name == ":status", name
    return int(status), Fields(rest)


def fetch2(
    port: int,
    path: str = "/",
    fields: Given = (),
    *,
    method: str = "GET",
    body: bytes | None = None,
    tls: bool = True,
    source: str | None = None,
) -> Response:
    """One request over HTTP/2 on a connection of its own."""
    with Http2Client(port, tls=tls, source=source) as client:
        return client.ask(method, path, fields, body)
