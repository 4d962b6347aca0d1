"""Health checks of each kind: what is asked, and what is taken for good."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.support.client import chunked, fetch
from tests.support.echo import Server
from tests.support.fleet import Gate, Mortal, breaks_off, breaks_off_in_the_head
from tests.support.grpc_health import NOT_SERVING, PATH, SERVING, UNIMPLEMENTED, HealthService
from tests.support.http2_origin import Http2Origin
from tests.support.http2_origin import responds as http2_responds
from tests.support.origin import Exchange, Handler, Origin, replies, responds
from tests.support.pools import pool, server, states, wait_states
from tests.support.proxy import Config, Proxy, reverse
from tests.support.proxy_header import ToldOrigin
from tests.support.stream import Stream
from tests.support.tls import ServerTls, authority, site
from tests.support.wait import until

QUICK: Config = {"every": "300ms", "every_down": "100ms", "timeout": "300ms", "rise": 1, "fall": 2}
CA: Config = {"ca": str(authority().file)}


@contextmanager
def checked(address: str, check: Config, **keys: Any) -> Iterator[Proxy]:
    """A proxy before one server that is checked so."""
    with Proxy(reverse([address], pool={"health": {**QUICK, **check}, **keys})) as proxy:
        yield proxy


def verdict(proxy: Proxy) -> str:
    """What is thought of the server after the first check."""
    (row,) = until(lambda: [row for row in (only(proxy),) if row["checked_ms_ago"] is not None], "the first check")
    return str(row["state"])


def only(proxy: Proxy) -> Config:
    (row,) = pool(proxy)["servers"]
    return dict(row)


# -- HTTP: what is expected


@pytest.mark.parametrize(
    ("expect", "status", "good"),
    [
        (None, 200, True),
        (None, 204, True),
        (None, 302, True),
        (None, 399, True),
        (None, 404, False),
        (None, 500, False),
        (200, 200, True),
        (200, 204, False),
        ("2xx", 299, True),
        ("2xx", 301, False),
        ("200-404", 404, True),
        ("200-404", 405, False),
        ([200, "3xx", "501-503"], 502, True),
        ([200, "3xx", "501-503"], 302, True),
        ([200, "3xx", "501-503"], 201, False),
    ],
)
def test_by_status(expect: object, status: int, good: bool) -> None:
    check: Config = {"path": "/healthz", **({} if expect is None else {"expect": expect})}
    with Origin() as origin:
        origin.on("/healthz", responds(status))
        with checked(origin.address, check) as proxy:
            assert verdict(proxy) == ("up" if good else "down")
            row = server(proxy, origin.address)
            assert (row["check"] is None) == good
            assert good or str(status) in row["check"], "it says why"


HEADERS: list[tuple[Config, dict[str, str], bool]] = [
    ({"X-Ready": "yes"}, {"x-ready": "yes"}, True),
    ({"x-ready": "yes"}, {"X-Ready": "no"}, False),
    ({"x-ready": "yes"}, {}, False),
    ({"x-ready": "*"}, {"X-Ready": "whatever"}, True),
    ({"x-ready": "~^(yes|perhaps)$"}, {"X-Ready": "perhaps"}, True),
    ({"x-ready": "~^(yes|perhaps)$"}, {"X-Ready": "no"}, False),
    ({"x-ready": "yes", "x-role": "primary"}, {"X-Ready": "yes", "X-Role": "primary"}, True),
    ({"x-ready": "yes", "x-role": "primary"}, {"X-Ready": "yes", "X-Role": "replica"}, False),
]


@pytest.mark.parametrize(("expect", "sent", "good"), HEADERS)
def test_by_headers(expect: Config, sent: dict[str, str], good: bool) -> None:
    with Origin() as origin:
        origin.on("/healthz", responds(200, b"", *sent.items()))
        with checked(origin.address, {"path": "/healthz", "expect_headers": expect}) as proxy:
            assert verdict(proxy) == ("up" if good else "down")


@pytest.mark.parametrize(
    ("expect", "body", "good"),
    [
        ("ok", b"all is ok here", True),
        ("ok", b"all is well", False),
        ("ok", b"", False),
        ("ok", b"x" * 60_000 + b"ok", True),
        ("~^status: (ok|warn)$", b"status: warn", True),
        ("~^status: (ok|warn)$", b"status: warning", False),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_by_the_body(expect: str, body: bytes, good: bool, framing: str) -> None:
    head = b"HTTP/1.1 200 OK\r\n"
    whole: dict[str, Handler] = {
        "length": responds(200, body),
        "chunked": replies(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body)),
        "close": replies(head + b"Connection: close\r\n\r\n" + body, close=True),
    }
    with Origin() as origin:
        origin.on("/healthz", whole[framing])
        with checked(origin.address, {"path": "/healthz", "body": expect}) as proxy:
            assert verdict(proxy) == ("up" if good else "down")


def test_a_body_without_end_holds_nothing_up() -> None:
    """No more of it is read than is looked at."""

    def endless(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            exchange.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    with Origin() as origin:
        origin.on("/healthz", endless)
        with checked(origin.address, {"path": "/healthz"}) as proxy:
            assert verdict(proxy) == "up"
        with checked(origin.address, {"path": "/healthz", "body": "never there"}) as proxy:
            assert verdict(proxy) == "down"


FAILING: dict[str, Handler] = {
    "no answer": Gate(),
    "reset": breaks_off,
    "reset in the head": breaks_off_in_the_head,
    "no HTTP": replies(b"SSH-2.0-OpenSSH_9.6\r\n", close=True),
    "two lengths": replies(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
    "closed": lambda exchange: exchange.close(),
}


@pytest.mark.parametrize("how", FAILING)
def test_failures(how: str) -> None:
    with Origin() as origin, ExitStack() as stack:
        if isinstance(gate := FAILING[how], Gate):
            stack.callback(gate.open)
        origin.on("/healthz", FAILING[how])
        with checked(origin.address, {"path": "/healthz"}) as proxy:
            assert verdict(proxy) == "down"
            assert server(proxy, origin.address)["check"]
            origin.on("/healthz", responds(200))
            wait_states(proxy, "up")


# -- HTTP: what is asked


def test_what_is_asked() -> None:
    with Origin() as origin:
        check = {"path": "/healthz?deep=1", "method": "HEAD", "host": "shop.example", "headers": {"X-Probe": "reviver"}}
        with checked(origin.address, check) as proxy:
            assert verdict(proxy) == "up"
        request = origin.seen("/healthz")[0]
        assert (request.method, request.target, request.version) == ("HEAD", "/healthz?deep=1", "HTTP/1.1")
        assert request.fields.get("Host") == "shop.example"
        assert request.fields.get("X-Probe") == "reviver"


def test_the_short_form() -> None:
    with Origin() as origin:
        origin.on("/healthz", responds(503))
        with Proxy(reverse([origin.address], pool={"health": "/healthz"})) as proxy:
            assert verdict(proxy) == "down"
        request = origin.seen("/healthz")[0]
        assert (request.method, request.fields.get("Host")) == ("GET", origin.address)


def test_on_a_port_of_its_own() -> None:
    with Origin("app") as app, Origin("admin") as admin:
        admin.on("/healthz", responds(503))
        with checked(app.address, {"path": "/healthz", "port": admin.port}) as proxy:
            wait_states(proxy, "down")
            del admin.handlers["/healthz"]
            wait_states(proxy, "up")
            assert fetch(proxy.port, "/x").fields.get("X-Origin") == "app"
            assert not app.seen("/healthz")


def test_over_tls() -> None:
    """With the pool's idea of whom to trust."""
    with Origin(tls=ServerTls()) as origin:
        with checked(origin.address, {"path": "/healthz"}, tls=CA) as proxy:
            assert verdict(proxy) == "up"
        assert origin.seen("/healthz")
        with checked(origin.address, {"path": "/healthz"}, tls=True) as proxy:
            assert verdict(proxy) == "down", "nobody has said that this authority is to be trusted"


@pytest.mark.parametrize("tls", [False, True])
def test_over_http2(tls: bool) -> None:
    with Http2Origin(tls=ServerTls(alpn=["h2"]) if tls else None) as origin:
        origin.on("/healthz", http2_responds(200, b"ok", ("x-ready", "yes")))
        check: Config = {"path": "/healthz", "body": "ok", "expect_headers": {"x-ready": "yes"}}
        with checked(origin.address, check, protocol="h2", **({"tls": CA} if tls else {})) as proxy:
            assert verdict(proxy) == "up"
            origin.on("/healthz", http2_responds(503, b"ok"))
            wait_states(proxy, "down")
        assert {request.authority for request in origin.seen("/healthz")} == {origin.address}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_behind_a_proxy_header(version: str) -> None:
    """Servers that want one want it from a check too; it is nobody's connection but our own."""
    with ToldOrigin() as origin, checked(origin.address, {"path": "/healthz"}, proxy_protocol=version) as proxy:
        assert verdict(proxy) == "up"
        until(lambda: len(origin.seen("/healthz")) >= 2, "a second check")
        assert states(proxy) == ["up"]


# -- TCP and TLS


def test_tcp() -> None:
    """That it takes connections is enough: what it answers is not asked."""
    with Mortal("a", responds(500)) as origin, checked(origin.address, {"type": "tcp"}) as proxy:
        assert verdict(proxy) == "up"
        origin.die()
        wait_states(proxy, "down")
        origin.rise()
        wait_states(proxy, "up")
        assert not origin.requests


def test_tls() -> None:
    """A handshake, whatever the certificate where the pool does not say whom it trusts."""
    tls = ServerTls()
    with Origin(tls=tls) as origin:
        with checked(origin.address, {"type": "tls"}) as proxy:
            assert verdict(proxy) == "up"
        with checked(origin.address, {"type": "tls"}, tls=CA) as proxy:
            assert verdict(proxy) == "up"
        with checked(origin.address, {"type": "tls"}, tls=True) as proxy:
            assert verdict(proxy) == "down"
        assert not origin.requests
        assert tls.agreed, "handshakes came to their end"


def test_tls_where_none_is_spoken() -> None:
    def plain(stream: Stream) -> None:
        stream.read_some()
        stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Server(plain) as other, checked(other.address, {"type": "tls"}) as proxy:
        assert verdict(proxy) == "down"


# -- gRPC


@pytest.fixture(params=["plain", "tls"])
def grpc_pool(request: pytest.FixtureRequest) -> Iterator[tuple[Http2Origin, Config]]:
    tls = ServerTls(site(), alpn=["h2"]) if request.param == "tls" else None
    with Http2Origin(tls=tls) as origin:
        yield origin, {"protocol": "h2", **({"tls": CA} if tls else {})}


def test_grpc(grpc_pool: tuple[Http2Origin, Config]) -> None:
    origin, keys = grpc_pool
    service = HealthService()
    origin.on(PATH, service)
    with checked(origin.address, {"type": "grpc"}, **keys) as proxy:
        assert verdict(proxy) == "up"
        service.services[""] = NOT_SERVING
        wait_states(proxy, "down")
        service.services[""] = SERVING
        wait_states(proxy, "up")
        service.failure = UNIMPLEMENTED
        wait_states(proxy, "down")
        assert set(service.asked) == {""}


def test_grpc_of_one_service(grpc_pool: tuple[Http2Origin, Config]) -> None:
    origin, keys = grpc_pool
    service = HealthService(NOT_SERVING, **{"shop.v1.Cart": SERVING})
    origin.on(PATH, service)
    with checked(origin.address, {"type": "grpc", "service": "shop.v1.Cart"}, **keys) as proxy:
        assert verdict(proxy) == "up"
        del service.services["shop.v1.Cart"]
        wait_states(proxy, "down")
        assert set(service.asked) == {"shop.v1.Cart"}


def test_grpc_where_the_service_is_not(grpc_pool: tuple[Http2Origin, Config]) -> None:
    """An answer of plain HTTP is none, even with status 200."""
    origin, keys = grpc_pool
    with checked(origin.address, {"type": "grpc"}, **keys) as proxy:
        assert verdict(proxy) == "down"
