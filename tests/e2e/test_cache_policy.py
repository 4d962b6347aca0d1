"""The keys of `cache` in a route: each does what the manual says."""

import gzip
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.support.cache import Stage, case, checked, goes, hits, route, stage
from tests.support.cache_status import cache_status
from tests.support.client import Client
from tests.support.origin import Exchange, Origin
from tests.support.proxy import Proxy, reverse

HOUR = "Cache-Control: max-age=3600"


def on_route(**cache: Any) -> AbstractContextManager[Stage]:
    return stage("reverse", **cache)


@pytest.mark.parametrize("direction", ["reverse", "forward"])
def test_false_caches_nothing(direction: str) -> None:
    with Origin() as origin:
        routes = [{**route(), "cache": False}, route()]
        with Proxy(
            reverse([origin.address], routes=[{**routes[0], "name": "off"}, {**routes[1], "name": "on"}])
        ) as proxy:
            on = Stage(proxy, origin)
            on.on("/x", HOUR)
            assert "Cache-Status" not in on.ask("/x").fields
            on.ask("/x")
            assert on.asked("/x") == 2


@pytest.mark.parametrize("direction", ["reverse", "forward"])
def test_ttl(direction: str) -> None:
    """Where the response states no freshness, and only there."""
    with stage(direction, ttl="1h") as on:
        for row in (
            case("ttl holds without freshness", goes(), hits()),
            case("ttl goes before the heuristic", goes("Last-Modified: {now-5}"), hits()),
            case("ttl does not go before max-age", goes("Cache-Control: max-age=60", "Age: 100"), goes()),
            case("ttl does not go before Expires", goes("Expires: {now-100}"), goes()),
            case("ttl does not go before no-store", goes("Cache-Control: no-store"), goes()),
            case("ttl does not go before private", goes("Cache-Control: private"), goes()),
            case("ttl is not for authorized requests", goes(ask=("Authorization: x",)), goes()),
        ):
            row.run(on)


def test_ttl_by_status() -> None:
    rules = {"404": "1h", "5xx": "1h", "301-308": "1h", "405": "0s"}
    with on_route(ttl="2h", ttl_by_status=rules) as on:
        for row in (
            case("404", goes(status=404), hits(status=404)),
            case("500", goes(status=500), hits(status=500)),
            case("503", goes(status=503), hits(status=503)),
            case("302", goes("Location: /x", status=302), hits(status=302)),
            case("0s is never stored", goes(HOUR, status=405), goes(HOUR, status=405)),
            case("others have ttl", goes(), hits()),
            case(
                "what the response says goes before", goes("Cache-Control: max-age=60", "Age: 99", status=404), goes()
            ),
            case("no-store goes before", goes("Cache-Control: no-store", status=404), goes(status=404)),
        ):
            row.run(on)
        path = on.path("ttl")
        on.on(path, status=404)
        assert 3500 <= (cache_status(on.ask(path)).ttl or 0) <= 3600


@pytest.mark.parametrize(
    ("key", "same", "other"),
    [
        ({}, [], ["?b=1", "?a=2", "?a=1&b=2", "?b=2&a=1", "?"]),
        ({"query": False}, ["?a=2", "?", ""], []),
        ({"query": {"include": ["a"]}}, ["?a=1&b=2", "?b=2&a=1", "?utm=x&a=1"], ["?a=2", "?A=1"]),
        ({"query": {"ignore": ["utm_source", "b*"]}}, ["?a=1&utm_source=x", "?bbb=1&a=1"], ["?a=1&c=2", "?a=2"]),
        ({"query": {"sort": True}}, ["?a=1"], ["?a=2", "?a=1&a=2"]),
    ],
    ids=["all", "none", "include", "ignore", "sort"],
)
def test_key_query(key: dict[str, Any], same: list[str], other: list[str]) -> None:
    """Each is asked for after `?a=1`: what is the same is not fetched, what is not is fetched once."""
    with on_route(key=key) as on:
        path = on.path("query")
        script = on.on(path, HOUR)
        on.ask(f"{path}?a=1")
        for query in same:
            assert on.ask(path + query).body == script.bodies[0], query
        assert on.asked(path) == 1
        for number, query in enumerate(other, 2):
            assert on.ask(path + query).body == script.bodies[-1], query
            assert on.asked(path) == number, query


def test_key_query_in_any_order() -> None:
    with on_route(key={"query": {"sort": True}}) as on:
        path = on.path("sorted")
        on.on(path, HOUR)
        bodies = {on.ask(f"{path}?{query}").body for query in ("a=1&b=2&c=3", "c=3&a=1&b=2", "b=2&c=3&a=1")}
        assert (len(bodies), on.asked(path)) == (1, 1)
        assert on.ask(f"{path}?a=2&a=1").body != on.ask(f"{path}?a=1&a=3").body


def test_key_host_and_scheme() -> None:
    with on_route(key={"host": False, "scheme": False}) as on:
        path = on.path("host")
        on.on(path, HOUR)
        for host in ("a.example", "b.example"):
            with Client(on.proxy.port) as client:
                client.ask("GET", path, host=host)
        assert on.asked(path) == 1


def test_key_path() -> None:
    with on_route(key={"path": False}) as on:
        script = on.on("/one", HOUR)
        on.on("/two", HOUR)
        on.ask("/one")
        assert on.ask("/two").body == script.bodies[0]


def test_key_headers_and_cookies() -> None:
    with on_route(key={"headers": ["X-Device"], "cookies": ["group"]}) as on:
        path = on.path("named")
        script = on.on(path, HOUR)
        kinds: list[tuple[str, ...]] = [
            (),
            ("X-Device: phone",),
            ("X-Device: desk",),
            ("Cookie: group=a",),
            ("Cookie: group=b",),
            ("X-Device: phone", "Cookie: group=a"),
            ("X-Device:",),
        ]
        for kind in kinds:
            on.ask(path, *kind)
        assert on.asked(path) == len(kinds)
        for number, kind in enumerate(kinds):
            assert on.ask(path, *kind, "X-Other: 1").body == script.bodies[number], kind
        assert on.ask(path, "Cookie: other=1; group=a").body == script.bodies[3]
        assert on.asked(path) == len(kinds)


def test_a_key_cannot_be_forged_by_a_header() -> None:
    """No value makes one key look like another one's."""
    with on_route(key={"headers": ["X-A", "X-B"]}) as on:
        path = on.path("forged")
        on.on(path, HOUR)
        tries = [("X-A: 1", "X-B: 2"), ("X-A: 1, x-b:2",), ("X-A: 1 x-b:2",), ("X-B: 2", "X-A:"), ("X-A: 1:x-b:2",)]
        for lines in tries:
            on.ask(path, *lines)
        assert on.asked(path) == len(tries)


def test_bypass() -> None:
    rules = [{"cookie": {"preview": "1"}}, {"header": {"x-debug": "1"}}, {"query": {"nocache": "1"}}]
    with on_route(bypass=rules) as on:
        path = on.path("bypass")
        script = on.on(path, HOUR)
        on.ask(path)
        for target, lines in ((path, ("X-Debug: 1",)), (f"{path}?nocache=1", ()), (path, ("Cookie: preview=1",))):
            response = on.ask(target, *lines)
            assert response.body == script.bodies[-1]
            assert cache_status(response).fwd == "bypass"
            assert not cache_status(response).stored
        assert on.asked(path) == 4
        assert on.ask(path).body == script.bodies[0], "what is stored stays"


def test_ignore_client_no_cache() -> None:
    with on_route(ignore_client_no_cache=True) as on:
        for row in (
            case("no-cache", goes(HOUR), hits("Cache-Control: no-cache")),
            case("max-age", goes(HOUR), hits("Cache-Control: max-age=0")),
            case("min-fresh", goes(HOUR), hits("Cache-Control: min-fresh=9999")),
            case("Pragma", goes(HOUR), hits("Pragma: no-cache")),
            case("no-store stays", goes(HOUR, ask=("Cache-Control: no-store",)), goes(HOUR)),
            case("only-if-cached stays", goes(HOUR), hits("Cache-Control: only-if-cached")),
        ):
            row.run(on)


OVERRIDES = [
    {"match": {"path": "~/ttl$"}, "ttl": "1h"},
    {"match": {"path": "~/min$"}, "min": "1h"},
    {"match": {"path": "~/max$"}, "max": "1m"},
    {"match": {"path": "~/percent$"}, "percent": 50},
    {"match": {"path": "~/expires$"}, "ignore": ["expires"], "ttl": "1h"},
    {"match": {"path": "~/no_cache$"}, "ignore": ["no_cache"]},
    {"match": {"path": "~/no_store$"}, "ignore": ["no_store"]},
    {"match": {"path": "~/private$"}, "ignore": ["private"]},
    {"match": {"path": "~/must_revalidate$"}, "ignore": ["must_revalidate"]},
    {"match": {"path": "~/set_cookie$"}, "ignore": ["set_cookie"]},
    {"match": {"path": "~/vary$"}, "ignore": ["vary"]},
    {"match": {"path": "~/reload$"}, "ignore": ["reload"]},
]


def test_override() -> None:
    half_day = ("Date: {now-36000}", "Last-Modified: {now-136000}")
    with on_route(override=OVERRIDES) as on:
        for row in (
            case("ttl", goes("Cache-Control: max-age=1", "Age: 100", at="/ttl"), hits(at="/ttl")),
            case("min", goes("Cache-Control: max-age=1", "Age: 100", at="/min"), hits(at="/min")),
            case("min lets more be", goes("Cache-Control: max-age=9999", "Age: 5000", at="/min"), hits(at="/min")),
            case("max lets less be", goes("Cache-Control: max-age=5", "Age: 10", at="/max"), goes(at="/max")),
            case("percent", goes(*half_day, at="/percent"), hits(at="/percent")),
            case("without percent", goes(*half_day), goes()),
            case("expires", goes("Expires: 0", at="/expires"), hits(at="/expires")),
            case("no_cache", goes(HOUR, "Cache-Control: no-cache", at="/no_cache"), hits(at="/no_cache")),
            case("no_store", goes(HOUR, "Cache-Control: no-store", at="/no_store"), hits(at="/no_store")),
            case("private", goes(HOUR, "Cache-Control: private", at="/private"), hits(at="/private")),
            case(
                "must_revalidate",
                goes("Cache-Control: max-age=60, must-revalidate", "Age: 100", 'ETag: "a"', at="/must_revalidate"),
                hits("Cache-Control: max-stale", at="/must_revalidate"),
            ),
            case(
                "set_cookie",
                goes(HOUR, "Set-Cookie: a=1", at="/set_cookie"),
                hits(at="/set_cookie", hides=("Set-Cookie",)),
            ),
            case("vary", goes(HOUR, "Vary: X-A", at="/vary", ask=("X-A: 1",)), hits("X-A: 2", at="/vary")),
            case("reload", goes(HOUR, at="/reload"), hits("Cache-Control: no-cache", at="/reload")),
            case("others", goes(HOUR, 'ETag: "a"'), checked(HOUR, 'ETag: "a"', ask=("Cache-Control: no-cache",))),
        ):
            row.run(on)
        path = on.path("max") + "/max"
        on.on(path, HOUR)
        assert 50 <= (cache_status(on.ask(path)).ttl or 0) <= 60


def test_min_uses() -> None:
    with on_route(min_uses=3) as on:
        case("stored from the third request on", goes(HOUR), goes(HOUR), goes(HOUR), hits(), hits()).run(on)


def test_max_object() -> None:
    with on_route(max_object="10KiB") as on:
        small, large = bytes(10_000), bytes(11_000)
        case("within", goes(HOUR, body=small), hits()).run(on)
        case("beyond", goes(HOUR, body=large), goes(HOUR, body=large)).run(on)
        path = on.path("chunked")

        def chunks(exchange: Exchange) -> None:
            exchange.send(f"HTTP/1.1 200 OK\r\n{HOUR}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            for _ in range(11):
                exchange.send(b"400\r\n" + bytes(1024) + b"\r\n")
            exchange.send(b"0\r\n\r\n")

        on.origin.on(path, chunks)
        for _ in range(2):
            assert len(on.ask(path).body) == 11 * 1024, "the client gets all of it"
        assert on.asked(path) == 2


def test_convert_head() -> None:
    """On by default: a HEAD fetches the whole, so that a GET after it is a hit."""
    with on_route() as on:
        path = on.path("head")
        script = on.on(path, HOUR)
        first = on.ask(path, method="HEAD")
        assert (first.status, first.body) == (200, b"")
        assert on.origin.seen(path)[0].method == "GET"
        assert on.ask(path).body == script.bodies[0]
        assert on.asked(path) == 1


def test_convert_head_off() -> None:
    with on_route(convert_head=False) as on:
        path = on.path("head")
        on.on(path, HOUR)
        assert on.ask(path, method="HEAD").status == 200
        assert on.origin.seen(path)[0].method == "HEAD"
        on.ask(path)
        assert on.asked(path) == 2


def test_compress_stored() -> None:
    """Each client gets what it takes, and the same content."""
    text = b"the same words again and again\n" * 4000
    with on_route(compress_stored=True) as on:
        path = on.path("text")
        on.on(path, HOUR, "Content-Type: text/plain", 'ETag: "a"', body=text)
        assert on.ask(path).body == text
        plain = on.ask(path)
        assert (plain.body, plain.fields.get("Content-Encoding")) == (text, None)
        response = on.ask(path, "Accept-Encoding: gzip")
        body = gzip.decompress(response.body) if response.fields.get("Content-Encoding") == "gzip" else response.body
        assert body == text
        if response.body != text:
            assert response.fields.get("ETag") != '"a"', "RFC 9110, section 8.8.3.3"
            assert "accept-encoding" in (response.fields.get("Vary") or "").lower()
        assert on.ask(path, "Range: bytes=0-9").body in (text[:10], text)
        assert on.asked(path) == 1
        case(
            "no-transform is not compressed",
            goes(HOUR, "Cache-Control: no-transform", "Content-Type: text/plain", body=text),
            hits("Accept-Encoding: gzip", hides=("Content-Encoding",)),
        ).run(on)


def test_the_routes_policies_are_their_own() -> None:
    with Origin() as origin:
        routes = [
            {**route(ttl="1h"), "name": "a", "match": {"path": "/a/*"}},
            {**route(min_uses=2), "name": "b", "match": {"path": "/b/*"}},
            {"name": "c", "match": {"path": "/*"}, "pool": "all"},
        ]
        with Proxy(reverse([origin.address], routes=routes)) as proxy:
            on = Stage(proxy, origin)
            for path, lines, expected in (("/a/x", (), 1), ("/b/x", (HOUR,), 2), ("/c/x", (HOUR,), 3)):
                on.on(path, *lines)
                for _ in range(3):
                    on.ask(path)
                assert on.asked(path) == expected, path


def test_an_unknown_key_is_an_error() -> None:
    proxy = Proxy(reverse(["127.0.0.1:1"], routes=[route(tttl="1h")]), wait=False)
    try:
        assert proxy.wait() == 2
        assert "did you mean" in proxy.stderr
        assert "ttl" in proxy.stderr
    finally:
        proxy.kill()


def test_a_policy_can_be_reloaded() -> None:
    with on_route(ttl="1h") as on:
        path, other = on.path("before"), on.path("after")
        on.on(path)
        on.on(other)
        on.ask(path)
        on.proxy.config["reverse"]["routes"][0]["cache"] = {"bypass": {"path": "/*"}}
        done = on.proxy.reload()
        assert done.returncode == 0, done.stderr
        for _ in range(2):
            on.ask(other)
        assert on.asked(other) == 2
