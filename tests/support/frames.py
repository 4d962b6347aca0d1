"""HTTP/2 frame by frame: any bytes may be sent, and what comes back is read as it is."""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from h2.errors import ErrorCodes
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.support.client import Client, Response
from tests.support.stream import Closed, Fields, Pairs, Stream
from tests.support.tls import TlsClient, client_context

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL = 5, 6, 8
LARGEST_WINDOW = 2**31 - 1


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """A frame; `length` says something else than the truth."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(values: Mapping[int, int] | Iterable[tuple[int, int]] = ()) -> bytes:
    pairs = values.items() if isinstance(values, Mapping) else values
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def rst_stream(stream: int, code: int = ErrorCodes.CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last: int, code: int = 0, said: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + said)


def priority(stream: int, on: int, weight: int = 15) -> bytes:
    return frame(PRIORITY, 0, stream, struct.pack(">IB", on, weight))


def data(stream: int, payload: bytes = b"", *, end: bool = False) -> bytes:
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def headers(stream: int, block: bytes, *, end: bool = True, whole: bool = True) -> bytes:
    return frame(HEADERS, (END_STREAM if end else 0) | (END_HEADERS if whole else 0), stream, block)


def continuation(stream: int, block: bytes, *, whole: bool = False) -> bytes:
    return frame(CONTINUATION, END_HEADERS if whole else 0, stream, block)


def block(pairs: Iterable[tuple[str | bytes, str | bytes]]) -> bytes:
    """A field block that leaves no trace in any table."""
    return bytes(Encoder().encode([NeverIndexedHeaderTuple(*pair) for pair in pairs], huffman=False))


#: A request's pseudo-fields as most tests want them.
GET: Pairs = [(":method", "GET"), (":scheme", "http"), (":authority", "test.example"), (":path", "/")]


def request(path: str = "/", *more: tuple[str, str], method: str = "GET", scheme: str = "http") -> Pairs:
    pseudo = [(":method", method), (":scheme", scheme), (":authority", "test.example"), (":path", path)]
    return [*pseudo, *more]


@dataclass
class Outcome:
    """What became of a stream or of the connection."""

    #: `response`, `reset` (the stream), `goaway` (the connection) or `closed` (without a word).
    what: str
    #: The status, or the error code.
    code: int = 0
    response: Response | None = None
    said: bytes = b""


@dataclass
class _Half:
    """A response that is being received."""

    response: Response | None = None
    interim: list[tuple[int, Fields]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)


class Frames:
    """One end of a connection. SETTINGS and PING are acknowledged while frames are read, as any peer does."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.decoder = Decoder()
        #: What the peer announced last.
        self.settings: dict[int, int] = {}
        #: Frames in the order in which they came.
        self.seen: list[Frame] = []
        self.acknowledge = True
        self._block: tuple[HeadersFrame, bytearray] | None = None
        self._halves: dict[int, _Half] = {}

    def send(self, *frames: bytes) -> None:
        self.stream.send(b"".join(frames))

    def ask(self, stream: int, pairs: Iterable[tuple[str | bytes, str | bytes]] = GET, *, end: bool = True) -> None:
        self.send(headers(stream, block(pairs), end=end))

    def read(self) -> Frame:
        """The next frame. `Closed` at the end of the connection."""
        head = self.stream.read_exactly(9)
        read, length = Frame.parse_frame_header(memoryview(head))
        read.parse_body(memoryview(self.stream.read_exactly(length)))
        self.seen.append(read)
        self._note(read)
        return read

    def _note(self, read: Frame) -> None:
        ack = "ACK" in read.flags
        if isinstance(read, SettingsFrame) and not ack:
            self.settings.update(read.settings)
            if self.acknowledge:
                self.send(frame(SETTINGS, ACK))
        elif isinstance(read, PingFrame) and not ack and self.acknowledge:
            self.send(frame(PING, ACK, 0, read.opaque_data))
        elif isinstance(read, HeadersFrame):
            self._block = (read, bytearray(read.data))
        elif isinstance(read, ContinuationFrame):
            assert self._block and self._block[0].stream_id == read.stream_id, "a stray CONTINUATION"
            self._block[1].extend(read.data)
        elif isinstance(read, DataFrame):
            self._halves.setdefault(read.stream_id, _Half()).body.extend(read.data)
        if self._block and "END_HEADERS" in read.flags:
            (first, block), self._block = self._block, None
            self._head(first, bytes(block))

    def _head(self, first: HeadersFrame, block: bytes) -> None:
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self.decoder.decode(block, raw=True)
        ]
        half = self._halves.setdefault(first.stream_id, _Half())
        pseudo = [name for name, _ in pairs if name.startswith(":")]
        fields = Fields(pair for pair in pairs if not pair[0].startswith(":"))
        if half.response is not None:
            assert not pseudo, f"pseudo-fields among trailers: {pairs}"
            half.response.trailers = fields
            return
        assert pseudo == [":status"] == [name for name, _ in pairs[:1]], f"not a response's head: {pairs}"
        status = int(pairs[0][1])
        if status < 200:
            half.interim.append((status, fields))
        else:
            half.response = Response("HTTP/2", status, "", fields, interim=half.interim)

    def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """Reads until a frame is wanted; frames before it are noted."""
        while True:
            if wanted(read := self.read()):
                return read

    def outcome(self, stream: int = 1) -> Outcome:
        """Reads until it is known what becomes of a stream: its response, its reset, or the connection's end.

        A GOAWAY without an error, and one that still owes this stream an answer, are not its end.
        """
        while True:
            try:
                read = self.read()
            except Closed:
                return Outcome("closed")
            if isinstance(read, GoAwayFrame) and read.error_code:
                return Outcome("goaway", read.error_code, said=read.additional_data)
            if read.stream_id != stream:
                continue
            if isinstance(read, RstStreamFrame):
                return Outcome("reset", read.error_code)
            if self._ended(read):
                half = self._halves.pop(stream)
                assert half.response is not None, "a response without a head"
                half.response.body = bytes(half.body)
                return Outcome("response", half.response.status, half.response)

    def _ended(self, read: Frame) -> bool:
        """Whether this frame ends its stream; the flag stands on HEADERS, not on its CONTINUATION."""
        if isinstance(read, ContinuationFrame):
            before = [one for one in self.seen if isinstance(one, HeadersFrame) and one.stream_id == read.stream_id]
            return "END_HEADERS" in read.flags and "END_STREAM" in before[-1].flags
        if isinstance(read, HeadersFrame):
            return {"END_STREAM", "END_HEADERS"} <= set(read.flags)
        return isinstance(read, DataFrame) and "END_STREAM" in read.flags

    def response(self, stream: int = 1) -> Response:
        """The whole response on a stream."""
        outcome = self.outcome(stream)
        assert outcome.response is not None, outcome
        return outcome.response

    def connection_error(self) -> Outcome:
        """Reads until the connection is ended by the peer: its GOAWAY with an error, and then its close."""
        while True:
            try:
                read = self.read()
            except Closed:
                return Outcome("closed")
            if isinstance(read, GoAwayFrame) and read.error_code:
                self.stream.read_rest()
                return Outcome("goaway", read.error_code, said=read.additional_data)

    def alive(self) -> bool:
        """Whether the connection still answers: a PING comes back."""
        mark = b"%08d" % len(self.seen)
        try:
            self.send(frame(PING, 0, 0, mark))
            self.until(lambda read: isinstance(read, PingFrame) and "ACK" in read.flags and read.opaque_data == mark)
        except (Closed, OSError):
            return False
        return True

    def close(self) -> None:
        self.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RawClient(Frames):
    """A client that has said its preface and has got the server's, unless `greet` is false.

    Its windows are as large as can be, so that only tests of flow control need to think of them.
    """

    def __init__(
        self,
        port: int,
        values: Mapping[int, int] | None = None,
        *,
        tls: bool = False,
        greet: bool = True,
        window: int = LARGEST_WINDOW,
        source: str | None = None,
    ) -> None:
        stream = (
            TlsClient(port, context=client_context(alpn=["h2"]), source=source) if tls else Client(port, source=source)
        )
        super().__init__(stream)
        self.tls = tls
        if greet:
            self.send(PREFACE, settings({INITIAL_WINDOW_SIZE: window, **(values or {})}))
            if window > 65_535:
                self.send(window_update(0, window - 65_535))
            self.until(lambda read: isinstance(read, SettingsFrame) and "ACK" not in read.flags)
