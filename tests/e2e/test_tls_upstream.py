"""TLS towards servers: verified, or refused; never a fallback."""

import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.client import Client, Response, fetch
from tests.support.echo import Server
from tests.support.names import NameServer
from tests.support.origin import Exchange, Handler, Origin, replies, responds
from tests.support.proxy import Config, Proxy, Record, cli, reverse
from tests.support.stream import Stream
from tests.support.tls import ONLY_12, ONLY_13, ServerTls, alice, authority, mallory, stranger

CA = {"ca": str(authority().file)}
Versions = tuple[ssl.TLSVersion, ssl.TLSVersion]
Start = Callable[..., tuple[Proxy, Origin]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts an origin with some TLS, and a proxy whose pool speaks to it by some keys."""
    running: list[tuple[Proxy, Origin]] = []

    def begin(tls: ServerTls | None, pool: Config, **top: Any) -> tuple[Proxy, Origin]:
        origin = Origin(tls=tls)
        proxy = Proxy(reverse([f"127.0.0.1:{origin.port}"], pool=pool, **top))
        running.append((proxy, origin))
        return running[-1]

    yield begin
    for proxy, origin in running:
        with origin, proxy:
            pass


def refused(proxy: Proxy, origin: Origin, reason: str = "tls_certificate_error") -> tuple[Response, Record]:
    response = fetch(proxy.port, "/refused")
    assert response.status == 502
    assert reason in (response.fields.get("Proxy-Status") or "")
    record = proxy.record("/refused")
    assert (record["reason"], record["status"]) == (reason, 502)
    assert not origin.seen("/refused")
    return response, record


def test_a_verified_server(start: Start) -> None:
    tls = ServerTls()
    proxy, origin = start(tls, {"tls": CA})
    assert fetch(proxy.port, "/verified?q=1").text == "origin GET /verified?q=1"
    fields = origin.only("/verified").fields
    assert fields.get("Host") == "test.example", "TLS to the server changes no field"
    assert fields.get("X-Forwarded-Proto") == "http", "the client's scheme, not the server's"
    assert tls.names == [None], "an address is no server name (RFC 6066, section 3)"
    record = proxy.record("/verified")
    assert (record["scheme"], record["upstream"]) == ("http", origin.address)


def test_both_versions(start: Start) -> None:
    for versions in (ONLY_12, ONLY_13):
        proxy, _ = start(ServerTls(versions=versions), {"tls": CA})
        assert fetch(proxy.port, "/version").status == 200


def test_a_minimum_of_13(start: Start) -> None:
    proxy, origin = start(ServerTls(versions=ONLY_12), {"tls": {**CA, "min_version": "1.3"}})
    refused(proxy, origin, "tls_error")


def test_keep_alive(start: Start) -> None:
    tls = ServerTls()
    proxy, origin = start(tls, {"tls": CA}, workers=1)
    with Client(proxy.port) as client:
        for i in range(10):
            assert client.ask("POST", f"/{i}", body=b"x" * 50_000).status == 200
    assert origin.connections == 1
    assert [record["upstream_connection"] for record in proxy.wait_records(lambda record: True, 10)] == ["new"] + [
        "reused"
    ] * 9


def test_an_unknown_authority(start: Start) -> None:
    tls = ServerTls(stranger().leaf("127.0.0.1"))
    proxy, origin = start(tls, {"tls": CA})
    response, record = refused(proxy, origin)
    assert "error=tls_certificate_error" in (response.fields.get("Proxy-Status") or ""), "RFC 9209, section 2.3.14"
    assert "issuer" in record["detail"].lower() or "authority" in record["detail"].lower()
    assert any("UNKNOWN_CA" in failure.upper().replace(" ", "_") for failure in tls.failures), tls.failures


def test_the_systems_roots_do_not_know_the_tests_authority(start: Start) -> None:
    proxy, origin = start(ServerTls(), {"tls": True})
    refused(proxy, origin)


def test_a_wrong_name(start: Start) -> None:
    proxy, origin = start(ServerTls(authority().leaf("other.example")), {"tls": CA})
    response, record = refused(proxy, origin)
    assert "name" in record["detail"].lower()
    assert "other.example" not in response.text, "no internals on the page"


def test_an_expired_certificate(start: Start) -> None:
    proxy, origin = start(ServerTls(authority().leaf("127.0.0.1", expired=True)), {"tls": CA})
    _, record = refused(proxy, origin)
    assert "expired" in record["detail"].lower()


def test_a_server_that_speaks_no_tls() -> None:
    """Never a silent fallback to plain text."""
    heard: list[bytes] = []

    def plain(stream: Stream) -> None:
        heard.append(stream.read_some())
        stream.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        heard.append(stream.read_rest())

    with Server(plain) as server, Proxy(reverse([server.address], pool={"tls": CA})) as proxy:
        assert fetch(proxy.port, "/plain").status == 502
        assert proxy.record("/plain")["reason"] == "tls_error"
    assert not any(b"GET" in said for said in heard)


def test_a_server_that_closes_in_the_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        with Proxy(reverse([f"127.0.0.1:{port}"], pool={"tls": CA}), wait=True) as proxy, Client(proxy.port) as client:
            client.request("GET", "/closes")
            for _ in range(3):
                sock.settimeout(1)
                try:
                    peer, _ = sock.accept()
                except TimeoutError:
                    break
                peer.recv(10)
                peer.close()
            assert client.response().status == 502
            assert proxy.record("/closes")["reason"] in ("tls_error", "connection_terminated")


def test_a_server_that_is_slow_in_the_handshake() -> None:
    """The time to connect holds for the handshake too."""
    routes = [{"name": "all", "pool": "all", "timeout": {"connect": "300ms"}}]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        config = reverse([f"127.0.0.1:{sock.getsockname()[1]}"], pool={"tls": CA}, routes=routes)
        with Proxy(config) as proxy:
            assert fetch(proxy.port, "/slow").status in (502, 504)
            assert proxy.record("/slow")["reason"] in ("connection_timeout", "tls_error")


def test_a_server_name_of_ones_own(start: Start) -> None:
    tls = ServerTls(authority().leaf("inner.example"))
    proxy, _ = start(tls, {"tls": {**CA, "server_name": "inner.example"}})
    assert fetch(proxy.port, "/named").status == 200
    assert tls.names == ["inner.example"]


def test_the_name_of_the_address() -> None:
    tls = ServerTls(authority().leaf("upstream.example"))
    with NameServer() as names, Origin(tls=tls) as origin:
        names.set("upstream.example", "127.0.0.1")
        config = reverse([f"upstream.example:{origin.port}"], pool={"tls": CA}, resolver=names.config)
        with Proxy(config) as proxy:
            assert fetch(proxy.port, "/by-name").status == 200
            assert tls.names == ["upstream.example"]


def test_a_client_certificate(start: Start) -> None:
    keys = {"certificate": str(alice().certificate), "key": str(alice().key)}
    for versions in (ONLY_12, ONLY_13):
        tls = ServerTls(client_ca=authority().file, versions=versions)
        proxy, _ = start(tls, {"tls": {**CA, **keys}})
        assert fetch(proxy.port, "/with").status == 200
        assert tls.peers == [alice().der]


@pytest.mark.parametrize("versions", [ONLY_12, ONLY_13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("shown", [False, True], ids=["absent", "of another authority"])
def test_a_server_that_wants_another_client_certificate(
    start: Start, versions: tuple[ssl.TLSVersion, ssl.TLSVersion], shown: bool
) -> None:
    keys = {"certificate": str(mallory().certificate), "key": str(mallory().key)} if shown else {}
    proxy, origin = start(ServerTls(client_ca=authority().file, versions=versions), {"tls": {**CA, **keys}})
    refused(proxy, origin, "tls_error")


def test_alpn(start: Start) -> None:
    """`auto` offers both and takes what the server wants; `http/1.1` offers that alone."""
    for protocol in ("auto", "http/1.1"):
        tls = ServerTls(alpn=["http/1.1"])
        proxy, _ = start(tls, {"tls": CA, "protocol": protocol})
        assert fetch(proxy.port, "/alpn").status == 200
        assert tls.agreed == ["http/1.1"]
    tls = ServerTls(alpn=["h2", "http/1.1"])
    proxy, _ = start(tls, {"tls": CA, "protocol": "http/1.1"})
    assert fetch(proxy.port, "/alpn").status == 200
    assert tls.agreed == ["http/1.1"]


def test_h2_with_a_server_that_does_not_know_it(start: Start) -> None:
    proxy, origin = start(ServerTls(alpn=["http/1.1"]), {"tls": CA, "protocol": "h2"})
    refused(proxy, origin, "tls_error")


@pytest.mark.parametrize("versions", [ONLY_12, ONLY_13], ids=["1.2", "1.3"])
def test_resumption(start: Start, versions: Versions) -> None:
    tls = ServerTls(versions=versions)
    proxy, origin = start(tls, {"tls": CA}, workers=1)
    origin.default = lambda exchange: exchange.respond(200, b"x", close=True)
    for i in range(4):
        assert fetch(proxy.port, f"/{i}").status == 200
    assert tls.resumed == [False, True, True, True]


# -- insecure


def test_insecure_works_and_is_warned_about_at_every_start(start: Start) -> None:
    proxy, _ = start(ServerTls(stranger().leaf("wrong.example", expired=True)), {"tls": {"insecure": True}})
    assert fetch(proxy.port, "/insecure").status == 200
    assert "insecure" in proxy.stderr
    assert "all" in proxy.stderr, "the pool is named"
    done = cli("check", str(proxy.path), cwd=proxy.folder)
    assert done.returncode == 0
    assert "insecure" in done.stdout + done.stderr


def test_a_verified_pool_is_not_warned_about(start: Start) -> None:
    proxy, _ = start(ServerTls(), {"tls": CA})
    assert fetch(proxy.port, "/secure").status == 200
    assert "insecure" not in proxy.stderr


# -- the end of a TLS connection


UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\neverything"


def cuts(data: bytes) -> Handler:
    """Answers these bytes and ends the connection without a close_notify."""

    def handler(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(data)
        exchange.cut()

    return handler


def test_a_body_that_ends_with_close_notify(start: Start) -> None:
    proxy, origin = start(ServerTls(), {"tls": CA})
    origin.on("/whole", replies(UNTIL_CLOSE, close=True))
    response = fetch(proxy.port, "/whole")
    assert (response.status, response.body) == (200, b"everything")
    assert proxy.record("/whole")["ending"] == "complete"


def test_a_body_that_is_truncated(start: Start) -> None:
    """RFC 9112, section 9.8: without a close_notify anybody on the way may have cut it."""
    proxy, origin = start(ServerTls(), {"tls": CA})
    origin.on("/cut", cuts(UNTIL_CLOSE))
    with Client(proxy.port) as client:
        client.request("GET", "/cut")
        client.expect_broken_off(client.head())
    record = proxy.record("/cut")
    assert (record["reason"], record["ending"]) == ("response_incomplete", "upstream_aborted")


def test_a_length_needs_no_close_notify(start: Start) -> None:
    proxy, origin = start(ServerTls(), {"tls": CA})
    origin.on("/counted", cuts(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ncounted"))
    assert fetch(proxy.port, "/counted").text == "counted"


def test_large_bodies_both_ways(start: Start) -> None:
    proxy, origin = start(ServerTls(), {"tls": CA})
    origin.on("/echo", lambda exchange: exchange.respond(200, exchange.read_body()))
    body = bytes(range(256)) * 12_000
    assert fetch(proxy.port, "/echo", method="POST", body=body).body == body


def test_a_kept_connection_that_the_server_closed(start: Start) -> None:
    """A GET is asked again over a new one."""
    proxy, origin = start(ServerTls(), {"tls": CA}, workers=1)
    with Client(proxy.port) as client:
        assert client.ask("GET", "/first").status == 200
        for exchange in list(origin._open.values()):
            exchange.cut()
        origin.wait_ended(1)
        assert client.ask("GET", "/second").status == 200
    assert origin.connections == 2


def test_other_servers_are_tried(start: Start) -> None:
    """A server whose certificate is bad is one that cannot be reached: the next is asked."""
    good = Origin("good", tls=ServerTls())
    bad = Origin("bad", responds(200, b"bad"), tls=ServerTls(authority().leaf("other.example")))
    with good, bad, Proxy(reverse([bad.address, good.address], pool={"tls": CA})) as proxy:
        for i in range(4):
            assert fetch(proxy.port, f"/tried/{i}").text == f"good GET /tried/{i}"
        assert not bad.requests
