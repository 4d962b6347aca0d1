"""What is told of the cache: `Cache-Status` (RFC 9211), `Age`, records, statistics, `cache get` and `explain`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cache import Answer, Script, Stage, reverse_stage, route, serves, stage, stats
from tests.support.cache_status import CacheStatus, cache_status, cache_statuses
from tests.support.client import Response, fetch
from tests.support.origin import Origin
from tests.support.proxy import Proxy, Record, reverse
from tests.support.stream import Fields
from tests.support.wait import until

HOUR = "Cache-Control: max-age=3600"
OLD = ("Cache-Control: max-age=60", "Age: 100", 'ETag: "a"')


@pytest.fixture(scope="module", params=["reverse", "forward"])
def on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """With one worker, so that records stand in the order of the requests."""
    with stage(request.param, {"workers": 1}) as ready:
        yield ready


def told(on: Stage, path: str, *lines: str, method: str = "GET", body: bytes | None = None) -> CacheStatus:
    return cache_status(on.ask(path, *lines, method=method, body=body))


def record(on: Stage, path: str, number: int) -> Record:
    """The record of the so manyth request for a path, from 1."""
    return on.proxy.wait_records(lambda one: one.get("path") == path, number)[number - 1]


def cached(one: Record) -> tuple[Any, Any]:
    return one.get("cache"), one.get("cache_reason")


def test_a_miss_and_a_hit(on: Stage) -> None:
    path = on.path("miss")
    on.on(path, HOUR)
    miss, hit = told(on, path), told(on, path)
    assert (miss.hit, miss.fwd, miss.stored) == (False, "uri-miss", True)
    assert miss.ttl is not None and 3580 <= miss.ttl <= 3600
    assert miss.parameters["fwd-status"] == 200
    assert hit.hit and hit.ttl is not None and 3580 <= hit.ttl <= 3600
    assert hit.key == miss.key
    assert on.url(path) in (hit.key or "")
    assert miss.name == hit.name != ""
    first, second = record(on, path, 1), record(on, path, 2)
    assert cached(first) == ("miss", "uri_miss")
    assert first.get("cache_age") is None
    assert cached(second) == ("hit", "fresh")
    assert 0 <= second["cache_age"] <= 20
    assert (second["reason"], second["status"], second.get("upstream_status")) == ("cached", 200, None)
    assert not second.get("attempts")


def test_the_age_in_the_record_is_that_of_the_field(on: Stage) -> None:
    path = on.path("age")
    on.on(path, HOUR, "Age: 500")
    on.ask(path)
    age = int(on.ask(path).fields.get("Age") or "-1")
    assert 500 <= age <= 520
    assert record(on, path, 2)["cache_age"] == age


def test_not_stored_says_why(on: Stage) -> None:
    for lines, reason in (
        (("Cache-Control: no-store",), "no_store"),
        (("Cache-Control: private",), "private"),
        ((HOUR, "Set-Cookie: a=1"), "set_cookie"),
        ((HOUR, "Vary: *"), "vary"),
        ((), "no_freshness"),
    ):
        path = on.path(reason)
        on.on(path, *lines)
        status = told(on, path)
        assert (status.fwd, status.stored, status.detail) == ("uri-miss", False, reason)
        assert cached(record(on, path, 1)) == ("miss", reason)


def test_validated(on: Stage) -> None:
    path = on.path("validated")
    on.origin.on(path, Script(Answer(200, OLD), Answer(304, (HOUR, 'ETag: "a"'))))
    on.ask(path)
    status = told(on, path)
    assert (status.hit, status.fwd, status.parameters.get("fwd-status")) == (False, "stale", 304)
    one = record(on, path, 2)
    assert cached(one) == ("revalidated", "validated")
    assert (one["status"], one["upstream_status"]) == (200, 304)


def test_stale_and_replaced(on: Stage) -> None:
    path = on.path("stale")
    on.on(path, *OLD)
    on.ask(path)
    status = told(on, path)
    assert (status.fwd, status.parameters.get("fwd-status")) == ("stale", 200)
    assert cached(record(on, path, 2))[0] == "miss"


def test_other_reasons_to_go_on(on: Stage) -> None:
    varied, method, asked = on.path("varied"), on.path("method"), on.path("asked")
    on.on(varied, HOUR, "Vary: X-A")
    told(on, varied, "X-A: 1")
    assert told(on, varied, "X-A: 2").fwd == "vary-miss"
    on.on(method, HOUR)
    assert told(on, method, method="POST", body=b"x").fwd == "method"
    assert cached(record(on, method, 1)) == ("bypass", "method")
    on.on(asked, HOUR)
    told(on, asked)
    assert told(on, asked, "Cache-Control: no-cache").fwd == "request"
    part = on.path("part")
    on.origin.on(part, serves(bytes(1000), HOUR, 'ETag: "a"'))
    told(on, part, "Range: bytes=0-9")
    assert told(on, part, "Range: bytes=20-29").fwd in ("partial", "uri-miss")


def test_it_stands_behind_that_of_caches_before(on: Stage) -> None:
    """RFC 9211, section 2: each cache appends."""
    path = on.path("chain")
    on.on(path, HOUR, 'Cache-Status: "Origin Cache"; hit; ttl=10; x-odd=?0')
    for _ in range(2):
        members = cache_statuses(on.ask(path))
        assert members[0].name == "Origin Cache"
        assert len(members) == 2, "one member each time: what is stored has not collected any"
    assert members[1].hit


@pytest.mark.parametrize(
    "query",
    ["?a=%22%5C", '?a="b', "?a=;hit", "?a=,b;hit", "?" + "long=" + "x" * 2000, "?a=%0d%0a", "?'*~", "?a=\\b"],
)
def test_no_key_breaks_its_grammar(on: Stage, query: str) -> None:
    path = on.path("grammar")
    on.on(path, HOUR)
    for _ in range(2):
        response = on.ask(path + query)
        if response.status == 400:
            return
        assert len(cache_statuses(response)) == 1
    assert cache_status(response).hit


def test_a_304_and_a_206_from_the_store_say_so(on: Stage) -> None:
    path = on.path("parts")
    on.origin.on(path, serves(bytes(1000), HOUR, 'ETag: "a"'))
    on.ask(path)
    for lines, status in (('If-None-Match: "a"', 304), ("Range: bytes=0-9", 206), ("Range: bytes=5000-", 416)):
        response = on.ask(path, lines)
        assert response.status == status
        assert cache_status(response).hit
    assert on.asked(path) == 1


def test_status_off() -> None:
    with reverse_stage({"cache": {"status": False}}) as on:
        on.on("/x", HOUR)
        responses = [on.ask("/x"), on.ask("/x")]
        assert not any("Cache-Status" in response.fields for response in responses)
        assert "Age" in responses[1].fields


def test_routes_without_cache_say_nothing() -> None:
    routes = [{**route(), "match": {"path": "/cached"}}, {"name": "rest", "pool": "all"}]
    with Origin() as origin, Proxy(reverse([origin.address], routes=routes)) as proxy:
        response = fetch(proxy.port, "/plain")
        assert not {"cache-status", "age"} & response.fields.names()
        one = proxy.record("/plain")
        assert [one.get(name) for name in ("cache", "cache_reason", "cache_age")] == [None] * 3


def test_in_templates_and_other_formats() -> None:
    logs = [
        {"to": "file:t.log", "format": "{path} {cache} {cache_reason} {cache_age}"},
        {"to": "file:squid.log", "format": "squid"},
    ]
    with reverse_stage({"logs": logs, "workers": 1}) as on:
        on.on("/x", HOUR)
        on.ask("/x")
        on.ask("/x")
        lines = until(lambda: found if len(found := on.proxy.lines("t.log")) == 2 else None, "two lines")
        assert lines is not None
        assert lines[0].startswith("/x miss uri_miss")
        assert lines[1].startswith("/x hit fresh ")
        assert int(lines[1].rsplit(" ", 1)[1]) >= 0
        squid = until(lambda: found if len(found := on.proxy.lines("squid.log")) == 2 else None, "two lines")
        assert squid is not None
        assert "TCP_MISS/200" in squid[0]
        assert "HIT/200" in squid[1]
        assert "HIER_NONE/-" in squid[1]


# -- the command line


def test_stats(on: Stage) -> None:
    before = stats(on.proxy)
    path, other = on.path("counted"), on.path("refused")
    on.on(path, HOUR, body=bytes(1000))
    on.on(other, "Cache-Control: no-store")
    for _ in range(4):
        on.ask(path)
    on.ask(other)

    def grown() -> Any:
        now = stats(on.proxy)
        return now if now["requests"]["hit"] - before["requests"]["hit"] >= 3 else None

    after = until(grown, "the counters")
    assert after["requests"]["hit"] - before["requests"]["hit"] == 3
    assert after["requests"]["miss"] - before["requests"]["miss"] == 2
    assert after["why_missed"]["uri_miss"] - before["why_missed"].get("uri_miss", 0) == 2
    assert after["not_stored"]["no_store"] - before["not_stored"].get("no_store", 0) == 1
    assert after["memory"]["objects"] > before["memory"]["objects"]
    assert after["memory"]["bytes"] >= before["memory"]["bytes"] + 1000
    assert 0 < after["hit_ratio"] <= 1
    assert on.url(path) in {row["url"] for row in after["top"]}


def test_stats_by_route_and_for_people() -> None:
    with reverse_stage() as on:
        on.on("/x", HOUR)
        for _ in range(3):
            on.ask("/x")
        until(lambda: stats(on.proxy)["requests"]["hit"] == 2, "the counters")
        assert stats(on.proxy)["routes"]["all"]["requests"]["hit"] == 2
        done = on.proxy.cli("cache", "stats")
        assert done.returncode == 0, done.stderr
        assert "all" in done.stdout
        assert "memory" in done.stdout.lower()
        status = on.proxy.status()
        assert status["cache"]["requests"]["hit"] == 2


def get(on: Stage, *arguments: object) -> Any:
    done = on.proxy.cli("cache", "get", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_get_says_what_is_stored_and_why(on: Stage) -> None:
    path = on.path("got")
    on.on(path, HOUR, "Cache-Tag: red", "Age: 100", body=bytes(1000))
    on.ask(path)
    answer = get(on, on.url(path))
    assert answer["verdict"] == "hit"
    assert answer["reason"] == "fresh"
    (stored,) = answer["stored"]
    assert (stored["status"], stored["size"], stored["tags"]) == (200, 1000, ["red"])
    assert stored["basis"] == "max-age"
    assert 100 <= stored["age"] <= 120
    assert 3480 <= stored["ttl"] <= 3500
    assert on.asked(path) == 1, "nothing is fetched"
    assert get(on, on.url(path), "-H", "Cache-Control: no-cache")["reason"] == "request"


def test_get_of_nothing_and_of_something_stale(on: Stage) -> None:
    path = on.path("nothing")
    answer = get(on, on.url(path))
    assert (answer["stored"], answer["verdict"], answer["reason"]) == ([], "miss", "uri_miss")
    on.on(path, *OLD)
    on.ask(path)
    assert get(on, on.url(path))["reason"] == "stale"


def test_get_shows_variants(on: Stage) -> None:
    path = on.path("variants")
    on.on(path, HOUR, "Vary: X-A")
    for value in "123":
        on.ask(path, f"X-A: {value}")
    answer = get(on, on.url(path), "-H", "X-A: 2")
    assert len(answer["stored"]) == 3
    assert answer["verdict"] == "hit"
    assert get(on, on.url(path), "-H", "X-A: 9")["reason"] == "vary_miss"


def test_get_for_people(on: Stage) -> None:
    path = on.path("people")
    on.on(path, HOUR)
    on.ask(path)
    done = on.proxy.cli("cache", "get", on.url(path))
    assert done.returncode == 0, done.stderr
    assert "hit" in done.stdout
    assert "max-age" in done.stdout


def test_warm(on: Stage, tmp_path: Path) -> None:
    paths = [on.path("warm") for _ in range(5)]
    for path in paths:
        on.on(path, HOUR)
    missing = on.path("warm-missing")
    on.on(missing, "Cache-Control: no-store")
    urls = tmp_path / "urls.txt"
    urls.write_text("".join(f"{on.url(path)}\n" for path in paths))
    done = on.proxy.cli("cache", "warm", urls, "--json")
    assert done.returncode == 0, done.stderr
    assert [on.asked(path) for path in paths] == [1] * 5
    answer = json.loads(done.stdout)
    assert answer["stored"] == 5
    for path in paths:
        assert told(on, path).hit
    again = json.loads(on.proxy.cli("cache", "warm", urls, "--json").stdout)
    assert again["stored"] == 0


def test_explain_shows_the_verdict(on: Stage) -> None:
    path = on.path("explained")
    on.on(path, HOUR)
    on.ask(path)
    done = on.proxy.cli("explain", on.proxy.path, "GET", on.url(path), "--json")
    assert done.returncode == 0, done.stderr
    assert "cache_lookup" in done.stdout
    assert on.url(path) in done.stdout


def test_every_request_leaves_one_record() -> None:
    with reverse_stage() as on:
        on.on("/x", HOUR)
        for _ in range(50):
            on.ask("/x")
        records = on.proxy.wait_records(lambda one: one.get("path") == "/x", 50)
        assert len(records) == 50
        assert sum(one.get("cache") == "hit" for one in records) == 49
        body = {one["response_body"] for one in records}
        assert len(body) == 1, "a hit's bytes are counted"


def test_responses_read_as_the_library_reads_them() -> None:
    """The reader of these tests notices what is no structured field."""

    def of(value: str) -> Response:
        return Response("HTTP/1.1", 200, "", Fields([("Cache-Status", value)]))

    assert cache_status(of('a; hit, b; fwd=uri-miss; stored; ttl=-5; key="x"')).ttl == -5
    for wrong in ("a; hit=1", "a; fwd=what", "a; hit; fwd=miss", "a; ttl=x", 'a; key=x", b', "a; stored"):
        with pytest.raises((AssertionError, ValueError)):
            cache_status(of(wrong))
