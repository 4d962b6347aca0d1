"""Mirrors that compare: what the answers to copies differ in, grouped, before anybody gets them."""

import itertools
import secrets
from collections.abc import Iterator

import pytest

from tests.support.client import Client, fetch
from tests.support.fleet import breaks_off_in_the_body, fleet, who
from tests.support.http2 import fetch2
from tests.support.http2_origin import Http2Origin
from tests.support.mirrors import Mirrored, compared, copies, diff, found, mirrored, wait_diff
from tests.support.origin import Exchange, Handler, replies, responds
from tests.support.proxy import Config, Proxy, reverse
from tests.support.splits import status, tree
from tests.support.wait import until

OK = responds(200, b"the same", ("Content-Type", "text/plain"))


@pytest.fixture
def pair() -> Iterator[Mirrored]:
    """Both answer the same, all is compared."""
    with mirrored(compare=True) as pair:
        pair.people.default = pair.mirror.default = OK
        yield pair


def both(pair: Mirrored, people: Handler, mirror: Handler, path: str = "/") -> None:
    pair.people.on(path, people)
    pair.mirror.on(path, mirror)


# -- who is asked how often


def test_a_get_is_asked_for_twice_more_and_once_of_the_mirror(pair: Mirrored) -> None:
    assert fetch(pair.port, "/x?q=1", [("Cookie", "a=1")]).body == b"the same"
    row = compared(pair.proxy, 1)
    assert (row["copied"], row["compared"], row["same"], row["differences"], row["noise"]) == (1, 1, 1, [], {})
    requests = [*pair.people.seen("/x"), *pair.mirror.seen("/x")]
    assert len(pair.people.requests) == 3
    assert len(pair.mirror.requests) == 1
    for request in requests:
        assert (request.target, request.fields.get("Cookie")) == ("/x?q=1", "a=1")
        assert request.fields.names() == requests[0].fields.names(), "nothing marks a copy"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_what_may_change_something_is_copied_once_and_not_compared(pair: Mirrored, method: str) -> None:
    with Client(pair.port) as client:
        assert client.ask(method, "/change", body=b"x").status == 200
        assert client.ask("GET", "/look").status == 200
    row = compared(pair.proxy, 1)
    assert row["copied"] == 2
    until(lambda: len(pair.mirror.seen("/change")) == 1, "the copy")
    assert len(pair.people.seen("/change")) == 1


def test_a_head_is_compared(pair: Mirrored) -> None:
    both(pair, responds(200, b"abc", ("Content-Type", "a/b")), responds(200, b"abcd", ("Content-Type", "c/d")))
    with Client(pair.port) as client:
        assert client.ask("HEAD", "/").status == 200
    assert found(compared(pair.proxy, 1)) == {("header content-type", "a/b", "c/d", 1)}
    assert {request.method for request in [*pair.people.requests, *pair.mirror.requests]} == {"HEAD"}


def test_comparing_leaves_no_records_and_counts_for_nobody() -> None:
    with fleet(2) as (new, old):
        split: Config = {"stable": "v1", "canary": "v2", "mirror": {"percent": "100%", "compare": True}}
        with Proxy(tree({"v1": [old], "v2": [new]}, {"shop": split})) as proxy:
            for number in range(10):
                assert who(fetch(proxy.port, f"/{number}")) == old.name
            compared(proxy, 10, "shop")
            fetch(proxy.port, "/last")
            proxy.record("/last")
            assert len([record for record in proxy.records() if "path" in record]) == 11
            variants = {variant["name"]: variant["requests"] for variant in status(proxy)["variants"]}
            assert variants == {"canary": 0, "stable": 11}
            assert proxy.status()["metrics"]["total"]["requests"] == 11


# -- what differs


def test_statuses_fields_and_bodies(pair: Mirrored) -> None:
    both(
        pair,
        responds(200, b"old", ("Content-Type", "text/html"), ("Cache-Control", "max-age=5"), ("X-Other", "1")),
        responds(404, b"new", ("Content-Type", "text/plain"), ("Location", "/here"), ("X-Other", "2")),
    )
    assert fetch(pair.port).body == b"old"
    row = compared(pair.proxy, 1)
    assert found(row) == {
        ("status", "200", "404", 1),
        ("header content-type", "text/html", "text/plain", 1),
        ("header location", "missing", "/here", 1),
        ("header cache-control", "max-age=5", "missing", 1),
        ("body", "", "", 1),
    }
    assert {(item["route"], *item["paths"]) for item in row["differences"]} == {("all", "/")}
    assert (row["same"], row["noise"]) == (0, {})


def test_fields_that_are_named_and_no_bodies() -> None:
    with mirrored(compare={"headers": ["ETag", "Set-Cookie", "X-None"], "body": False}) as pair:
        pair.people.default = responds(200, b"one", ("ETag", '"1"'), ("Set-Cookie", "sid=hunter2"), ("Location", "/a"))
        pair.mirror.default = responds(200, b"two", ("eTag", '"2"'))
        fetch(pair.port)
        row = compared(pair.proxy, 1)
        assert found(row) == {
            ("header etag", '"1"', '"2"', 1),
            ("header set-cookie", "11 bytes", "missing", 1),
        }
        assert "hunter2" not in pair.proxy.cli("canary", "diff").stdout


def test_the_most_frequent_differences_come_first_with_some_paths(pair: Mirrored) -> None:
    pair.mirror.default = responds(200, b"the same", ("Content-Type", "text/html"))
    for number in range(7):
        fetch(pair.port, f"/page/{number}?q=secret")
    both(pair, OK, responds(500, b"the same", ("Content-Type", "text/plain")), "/broken")
    fetch(pair.port, "/broken")
    fetch(pair.port, "/broken")
    row = compared(pair.proxy, 9)
    assert [(item["what"], item["count"]) for item in row["differences"]] == [("header content-type", 7), ("status", 2)]
    often, seldom = row["differences"]
    assert (often["answered"], often["mirrored"]) == ("text/plain", "text/html")
    assert set(often["paths"]) < {f"/page/{number}" for number in range(7)}
    assert len(often["paths"]) == 5
    assert seldom["paths"] == ["/broken"]


def test_kinds_beyond_a_bound_are_counted(pair: Mirrored) -> None:
    serial = itertools.count()
    pair.mirror.default = lambda exchange: exchange.respond(200, b"the same", ("Content-Type", f"x/{next(serial)}"))
    with Client(pair.port) as client:
        for number in range(230):
            assert client.ask("GET", f"/{number}").status == 200
            if number % 50 == 49:
                compared(pair.proxy, number + 1)
    row = compared(pair.proxy, 230)
    assert (len(row["differences"]), row["more"], row["same"]) == (200, 30, 0)
    assert "and 30 further ones" in pair.proxy.cli("canary", "diff").stdout


def test_bodies_that_differ_late(pair: Mirrored) -> None:
    large = b"x" * 3_000_000
    both(pair, responds(200, large), responds(200, large[:-1] + b"y"), "/late")
    both(pair, responds(200, large), responds(200, large), "/equal")
    for path in ("/late", "/equal"):
        assert fetch(pair.port, path).body == large
    row = compared(pair.proxy, 2)
    assert (found(row), row["same"]) == ({("body", "", "", 1)}, 1)


def test_one_body_in_other_framings_is_the_same(pair: Mirrored) -> None:
    chunks = (
        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    )
    close = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nConnection: close\r\n\r\nabcdef"
    both(pair, replies(chunks), replies(close, close=True), "/a")
    both(pair, responds(200, b"abcdef", ("Content-Type", "a/b")), replies(chunks), "/b")
    for path in ("/a", "/b"):
        assert fetch(pair.port, path).body == b"abcdef"
    row = compared(pair.proxy, 2)
    assert (row["same"], row["differences"]) == (2, [])


def test_over_http2_on_every_side() -> None:
    with Http2Origin("one") as one, Http2Origin("two") as two:
        for origin in (one, two):
            origin.on("/same", lambda exchange: exchange.respond(200, b"same", ("content-type", "a/b")))
        pools = {name: {"servers": [server.address], "protocol": "h2"} for name, server in (("v1", one), ("v2", two))}
        route: Config = {"name": "all", "pool": "v1", "mirror": {"to": "v2", "compare": True}}
        with Proxy(reverse(routes=[route], pools=pools)) as proxy:
            assert fetch2(proxy.port, "/same", tls=False).text == "same"
            assert fetch2(proxy.port, "/other", tls=False).text == "one GET /other"
            row = compared(proxy, 2)
            assert (found(row), row["same"]) == ({("body", "", "", 1)}, 1)
            assert row["differences"][0]["paths"] == ["/other"]


# -- what differs by itself


def random_body(exchange: Exchange) -> None:
    exchange.respond(200, secrets.token_bytes(20), ("Content-Type", "a/b"), ("Cache-Control", secrets.token_hex(4)))


def test_what_differs_by_itself_is_not_judged(pair: Mirrored) -> None:
    both(pair, random_body, responds(500, b"no", ("Content-Type", "c/d"), ("Cache-Control", "x")), "/random")
    both(pair, random_body, responds(200, b"no", ("Content-Type", "a/b")), "/fine")
    for path in ("/random", "/random", "/fine", "/steady"):
        assert fetch(pair.port, path).status == 200
    row = compared(pair.proxy, 4)
    assert found(row) == {("status", "200", "500", 2), ("header content-type", "a/b", "c/d", 2)}
    assert row["noise"] == {"body": 3, "header cache-control": 3}
    assert row["same"] == 2
    shown = pair.proxy.cli("canary", "diff", "all").stdout
    assert "4 compared: 2 the same (50 %), 2 with differences" in shown
    assert "body (3 times), header cache-control (3 times)" in shown


def test_a_mirror_that_differs_by_itself_differs(pair: Mirrored) -> None:
    both(pair, responds(200, b"steady", ("Content-Type", "a/b")), random_body)
    fetch(pair.port)
    row = compared(pair.proxy, 1)
    assert {item["what"] for item in row["differences"]} == {"header cache-control", "body"}
    assert row["noise"] == {}


# -- answers that are none


def test_a_mirror_that_is_dead_gives_no_answer(pair: Mirrored) -> None:
    """Fields and body of the page that the proxy makes then say nothing of it."""
    pair.mirror.die()
    assert fetch(pair.port).status == 200
    assert found(compared(pair.proxy, 1)) == {("status", "200", "no answer", 1)}


def test_a_mirror_that_breaks_off_gives_no_answer(pair: Mirrored) -> None:
    both(pair, responds(200, b"0123456789"), breaks_off_in_the_body)
    assert fetch(pair.port).status == 200
    assert found(compared(pair.proxy, 1)) == {("status", "200", "no answer", 1)}


def test_where_peoples_pool_breaks_off_nothing_is_compared(pair: Mirrored) -> None:
    both(pair, breaks_off_in_the_body, responds(200, b"0123456789"))
    with Client(pair.port) as client:
        client.request("GET", "/")
        client.expect_broken_off(client.head())
    row = compared(pair.proxy, 1)
    assert (row["compared"], row["unanswered"], row["differences"], row["noise"]) == (0, 1, [], {})
    assert "1 not compared: people's own pool did not answer them twice" in pair.proxy.cli("canary", "diff").stdout


def test_where_peoples_pool_is_dead_nothing_is_compared(pair: Mirrored) -> None:
    """What the proxy itself answers then is no answer of the application."""
    pair.people.die()
    assert fetch(pair.port).status == 502
    row = compared(pair.proxy, 1)
    assert (row["compared"], row["unanswered"], row["differences"]) == (0, 1, [])


# -- beside other things


def test_what_the_cache_answers_is_not_copied() -> None:
    with mirrored({"route": {"cache": {"ttl": "1h"}}}, compare=True) as pair:
        pair.people.default = pair.mirror.default = responds(200, b"kept", ("Cache-Control", "max-age=60"))
        for _ in range(5):
            assert fetch(pair.port, "/kept").body == b"kept"
        row = compared(pair.proxy, 1)
        assert (row["copied"], row["same"]) == (1, 1)
        assert len(pair.mirror.requests) == 1
        assert len(pair.people.requests) == 3, "answers to copies come from servers"


def test_routes_of_one_split_are_told_apart() -> None:
    with fleet(2) as (new, old):
        new.default, old.default = responds(500, b"x"), responds(200, b"x")
        split: Config = {"stable": "v1", "canary": "v2", "mirror": {"percent": "100%", "compare": True}}
        routes = [{"name": name, "match": {"path": f"/{name}"}, "split": "shop"} for name in ("one", "two")]
        with Proxy(tree({"v1": [old], "v2": [new]}, {"shop": split}, routes=routes)) as proxy:
            for path in ("/one", "/two", "/two"):
                assert fetch(proxy.port, path).status == 200
            row = compared(proxy, 3, "shop")
            assert [(item["route"], item["count"], item["paths"]) for item in row["differences"]] == [
                ("two", 2, ["/two"]),
                ("one", 1, ["/one"]),
            ]


def test_compare_comes_with_a_reload() -> None:
    with mirrored() as pair:
        fetch(pair.port, "/before")
        copies(pair.proxy, pair.mirror, 1)
        assert pair.proxy.cli("canary", "diff").stdout == (
            "route all: 100 % of the requests are copied to v2\n"
            "1 copied\n"
            "answers are not compared: write compare: true for that\n"
        )
        pair.route["mirror"]["compare"] = True
        assert pair.proxy.reload().returncode == 0
        fetch(pair.port, "/after")
        row = compared(pair.proxy, 1)
        assert row["differences"][0]["paths"] == ["/after"]
        assert wait_diff(pair.proxy, lambda row: row["copied"] == 2)


def test_the_table(pair: Mirrored) -> None:
    both(pair, responds(200, b"x"), responds(503, b"x"), "/a")
    fetch(pair.port, "/a")
    compared(pair.proxy, 1)
    done = pair.proxy.cli("canary", "diff", "all")
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "route all: 100 % of the requests are copied to v2",
        "1 copied",
        "1 compared: 0 the same (0 %), 1 with differences",
        "",
        "what differs people get v2 answers times route for example",
        "status 200 503 1 all /a",
    ]


def test_a_name_that_has_none(pair: Mirrored) -> None:
    done = pair.proxy.cli("canary", "diff", "alll")
    assert (done.returncode, done.stderr) == (1, "error: there is no mirror of alll (did you mean all?)\n")
    assert diff(pair.proxy)["copied"] == 0


def test_servers_of_the_mirror_are_balanced() -> None:
    with fleet(3) as (people, one, two):
        pools = {"v1": {"servers": [people.address]}, "v2": {"servers": [one.address, two.address]}}
        route: Config = {"name": "all", "pool": "v1", "mirror": "v2"}
        with Proxy(reverse(routes=[route], pools=pools, workers=1)) as proxy:
            for _ in range(10):
                assert who(fetch(proxy.port)) == "a"
            until(lambda: len(one.requests) + len(two.requests) == 10, "ten copies")
            assert (len(one.requests), len(two.requests)) == (5, 5)
