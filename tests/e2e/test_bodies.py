"""Bodies in every framing, in both directions, byte for byte."""

import hashlib
from collections.abc import Iterator

import pytest

from tests.support.client import Client, chunked, fetch
from tests.support.origin import Exchange, Origin, replies
from tests.support.proxy import Proxy, reverse
from tests.support.wait import settled

BLOCK = hashlib.shake_128(b"reviver").digest(1_000_003)
SIZES = [0, 1, 2, 1023, 16_384, 65_535, 65_537, 300_000]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address])) as proxy:
        yield proxy


@pytest.mark.parametrize("size", SIZES)
def test_fixed_both_ways(proxy: Proxy, origin: Origin, size: int) -> None:
    origin.on(f"/fixed{size}", lambda exchange: exchange.respond(200, exchange.read_body()[::-1]))
    response = fetch(proxy.port, f"/fixed{size}", method="POST", body=BLOCK[:size])
    assert origin.only(f"/fixed{size}").body == BLOCK[:size]
    assert (response.framing, response.body) == ("length", BLOCK[:size][::-1])


@pytest.mark.parametrize("size", SIZES)
def test_chunked_both_ways(proxy: Proxy, origin: Origin, size: int) -> None:
    def echo(exchange: Exchange) -> None:
        body = exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        exchange.send(chunked(*(body[i : i + 7001] for i in range(0, len(body), 7001))))

    origin.on(f"/chunked{size}", echo)
    parts = [BLOCK[i : min(i + 999, size)] for i in range(0, size, 999)]
    with Client(proxy.port) as client:
        client.request("POST", f"/chunked{size}", [("Transfer-Encoding", "chunked")], chunked(*parts))
        response = client.response()
        assert (response.framing, response.body) == ("chunked", BLOCK[:size])
        assert origin.only(f"/chunked{size}").body == BLOCK[:size]
        assert client.ask("GET", "/after").status == 200


def test_three_megabytes_both_ways(proxy: Proxy, origin: Origin) -> None:
    body = BLOCK * 3
    origin.on("/big", lambda exchange: exchange.respond(200, exchange.read_body()))
    response = fetch(proxy.port, "/big", method="PUT", body=body)
    assert hashlib.sha256(origin.only("/big").body).digest() == hashlib.sha256(body).digest()
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(body).digest()


def test_three_megabytes_chunked_one_byte_at_the_borders(proxy: Proxy, origin: Origin) -> None:
    body = BLOCK * 3
    origin.on("/big-chunked", lambda exchange: exchange.respond(200, b"%d" % len(exchange.read_body())))
    data = chunked(body[:1], body[1:1_500_000], body[1_500_000:1_500_001], body[1_500_001:])
    with Client(proxy.port) as client:
        client.request("POST", "/big-chunked", [("Transfer-Encoding", "chunked")])
        client.send(data[:5])
        client.send(data[5:-3])
        client.send(data[-3:])
        assert client.response().text == str(len(body))
    assert origin.only("/big-chunked").body == body


def test_bytes_one_by_one(proxy: Proxy, origin: Origin) -> None:
    data = b"POST /drip HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"defg")
    with Client(proxy.port) as client:
        for i in range(len(data)):
            client.send(data[i : i + 1])
        assert client.response().status == 200
    assert origin.only("/drip").body == b"abcdefg"


def test_chunk_extensions_end_here(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port) as client:
        client.request("POST", "/ext", [("Transfer-Encoding", "chunked")], b'3;a=b;c="d e"\r\nabc\r\n0;last\r\n\r\n')
        assert client.response().status == 200
    assert origin.only("/ext").body == b"abc"


def test_trailers_of_the_request(proxy: Proxy, origin: Origin) -> None:
    body = chunked(b"abc", trailers=[("X-Sum", "900150983cd24fb0"), ("X-More", "1")])
    with Client(proxy.port) as client:
        client.request("POST", "/req-trailers", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum, X-More")], body)
        assert client.response().status == 200
    request = origin.only("/req-trailers")
    assert request.body == b"abc"
    assert request.trailers.get("X-Sum") == "900150983cd24fb0"
    assert request.trailers.get("X-More") == "1"


def test_trailers_of_the_response(proxy: Proxy, origin: Origin) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    origin.on("/res-trailers", replies(head + chunked(b"abc", trailers=[("X-Sum", "7")])))
    with Client(proxy.port) as client:
        response = client.ask("GET", "/res-trailers", [("TE", "trailers"), ("Connection", "TE")])
        assert (response.body, response.trailers.get("X-Sum")) == (b"abc", "7")
        assert client.ask("GET", "/after").status == 200


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Host", "Authorization"])
def test_a_trailer_cannot_change_what_was_decided(proxy: Proxy, origin: Origin, name: str) -> None:
    body = chunked(b"abc", trailers=[(name, "5")])
    with Client(proxy.port) as client:
        client.request("POST", f"/bad-trailer-{name}", [("Transfer-Encoding", "chunked")], body)
        assert client.response().status in (200, 400)
    for request in origin.seen(f"/bad-trailer-{name}"):
        assert name not in request.trailers
        assert request.fields.get("Host") == "test.example"


def test_head_has_the_fields_and_no_body(proxy: Proxy, origin: Origin) -> None:
    origin.on("/head", replies(b"HTTP/1.1 200 OK\r\nContent-Length: 123456\r\nETag: x\r\n\r\n"))
    origin.on("/head-chunked", replies(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
    with Client(proxy.port) as client:
        assert client.ask("HEAD", "/head").fields.get("Content-Length") == "123456"
        assert client.ask("HEAD", "/head-chunked").status == 200
        assert client.ask("GET", "/after-head").text == "origin GET /after-head"
    assert origin.only("/head").method == "HEAD"


@pytest.mark.parametrize("status", [204, 304])
def test_no_body_by_status(proxy: Proxy, origin: Origin, status: int) -> None:
    extra = b"" if status == 204 else b"Content-Length: 99\r\n"
    origin.on(f"/empty{status}", replies(b"HTTP/1.1 %d X\r\nETag: x\r\n%b\r\n" % (status, extra)))
    with Client(proxy.port) as client:
        response = client.ask("GET", f"/empty{status}")
        assert response.status == status
        assert "Transfer-Encoding" not in response.fields
        if status == 204:
            assert "Content-Length" not in response.fields
        assert client.ask("GET", "/after-empty").status == 200


def test_a_body_until_close_is_framed_anew(proxy: Proxy, origin: Origin) -> None:
    origin.on("/until-close", replies(b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n" + BLOCK[:100_000], close=True))
    with Client(proxy.port) as client:
        response = client.ask("GET", "/until-close")
        assert response.body == BLOCK[:100_000]
        assert response.framing == "chunked", "to HTTP/1.1, so that its end can be told from a failure"
        assert client.ask("GET", "/after-until-close").status == 200


def test_get_with_a_body(proxy: Proxy, origin: Origin) -> None:
    assert fetch(proxy.port, "/get-body", body=b"hello").status == 200
    assert origin.only("/get-body").body == b"hello"


def test_a_request_without_a_body_gets_none(proxy: Proxy, origin: Origin) -> None:
    fetch(proxy.port, "/bare")
    fields = origin.only("/bare").fields
    assert "Content-Length" not in fields
    assert "Transfer-Encoding" not in fields


def test_an_empty_post_keeps_its_length(proxy: Proxy, origin: Origin) -> None:
    fetch(proxy.port, "/empty-post", method="POST", body=b"")
    assert origin.only("/empty-post").fields.get("Content-Length") == "0"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("length", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70_000),
        ("chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n" + b"x" * 70_000),
        ("last-chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        ("bad-chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n"),
    ],
    ids=["length", "chunk", "last-chunk", "bad-chunk"],
)
def test_an_answer_that_breaks_off_does_not_look_whole(proxy: Proxy, origin: Origin, name: str, data: bytes) -> None:
    origin.on(f"/broken-{name}", replies(data, close=True))
    with Client(proxy.port) as client:
        client.request("GET", f"/broken-{name}")
        head = client.head()
        if head.status == 502:
            client.read_body(head)
        else:
            client.expect_broken_off(head)
    record = proxy.record(f"/broken-{name}")
    assert record["ending"] == "upstream_aborted" or record["status"] == 502
    assert len(origin.seen(f"/broken-{name}")) == 1, "what was begun is not asked for again"


def test_back_pressure_holds_an_origin_back(proxy: Proxy, origin: Origin) -> None:
    """An origin faster than its client does not fill the proxy's memory: its own writes block."""
    total = 64 << 20
    sent = 0

    def pour(exchange: Exchange) -> None:
        nonlocal sent
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total >> 16):
            exchange.send(b"x" * 65_536)
            sent += 65_536

    origin.on("/pour", pour)
    with Client(proxy.port) as client:
        client.request("GET", "/pour")
        response = client.head()
        assert 0 < settled(lambda: sent) < total, "everything was taken although the client read nothing"
        read = len(client.read_exactly(len(client.buffer)))
        while read < total:
            read += len(client.read_some())
        assert (response.status, read) == (200, total)
