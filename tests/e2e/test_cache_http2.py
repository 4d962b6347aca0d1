"""The cache over HTTP/2: towards clients, and from servers."""

import threading
from collections.abc import Iterator

import pytest

from tests.support import http2_origin
from tests.support.cache import Stage, pairs, route, serves
from tests.support.cache_status import cache_status
from tests.support.client import Client, Response, fetch
from tests.support.http2 import Http2Client, fetch2
from tests.support.http2_origin import Http2Origin, responds
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Config, Proxy, reverse
from tests.support.tls import ServerTls, authority, tls_listener
from tests.support.wait import wait_for

HOUR = "Cache-Control: max-age=3600"
DATA = bytes(range(256)) * 400
STRONG = (HOUR, 'ETag: "a"')


@pytest.fixture(scope="module", params=["prior knowledge", "TLS"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Clients of HTTP/2, a server of HTTP/1.1."""
    listener = tls_listener() if request.param == "TLS" else {}
    with Origin() as origin, Proxy(reverse([origin.address], routes=[route()], listener=listener)) as proxy:
        yield Stage(proxy, origin)


def ask(on: Stage, path: str, *lines: str, method: str = "GET") -> Response:
    fields = [(name.lower(), value) for name, value in pairs(lines)]
    return fetch2(on.proxy.port, path, fields, method=method, tls="tls" in on.proxy.config["listeners"]["web"])


def test_a_hit(on: Stage) -> None:
    path = on.path("hit")
    on.on(path, *STRONG, body=DATA)
    first, second = ask(on, path), ask(on, path)
    assert first.body == second.body == DATA
    assert second.fields.get("content-length") == str(len(DATA))
    assert (second.fields.get("age") or "").isdigit()
    assert cache_status(second).hit
    assert on.asked(path) == 1
    assert not {"connection", "transfer-encoding", "keep-alive"} & second.fields.names()


def test_an_empty_hit(on: Stage) -> None:
    path = on.path("empty")
    on.on(path, HOUR, body=b"")
    assert [ask(on, path).body for _ in range(2)] == [b"", b""]
    assert on.asked(path) == 1


def test_304(on: Stage) -> None:
    path = on.path("304")
    on.on(path, *STRONG, body=DATA)
    ask(on, path)
    response = ask(on, path, 'If-None-Match: "a"')
    assert (response.status, response.body, response.fields.get("etag")) == (304, b"", '"a"')
    assert on.asked(path) == 1


def test_ranges(on: Stage) -> None:
    path = on.path("ranges")
    on.origin.on(path, serves(DATA, *STRONG))
    ask(on, path)
    response = ask(on, path, "Range: bytes=10-19")
    assert (response.status, response.body) == (206, DATA[10:20])
    assert response.fields.get("content-range") == f"bytes 10-19/{len(DATA)}"
    assert ask(on, path, "Range: bytes=999999-").status == 416
    several = ask(on, path, "Range: bytes=0-1,5000-5001")
    assert several.status == 206
    assert several.body.count(b"ontent-") >= 2 or b"content-range" in several.body.lower()
    assert on.asked(path) == 1


def test_head(on: Stage) -> None:
    path = on.path("head")
    on.on(path, *STRONG, body=DATA)
    ask(on, path)
    response = ask(on, path, method="HEAD")
    assert (response.status, response.body, response.fields.get("content-length")) == (200, b"", str(len(DATA)))
    assert on.asked(path) == 1


def test_both_versions_share_what_is_stored() -> None:
    with Origin() as origin, Proxy(reverse([origin.address], routes=[route()])) as proxy:
        on = Stage(proxy, origin)
        path = on.path("shared")
        script = on.on(path, HOUR)
        assert on.ask(path).body == script.bodies[0]
        # over HTTP/2 the scheme is a field; without TLS it is the same one
        assert fetch2(proxy.port, path, tls=False).body == script.bodies[0]
        assert on.asked(path) == 1


def test_many_streams_of_one_connection_make_one_fetch(on: Stage) -> None:
    path, release = on.path("streams"), threading.Event()
    tls = "tls" in on.proxy.config["listeners"]["web"]
    script = on.on(path, HOUR, body=DATA)

    def held(exchange: Exchange) -> None:
        wait_for(release, "the test")
        script(exchange)

    on.origin.on(path, held)
    with Http2Client(on.proxy.port, tls=tls) as client:
        streams = [client.request("GET", path) for _ in range(50)]
        on.origin.wait_for(path)
        release.set()
        assert all(client.response(stream).body == DATA for stream in streams)
    assert on.asked(path) == 1


def test_a_stream_that_is_reset_leaves_the_others(on: Stage) -> None:
    path, release = on.path("reset"), threading.Event()
    tls = "tls" in on.proxy.config["listeners"]["web"]
    half = DATA[: len(DATA) // 2]

    def in_two(exchange: Exchange) -> None:
        head = f"HTTP/1.1 200 OK\r\n{HOUR}\r\nContent-Length: {len(DATA)}\r\n\r\n".encode()
        exchange.send(head + half)
        wait_for(release, "the test")
        exchange.send(DATA[len(half) :])

    on.origin.on(path, in_two)
    with Http2Client(on.proxy.port, tls=tls) as client:
        first = client.request("GET", path)
        assert client.body(first, len(half)) == half
        others = [client.request("GET", path) for _ in range(5)]
        for stream in others:
            assert client.head(stream).status == 200
        client.reset(first)
        release.set()
        assert all(client.response(stream).body == DATA for stream in others)
    assert on.asked(path) == 1


def test_a_client_without_room_holds_up_nobody(on: Stage) -> None:
    """A hit that its client does not read waits for that client alone."""
    path, tls = on.path("no-room"), "tls" in on.proxy.config["listeners"]["web"]
    large = bytes(4 << 20)
    on.on(path, HOUR, body=large)
    ask(on, path)
    with Http2Client(on.proxy.port, tls=tls, greedy=False) as slow:
        stream = slow.request("GET", path)
        slow.head(stream)
        for _ in range(3):
            assert ask(on, path).body == large
    assert on.asked(path) == 1


def test_the_authority_is_the_key(on: Stage) -> None:
    path = on.path("authority")
    if "tls" in on.proxy.config["listeners"]["web"]:
        pytest.skip("over TLS the certificate's name is the only authority (421)")
    on.on(path, HOUR)
    with Http2Client(on.proxy.port, tls=False) as client:
        bodies = [client.ask("GET", path, authority=name).body for name in ("a.example", "b.example", "a.example")]
    assert bodies[0] == bodies[2] != bodies[1]


def test_cookies_in_pieces_are_one_field(on: Stage) -> None:
    """RFC 9113, section 8.2.3: the pieces of a cookie select the same variant as the whole."""
    path, tls = on.path("crumbs"), "tls" in on.proxy.config["listeners"]["web"]
    on.on(path, HOUR, "Vary: Cookie")
    with Http2Client(on.proxy.port, tls=tls) as client:
        first = client.ask("GET", path, [("cookie", "a=1; b=2")]).body
        assert client.ask("GET", path, [("cookie", "a=1"), ("cookie", "b=2")]).body == first
        assert client.ask("GET", path, [("cookie", "a=1"), ("cookie", "b=3")]).body != first


# -- servers of HTTP/2


@pytest.fixture(scope="module", params=["prior knowledge", "TLS"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Proxy, Http2Origin]]:
    tls = ServerTls(alpn=["h2"]) if request.param == "TLS" else None
    pool: Config = {"protocol": "h2", **({"tls": {"ca": str(authority().file)}} if tls else {})}
    with Http2Origin(tls=tls) as origin, Proxy(reverse([origin.address], pool=pool, routes=[route()])) as proxy:
        yield proxy, origin


def test_what_comes_over_http2_is_stored(both: tuple[Proxy, Http2Origin]) -> None:
    proxy, origin = both
    origin.on("/stored", responds(200, DATA, ("cache-control", "max-age=3600"), ("etag", '"a"')))
    assert [fetch(proxy.port, "/stored").body for _ in range(2)] == [DATA, DATA]
    assert fetch2(proxy.port, "/stored", tls=False).body == DATA
    assert len(origin.seen("/stored")) == 1
    assert fetch(proxy.port, "/stored", [("Range", "bytes=5-9")]).body == DATA[5:10]


def test_trailers_are_not_stored_as_fields(both: tuple[Proxy, Http2Origin]) -> None:
    proxy, origin = both
    origin.on("/trailers", responds(200, DATA, ("cache-control", "max-age=3600"), trailers=[("x-sum", "1")]))
    fetch(proxy.port, "/trailers")
    again = fetch(proxy.port, "/trailers")
    assert (again.body, "x-sum" in again.fields) == (DATA, False)
    assert len(origin.seen("/trailers")) == 1


def test_validation_over_http2(both: tuple[Proxy, Http2Origin]) -> None:
    proxy, origin = both

    def judge(exchange: http2_origin.Exchange) -> None:
        fields = [("cache-control", "max-age=60"), ("age", "100"), ("etag", '"a"')]
        if exchange.request.fields.get("if-none-match") == '"a"':
            exchange.respond(304, b"", *fields)
        else:
            exchange.respond(200, DATA, *fields)

    origin.on("/validated", judge)
    for _ in range(3):
        response = fetch(proxy.port, "/validated")
        assert (response.status, response.body) == (200, DATA)
    assert [request.fields.get("if-none-match") for request in origin.seen("/validated")] == [None, '"a"', '"a"']


def test_a_stream_that_breaks_off_is_not_stored(both: tuple[Proxy, Http2Origin]) -> None:
    proxy, origin = both

    def breaks(exchange: http2_origin.Exchange) -> None:
        exchange.head(200, ("cache-control", "max-age=3600"))
        exchange.send(DATA[:1000])
        exchange.reset()

    origin.on("/broken", breaks)
    with Client(proxy.port) as client:
        client.request("GET", "/broken")
        client.expect_broken_off(client.head())
    origin.on("/broken", responds(200, DATA, ("cache-control", "max-age=3600")))
    assert fetch(proxy.port, "/broken").body == DATA


def test_the_herd_over_http2(both: tuple[Proxy, Http2Origin]) -> None:
    proxy, origin = both
    release = threading.Event()

    def held(exchange: http2_origin.Exchange) -> None:
        wait_for(release, "the test")
        exchange.respond(200, DATA, ("cache-control", "max-age=3600"))

    origin.on("/herd", held)
    with Http2Client(proxy.port, tls=False) as client:
        streams = [client.request("GET", "/herd") for _ in range(60)]
        origin.wait_for("/herd")
        release.set()
        assert all(client.response(stream).body == DATA for stream in streams)
    assert len(origin.seen("/herd")) == 1
