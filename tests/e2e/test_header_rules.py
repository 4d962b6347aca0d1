"""What happens to fields on their way: rules, hop-by-hop fields, and all the others untouched."""

from collections.abc import Iterator

import pytest

from tests.support.client import fetch
from tests.support.origin import Origin, responds
from tests.support.proxy import Proxy, reverse

RULES = {
    "request": {"set": {"X-Set": "new"}, "add": {"X-Add": "more"}, "remove": ["x-drop"]},
    "response": {"set": {"Server": "mine"}, "add": {"Vary": "X-Own"}, "remove": ["X-Powered-By"]},
}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    routes = [
        {"name": "ruled", "match": {"path": "/ruled/*"}, "pool": "all", "headers": RULES},
        {"name": "answer", "match": {"path": "/answer"}, "respond": {"body": "x"}, "headers": RULES},
        {"name": "rest", "match": {"path": "/*"}, "pool": "all"},
    ]
    with Proxy(reverse([origin.address], routes=routes)) as proxy:
        yield proxy


def test_request_rules(proxy: Proxy, origin: Origin) -> None:
    fetch(
        proxy.port,
        "/ruled/a",
        [("x-set", "old"), ("X-SET", "older"), ("X-Add", "first"), ("X-DROP", "1"), ("X-Drop", "2")],
    )
    fields = origin.only("/ruled/a").fields
    assert fields.values("X-Set") == ["new"]
    assert fields.values("X-Add") == ["first", "more"]
    assert "X-Drop" not in fields


def test_set_and_add_where_the_field_was_missing(proxy: Proxy, origin: Origin) -> None:
    fetch(proxy.port, "/ruled/b")
    fields = origin.only("/ruled/b").fields
    assert (fields.get("X-Set"), fields.get("X-Add")) == ("new", "more")


def test_response_rules(proxy: Proxy, origin: Origin) -> None:
    origin.on("/ruled/c", responds(200, b"x", ("Server", "theirs"), ("Vary", "Accept"), ("X-Powered-By", "secret")))
    fields = fetch(proxy.port, "/ruled/c").fields
    assert fields.values("Server") == ["mine"]
    assert fields.values("Vary") == ["Accept", "X-Own"]
    assert "X-Powered-By" not in fields


def test_response_rules_hold_for_answers_of_the_proxy_too(proxy: Proxy) -> None:
    fields = fetch(proxy.port, "/answer").fields
    assert fields.values("Server") == ["mine"]
    assert fields.values("Vary") == ["X-Own"]


def test_end_to_end_fields_pass_untouched_and_in_order(proxy: Proxy, origin: Origin) -> None:
    given = [
        ("X-One", "1"),
        ("Cookie", "a=b; c=d"),
        ("X-Two", "a, b"),
        ("X-One", "2"),
        ("Authorization", "Basic eDp5"),
        ("X-Empty", ""),
    ]
    back = [
        ("Set-Cookie", "a=1; Path=/"),
        ("Set-Cookie", "b=2"),
        ("WWW-Authenticate", "Basic"),
        ("ETag", '"x"'),
        ("X-Raw", "\xe9"),
    ]
    origin.on("/through", responds(200, b"x", *back))
    response = fetch(proxy.port, "/through", given)
    seen = [pair for pair in origin.only("/through").fields if pair[0].lower() in {name.lower() for name, _ in given}]
    assert [(name.lower(), value) for name, value in seen] == [(name.lower(), value) for name, value in given]
    got = [pair for pair in response.fields if pair[0].lower() in {name.lower() for name, _ in back}]
    assert [(name.lower(), value) for name, value in got] == [(name.lower(), value) for name, value in back]


def test_hop_by_hop_fields_end_here(proxy: Proxy, origin: Origin) -> None:
    hops = [
        ("Connection", "x-secret-hop, keep-alive"),
        ("X-Secret-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip"),
        ("X-Keep", "2"),
    ]
    origin.on(
        "/hops",
        responds(
            200, b"x", ("Connection", "X-Theirs"), ("X-Theirs", "1"), ("Keep-Alive", "timeout=9"), ("X-Ours", "2")
        ),
    )
    response = fetch(proxy.port, "/hops", hops)
    seen = origin.only("/hops").fields
    assert seen.get("X-Keep") == "2"
    for name in ("X-Secret-Hop", "Keep-Alive", "Proxy-Connection"):
        assert name not in seen, name
    assert "gzip" not in "".join(seen.values("TE"))
    assert "x-secret-hop" not in "".join(seen.values("Connection")).lower()
    assert response.fields.get("X-Ours") == "2"
    assert "X-Theirs" not in response.fields
    assert "timeout=9" not in "".join(response.fields.values("Keep-Alive"))


def test_connection_cannot_remove_what_the_proxy_vouches_for(proxy: Proxy, origin: Origin) -> None:
    response = fetch(proxy.port, "/vouch", [("Connection", "close, X-Forwarded-For, Host, Via")])
    if response.status == 200:
        fields = origin.only("/vouch").fields
        assert fields.get("X-Forwarded-For") == "127.0.0.1"
        assert fields.get("Host") == "test.example"
        assert fields.values("Via")
    else:
        assert response.status == 400
        assert not origin.seen("/vouch")


def test_via_and_no_server_of_its_own(proxy: Proxy, origin: Origin) -> None:
    origin.on("/server", responds(200, b"x", ("Server", "theirs"), ("Date", "Mon, 01 Jan 2024 00:00:00 GMT")))
    response = fetch(proxy.port, "/server")
    assert response.fields.get("Server") == "theirs"
    assert response.fields.get("Date") == "Mon, 01 Jan 2024 00:00:00 GMT"
    assert "1.1 " in "".join(origin.only("/server").fields.values("Via"))
