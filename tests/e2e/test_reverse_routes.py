"""Which route decides: the first that matches, and every kind of condition."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client, Response, fetch
from tests.support.origin import Origin
from tests.support.proxy import Proxy, reverse

ROUTES: list[dict[str, Any]] = [
    {"name": "exact-host", "match": {"host": "One.example"}, "respond": {"body": "exact-host"}},
    {"name": "wild-host", "match": {"host": ["*.wild.example"]}, "respond": {"body": "wild-host"}},
    {"name": "exact-path", "match": {"path": "/exact"}, "respond": {"body": "exact-path"}},
    {"name": "prefix", "match": {"path": "/v1/*"}, "respond": {"body": "prefix"}},
    {"name": "regex", "match": {"path": "~^/item/[0-9]+$"}, "respond": {"body": "regex"}},
    {"name": "two-paths", "match": {"path": ["/left", "/right/*"]}, "respond": {"body": "two-paths"}},
    {"name": "method", "match": {"path": "/m", "method": ["PUT", "DELETE"]}, "respond": {"body": "method"}},
    {"name": "header", "match": {"path": "/h", "header": {"x-beta": "1"}}, "respond": {"body": "header"}},
    {"name": "header-any", "match": {"path": "/h", "header": {"x-any": "*"}}, "respond": {"body": "header-any"}},
    {
        "name": "header-prefix",
        "match": {"path": "/h", "header": {"x-pre": "ab*"}},
        "respond": {"body": "header-prefix"},
    },
    {"name": "header-regex", "match": {"path": "/h", "header": {"x-re": "~^a+$"}}, "respond": {"body": "header-regex"}},
    {"name": "query", "match": {"path": "/q", "query": {"v": "a b"}}, "respond": {"body": "query"}},
    {"name": "cookie", "match": {"path": "/c", "cookie": {"group": "a"}}, "respond": {"body": "cookie"}},
    {"name": "client", "match": {"path": "/who", "client": ["127.9.0.0/16"]}, "respond": {"body": "client"}},
    {
        "name": "all-of",
        "match": {"path": "/all/*", "method": "GET", "header": {"x-a": "1"}, "query": {"b": "2"}},
        "respond": {"body": "all-of"},
    },
    {"name": "gone", "match": {"path": "/old/*"}, "respond": {"status": 410, "body": "gone"}},
    {
        "name": "json",
        "match": {"path": "/answer.json"},
        "respond": {"status": 202, "body": "{}", "content_type": "application/json", "headers": {"X-Own": "yes"}},
    },
    {"name": "moved", "match": {"path": "/go"}, "redirect": {"to": "https://new.example/", "status": 308}},
    {"name": "plain", "match": {"path": "/plain"}, "redirect": "https://plain.example/"},
    {"name": "tls", "match": {"path": "/up/*"}, "redirect": {"to": "https://{host}{uri}", "status": 301}},
    {"name": "strip", "match": {"path": "/api/*"}, "pool": "all", "rewrite": {"strip_prefix": "/api"}},
    {"name": "add", "match": {"path": "/add/*"}, "pool": "all", "rewrite": {"add_prefix": "/base"}},
    {
        "name": "replace",
        "match": {"path": "/user/*"},
        "pool": "all",
        "rewrite": {"replace": {"pattern": "^/user/([a-z]+)$", "with": "/u-$1"}},
    },
    {"name": "host", "match": {"path": "/newhost"}, "pool": "all", "rewrite": {"host": "inner.example"}},
    {"name": "pooled", "match": {"path": "/pool/*"}, "pool": "all"},
]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(reverse([origin.address], routes=ROUTES)) as proxy:
        yield proxy


def decided(response: Response) -> str:
    """The route that answered, by its body; `-` where none did."""
    return "-" if response.status == 404 else response.text


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("one.example", "exact-host"),
        ("ONE.EXAMPLE", "exact-host"),
        ("one.example:8080", "exact-host"),
        ("a.wild.example", "wild-host"),
        ("a.b.wild.example", "wild-host"),
        ("wild.example", "-"),
        ("notwild.example", "-"),
        ("xone.example", "-"),
        ("one.example.evil.example", "-"),
    ],
)
def test_host(proxy: Proxy, host: str, expected: str) -> None:
    assert decided(fetch(proxy.port, "/nothing", host=host)) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/exact", "exact-path"),
        ("/exact?x=/v1/", "exact-path"),
        ("/exact/", "-"),
        ("/Exact", "-"),
        ("/v1/", "prefix"),
        ("/v1/a/b?c", "prefix"),
        ("/v1", "-"),
        ("/v10/", "-"),
        ("/item/42", "regex"),
        ("/item/42x", "-"),
        ("/left", "two-paths"),
        ("/right/x", "two-paths"),
        ("/%76%31/z", "prefix"),
        ("/x/../v1/z", "prefix"),
        ("/v1/../exact", "exact-path"),
        ("/./exact", "exact-path"),
    ],
)
def test_path(proxy: Proxy, target: str, expected: str) -> None:
    assert decided(fetch(proxy.port, target)) == expected


def test_method(proxy: Proxy) -> None:
    assert decided(fetch(proxy.port, "/m", method="PUT", body=b"")) == "method"
    assert decided(fetch(proxy.port, "/m", method="DELETE")) == "method"
    assert decided(fetch(proxy.port, "/m")) == "-"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("X-Beta", "1")], "header"),
        ([("x-BETA", "2"), ("X-Beta", "1")], "header"),
        ([("X-Beta", "11")], "-"),
        ([("X-Any", "whatever")], "header-any"),
        ([("X-Pre", "abc")], "header-prefix"),
        ([("X-Pre", "xab")], "-"),
        ([("X-Re", "aaa")], "header-regex"),
        ([("X-Re", "aab")], "-"),
    ],
)
def test_header(proxy: Proxy, fields: list[tuple[str, str]], expected: str) -> None:
    assert decided(fetch(proxy.port, "/h", fields)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [("v=a%20b", "query"), ("v=a+b", "query"), ("x=1&v=a%20b", "query"), ("%76=a+b", "query"), ("v=a", "-"), ("", "-")],
)
def test_query(proxy: Proxy, query: str, expected: str) -> None:
    assert decided(fetch(proxy.port, f"/q?{query}")) == expected


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [("group=a", "cookie"), ("x=1; group=a; y=2", "cookie"), ("group=ab", "-"), ("mygroup=a", "-"), ("x=group=a", "-")],
)
def test_cookie(proxy: Proxy, cookie: str, expected: str) -> None:
    assert decided(fetch(proxy.port, "/c", [("Cookie", cookie)])) == expected


def test_client_network(proxy: Proxy) -> None:
    assert decided(fetch(proxy.port, "/who", source="127.9.1.1")) == "client"
    assert decided(fetch(proxy.port, "/who", source="127.8.1.1")) == "-"


def test_all_conditions_must_hold(proxy: Proxy) -> None:
    assert decided(fetch(proxy.port, "/all/x?b=2", [("X-A", "1")])) == "all-of"
    assert decided(fetch(proxy.port, "/all/x?b=3", [("X-A", "1")])) == "-"
    assert decided(fetch(proxy.port, "/all/x?b=2")) == "-"


def test_no_route_is_404_and_asks_nobody(proxy: Proxy, origin: Origin) -> None:
    assert fetch(proxy.port, "/nowhere").status == 404
    assert not origin.seen("/nowhere")


def test_respond(proxy: Proxy) -> None:
    gone = fetch(proxy.port, "/old/x")
    assert (gone.status, gone.text) == (410, "gone")
    answer = fetch(proxy.port, "/answer.json")
    assert (answer.status, answer.text) == (202, "{}")
    assert answer.fields.get("Content-Type") == "application/json"
    assert answer.fields.get("X-Own") == "yes"
    assert answer.fields.get("Date")


def test_respond_to_head_has_the_length_and_no_body(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        head = client.ask("HEAD", "/old/x")
        assert (head.status, head.fields.get("Content-Length")) == (410, "4")
        assert client.ask("GET", "/exact").text == "exact-path"


def test_respond_reads_the_request_body_away(proxy: Proxy) -> None:
    with Client(proxy.port) as client:
        assert client.ask("POST", "/old/x", body=b"GET /exact HTTP/1.1\r\n\r\n").status == 410
        assert client.ask("GET", "/exact").text == "exact-path"


def test_redirect(proxy: Proxy) -> None:
    moved = fetch(proxy.port, "/go")
    assert (moved.status, moved.fields.get("Location")) == (308, "https://new.example/")
    assert fetch(proxy.port, "/plain").status == 302
    secure = fetch(proxy.port, "/up/x?y=1", host="shop.example")
    assert (secure.status, secure.fields.get("Location")) == (301, "https://shop.example/up/x?y=1")


def test_redirect_cannot_be_split(proxy: Proxy) -> None:
    response = fetch(proxy.port, "/up/%0d%0aSet-Cookie:%20a=b")
    assert response.status == 301
    assert "Set-Cookie" not in response.fields


@pytest.mark.parametrize(
    ("target", "upstream"),
    [
        ("/api/z?q=1", "/z?q=1"),
        ("/api/", "/"),
        ("/%61pi/z", "/z"),
        ("/add/x", "/base/add/x"),
        ("/user/ann?x", "/u-ann?x"),
        ("/pool/a%2Fb?c=%20", "/pool/a%2Fb?c=%20"),
        ("/pool/?", "/pool/?"),
    ],
)
def test_rewrite(proxy: Proxy, target: str, upstream: str) -> None:
    assert fetch(proxy.port, target).text == f"origin GET {upstream}"


def test_host_goes_up_as_it_came_unless_rewritten(proxy: Proxy, origin: Origin) -> None:
    fetch(proxy.port, "/pool/host", host="Keep.example:81")
    assert origin.only("/pool/host").fields.get("Host") == "Keep.example:81"
    fetch(proxy.port, "/newhost", host="outer.example")
    assert origin.only("/newhost").fields.get("Host") == "inner.example"
    assert origin.only("/newhost").fields.get("X-Forwarded-Host") == "outer.example"


def test_first_match_wins_over_a_better_one() -> None:
    routes = [
        {"name": "wide", "match": {"path": "/*"}, "respond": {"body": "wide"}},
        {"name": "narrow", "match": {"host": "one.example", "path": "/x"}, "respond": {"body": "narrow"}},
    ]
    with Proxy(reverse(routes=routes)) as proxy:
        assert fetch(proxy.port, "/x", host="one.example").text == "wide"


def test_a_believed_client_address_decides() -> None:
    routes = [
        {"name": "inside", "match": {"client": ["10.0.0.0/8"]}, "respond": {"body": "inside"}},
        {"name": "outside", "match": {"path": "/*"}, "respond": {"body": "outside"}},
    ]
    with Proxy(reverse(routes=routes, trusted_proxies=["127.0.0.1/32"])) as proxy:
        assert fetch(proxy.port, "/", [("X-Forwarded-For", "10.1.2.3")]).text == "inside"
        assert fetch(proxy.port, "/", [("X-Forwarded-For", "10.1.2.3")], source="127.0.0.2").text == "outside"
        assert fetch(proxy.port, "/").text == "outside"
