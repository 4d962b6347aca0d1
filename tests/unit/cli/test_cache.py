"""`reviver cache`: what the proxy is asked, and how its answer is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from reviver.cli import main
from reviver.control import client
from tests.unit.cli.asking import answering, printed
from tests.unit.cli.test_main import _modules

STATS: dict[str, Any] = {
    "memory": {"objects": 12, "bytes": 64 * 2**20, "limit": 256 * 2**20},
    "disk": {"objects": 900, "bytes": 3 * 2**30, "limit": 4 * 2**30, "state": "read_only", "segments": 48, "dropped": 0,
             "evicted": 4},
    "requests": {"hit": 80, "stale": 3, "revalidated": 2, "miss": 10, "bypass": 5},
    "hit_ratio": 0.83,
    "why_missed": {"vary_miss": 2, "uri_miss": 7, "no_cache": 1},
    "not_stored": {"private": 4},
    "stored": 20,
    "evicted": 6,
    "purged": 1,
    "collapsed": 9,
    "routes": {"shop": {"requests": {"hit": 60, "miss": 8, "bypass": 1}, "hit_ratio": 0.8}},
    "top": [{"url": "http://shop.example/logo.png", "hits": 70, "size": 2048}],
}  # fmt: skip
VARIANT: dict[str, Any] = {
    "variant": "accept-encoding: gzip",
    "status": 200,
    "age": 75,
    "ttl": -15,
    "basis": "max-age",
    "size": 1536,
    "stored_as": "disk",
    "tags": ["logo", "shop"],
    "groups": [],
    "hits": 7,
    "stored_at": "2026-05-01T12:00:00Z",
    "fields": [["cache-control", "max-age=60"]],
    "verdict": "stale",
    "reason": "stale_while_revalidate",
}
FOUND: dict[str, Any] = {
    "key": "http://shop.example/logo.png",
    "route": "shop",
    "stored": [VARIANT],
    "verdict": "miss",
    "reason": "vary_miss",
}
ANSWERS = {"cache.stats": STATS, "cache.purge": {"purged": 3}, "cache.get": FOUND}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Answers for a proxy; what it was asked."""
    return answering(monkeypatch, ANSWERS.__getitem__)


def test_the_stats_have_tiers_routes_and_reasons(asked: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["cache", "stats", "--socket", "/x"]) == 0
    lines = printed(capsys)
    assert "memory █████░░░░░░░░░░░░░░░ 25.0 % 64.0 MiB 256.0 MiB 12" in lines
    assert "disk ███████████████░░░░░ 75.0 % 3.0 GiB 4.0 GiB 900 read-only" in lines
    assert "the disk is read-only: nothing new is stored there" in lines
    events = lines.index("since the start count")
    assert lines[events + 1 : events + 5] == [
        "stored 20 responses",
        "evicted 6 to make room: 2 from memory, 4 from disk",
        "purged 1",
        "collapsed 9 requests that shared the fetch of another",
    ]
    assert "all 83.0 % 80 3 2 10 5" in lines
    assert "shop 80.0 % 60 0 0 8 1" in lines
    reasons = lines.index("why missed requests")
    assert lines[reasons + 1 : reasons + 4] == ["uri_miss 7", "vary_miss 2", "no_cache 1"]
    assert "private 4" in lines
    assert "http://shop.example/logo.png 70 2.0 KiB" in lines


def test_a_cache_that_was_not_used_has_stats_too(
    asked: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = {
        **STATS, "memory": {"objects": 0, "bytes": 0, "limit": 1024}, "disk": None, "requests": {}, "hit_ratio": 0.0,
        "why_missed": {}, "not_stored": {}, "routes": {}, "top": [],
    }  # fmt: skip
    monkeypatch.setitem(ANSWERS, "cache.stats", empty)
    assert main.run(["cache", "stats", "--socket", "/x"]) == 0
    lines = printed(capsys)
    assert "memory ░░░░░░░░░░░░░░░░░░░░ 0.0 % 0 B 1.0 KiB 0" in lines
    assert "all - 0 0 0 0 0" in lines


def test_the_rows_of_routes_add_up(asked: object, capsys: pytest.CaptureFixture[str]) -> None:
    """A reload can take a route away, and not what it has counted."""
    assert main.run(["cache", "stats", "--socket", "/x"]) == 0
    lines = printed(capsys)
    rows = [
        line.rsplit(" ", 5)[1:] for line in lines[lines.index("route hit ratio hit stale revalidated miss bypass") :]
    ]
    everything, *routes = [[int(cell) for cell in row] for row in rows[1:4]]
    assert "(no longer there) 85.2 % 20 3 2 2 4" in lines
    assert [sum(column) for column in zip(*routes, strict=True)] == everything


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("ok", None),
        ("full", "the disk is full: nothing new is stored there"),
        ("failed", "the disk fails; the proxy's standard error says how: nothing new is stored there"),
    ],
)
def test_a_disk_that_does_not_work_is_told_in_words(
    asked: object,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    sentence: str | None,
) -> None:
    monkeypatch.setitem(ANSWERS, "cache.stats", {**STATS, "disk": {**STATS["disk"], "state": state, "dropped": 3}})
    assert main.run(["cache", "stats", "--socket", "/x"]) == 0
    lines = printed(capsys)
    assert [line for line in lines if line.startswith("the disk")] == ([] if sentence is None else [sentence])
    assert any(line.startswith("disk ") and line.endswith(" 900" if state == "ok" else f" {state}") for line in lines)
    assert "dropped 3 that the disk was too slow for" in lines


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["stats"], STATS),
        (["purge", "--all"], {"purged": 3}),
        (["get", "http://shop.example/logo.png"], FOUND),
    ],
)
def test_programs_get_the_answer_as_it_is(
    asked: object, capsys: pytest.CaptureFixture[str], arguments: list[str], answer: dict[str, Any]
) -> None:
    assert main.run(["cache", *arguments, "--socket", "/x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == answer


@pytest.mark.parametrize(
    ("arguments", "select"),
    [
        (["--all"], {"all": True}),
        (["--url", "shop.example/a?b"], {"url": "http://shop.example/a?b"}),
        (["--url", "https://Shop.example"], {"url": "https://shop.example/"}),
        (["--prefix", "http://shop.example/img/"], {"prefix": "http://shop.example/img/"}),
        (["--prefix", "shop.example/img/*"], {"prefix": "http://shop.example/img/"}),
        (["--host", "Shop.Example:8080"], {"host": "shop.example:8080"}),
        (["--tag", "product 7"], {"tag": "product 7"}),
        (["--group", "g"], {"group": "g"}),
        (["--expression", "hits == 0"], {"expression": {"field": "hits", "op": "eq", "value": 0}}),
    ],
)
@pytest.mark.parametrize("soft", [False, True])
def test_a_purge_selects_by_one_thing(
    asked: list[tuple[str, Any]],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    select: dict[str, Any],
    soft: bool,
) -> None:
    assert main.run(["cache", "purge", *arguments, "--socket", "/x", *["--soft"] * soft]) == 0
    assert asked == [("cache.purge", {"select": select, "soft": soft})]
    assert capsys.readouterr().out == "3 purged\n"


def test_a_purge_of_nothing_is_good(
    asked: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, "cache.purge", {"purged": 0})
    assert main.run(["cache", "purge", "--host", "nobody.example", "--socket", "/x"]) == 0
    assert capsys.readouterr().out == "0 purged\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what to purge: --url, --prefix, --host, --tag, --group, --expression or --all"),
        (["--url", "a.example", "--host", "a.example"], "--url and --host are given; give one of them"),
        (["--tag", "a", "--tag", "b"], "--tag and --tag are given"),
        (["--all", "--host", "a.example"], "--host and --all are given"),
        (["--url", "ftp://a.example/"], "--url: 'ftp://a.example/' is neither http nor https"),
        (["--prefix", "/img/"], "--prefix: '/img/' has no host"),
        (["--host", "http://a.example/"], "'http://a.example/' is more than a host"),
        (["--host", "a b"], "'a b' is not a host"),
        (["--tag", ""], "'' is not a tag"),
        (["--group", "a\nb"], "'a\\nb' is not a group"),
    ],
)
def test_a_purge_that_cannot_be_asks_nobody(
    asked: list[object], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main.run(["cache", "purge", *arguments, "--socket", "/x"]) == 2
    out, err = capsys.readouterr()
    assert (asked, out) == ([], "")
    assert err.count("\n") == 1
    assert words in err


def test_a_wrong_expression_is_shown_with_its_place(asked: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["cache", "purge", "--expression", 'hits == 0 and agee > "1h"', "--socket", "/x"]) == 2
    assert asked == []
    assert capsys.readouterr().err.splitlines() == [
        "error: --expression: column 15: there is no 'agee' (did you mean age?)",
        '  hits == 0 and agee > "1h"',
        "                ^~~~",
    ]


def test_what_is_stored_is_told_with_the_verdict(
    asked: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["shop.example/logo.png", "-H", "Accept-Encoding: br", "--listener", "web", "--method", "HEAD"]
    assert main.run(["cache", "get", *arguments, "--socket", "/x"]) == 0
    url = "http://shop.example/logo.png"
    headers = [["Accept-Encoding", "br"]]
    assert asked == [("cache.get", {"method": "HEAD", "url": url, "headers": headers, "listener": "web"})]
    lines = printed(capsys)
    assert lines[:3] == [f"key {url}", "route shop", f"now HEAD {url} would be: miss (vary_miss)"]
    assert lines[-1] == (
        "accept-encoding: gzip 200 1 m 15 s -15 s max-age 1.5 KiB disk 7 2026-05-01T12:00:00Z logo, shop "
        "stale (stale_while_revalidate)"
    )


def test_where_nothing_is_stored_it_says_so(
    asked: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, "cache.get", {**FOUND, "stored": [], "reason": "uri_miss"})
    assert main.run(["cache", "get", "shop.example/logo.png", "--socket", "/x"]) == 0
    assert printed(capsys)[-1] == "nothing is stored"


def test_a_variant_of_several_fields_is_one_line(
    asked: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    several = {**VARIANT, "variant": "accept-encoding: gzip\naccept-language: de\n", "reason": "partial"}
    everyone = {**VARIANT, "variant": "\n", "verdict": "hit", "reason": "fresh"}
    monkeypatch.setitem(ANSWERS, "cache.get", {**FOUND, "reason": "partial", "stored": [several, everyone]})
    assert main.run(["cache", "get", "shop.example/logo.png", "--socket", "/x"]) == 0
    lines = printed(capsys)
    assert lines[2].endswith("would be: miss (partial)")
    assert lines[-2].startswith("accept-encoding: gzip, accept-language: de 200 ")
    assert lines[-2].endswith(" stale (partial)")
    assert lines[-1].startswith("- 200 ")


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, ["route shop", "now GET http://shop.example/ would not be cached: route shop has no `cache`"]),
        ({"route": None}, ["now GET http://shop.example/ would not be cached: `forward` has no `cache`"]),
        (
            {"reason": "responded"},
            ["route shop", "now GET http://shop.example/ would not be cached: it is not for an upstream (responded)"],
        ),
        (
            {"verdict": "bypass", "reason": "method"},
            ["route shop", "now GET http://shop.example/ would be: bypass (method)", "", "nothing is stored"],
        ),
    ],
)
def test_what_has_no_key_says_why(
    asked: object,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    lines: list[str],
) -> None:
    uncached: dict[str, Any] = {
        "key": None,
        "route": "shop",
        "stored": [],
        "verdict": "not_cached",
        "reason": "forwarded",
    }
    monkeypatch.setitem(ANSWERS, "cache.get", {**uncached, **change})
    assert main.run(["cache", "get", "shop.example", "--socket", "/x"]) == 0
    assert printed(capsys) == lines


@pytest.mark.parametrize(
    "arguments", [["stats"], ["purge", "--all"], ["get", "a.example"], ["warm", "--url", "a.example"]]
)
def test_without_a_proxy_it_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main.run(["cache", *arguments, "--socket", str(tmp_path / "none")]) == 1
    assert "no proxy is running at" in capsys.readouterr().err


def test_what_the_engine_refuses_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: Any, **__: Any) -> None:
        raise client.RefusedError("no cache is configured", [])

    monkeypatch.setattr(client, "ask", ask)
    assert main.run(["cache", "stats", "--socket", "/x"]) == 1
    assert capsys.readouterr().err == "error: no cache is configured\n"


@pytest.mark.parametrize("arguments", [["stats"], ["purge", "--all"], ["purge", "--expression", "hits == 0"]])
def test_asking_loads_no_models(tmp_path: Path, arguments: list[str]) -> None:
    loaded = _modules("cache", *arguments, "--socket", str(tmp_path / "none"))
    assert not loaded & {"pydantic", "rich", "asyncio", "ssl", "reviver._engine", "reviver.cli.warming"}


@pytest.mark.parametrize(
    ("command", "text"), [("stats", "hit ratio"), ("purge", "--soft"), ("get", "-H"), ("warm", "--via")]
)
def test_each_has_help_with_an_example(command: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["cache", command, "--help"]) == 0
    out = capsys.readouterr().out
    assert text in out
    assert f"  reviver cache {command}" in out
