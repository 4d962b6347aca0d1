"""A request that an HTTP/2 server has refused may go elsewhere, but only whole: a part of its body may be gone."""

import contextlib
from collections.abc import Iterator

import pytest
from h2.errors import ErrorCodes

from tests.support import origin as origin_of_http1
from tests.support.client import Client, chunked, fetch
from tests.support.http2 import Http2Client, Reset
from tests.support.http2_origin import Exchange, Http2Origin
from tests.support.proxy import Proxy, reverse
from tests.support.tls import ServerTls, authority
from tests.support.wait import until


@pytest.fixture
def both() -> Iterator[tuple[Proxy, Http2Origin]]:
    """Each path is refused once, after a part of the body has come."""
    with (
        Http2Origin() as origin,
        Proxy(
            reverse([origin.address], pool={"protocol": "h2"}, workers=1, timeout={"body": "2s", "first_byte": "2s"})
        ) as proxy,
    ):
        # a connection that has served before is given a second chance
        assert fetch(proxy.port, "/warm").status == 200
        yield proxy, origin


def refuses_late(origin: Http2Origin, path: str, how: str) -> None:
    def handler(exchange: Exchange) -> None:
        if len(origin.seen(path)) > 1:
            exchange.respond(200, bytes(exchange.read_body()))
            return
        exchange.until(lambda: len(exchange.request.body) >= 100, "a part of the body")
        if how == "reset":
            exchange.reset(ErrorCodes.REFUSED_STREAM)
        else:
            exchange.go_away(last=exchange.stream - 2)

    origin.on(path, handler)


@pytest.mark.parametrize("how", ["reset", "goaway"])
def test_a_body_is_never_repeated_from_its_middle(both: tuple[Proxy, Http2Origin], how: str) -> None:
    """Whatever is answered: no server may get a request with a part of its body."""
    proxy, origin = both
    path = f"/late-{how}"
    refuses_late(origin, path, how)
    body = b"a" * 1000 + b"b" * 1000
    with Http2Client(proxy.port, tls=False) as client:
        stream = client.request("POST", path, end=False)
        client.send(stream, body[:1000])
        first = origin.wait_for(path)
        until(lambda: len(first.body) >= 1000, "a part of the body")
        try:
            client.send(stream, body[1000:], end=True)
            response = client.response(stream)
        except Reset:
            pass
        else:
            assert response.status >= 500 or response.body == body, (response.status, len(response.body))
    for request in origin.seen(path)[1:]:
        assert bytes(request.body) == body[: len(request.body)], "the body begins in its middle"


def test_the_next_request_is_no_part_of_a_repeated_body(both: tuple[Proxy, Http2Origin]) -> None:
    """A client of HTTP/1.1 whose upload was refused: bytes that follow the body are a request of their own."""
    proxy, origin = both
    path = "/late-length"
    refuses_late(origin, path, "reset")
    with Client(proxy.port) as client:
        client.send(b"POST /late-length HTTP/1.1\r\nHost: test.example\r\nContent-Length: 2000\r\n\r\n" + b"a" * 1000)
        first = origin.wait_for(path)
        until(lambda: len(first.body) >= 1000, "a part of the body")
        client.send(b"b" * 1000 + b"GET /next HTTP/1.1\r\nHost: test.example\r\nX-Pad: " + b"p" * 1500 + b"\r\n\r\n")
        response = client.response()
        assert response.status >= 500 or response.body == b"a" * 1000 + b"b" * 1000, response.body[:3000]
    for request in origin.seen(path)[1:]:
        assert b"GET /next" not in request.body


def test_an_empty_chunked_body_is_repeated_as_one(both: tuple[Proxy, Http2Origin]) -> None:
    """What follows the body is the next request, and no chunk."""
    proxy, origin = both

    def refuses_once(exchange: Exchange) -> None:
        if len(origin.seen("/empty")) == 1:
            exchange.reset(ErrorCodes.REFUSED_STREAM)
        else:
            exchange.respond(200, b"got " + bytes(exchange.read_body()))

    origin.on("/empty", refuses_once)
    with Client(proxy.port) as client:
        head = b"POST /empty HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head + chunked() + b"3\r\nnot\r\n0\r\n\r\n")
        assert client.response().body == b"got "


def test_trailers_are_repeated_too(both: tuple[Proxy, Http2Origin]) -> None:
    proxy, origin = both

    def refuses_once(exchange: Exchange) -> None:
        if len(origin.seen("/trailers")) == 1:
            exchange.reset(ErrorCodes.REFUSED_STREAM)
        else:
            exchange.respond(200, bytes(exchange.read_body()))

    origin.on("/trailers", refuses_once)
    with Client(proxy.port) as client:
        head = b"POST /trailers HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head + chunked(b"abc", trailers=[("X-Sum", "1")]))
        assert client.response().body == b"abc"
    assert origin.seen("/trailers")[-1].trailers.pairs == [("x-sum", "1")]


def test_a_short_body_does_not_take_the_next_clients_request() -> None:
    """One server of the pool speaks HTTP/2 and refuses late, the other HTTP/1.1 and answers early."""
    pool = {"tls": {"ca": str(authority().file)}}
    body = b"a" * 1000 + b"b" * 1000

    def early(exchange: origin_of_http1.Exchange) -> None:
        begun = exchange.read_exactly(1000)
        # all that comes by itself is here
        exchange.is_quiet()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        exchange.buffer[:0] = begun
        exchange.read_body()

    with Http2Origin(tls=ServerTls(alpn=["h2"])) as first, origin_of_http1.Origin(tls=ServerTls()) as second:
        refuses_late(first, "/upload", "reset")
        second.on("/upload", early)
        with Proxy(reverse([first.address, second.address], pool=pool, workers=1)) as proxy:
            while not first.seen("/upload"):
                with Http2Client(proxy.port, tls=False) as client:
                    stream = client.request("POST", "/upload", [("content-length", "2000")], end=False)
                    client.send(stream, body[:1000])
                    until(lambda: first.seen("/upload") or second.seen("/upload"), "the upload")
                    if first.seen("/upload"):
                        until(lambda: len(first.seen("/upload")[0].body) >= 1000, "a part of the body")
                    with contextlib.suppress(Reset):
                        client.send(stream, body[1000:], end=True)
                        client.response(stream)
            for number in range(2):
                with Client(proxy.port) as victim, contextlib.suppress(TimeoutError):
                    victim.sock.settimeout(1)
                    victim.ask("GET", f"/victim-{number}", [("X-Pad", "p" * 1500)])
        for request in second.requests:
            assert b"GET /victim" not in request.body, "a request of another client was taken for a body"
