"""Handshakes: versions, protocols, and those that fail."""

import re
import ssl
import threading
from collections.abc import Iterator

import pytest

from tests.support.client import Client, encode_request, fetch, fetch_raw
from tests.support.frames import PREFACE, settings
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, Record, reverse
from tests.support.tls import ONLY_12, ONLY_13, BareTls, TlsClient, client_context, stranger, tls_listener
from tests.support.wait import wait_for

Versions = tuple[ssl.TLSVersion, ssl.TLSVersion]
ONLY_11 = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], listener=tls_listener())) as proxy:
        yield proxy


@pytest.fixture
def fresh(origin: Origin) -> Iterator[Proxy]:
    """A proxy whose log holds what one test did."""
    with Proxy(reverse([origin.address], listener=tls_listener())) as proxy:
        yield proxy


def failed(proxy: Proxy) -> list[Record]:
    return proxy.wait_records(lambda record: record["reason"] == "tls_handshake_failed")


@pytest.mark.parametrize(("versions", "name"), [(ONLY_12, "TLSv1.2"), (ONLY_13, "TLSv1.3")])
def test_versions_that_are_spoken(
    proxy: Proxy, origin: Origin, versions: tuple[ssl.TLSVersion, ssl.TLSVersion], name: str
) -> None:
    path = f"/version-{name}"
    with TlsClient(proxy.port, context=client_context(versions=versions)) as client:
        assert client.sock.version() == name
        assert client.ask("GET", path).status == 200
    record = proxy.record(path)
    assert (record["tls"], record["sni"], record["scheme"]) == (name, "test.example", "https")
    assert record["protocol"] == "HTTP/1.1"
    assert origin.only(path).fields.get("X-Forwarded-Proto") == "https"


def test_plain_http_has_no_tls_in_its_record(origin: Origin) -> None:
    with Proxy(reverse([origin.address])) as plain:
        assert fetch(plain.port, "/plain").status == 200
        record = plain.record("/plain")
    assert record["scheme"] == "http"
    assert "tls" not in record
    assert "sni" not in record


def refusal(port: int, context: ssl.SSLContext) -> str:
    """How OpenSSL names the alert that ended a handshake."""
    with pytest.raises(ssl.SSLError) as caught, TlsClient(port, context=context) as client:
        client.read_some()
    return caught.value.reason or str(caught.value)


def old_context() -> ssl.SSLContext:
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        return client_context(versions=ONLY_11, ciphers="ALL:@SECLEVEL=0", verify=False)


def test_tls_11_is_refused(fresh: Proxy) -> None:
    """By either alert: such a client names no signature algorithms, which is as good a reason."""
    assert re.search("PROTOCOL_VERSION|HANDSHAKE_FAILURE", refusal(fresh.port, old_context()))
    (record,) = failed(fresh)
    assert record["detail"] in ("protocol_version", "handshake_failure")


def test_a_minimum_of_13(origin: Origin) -> None:
    with Proxy(reverse([origin.address], listener=tls_listener(tls={"min_version": "1.3"}))) as proxy:
        assert "PROTOCOL_VERSION" in refusal(proxy.port, client_context(versions=ONLY_12))
        with TlsClient(proxy.port) as client:
            assert client.sock.version() == "TLSv1.3"
            assert client.ask("GET", "/13").status == 200


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        (["h2", "http/1.1"], "h2"),
        (["http/1.1", "h2"], "h2"),
        (["h2"], "h2"),
        (["http/1.1"], "http/1.1"),
        (["spdy/3", "http/1.1"], "http/1.1"),
        ([], None),
    ],
)
def test_alpn(proxy: Proxy, offered: list[str], agreed: str | None) -> None:
    """The proxy's own preference decides (RFC 7301, section 3.2)."""
    with TlsClient(proxy.port, context=client_context(alpn=offered)) as client:
        assert client.alpn == agreed
        if agreed != "h2":
            assert client.ask("GET", "/alpn").status == 200


def test_no_common_protocol(fresh: Proxy) -> None:
    refusal(fresh.port, client_context(alpn=["spdy/3"]))
    (record,) = failed(fresh)
    assert record["detail"] == "no_application_protocol", "RFC 7301, section 3.2"


def test_http2_turned_off(origin: Origin) -> None:
    with Proxy(reverse([origin.address], listener=tls_listener(http2=False))) as proxy:
        with TlsClient(proxy.port, context=client_context(alpn=["h2", "http/1.1"])) as client:
            assert client.alpn == "http/1.1"
            assert client.ask("GET", "/off").status == 200
        refusal(proxy.port, client_context(alpn=["h2"]))
        assert failed(proxy)[0]["detail"] == "no_application_protocol"


# -- handshakes that fail


def test_one_record_with_the_clients_alert(fresh: Proxy) -> None:
    """A client that does not know the authority says so by an alert."""
    context = client_context()
    untrusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    untrusting.load_verify_locations(stranger().file)
    with pytest.raises(ssl.SSLCertVerificationError), TlsClient(fresh.port, context=untrusting):
        pass
    (record,) = failed(fresh)
    assert record["detail"] == "unknown_ca"
    assert record["listener"] == "web"
    assert record["client"] == "127.0.0.1"
    assert "status" not in record
    assert "path" not in record
    with TlsClient(fresh.port, context=context) as client:
        assert client.ask("GET", "/after").status == 200
    fresh.record("/after")
    assert len(fresh.records()) == 2, "nothing else"


def test_no_common_cipher(fresh: Proxy) -> None:
    context = client_context(versions=ONLY_12, ciphers="AES128-SHA")
    assert "HANDSHAKE_FAILURE" in refusal(fresh.port, context)
    assert len(failed(fresh)) == 1


def test_nonsense(fresh: Proxy) -> None:
    """Bytes that are neither TLS nor HTTP."""
    with Client(fresh.port) as client:
        client.send(b"\x16\x03\x01\x00\x05\x00\x00\x00\x01\xff")
        client.read_rest()
    assert len(failed(fresh)) == 1


def test_a_client_that_leaves_in_the_middle(fresh: Proxy) -> None:
    with Client(fresh.port) as client:
        client.send(BareTls().hello()[:50])
    record = failed(fresh)[0]
    assert "status" not in record


@pytest.mark.parametrize("sent", [0, 50, -1])
def test_a_slow_handshake_ends(origin: Origin, sent: int) -> None:
    """`timeout.handshake` bounds the whole, wherever it stops: before, inside or after the hello."""
    config = reverse([origin.address], listener=tls_listener(), timeout={"handshake": "300ms"})
    with Proxy(config) as proxy, Client(proxy.port) as client:
        first = BareTls().hello()
        client.send(first if sent < 0 else first[:sent])
        client.read_rest()
        if sent:
            (record,) = failed(proxy)
            assert "time" in record["detail"].lower()
        with TlsClient(proxy.port) as other:
            assert other.ask("GET", "/quick").status == 200


def test_slow_handshakes_do_not_hold_up_others(origin: Origin) -> None:
    with Proxy(reverse([origin.address], listener=tls_listener(), workers=1)) as proxy:
        slow = [Client(proxy.port) for _ in range(20)]
        for client in slow:
            client.send(BareTls().hello()[:20])
        with TlsClient(proxy.port) as client:
            assert client.ask("GET", "/quick").status == 200
        for client in slow:
            client.close()


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_a_handshake_in_small_pieces(proxy: Proxy, piece: int) -> None:
    tls, path = BareTls(), f"/pieces-of-{piece}"
    with Client(proxy.port) as client:
        tls.handshake(client, piece=piece)
        client.send(tls.seal(encode_request("GET", path)))
        assert tls.read(client).startswith(b"HTTP/1.1 200 ")


def test_a_connection_without_a_byte_is_no_handshake(fresh: Proxy) -> None:
    """As checks of load balancers make them."""
    for _ in range(3):
        Client(fresh.port).close()
    with TlsClient(fresh.port) as client:
        assert client.ask("GET", "/real").status == 200
    fresh.record("/real")
    assert len(fresh.records()) == 1


# -- the wrong protocol on a port


def test_plain_http_on_a_tls_port(fresh: Proxy, origin: Origin) -> None:
    response = fetch(fresh.port, "/plain-http")
    assert response.status == 400
    assert "plain_on_tls_port" in (response.fields.get("Proxy-Status") or "")
    assert "https" in response.text.lower(), "a person is told what to do"
    (record,) = fresh.wait_records(lambda record: record["reason"] == "plain_on_tls_port")
    assert record["status"] == 400
    assert "tls" not in record
    assert not origin.seen("/plain-http")
    assert len(fresh.records()) == 1, "and not as a failed handshake too"


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "CONNECT", "DELETE", "PRI"])
def test_other_methods_on_a_tls_port(proxy: Proxy, method: str) -> None:
    assert fetch_raw(proxy.port, f"{method} * HTTP/1.1\r\nHost: t\r\n\r\n".encode()).status == 400


def test_plain_http2_on_a_tls_port(proxy: Proxy) -> None:
    """Whatever it answers, it must end, and not hang as if half a hello had come."""
    with Client(proxy.port) as client:
        client.send(PREFACE + settings())
        client.read_rest()


def test_tls_on_a_plain_port(origin: Origin) -> None:
    with Proxy(reverse([origin.address])) as proxy:
        with Client(proxy.port) as client:
            client.send(BareTls().hello())
            answer = client.read_rest()
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b"tls_on_plain_port" in answer
        (record,) = proxy.wait_records(lambda record: record["reason"] == "tls_on_plain_port")
        assert record["status"] == 400


# -- the end of a connection


def test_close_notify_at_the_end(proxy: Proxy) -> None:
    """RFC 8446, section 6.1: a client can tell a whole answer from a truncated one."""
    with TlsClient(proxy.port) as client:
        client.request("GET", "/bye", [("Connection", "close")])
        assert client.response().status == 200
        client.expect_closed()
        assert not client.ragged, "no close_notify"


def test_a_client_that_says_close_notify_first_gets_its_answer(proxy: Proxy, origin: Origin) -> None:
    """RFC 8446, section 6.1: that closes one direction only."""
    go = threading.Event()

    def slow(exchange: Exchange) -> None:
        wait_for(go, "the test's leave")
        exchange.respond(200, b"late")

    origin.on("/half", slow)
    tls = BareTls()
    with Client(proxy.port) as client:
        tls.handshake(client)
        client.send(tls.seal(encode_request("GET", "/half")))
        origin.wait_for("/half")
        client.send(tls.goodbye())
        go.set()
        assert tls.read(client).startswith(b"HTTP/1.1 200 ")
    record = proxy.record("/half")
    assert (record["status"], record["ending"]) == (200, "complete")
