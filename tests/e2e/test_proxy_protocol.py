"""The PROXY protocol, versions 1 and 2: believed from trusted proxies only, and told to servers."""

from collections.abc import Iterator

import pytest

from tests.support.client import Client, encode_request, fetch
from tests.support.http2 import Http2Client
from tests.support.http2_origin import Http2Origin
from tests.support.origin import Origin
from tests.support.proxy import Config, Proxy, forward, reverse
from tests.support.proxy_header import LOCAL, PROXY, SIGNATURE, UDP4, UNIX, ToldOrigin, tlv, v1, v2
from tests.support.tls import ServerTls, TlsClient, authority, tls_listener

TRUSTED = "127.1.0.1"
BELIEVES: Config = {"trusted_proxies": ["127.1.0.0/16", "2001:db8:f::/48"]}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    config = reverse([origin.address], listener={"proxy_protocol": True}, timeout={"handshake": "1s"}, **BELIEVES)
    with Proxy(config) as proxy:
        yield proxy


def told(proxy: Proxy, origin: Origin, path: str, header: bytes) -> str | None:
    """Which client the server is told of, when a trusted proxy says a header."""
    with Client(proxy.port, source=TRUSTED) as client:
        client.send(header + encode_request("GET", path))
        assert client.response().status == 200
    return origin.only(path).fields.get("X-Forwarded-For")


# -- in


@pytest.mark.parametrize(
    ("name", "header", "source"),
    [
        ("v1", v1("8.8.8.8", 4711), "8.8.8.8"),
        ("v1-six", v1("2001:db8::7", 4711, "2001:db8::1"), "2001:db8::7"),
        ("v1-unknown", b"PROXY UNKNOWN\r\n", TRUSTED),
        ("v1-unknown-with-more", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", TRUSTED),
        ("v2", v2("8.8.8.8", 4711), "8.8.8.8"),
        ("v2-six", v2("2001:db8::7", 4711), "2001:db8::7"),
        ("v2-local", v2(command=LOCAL), TRUSTED),
        ("v2-local-with-addresses", v2("8.8.8.8", 1, command=LOCAL), TRUSTED),
        ("v2-unspecified", v2(command=PROXY, family=0), TRUSTED),
        ("v2-with-more", v2("8.8.8.8", 4711, extra=tlv(0x02, b"test.example") + tlv(0x04, b"\0" * 300)), "8.8.8.8"),
        ("v2-udp", v2("8.8.8.8", 4711, family=UDP4), TRUSTED),
        ("v2-unix", v2(family=UNIX, extra=b"\0" * 216), TRUSTED),
    ],
)
def test_what_a_trusted_proxy_says(proxy: Proxy, origin: Origin, name: str, header: bytes, source: str) -> None:
    path = f"/{name}"
    assert told(proxy, origin, path, header) == source
    record = proxy.record(path)
    assert record["client"] == source
    if source == "8.8.8.8":
        assert record["client_port"] == 4711


@pytest.mark.parametrize(("name", "header"), [("one", v1("8.8.8.8", 4711)), ("two", v2("8.8.8.8", 4711))])
def test_in_single_bytes(proxy: Proxy, origin: Origin, name: str, header: bytes) -> None:
    with Client(proxy.port, source=TRUSTED) as client:
        for byte in header + encode_request("GET", f"/bytes-{name}"):
            client.send(bytes([byte]))
        assert client.response().status == 200
    assert origin.only(f"/bytes-{name}").fields.get("X-Forwarded-For") == "8.8.8.8"


def test_it_holds_for_all_requests_of_its_connection(proxy: Proxy, origin: Origin) -> None:
    with Client(proxy.port, source=TRUSTED) as client:
        client.send(v2("8.8.4.4", 4711))
        for i in range(3):
            assert client.ask("GET", f"/all-{i}").status == 200
            assert origin.only(f"/all-{i}").fields.get("X-Forwarded-For") == "8.8.4.4"


def test_x_forwarded_for_is_judged_by_the_address_that_was_told(proxy: Proxy, origin: Origin) -> None:
    """The client is 8.8.8.8, which is trusted by nobody."""
    with Client(proxy.port, source=TRUSTED) as client:
        client.send(v1("8.8.8.8", 4711) + encode_request("GET", "/lies", [("X-Forwarded-For", "6.6.6.6")]))
        assert client.response().status == 200
    assert origin.only("/lies").fields.get("X-Forwarded-For") == "8.8.8.8"


def test_client_rules_see_the_address_that_was_told(origin: Origin) -> None:
    routes = [
        {"name": "eight", "match": {"client": ["8.0.0.0/8"]}, "respond": {"body": "eight"}},
        {"name": "rest", "respond": {"body": "rest"}},
    ]
    with Proxy(reverse(routes=routes, listener={"proxy_protocol": True}, **BELIEVES)) as proxy:
        for header, said in ((v2("8.8.8.8", 1), "eight"), (v2("9.9.9.9", 1), "rest"), (v2(command=LOCAL), "rest")):
            with Client(proxy.port, source=TRUSTED) as client:
                client.send(header)
                assert client.ask().text == said


WRONG = {
    "nothing": b"",
    "no header": encode_request("GET", "/wrong"),
    "lower case": b"proxy TCP4 8.8.8.8 1.1.1.1 1 2\r\n",
    "no family": b"PROXY 8.8.8.8 1.1.1.1 1 2\r\n",
    "udp": b"PROXY UDP4 8.8.8.8 1.1.1.1 1 2\r\n",
    "other family": b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    "not an address": b"PROXY TCP4 8.8.8.256 1.1.1.1 1 2\r\n",
    "octal": b"PROXY TCP4 010.8.8.8 1.1.1.1 1 2\r\n",
    "a name": b"PROXY TCP4 localhost 1.1.1.1 1 2\r\n",
    "port too large": b"PROXY TCP4 8.8.8.8 1.1.1.1 65536 2\r\n",
    "a port too few": b"PROXY TCP4 8.8.8.8 1.1.1.1 1\r\n",
    "a port too many": b"PROXY TCP4 8.8.8.8 1.1.1.1 1 2 3\r\n",
    "two spaces": b"PROXY  TCP4 8.8.8.8 1.1.1.1 1 2\r\n",
    "only LF": b"PROXY TCP4 8.8.8.8 1.1.1.1 1 2\n",
    "endless": b"PROXY TCP4 " + b"8" * 200,
    "v2 version": SIGNATURE + b"\x11\x11\x00\x0c" + b"\0" * 12,
    "v2 command": SIGNATURE + b"\x22\x11\x00\x0c" + b"\0" * 12,
    "v2 family": SIGNATURE + b"\x21\x99\x00\x0c" + b"\0" * 12,
    "v2 too short": SIGNATURE + b"\x21\x11\x00\x0b" + b"\0" * 11,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(proxy: Proxy, origin: Origin, name: str) -> None:
    """Without an answer, which would be one to a client that cannot be told; nothing behind it is read."""
    before = [record for record in proxy.records() if record["reason"] == "proxy_protocol_error"]
    with Client(proxy.port, source=TRUSTED) as client:
        client.send(WRONG[name] + (encode_request("GET", "/wrong") if name not in ("nothing", "endless") else b""))
        client.read_rest()
    assert not origin.seen("/wrong")
    proxy.wait_records(lambda record: record["reason"] == "proxy_protocol_error", len(before) + 1)


def test_from_somebody_who_is_not_trusted(proxy: Proxy, origin: Origin) -> None:
    """A header is not believed, and is no request either: the connection ends."""
    for header in (v1("8.8.8.8", 4711), v2("8.8.8.8", 4711)):
        with Client(proxy.port) as client:
            client.send(header + encode_request("GET", "/untrusted"))
            answer = client.read_rest()
            assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    assert not origin.seen("/untrusted")
    assert not [record for record in proxy.records() if record.get("client") == "8.8.8.8" and not record.get("path")]


def test_somebody_who_is_not_trusted_may_come_without(proxy: Proxy, origin: Origin) -> None:
    """The listener's other clients speak as ever: only trusted proxies begin with a header."""
    assert fetch(proxy.port, "/without").status == 200
    assert origin.only("/without").fields.get("X-Forwarded-For") == "127.0.0.1"


def test_a_header_on_a_listener_without_it(origin: Origin) -> None:
    with Proxy(reverse([origin.address], **BELIEVES)) as proxy, Client(proxy.port, source=TRUSTED) as client:
        client.send(v1("8.8.8.8", 4711) + encode_request("GET", "/not-enabled"))
        assert client.response().status == 400
    assert not origin.seen("/not-enabled")


def test_before_tls(origin: Origin) -> None:
    listener = tls_listener(proxy_protocol=True)
    with Proxy(reverse([origin.address], listener=listener, **BELIEVES)) as proxy:
        for number, header in enumerate((v1("8.8.8.8", 4711), v2("8.8.8.8", 4711))):
            with TlsClient(proxy.port, before=header, source=TRUSTED) as client:
                assert client.ask("GET", f"/tls-{number}").status == 200
            with Http2Client(proxy.port, before=header, source=TRUSTED) as two:
                assert two.ask("GET", f"/two-{number}").status == 200
            for path in (f"/tls-{number}", f"/two-{number}"):
                assert origin.only(path).fields.get("X-Forwarded-For") == "8.8.8.8"
                assert proxy.record(path)["client"] == "8.8.8.8"


def test_before_prior_knowledge(proxy: Proxy, origin: Origin) -> None:
    with Http2Client(proxy.port, tls=False, before=v2("8.8.8.8", 4711), source=TRUSTED) as client:
        assert client.ask("GET", "/prior").status == 200
    assert origin.only("/prior").fields.get("X-Forwarded-For") == "8.8.8.8"


def test_on_a_forward_listener(origin: Origin) -> None:
    """Who may use the proxy is decided by the address that was told."""
    config = forward(top=BELIEVES, listener={"proxy_protocol": True}, clients=["8.8.8.8"])
    with Proxy(config) as proxy:
        for source, status in (("8.8.8.8", 200), ("9.9.9.9", 403)):
            with Client(proxy.port, source=TRUSTED) as client:
                client.send(v2(source, 4711))
                url = f"http://{origin.address}/forward"
                assert client.ask("GET", url, host=origin.address).status == status


# -- out


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_told_to_servers(version: int, secure: bool) -> None:
    pool: Config = {"proxy_protocol": f"v{version}"}
    if secure:
        pool["tls"] = {"ca": str(authority().file)}
    tls = ServerTls(alpn=["h2", "http/1.1"]) if secure else None
    with ToldOrigin(tls=tls) as server, Proxy(reverse([server.address], pool=pool)) as proxy:
        with Client(proxy.port, source="127.2.0.1") as client:
            assert client.ask("GET", "/out").status == 200
            said = server.told[server.only("/out").connection]
            assert said.version == version
            assert said.source == ("127.2.0.1", client.port)
            assert said.destination == ("127.0.0.1", proxy.port)
        if tls:
            assert tls.agreed == ["http/1.1"], "one client a connection: not one of HTTP/2"


def test_what_was_told_is_told_on() -> None:
    listener = {"proxy_protocol": True}
    with ToldOrigin() as server:
        config = reverse([server.address], pool={"proxy_protocol": "v2"}, listener=listener, **BELIEVES)
        with Proxy(config) as proxy, Client(proxy.port, source=TRUSTED) as client:
            client.send(v2("2001:db8::7", 4711))
            assert client.ask("GET", "/on").status == 200
            said = server.told[server.only("/on").connection]
            assert said.source == ("2001:db8::7", 4711)


def test_a_kept_connection_is_not_used_for_another_client() -> None:
    """Its header named one client: a second one would be taken for the first."""
    with ToldOrigin() as server:
        config = reverse([server.address], pool={"proxy_protocol": "v1"}, workers=1)
        with Proxy(config) as proxy:
            for turn in range(3):
                for source in ("127.2.0.1", "127.2.0.2"):
                    path = f"/kept-{turn}-{source}"
                    assert fetch(proxy.port, path, source=source).status == 200
                    said = server.told[server.only(path).connection]
                    assert said.source is not None
                    assert said.source[0] == source


def test_requests_of_one_client_connection_share_one() -> None:
    with ToldOrigin() as server:
        config = reverse([server.address], pool={"proxy_protocol": "v1"}, workers=1)
        with Proxy(config) as proxy, Client(proxy.port) as client:
            for i in range(5):
                assert client.ask("GET", f"/share-{i}").status == 200
            said = {server.told[request.connection].source for request in server.requests}
            assert said == {("127.0.0.1", client.port)}


def test_clients_of_http2_each_by_their_own() -> None:
    with ToldOrigin() as server:
        config = reverse([server.address], pool={"proxy_protocol": "v2"}, listener=tls_listener(), workers=1)
        with Proxy(config) as proxy:
            for source in ("127.2.0.1", "127.2.0.2"):
                with Http2Client(proxy.port, source=source) as client:
                    streams = [client.request("GET", f"/h2-{source}") for _ in range(5)]
                    assert {client.response(stream).status for stream in streams} == {200}
            for request in server.requests:
                said = server.told[request.connection].source
                assert said is not None
                assert request.target == f"/h2-{said[0]}"


def test_a_server_that_wants_none() -> None:
    """Nothing is sent where nothing is configured."""
    with Http2Origin() as two, Origin() as one:
        for address, pool in ((two.address, {"protocol": "h2"}), (one.address, {})):
            with Proxy(reverse([address], pool=pool)) as proxy:
                assert fetch(proxy.port, "/none").status == 200
