"""A raw HTTP/1.1 client: sends exactly the bytes it is given and reads responses exactly."""

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.support.stream import PATIENCE, Closed, Fields, Pairs, Stream, parse_fields

Given = Iterable[tuple[str, str]]


@dataclass
class Response:
    """A response as it came over the wire."""

    version: str
    status: int
    reason: str
    fields: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=Fields)
    #: Responses of class 1xx that came before, each with its fields.
    interim: list[tuple[int, Fields]] = field(default_factory=list)
    #: How the body was framed: `none`, `length`, `chunked` or `close`.
    framing: str = "none"

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def encode_request(
    method: str, target: str, fields: Given = (), body: bytes | None = None, *, host: str | None = "test.example"
) -> bytes:
    """A request's bytes; `Host` first unless `fields` has one, `Content-Length` when there is a body."""
    pairs: Pairs = list(fields)
    names = {name.lower() for name, _ in pairs}
    if host is not None and "host" not in names:
        pairs.insert(0, ("Host", host))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        pairs.append(("Content-Length", str(len(body))))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in pairs) + "\r\n"
    return head.encode("latin-1") + (body or b"")


def chunked(*parts: bytes, trailers: Given = ()) -> bytes:
    """A chunked body, the last chunk included."""
    data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part)
    return data + b"0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in trailers).encode("latin-1") + b"\r\n"


class Client(Stream):
    """One client connection to the proxy."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", source: str | None = None, timeout: float = PATIENCE):
        address = (source, 0) if source else None
        super().__init__(socket.create_connection((host, port), timeout, source_address=address), timeout)

    @property
    def port(self) -> int:
        """The local port, by which the proxy knows this connection."""
        return int(self.sock.getsockname()[1])

    def request(
        self,
        method: str = "GET",
        target: str = "/",
        fields: Given = (),
        body: bytes | None = None,
        *,
        host: str | None = "test.example",
    ) -> None:
        """Sends a request without waiting for its response."""
        self.send(encode_request(method, target, fields, body, host=host))

    def ask(
        self,
        method: str = "GET",
        target: str = "/",
        fields: Given = (),
        body: bytes | None = None,
        *,
        host: str | None = "test.example",
    ) -> Response:
        """Sends a request and reads its response."""
        self.request(method, target, fields, body, host=host)
        return self.response(method)

    def head(self) -> Response:
        """Reads one head, interim or final, without a body."""
        start, *lines = self.read_head()[:-4].split(b"\r\n")
        version, _, rest = start.decode("latin-1").partition(" ")
        status, _, reason = rest.partition(" ")
        assert version in ("HTTP/1.1", "HTTP/1.0"), f"not a status line: {start!r}"
        assert len(status) == 3 and status.isdigit(), f"not a status line: {start!r}"
        return Response(version, int(status), reason, parse_fields(lines))

    def response(self, method: str = "GET") -> Response:
        """Reads one final response (RFC 9112, section 6.3); 101 is final, as the protocol changes."""
        interim: list[tuple[int, Fields]] = []
        while True:
            response = self.head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append((response.status, response.fields))
        response.interim = interim
        self.read_body(response, method)
        return response

    def read_body(self, response: Response, method: str = "GET") -> None:
        """Reads the body that belongs to a head that was read before."""
        coding, length = response.fields.get("Transfer-Encoding"), response.fields.get("Content-Length")
        assert coding is None or length is None, f"two framings: {response.fields}"
        tunnel = method == "CONNECT" and 200 <= response.status < 300
        if method == "HEAD" or tunnel or response.status in (101, 204, 304):
            return
        if coding is not None:
            assert coding.lower() == "chunked", coding
            response.framing = "chunked"
            response.body, response.trailers = self.read_chunked()
        elif length is not None:
            assert length.isdigit(), length
            response.framing = "length"
            response.body = self.read_exactly(int(length))
        else:
            response.framing = "close"
            response.body = self.read_rest()

    def expect_broken_off(self, response: Response) -> None:
        """Reads the body of `response` and checks that it ends before it is whole."""
        try:
            self.read_body(response)
        except Closed:
            return
        raise AssertionError(f"the response looks whole to its client: {response}")


def fetch(
    port: int,
    target: str = "/",
    fields: Given = (),
    *,
    method: str = "GET",
    body: bytes | None = None,
    host: str | None = "test.example",
    source: str | None = None,
) -> Response:
    """One request on a connection of its own."""
    with Client(port, source=source) as client:
        return client.ask(method, target, fields, body, host=host)


def fetch_raw(port: int, data: bytes) -> Response:
    """Sends bytes as they are and reads one response."""
    with Client(port) as client:
        client.send(data)
        return client.response()


def absolute(port: int, url: str, fields: Given = (), *, method: str = "GET", body: bytes | None = None) -> Response:
    """One absolute-form request through a forward proxy, on a connection of its own."""
    authority = urlsplit(url).netloc
    with Client(port) as client:
        return client.ask(method, url, fields, body, host=authority)


def connect(port: int, authority: str, fields: Given = ()) -> tuple[Client, Response]:
    """Opens a tunnel; the client is open whether the proxy agreed or not."""
    client = Client(port)
    return client, client.ask("CONNECT", authority, fields, host=authority)
