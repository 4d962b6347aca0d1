"""A forward listener over TLS: clients speak HTTPS to the proxy itself, HTTP/1.1 or HTTP/2."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator

import bcrypt
import httpx
import pytest
from h2.errors import ErrorCodes

from tests.support.client import encode_request
from tests.support.echo import Server
from tests.support.http2 import Http2Client
from tests.support.origin import Origin
from tests.support.proxy import Proxy, environment, forward
from tests.support.stream import Closed, Stream
from tests.support.tls import BareTls, ServerTls, TlsClient, alice, authority, client_context, tls_listener
from tests.support.wait import until


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def secure() -> Iterator[Origin]:
    with Origin("secure", tls=ServerTls()) as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Proxy(forward(listener=tls_listener())) as proxy:
        yield proxy


def test_absolute(proxy: Proxy, origin: Origin) -> None:
    with TlsClient(proxy.port) as client:
        for i in range(3):
            response = client.ask("GET", f"http://{origin.address}/tls-absolute/{i}", host=origin.address)
            assert response.text == f"origin GET /tls-absolute/{i}"
    record = proxy.record("/tls-absolute/0")
    assert (record["tls"], record["sni"], record["scheme"]) == ("TLSv1.3", "test.example", "http")


def test_the_proxys_own_name_is_not_compared_with_the_destination(proxy: Proxy, origin: Origin) -> None:
    """421 is for servers: a client of a proxy asks for everybody's names."""
    with TlsClient(proxy.port, sni="localhost") as client:
        assert client.ask("GET", f"http://{origin.address}/no-421", host=origin.address).status == 200


def test_tls_inside_of_tls(proxy: Proxy, secure: Origin) -> None:
    with TlsClient(proxy.port) as client:
        assert client.ask("CONNECT", secure.address, host=secure.address).status == 200
        inner = BareTls()
        inner.handshake(client)
        client.send(inner.seal(b"GET /inner HTTP/1.1\r\nHost: test.example\r\n\r\n"))
        assert b"secure GET /inner" in inner.read(client)
    record = proxy.wait_records(lambda record: record.get("method") == "CONNECT" and record["port"] == secure.port)[0]
    assert record["tunnel"]
    assert record["tls"] == "TLSv1.3"


def test_half_close_through_a_tunnel_over_tls(proxy: Proxy) -> None:
    """A close_notify ends one direction of a tunnel, as a FIN does without TLS."""

    def answers_at_the_end(stream: Stream) -> None:
        stream.send(b"got %d" % len(stream.read_rest()))

    with Server(answers_at_the_end) as server, TlsClient(proxy.port) as client:
        assert client.ask("CONNECT", server.address, host=server.address).status == 200
        client.send(b"x" * 100_000)
        client.sock.settimeout(0)
        with pytest.raises(ssl.SSLError):
            client.sock.unwrap()
        record = proxy.wait_records(lambda record: record.get("port") == server.port)[0]
        assert (record["request_body"], record["response_body"]) == (100_000, len(b"got 100000"))


def test_a_client_certificate_at_the_door(origin: Origin) -> None:
    listener = tls_listener(tls={"client_ca": str(authority().file)})
    with Proxy(forward(listener=listener)) as proxy:
        with TlsClient(proxy.port, context=client_context(certificate=alice())) as client:
            assert client.ask("GET", f"http://{origin.address}/door", host=origin.address).status == 200
        assert "X-Client-Cert-Subject" not in origin.only("/door").fields, "no client's name goes out to the world"
        with pytest.raises((ssl.SSLError, Closed)), TlsClient(proxy.port) as client:
            client.ask("GET", f"http://{origin.address}/no-door", host=origin.address)
        assert not origin.seen("/no-door")


def test_socks_within_tls_is_not_spoken(proxy: Proxy) -> None:
    """Whatever is answered, nothing hangs."""
    with TlsClient(proxy.port) as client:
        client.send(b"\x05\x01\x00")
        client.half_close()


# -- HTTP/2 to the proxy


def test_absolute_over_http2(proxy: Proxy, origin: Origin) -> None:
    """RFC 9113, section 8.3.1: scheme, authority and path name the destination."""
    with Http2Client(proxy.port, authority=origin.address) as client:
        streams = [client.request("GET", f"/h2-absolute/{i}", scheme="http") for i in range(20)]
        said = [client.response(stream).text for stream in streams]
        assert said == [f"origin GET /h2-absolute/{i}" for i in range(20)]
    record = proxy.record("/h2-absolute/7")
    assert (record["protocol"], record["scheme"], record["host"]) == ("HTTP/2.0", "http", "127.0.0.1")
    fields = origin.only("/h2-absolute/7").fields
    assert fields.get("Host") == origin.address
    assert (fields.get("Via") or "2.0").startswith("2.0"), "the version that was received (RFC 9110, section 7.6.3)"


def test_connect_over_http2(proxy: Proxy) -> None:
    """RFC 9113, section 8.5: many tunnels on one connection."""
    with Server() as echo, Http2Client(proxy.port) as client:
        tunnels = [client.request("CONNECT", authority=echo.address, end=False) for _ in range(10)]
        for tunnel in tunnels:
            assert client.head(tunnel).status == 200
            assert "Transfer-Encoding" not in client.replies[tunnel].fields
            assert "Content-Length" not in client.replies[tunnel].fields
        for turn in range(3):
            for tunnel in tunnels:
                client.send(tunnel, b"%d on %d" % (turn, tunnel))
            for tunnel in tunnels:
                said = b"%d on %d" % (turn, tunnel)
                assert client.body(tunnel, len(said)) == said
        for tunnel in tunnels:
            client.send(tunnel, end=True)
            assert client.response(tunnel).body == b""
        records = proxy.wait_records(lambda record: record.get("port") == echo.port, 10)
        assert {record["method"] for record in records} == {"CONNECT"}
        assert {record["protocol"] for record in records} == {"HTTP/2.0"}
        assert all(record["tunnel"] for record in records)
        assert [record["request_body"] for record in records] == [record["response_body"] for record in records]


def test_tls_inside_of_a_tunnel_over_http2(proxy: Proxy, secure: Origin) -> None:
    body = bytes(range(256)) * 2_000
    secure.on("/echo", lambda exchange: exchange.respond(200, exchange.read_body()))
    with Http2Client(proxy.port) as client:
        tunnel = client.request("CONNECT", authority=secure.address, end=False)
        assert client.head(tunnel).status == 200
        inner = BareTls()
        through = _Tunnel(client, tunnel)
        inner.handshake(through)  # type: ignore[arg-type]
        client.send(tunnel, inner.seal(encode_request("POST", "/echo", body=body)))
        got = bytearray()
        while not got.endswith(body[-1000:]) or len(got) < len(body):
            got += inner.read(through)  # type: ignore[arg-type]
        assert got.endswith(body)


class _Tunnel:
    """A stream of an HTTP/2 connection as bytes."""

    def __init__(self, client: Http2Client, stream: int) -> None:
        self.client, self.stream = client, stream

    def send(self, data: bytes) -> None:
        self.client.send(self.stream, data)

    def read_some(self) -> bytes:
        self.client.until(lambda: self.client.replies[self.stream].body)
        return self.client.body(self.stream, len(self.client.replies[self.stream].body))


def test_a_tunnels_end_of_the_server(proxy: Proxy) -> None:
    """RFC 9113, section 8.5: FIN becomes END_STREAM."""
    with Server(lambda stream: stream.send(b"bye")) as server, Http2Client(proxy.port) as client:
        tunnel = client.request("CONNECT", authority=server.address, end=False)
        assert client.response(tunnel).body == b"bye"


def test_a_tunnels_reset_by_the_server(proxy: Proxy) -> None:
    """RFC 9113, section 8.5: any error of TCP, a reset among them, is a stream error of type CONNECT_ERROR."""

    def resets(stream: Stream) -> None:
        stream.read_some()
        stream.reset()

    with Server(resets) as server, Http2Client(proxy.port) as client:
        tunnel = client.request("CONNECT", authority=server.address, end=False)
        assert client.head(tunnel).status == 200
        client.send(tunnel, b"now")
        assert client.wait_reset(tunnel) == ErrorCodes.CONNECT_ERROR


def test_a_tunnel_that_the_client_resets(proxy: Proxy) -> None:
    ended: list[bool] = []

    def notes(stream: Stream) -> None:
        stream.read_rest()
        ended.append(True)

    with Server(notes) as server, Http2Client(proxy.port) as client:
        tunnel = client.request("CONNECT", authority=server.address, end=False)
        assert client.head(tunnel).status == 200
        client.reset(tunnel)
        proxy.wait_records(lambda record: record.get("port") == server.port)
        until(lambda: ended, "the server to be told")


def test_refused_tunnels(proxy: Proxy) -> None:
    with Proxy(forward(listener=tls_listener(), connect_ports=[443])) as strict, Http2Client(strict.port) as client:
        denied = client.response(client.request("CONNECT", authority="127.0.0.1:22", end=False))
        assert denied.status == 403
        assert strict.wait_records(lambda record: record["reason"] == "connect_port_denied")
    with Http2Client(proxy.port) as client:
        for authority_ in ("127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", ":443", "a b:443"):
            stream = client.request("CONNECT", authority=authority_, end=False)
            assert client.verdict(stream) in (400, "PROTOCOL_ERROR"), authority_


def test_authentication_over_http2(origin: Origin) -> None:
    with Proxy(
        forward(listener=tls_listener(), auth={"basic": "users"}, connect_ports=["1-65535"]), files={"users": users()}
    ) as proxy:
        with Http2Client(proxy.port, authority=origin.address) as client:
            response = client.ask("GET", "/auth-none", scheme="http")
            assert response.status == 407
            assert (response.fields.get("Proxy-Authenticate") or "").startswith("Basic ")
            good, bad = [("proxy-authorization", "Basic YW5uOm9wZW4=")], [("proxy-authorization", "Basic YW5uOm5v")]
            assert client.ask("GET", "/auth-good", good, scheme="http").status == 200
            assert client.ask("GET", "/auth-bad", bad, scheme="http").status == 407
            refused = client.request("CONNECT", authority=origin.address, end=False)
            assert client.response(refused).status == 407
            tunnel = client.request("CONNECT", fields=good, authority=origin.address, end=False)
            assert client.head(tunnel).status == 200
        assert not origin.seen("/auth-none") + origin.seen("/auth-bad")
        assert "Proxy-Authorization" not in origin.only("/auth-good").fields
        assert proxy.record("/auth-good")["user"] == "ann"


def users() -> str:
    """`ann` with the password `open`."""
    return f"ann:{bcrypt.hashpw(b'open', bcrypt.gensalt(4)).decode()}\n"


def test_https_urls_over_http2_are_not_fetched_in_clear(proxy: Proxy, origin: Origin) -> None:
    """`:scheme` https asks the proxy to speak TLS to the origin; without that it refuses."""
    with Http2Client(proxy.port, authority=origin.address) as client:
        assert client.ask("GET", "/not-in-clear", scheme="https").status >= 400
    assert not origin.seen("/not-in-clear")


# -- programs


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("version", ["--proxy-http1.1", "--proxy-http2"])
def test_curl(proxy: Proxy, origin: Origin, secure: Origin, version: str) -> None:
    """Versions of curl before 8.1 know no --proxy-http2."""
    arguments = ["curl", "-sS", "--max-time", "30", "--noproxy", "", "--proxy", f"https://localhost:{proxy.port}"]
    arguments += ["--proxy-cacert", str(authority().file), "--cacert", str(authority().file)]
    if version == "--proxy-http2":
        known = subprocess.run(["curl", "--help", "all"], capture_output=True, text=True, check=False).stdout
        if version not in known:
            pytest.skip("this curl knows no HTTP/2 to proxies: NOT tested")
        arguments.append(version)
    for url, said in (
        (f"http://{origin.address}/curl", "origin GET /curl"),
        (f"https://localhost:{secure.port}/curl", "secure GET /curl"),
    ):
        done = subprocess.run([*arguments, url], env=environment(), capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == (said, "")


def test_httpx(proxy: Proxy, origin: Origin, secure: Origin) -> None:
    through = httpx.Proxy(f"https://localhost:{proxy.port}", ssl_context=client_context())
    with httpx.Client(proxy=through, verify=client_context(), trust_env=False, timeout=15) as client:
        assert client.get(f"http://{origin.address}/httpx").text == "origin GET /httpx"
        assert client.get(f"https://localhost:{secure.port}/httpx").text == "secure GET /httpx"
