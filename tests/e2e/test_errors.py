"""Answers that the proxy makes itself: status, page by `Accept`, `Proxy-Status`, one record, no internals."""

import re
from collections.abc import Iterator

import pytest

from tests.support.client import Client, Response, fetch, fetch_raw
from tests.support.echo import Server
from tests.support.names import NameServer
from tests.support.origin import Exchange, Origin, Refusing, replies
from tests.support.proxy import Proxy, reverse
from tests.support.stream import Stream


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def dead() -> Iterator[Refusing]:
    with Refusing() as dead:
        yield dead


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with NameServer() as names:
        names.silence("silent.test")
        yield names


@pytest.fixture(scope="module")
def proxy(origin: Origin, dead: Refusing, names: NameServer) -> Iterator[Proxy]:
    routes = [
        {"name": "dead", "match": {"path": "/dead"}, "pool": "dead", "headers": {"response": {"set": {"X-Rule": "1"}}}},
        {"name": "lost", "match": {"path": "/lost"}, "pool": "lost"},
        {"name": "silent", "match": {"path": "/silent"}, "pool": "silent", "timeout": {"connect": "300ms"}},
        {"name": "slow", "match": {"path": "/slow"}, "pool": "all", "timeout": {"first_byte": "200ms"}},
        {"name": "stalls", "match": {"path": "/stalls"}, "pool": "all", "timeout": {"idle": "200ms"}},
        {"name": "small", "match": {"path": "/small"}, "pool": "all", "limits": {"body": "1KiB"}},
        {"name": "none", "match": {"path": "/none"}, "pool": "none"},
        {"name": "rest", "match": {"path": "/o/*"}, "pool": "all"},
    ]
    pools = {
        "dead": {"servers": [dead.address]},
        "lost": {"servers": ["nowhere.test:80"]},
        "silent": {"servers": ["silent.test:80"]},
        "none": {"servers": [{"address": dead.address, "weight": 0}]},
    }
    top = {"resolver": {**names.config, "timeout": "1s"}, "limits": {"head": "8KiB", "target": "2KiB", "fields": 50}}
    with Proxy(reverse([origin.address], routes=routes, pools=pools, **top)) as proxy:
        yield proxy


def error_of(response: Response) -> str:
    """The error type of the last member of Proxy-Status (RFC 9209)."""
    value = ", ".join(response.fields.values("Proxy-Status"))
    found = re.search(r";\s*error=([a-z_]+)", value)
    assert found, f"no error in Proxy-Status: {value!r}"
    return found[1]


@pytest.mark.parametrize(
    ("path", "status", "error", "slug"),
    [
        ("/nothing", 404, "destination_not_found", "no_route"),
        ("/dead", 502, "connection_refused", "connection_refused"),
        ("/lost", 502, "dns_error", "dns_error"),
        ("/silent", 504, "dns_timeout|connection_timeout", "dns_timeout|connection_timeout"),
        ("/slow", 504, "http_response_timeout", "response_timeout"),
        ("/none", 503, "destination_unavailable", "no_server"),
    ],
)
def test_status_slug_and_record(proxy: Proxy, origin: Origin, path: str, status: int, error: str, slug: str) -> None:
    origin.on("/slow", lambda exchange: exchange.expect_closed())
    response = fetch(proxy.port, path)
    assert response.status == status
    assert re.fullmatch(error, error_of(response))
    record = proxy.record(path)
    assert record["status"] == status
    assert re.fullmatch(slug, record["reason"])


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (1, b"not http at all\r\n\r\n"),
        (2, b"HTTP/1.1 2000 X\r\n\r\n"),
        (3, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        (4, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (5, b"HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n"),
        (6, b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n"),
        (7, b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n"),
        (8, b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        (9, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        (10, b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (11, b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_an_answer_that_is_not_valid_is_502(proxy: Proxy, origin: Origin, number: int, answer: bytes) -> None:
    origin.on(f"/o/invalid-{number}", replies(answer, close=True))
    response = fetch(proxy.port, f"/o/invalid-{number}")
    assert response.status == 502
    assert error_of(response) == "http_protocol_error"
    assert proxy.record(f"/o/invalid-{number}")["reason"] == "response_invalid"


def test_an_answer_with_a_boundless_head_is_502(proxy: Proxy, origin: Origin) -> None:
    origin.on("/o/huge", replies(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2_000_000 + b"\r\n\r\n", close=True))
    assert fetch(proxy.port, "/o/huge").status == 502


def test_no_answer_at_all_is_502(proxy: Proxy, origin: Origin) -> None:
    origin.on("/o/mute", replies(b"", close=True))
    response = fetch(proxy.port, "/o/mute", method="POST", body=b"x")
    assert response.status == 502
    assert error_of(response) == "connection_terminated"


def test_half_a_head_is_502(proxy: Proxy, origin: Origin) -> None:
    origin.on("/o/half", replies(b"HTTP/1.1 200 OK\r\nContent-", close=True))
    response = fetch(proxy.port, "/o/half", method="POST", body=b"x")
    assert response.status == 502
    assert error_of(response) in ("connection_terminated", "http_response_incomplete")


def test_an_answer_that_stalls_is_cut_off(proxy: Proxy, origin: Origin) -> None:
    def stalls(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        exchange.expect_closed()

    origin.on("/stalls", stalls)
    with Client(proxy.port) as client:
        client.request("GET", "/stalls")
        head = client.head()
        assert head.status == 200
        client.expect_broken_off(head)
    record = proxy.record("/stalls")
    assert (record["reason"], record["ending"]) == ("read_timeout", "expired")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_413(proxy: Proxy, origin: Origin, framing: str) -> None:
    with Client(proxy.port) as client:
        if framing == "length":
            client.request("POST", "/small", [("Content-Length", "2000")])
        else:
            client.request("POST", "/small", [("Transfer-Encoding", "chunked")], b"7d0\r\n" + b"x" * 2000 + b"\r\n")
        response = client.response()
        assert response.status == 413
    if framing == "length":
        assert not origin.seen("/small"), "a length that is too large is refused before anything is sent"
    assert fetch(proxy.port, "/small", method="POST", body=b"x" * 1024).status == 200


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("target", b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414),
        ("head", b"GET /o/x HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
        ("fields", b"GET /o/x HTTP/1.1\r\nHost: t\r\n" + b"X: a\r\n" * 60 + b"\r\n", 431),
        ("version", b"GET /o/x HTTP/3.0\r\nHost: t\r\n\r\n", 505),
        ("method", b"G@T /o/x HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("coding", b"POST /o/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("expect", b"POST /o/x HTTP/1.1\r\nHost: t\r\nExpect: magic\r\nContent-Length: 0\r\n\r\n", 417),
        ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400),
    ],
)
def test_what_the_client_did_wrong(proxy: Proxy, origin: Origin, name: str, data: bytes, status: int) -> None:
    before = len(origin.requests)
    with Client(proxy.port) as client:
        client.send(data)
        response = client.response()
        assert response.status == status
        assert error_of(response) == "http_request_error"
        assert (response.fields.get("Connection") or "").lower() == "close" or status == 417
        if status != 417:
            client.expect_closed()
    assert len(origin.requests) == before


def test_trace_and_connect_on_a_reverse_listener(proxy: Proxy, origin: Origin) -> None:
    assert fetch(proxy.port, "/o/trace", method="TRACE").status in (405, 501)
    assert not origin.seen("/o/trace"), "TRACE would show a client the fields that the proxy adds"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/plain"),
        ("*/*", "text/plain"),
        ("text/html", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/json", "application/json"),
        ("application/json;q=0.5, text/html", "text/html"),
        ("text/html;q=0, application/json", "application/json"),
        ("image/png", "text/plain"),
    ],
)
@pytest.mark.parametrize("path", ["/nothing", "/dead"])
def test_the_page_by_accept(proxy: Proxy, path: str, accept: str | None, kind: str) -> None:
    response = fetch(proxy.port, path, [("Accept", accept)] if accept else [])
    told = (response.fields.get("Content-Type") or "").partition(";")[0]
    assert told == kind or (kind == "application/json" and told == "application/problem+json"), told
    assert response.body
    if kind == "application/json":
        tree = response.json()
        assert tree["status"] == response.status
        assert tree["title"] or tree["reason"]
    if kind == "text/html":
        assert response.text.lstrip().lower().startswith("<!doctype html")
        assert str(response.status) in response.text


def test_nothing_internal_and_nothing_of_the_client_is_in_a_page(proxy: Proxy, dead: Refusing) -> None:
    fields = [("Accept", "text/html"), ("X-Evil", "<script>")]
    for path in ("/dead", "/<script>alert(1)</script>", "/lost"):
        response = fetch(proxy.port, path, fields)
        for word in ("<script>", dead.address, "127.0.0.1", "nowhere.test", "crates/", ".rs:", "Traceback"):
            assert word not in response.text, word
        assert "127.0.0.1" not in ", ".join(response.fields.values("Proxy-Status"))


def test_a_head_request_gets_no_page(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        assert client.ask("HEAD", "/nothing").status == 404
        assert client.ask("GET", "/o/after").status == 200


def test_the_connection_goes_on_where_framing_is_sure(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        assert client.ask("GET", "/nothing").status == 404
        assert client.ask("POST", "/dead", body=b"x" * 100).status == 502
        assert client.ask("GET", "/o/still").text == "origin GET /o/still"


def test_rules_of_the_route_hold_for_its_errors(proxy: Proxy) -> None:
    assert fetch(proxy.port, "/dead").fields.get("X-Rule") == "1"


def test_errors_are_not_to_be_stored(proxy: Proxy) -> None:
    assert "no-store" in (fetch(proxy.port, "/dead").fields.get("Cache-Control") or "")


def test_proxy_status_names_this_proxy(proxy: Proxy) -> None:
    value = fetch(proxy.port, "/dead").fields.get("Proxy-Status") or ""
    assert re.match(r'(?:"[^"]+"|[A-Za-z*][\w:/.*-]*)\s*;', value), value


def mute(stream: Stream) -> None:
    """Takes everything and says nothing."""
    stream.read_rest()


def test_a_server_that_accepts_and_says_nothing_is_not_waited_for_for_ever() -> None:
    with Server(mute) as server:
        routes = [{"name": "all", "match": {"path": "/*"}, "pool": "all", "timeout": {"first_byte": "200ms"}}]
        with Proxy(reverse([server.address], routes=routes)) as proxy:
            assert fetch(proxy.port, "/").status == 504


def test_bad_requests_are_recorded(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        port = client.port
        client.send(b"BROKEN\r\n\r\n")
        assert client.response().status == 400
    assert proxy.wait_records(lambda record: record["reason"] == "bad_request" and record["client_port"] == port)
    assert fetch_raw(proxy.port, b"GET /o/x HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").status == 200
