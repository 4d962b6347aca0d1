"""What an origin learns of the client and of the proxy, by `forward.anonymity`."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import absolute
from tests.support.origin import Origin, Request
from tests.support.proxy import Proxy, forward

#: Fields by which a client, or a proxy before this one, gives an address or a person away.
TELLING = [
    ("X-Forwarded-For", "9.9.9.9"),
    ("X-Forwarded-Host", "inner.example"),
    ("X-Forwarded-Proto", "https"),
    ("Forwarded", "for=9.9.9.9;host=inner.example"),
    ("X-Real-IP", "9.9.9.9"),
    ("Client-IP", "9.9.9.9"),
    ("X-Client-IP", "9.9.9.9"),
    ("True-Client-IP", "9.9.9.9"),
    ("X-Cluster-Client-IP", "9.9.9.9"),
    ("From", "me@example.com"),
]
ORDINARY = [
    ("Accept", "text/html"),
    ("Accept-Language", "de"),
    ("User-Agent", "Odd/1.0"),
    ("Cookie", "a=b"),
    ("Referer", "http://elsewhere.example/page"),
]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def seen(origin: Origin, anonymity: Any, *fields: tuple[str, str], path: str) -> Request:
    section = {} if anonymity is None else {"anonymity": anonymity}
    with Proxy(forward(**section)) as proxy:
        assert absolute(proxy.port, f"http://{origin.address}{path}", fields).status == 200
    return origin.only(path)


def test_transparent(origin: Origin) -> None:
    request = seen(origin, {"level": "transparent"}, *ORDINARY, path="/transparent")
    assert request.fields.get("X-Forwarded-For") == "127.0.0.1"
    assert "1.1 " in (request.fields.get("Via") or "")
    assert request.fields.get("User-Agent") == "Odd/1.0"
    assert request.fields.get("Referer") == "http://elsewhere.example/page"


def test_transparent_has_the_last_word(origin: Origin) -> None:
    request = seen(origin, "transparent", *TELLING, path="/transparent-lie")
    believed = (request.fields.get("X-Forwarded-For") or "").split(",")[-1].strip()
    assert believed == "127.0.0.1", "the last address is the one that the proxy vouches for"


@pytest.mark.parametrize("anonymity", [None, "anonymous", {"level": "anonymous"}])
def test_anonymous_is_the_default(origin: Origin, anonymity: Any) -> None:
    path = f"/anonymous-{anonymity and len(anonymity)}"
    request = seen(origin, anonymity, *TELLING, *ORDINARY, path=path)
    head = request.raw.decode("latin-1").replace(origin.address, "")
    assert "127.0.0.1" not in head
    assert "9.9.9.9" not in head
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Client-IP", "X-Client-IP", "True-Client-IP"):
        assert name not in request.fields, name
    assert request.fields.values("Via"), "anonymous does not hide that there is a proxy"
    for name, value in ORDINARY:
        assert request.fields.get(name) == value


def test_via_is_a_pseudonym(origin: Origin) -> None:
    via = seen(origin, "anonymous", path="/pseudonym").fields.get("Via") or ""
    assert socket.gethostname() not in via
    assert "127.0.0.1" not in via


def test_high_leaves_no_trace(origin: Origin) -> None:
    fields = [*TELLING, *ORDINARY, ("Via", "1.0 older"), ("Proxy-Connection", "keep-alive"), ("DNT", "1")]
    request = seen(origin, {"level": "high"}, *fields, path="/high")
    head = request.raw.decode("latin-1").replace(origin.address, "")
    for trace in ("127.0.0.1", "9.9.9.9", "me@example.com", "inner.example", "older", "reviver", "proxy", "elsewhere"):
        assert trace not in head.lower(), trace
    for name in (*dict(TELLING), "Via", "Proxy-Connection"):
        assert name not in request.fields, name
    assert request.fields.get("User-Agent") not in (None, "Odd/1.0"), "a common one instead of the client's"
    assert request.fields.get("Cookie") == "a=b", "sites need it; `cookies: remove` is there for the others"
    assert request.fields.get("Accept-Language") == "de"


def test_high_keeps_a_referer_on_the_same_host(origin: Origin) -> None:
    referer = f"http://{origin.address}/before"
    request = seen(origin, "high", ("Referer", referer), path="/same-host")
    assert request.fields.get("Referer") == referer


@pytest.mark.parametrize(
    ("refinement", "name", "expected"),
    [
        ({"user_agent": "remove"}, "User-Agent", None),
        ({"user_agent": "keep"}, "User-Agent", "Odd/1.0"),
        ({"user_agent": "Mine/2.0"}, "User-Agent", "Mine/2.0"),
        ({"referer": "remove"}, "Referer", None),
        ({"referer": "same_host"}, "Referer", None),
        ({"referer": "keep"}, "Referer", "http://elsewhere.example/page"),
        ({"cookies": "remove"}, "Cookie", None),
        ({"cookies": "keep"}, "Cookie", "a=b"),
    ],
)
@pytest.mark.parametrize("level", ["anonymous", "high"])
def test_refinements(origin: Origin, level: str, refinement: dict[str, str], name: str, expected: str | None) -> None:
    path = f"/refined-{level}-{'-'.join(f'{k}-{v}' for k, v in refinement.items()).replace('/', '')}"
    request = seen(origin, {"level": level, **refinement}, *ORDINARY, path=path)
    assert request.fields.get(name) == expected


def test_cookies_removed_are_not_set_either(origin: Origin) -> None:
    origin.on("/set-cookie", lambda exchange: exchange.respond(200, b"x", ("Set-Cookie", "id=1")))
    with Proxy(forward(anonymity={"level": "high", "cookies": "remove"})) as proxy:
        response = absolute(proxy.port, f"http://{origin.address}/set-cookie")
    assert "Set-Cookie" not in response.fields
