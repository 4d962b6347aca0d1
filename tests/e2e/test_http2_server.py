"""HTTP/2 from clients to HTTP/1.1 servers: the same flow, one connection for many."""

import threading
from collections.abc import Iterator

import pytest
from h2.settings import SettingCodes

from tests.support.client import Client, chunked
from tests.support.http2 import Http2Client, fetch2
from tests.support.origin import Exchange, Origin, Refusing, replies, responds
from tests.support.proxy import Proxy, reverse
from tests.support.tls import tls_listener
from tests.support.wait import wait_for


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    routes = [
        {
            "name": "rules",
            "match": {"path": "/rules/*"},
            "pool": "all",
            "headers": {
                "request": {"set": {"X-Set": "s"}, "add": {"X-Add": "a"}, "remove": ["X-Gone"]},
                "response": {"set": {"X-Out": "o"}, "add": {"X-More": "m"}, "remove": ["X-Secret"]},
            },
        },
        {"name": "here", "match": {"path": "/here/*"}, "respond": {"status": 203, "body": "from here"}},
        {"name": "away", "match": {"path": "/away"}, "redirect": "https://elsewhere.example/"},
        {"name": "all", "match": {"path": "/*"}, "pool": "all"},
    ]
    with Proxy(reverse([origin.address], routes=routes, listener=tls_listener())) as proxy:
        yield proxy


def test_many_requests_on_one_connection(proxy: Proxy, origin: Origin) -> None:
    with Http2Client(proxy.port) as client:
        streams = [client.request("GET", f"/many/{i}") for i in range(100)]
        assert [client.response(stream).text for stream in streams] == [f"origin GET /many/{i}" for i in range(100)]
    records = proxy.wait_records(lambda record: record.get("path", "").startswith("/many/"), 100)
    assert len({record["path"] for record in records}) == len(records) == 100


def test_a_slow_one_does_not_hold_up_the_others(proxy: Proxy, origin: Origin) -> None:
    go = threading.Event()

    def slow(exchange: Exchange) -> None:
        wait_for(go, "the test's leave")
        exchange.respond(200, b"late")

    origin.on("/slow", slow)
    with Http2Client(proxy.port) as client:
        late = client.request("GET", "/slow")
        for i in range(10):
            assert client.ask("GET", f"/quick/{i}").status == 200
        assert client.replies[late].status is None
        go.set()
        assert client.response(late).text == "late"


def test_what_the_server_and_the_log_see(proxy: Proxy, origin: Origin) -> None:
    fields = [("user-agent", "Two/2"), ("x-a", "1"), ("x-a", "2")]
    assert fetch2(proxy.port, "/seen?q=1", fields, method="POST", body=b"12345").status == 200
    request = origin.only("/seen")
    assert (request.method, request.target, request.version) == ("POST", "/seen?q=1", "HTTP/1.1")
    assert request.body == b"12345"
    assert request.fields.get("Host") == "test.example"
    assert request.fields.values("X-A") == ["1", "2"]
    assert request.fields.get("X-Forwarded-Proto") == "https"
    assert request.fields.get("X-Forwarded-For") == "127.0.0.1"
    assert request.fields.get("X-Forwarded-Host") == "test.example"
    assert (request.fields.get("Via") or "").startswith("2.0 "), "RFC 9110, section 7.6.3: the version received"
    assert not any(name.startswith(":") for name in request.fields.names())
    record = proxy.record("/seen")
    expected = {
        "protocol": "HTTP/2.0",
        "tls": "TLSv1.3",
        "sni": "test.example",
        "scheme": "https",
        "host": "test.example",
        "method": "POST",
        "query": "q=1",
        "status": 200,
        "upstream_status": 200,
        "reason": "forwarded",
        "ending": "complete",
        "request_body": 5,
        "response_body": len("origin POST /seen?q=1"),
        "user_agent": "Two/2",
    }
    assert {key: record.get(key) for key in expected} == expected
    assert record["bytes_in"] > 5
    assert record["bytes_out"] > record["response_body"]


def test_the_response_is_http2s(proxy: Proxy, origin: Origin) -> None:
    """Section 8.2.2: no connection-specific field; names in lower case (which `h2` checks)."""
    origin.on(
        "/h1-ish",
        replies(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: Yes\r\n"
            b"Proxy-Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r\n\r\n" + chunked(b"abc")
        ),
    )
    response = fetch2(proxy.port, "/h1-ish")
    assert response.body == b"abc"
    assert response.fields.get("x-kept") == "Yes"
    banned = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "x-hop"}
    assert not banned & response.fields.names()


def test_several_fields_of_one_name(proxy: Proxy, origin: Origin) -> None:
    origin.on(
        "/several", responds(200, b"", ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Vary", "A"), ("Vary", "B"))
    )
    fields = fetch2(proxy.port, "/several").fields
    assert fields.values("set-cookie") == ["a=1", "b=2"], "cookies of responses are never joined"
    assert ", ".join(fields.values("vary")) == "A, B"


def test_cookie_crumbs_are_joined(proxy: Proxy, origin: Origin) -> None:
    """Section 8.2.3: by `; ` before they go to HTTP/1.1."""
    fetch2(proxy.port, "/crumbs", [("cookie", "a=1"), ("x-between", "1"), ("cookie", "b=2"), ("cookie", "c=3; d=4")])
    assert origin.only("/crumbs").fields.get("Cookie") == "a=1; b=2; c=3; d=4"


def test_te_trailers(proxy: Proxy, origin: Origin) -> None:
    """Section 8.2.2: gRPC's clients say it; hop by hop, so that it stands in Connection or goes no further."""
    assert fetch2(proxy.port, "/te", [("te", "trailers")]).status == 200
    fields = origin.only("/te").fields
    if "TE" in fields:
        assert fields.get("TE") == "trailers"
        assert "te" in (fields.get("Connection") or "").lower()


def test_header_rules(proxy: Proxy, origin: Origin) -> None:
    origin.on("/rules/1", responds(200, b"", ("X-Secret", "1"), ("X-Out", "old"), ("X-More", "0")))
    response = fetch2(proxy.port, "/rules/1", [("x-set", "old"), ("x-add", "0"), ("x-gone", "1")])
    fields = origin.only("/rules/1").fields
    assert (fields.get("X-Set"), fields.values("X-Add"), "X-Gone" in fields) == ("s", ["0", "a"], False)
    assert response.fields.get("x-out") == "o"
    assert response.fields.values("x-more") == ["0", "m"]
    assert "x-secret" not in response.fields


def test_routes_that_answer_themselves(proxy: Proxy) -> None:
    response = fetch2(proxy.port, "/here/x")
    assert (response.status, response.text) == (203, "from here")
    assert response.fields.get("content-length") == "9"
    away = fetch2(proxy.port, "/away")
    assert (away.status, away.fields.get("location")) == (302, "https://elsewhere.example/")


def test_a_page_of_the_proxy(origin: Origin) -> None:
    routes = [{"name": "one", "match": {"path": "/one"}, "pool": "all"}]
    with Proxy(reverse([origin.address], routes=routes, listener=tls_listener())) as proxy:
        response = fetch2(proxy.port, "/two", [("accept", "application/json")])
        assert response.status == 404
        assert "no_route" in (response.fields.get("proxy-status") or "")
        assert response.json()["status"] == 404
        assert proxy.record("/two")["protocol"] == "HTTP/2.0"


# -- heads without bodies, interim heads


def test_head(proxy: Proxy, origin: Origin) -> None:
    response = fetch2(proxy.port, "/head", method="HEAD")
    assert (response.status, response.body) == (200, b"")
    assert response.fields.get("content-length") == str(len("origin HEAD /head"))


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(proxy: Proxy, origin: Origin, status: int) -> None:
    origin.on(f"/{status}", replies(f'HTTP/1.1 {status} X\r\nETag: "e"\r\n\r\n'.encode()))
    with Http2Client(proxy.port) as client:
        for _ in range(3):
            response = client.ask("GET", f"/{status}")
            assert (response.status, response.body, response.fields.get("etag")) == (status, b"", '"e"')


def test_early_hints(proxy: Proxy, origin: Origin) -> None:
    go = threading.Event()

    def hints(exchange: Exchange) -> None:
        exchange.send(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n"
        )
        wait_for(go, "the test's leave")
        exchange.respond(200, b"page")

    origin.on("/hints", hints)
    with Http2Client(proxy.port) as client:
        stream = client.request("GET", "/hints")
        client.until(lambda: len(client.replies[stream].interim) == 2)
        go.set()
        response = client.response(stream)
    assert response.text == "page"
    assert [(status, fields.get("link")) for status, fields in response.interim] == [
        (103, "</a.css>"),
        (103, "</b.css>"),
    ]


def test_continue(proxy: Proxy, origin: Origin) -> None:
    """The client waits for the server's word (RFC 9110, section 10.1.1)."""

    def wants(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.respond(200, exchange.read_body())

    origin.on("/continue", wants)
    with Http2Client(proxy.port) as client:
        stream = client.request("POST", "/continue", [("expect", "100-continue"), ("content-length", "3")], end=False)
        client.until(lambda: client.replies[stream].interim)
        assert client.replies[stream].interim[0][0] == 100
        client.send(stream, b"abc", end=True)
        assert client.response(stream).body == b"abc"


# -- trailers


def test_trailers_of_requests(proxy: Proxy, origin: Origin) -> None:
    with Http2Client(proxy.port) as client:
        stream = client.request("POST", "/trailers-up", end=False)
        client.send(stream, b"abc")
        client.trailers(stream, [("x-checksum", "900150983cd24fb0"), ("x-second", "2")])
        assert client.response(stream).status == 200
    request = origin.only("/trailers-up")
    assert request.body == b"abc"
    assert (request.trailers.get("x-checksum"), request.trailers.get("x-second")) == ("900150983cd24fb0", "2")


def test_trailers_of_responses(proxy: Proxy, origin: Origin) -> None:
    body = chunked(b"abc", trailers=[("X-Status", "0"), ("X-Message", "fine")])
    origin.on("/trailers-down", replies(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
    response = fetch2(proxy.port, "/trailers-down", [("te", "trailers")])
    assert response.body == b"abc"
    assert (response.trailers.get("x-status"), response.trailers.get("x-message")) == ("0", "fine")


# -- which protocol is spoken


def test_prior_knowledge(origin: Origin) -> None:
    """RFC 9113, section 3.3, and HTTP/1.1 on the same plain port."""
    with Proxy(reverse([origin.address])) as proxy:
        with Http2Client(proxy.port, tls=False) as client:
            streams = [client.request("GET", f"/prior/{i}") for i in range(10)]
            assert {client.response(stream).status for stream in streams} == {200}
        with Client(proxy.port) as one:
            assert one.ask("GET", "/one").status == 200
        record = proxy.record("/prior/3")
        assert (record["protocol"], record["scheme"]) == ("HTTP/2.0", "http")
        assert "tls" not in record
    assert origin.only("/prior/3").fields.get("X-Forwarded-Proto") == "http"


def test_turned_off(origin: Origin) -> None:
    with Proxy(reverse([origin.address], listener={"http2": False})) as proxy, Client(proxy.port) as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert client.response().status in (400, 505)


def test_the_upgrade_of_old_is_not_taken(proxy: Proxy, origin: Origin) -> None:
    """RFC 9113, section 3.1: `Upgrade: h2c` is gone; the request is answered as what it is."""
    with Proxy(reverse([origin.address])) as plain, Client(plain.port) as client:
        fields = [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAoAAA")]
        response = client.ask("GET", "/h2c", fields)
        assert (response.status, response.text) == (200, "origin GET /h2c")
    assert "HTTP2-Settings" not in origin.only("/h2c").fields
    assert "h2c" not in (origin.only("/h2c").fields.get("Upgrade") or "")


def test_what_is_announced(proxy: Proxy) -> None:
    with Http2Client(proxy.port) as client:
        assert client.setting(SettingCodes.MAX_CONCURRENT_STREAMS) == 100, "limits.streams"
        assert client.setting(SettingCodes.INITIAL_WINDOW_SIZE) == 256 * 1024, "limits.stream_window"
        assert client.setting(SettingCodes.MAX_HEADER_LIST_SIZE) >= 16_384
        assert client.setting(SettingCodes.ENABLE_CONNECT_PROTOCOL) == 1, "RFC 8441"
        assert client.setting(SettingCodes.HEADER_TABLE_SIZE) <= 65_536


def test_retries(origin: Origin) -> None:
    """As over HTTP/1.1: a GET whose server is dead goes to the next one."""
    with Refusing() as dead, Proxy(reverse([dead.address, origin.address], listener=tls_listener())) as proxy:
        with Http2Client(proxy.port) as client:
            streams = [client.request("GET", f"/retried/{i}") for i in range(20)]
            assert {client.response(stream).status for stream in streams} == {200}
        records = proxy.wait_records(lambda record: record["status"] == 200, 20)
        assert {record["attempts"] for record in records} == {1, 2}


def test_a_match_of_header_fields(origin: Origin) -> None:
    routes = [
        {
            "name": "beta",
            "match": {"header": {"X-Beta": "1"}, "cookie": {"group": "a"}, "host": "test.example"},
            "pool": "all",
        },
        {"name": "rest", "respond": {"body": "rest"}},
    ]
    with Proxy(reverse([origin.address], routes=routes, listener=tls_listener())) as proxy:
        cookies = [("cookie", "x=y"), ("cookie", "group=a")]
        assert fetch2(proxy.port, "/beta", [("x-beta", "1"), *cookies]).text == "origin GET /beta"
        assert fetch2(proxy.port, "/beta", [("x-beta", "1")]).text == "rest"


def test_connect_on_a_reverse_listener(proxy: Proxy) -> None:
    """It is no forward proxy, whatever version of HTTP it is asked in."""
    with Http2Client(proxy.port) as client:
        assert client.response(client.request("CONNECT", authority="test.example:443")).status == 405
        assert client.ask("GET", "/after-connect").status == 200
    assert proxy.wait_records(lambda record: record["reason"] == "method_not_allowed")
