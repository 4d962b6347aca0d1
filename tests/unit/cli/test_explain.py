"""What `reviver explain` asks the engine, and how it tells the answer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reviver.cli import main
from reviver.control import client
from tests.support import fake_engine

CONFIGURATION = """
listeners:
  web: {bind: "127.0.0.1:8080", role: reverse}
reverse:
  routes:
    - {name: api, match: {path: "/v1/*"}, pool: api}
    - {name: move, match: {path: /go}, redirect: {to: "https://new.example/", status: 308}}
  pools:
    api: {servers: ["127.0.0.1:9001", "127.0.0.1:9002"]}
"""

UPSTREAM: dict[str, Any] = {
    "listener": "web",
    "role": "reverse",
    "client": "10.0.0.7",
    "method": "GET",
    "host": "api.example",
    "path": "/v1/x",
    "outcome": "upstream",
    "status": None,
    "reason": "forwarded",
    "at": "r.yaml:6",
    "route": "api",
    "pool": "api",
    "servers": ["127.0.0.1:9001", "127.0.0.1:9002"],
    "steps": [
        {"phase": "request_head", "verdict": "continue", "reason": "forwarded", "at": None, "detail": ""},
        {"phase": "route", "verdict": "continue", "reason": "forwarded", "at": "r.yaml:6", "detail": "pool api"},
    ],
    "passed_over": [{"route": "old", "at": "r.yaml:5", "condition": "path /old/*"}],
    "upstream_request": "GET /v1/x HTTP/1.1\r\nHost: api.example\r\n\r\n",
}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_engine.FakeModule]:
    (tmp_path / "r.yaml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    with fake_engine.installed() as fake:
        fake.explanation = UPSTREAM
        yield fake


def test_the_request_reaches_the_engine_as_it_was_written(engine: fake_engine.FakeModule) -> None:
    arguments = ["-H", "X-A:  b: c ", "-H", "x-a: d", "--client", "10.0.0.7", "--listener", "web"]
    assert main.run(["explain", "r.yaml", "GET", "http://api.example/v1/x", *arguments]) == 0
    assert engine.explained == [
        {
            "listener": "web",
            "method": "GET",
            "url": "http://api.example/v1/x",
            "headers": [["X-A", "b: c"], ["x-a", "d"]],
            "client": "10.0.0.7",
        }
    ]


def test_the_answer_is_told_phase_by_phase(engine: fake_engine.FakeModule, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", "r.yaml", "GET", "http://api.example/v1/x"]) == 0
    text = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "route continue forwarded r.yaml:6 pool api" in lines
    assert "old r.yaml:5 path /old/*" in lines
    assert "sent to pool api: 127.0.0.1:9001, 127.0.0.1:9002, by route api (r.yaml:6): forwarded" in lines
    assert "  GET /v1/x HTTP/1.1\n  Host: api.example\n" in text


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (
            {"outcome": "answer", "status": 410, "reason": "responded", "route": "gone", "pool": None, "servers": []},
            "answered here with 410, by route gone (r.yaml:6): responded",
        ),
        (
            {"outcome": "answer", "status": 308, "reason": "redirected", "route": "move", "pool": None, "servers": []},
            "answered here with 308 to https://new.example/, by route move (r.yaml:6): redirected",
        ),
        (
            {"outcome": "tunnel", "route": None, "pool": None, "servers": ["a.example:443"], "reason": "tunnelled"},
            "a tunnel to a.example:443 (r.yaml:6): tunnelled",
        ),
        (
            {"outcome": "purge", "pool": None, "servers": ["api.example"], "reason": "purged"},
            "purges what is stored for its URL, by route api (r.yaml:6): purged",
        ),
        (
            {"outcome": "closed", "route": None, "at": None, "reason": "bad_request"},
            "the connection is closed: bad_request",
        ),
    ],
)
def test_the_last_word_says_what_becomes_of_it(
    engine: fake_engine.FakeModule, capsys: pytest.CaptureFixture[str], change: dict[str, Any], verdict: str
) -> None:
    engine.explanation = {**UPSTREAM, "upstream_request": None, **change}
    assert main.run(["explain", "r.yaml", "GET", "http://api.example/v1/x"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == verdict


def test_the_cache_has_its_step(engine: fake_engine.FakeModule, capsys: pytest.CaptureFixture[str]) -> None:
    step = {"phase": "cache_lookup", "verdict": "continue", "reason": "forwarded", "at": "r.yaml:7", "detail": "key k"}
    engine.explanation = {**UPSTREAM, "steps": [*UPSTREAM["steps"], step]}
    assert main.run(["explain", "r.yaml", "GET", "http://api.example/v1/x"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "cache_lookup continue forwarded r.yaml:7 key k" in lines
    assert "what is stored is not known: no proxy is running with r.yaml" in lines


STORED = {
    "variant": "accept-encoding: gzip\n", "status": 200, "age": 75, "ttl": 15, "basis": "max-age", "size": 9,
    "stored_as": "disk", "tags": ["a"], "groups": [], "hits": 1, "verdict": "hit", "reason": "fresh",
}  # fmt: skip
OTHER = {**STORED, "variant": "accept-encoding: br", "verdict": "miss", "reason": "vary_miss"}
FOUND: dict[str, Any] = {
    "key": "k", "route": "api", "stored": [OTHER, STORED], "verdict": "hit", "reason": "fresh",
}  # fmt: skip


@pytest.fixture
def cached(engine: fake_engine.FakeModule, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """A request that looks into the cache, and a proxy that runs; the last item is its answer, or what it raises."""
    step = {"phase": "cache_lookup", "verdict": "continue", "reason": "forwarded", "at": "r.yaml:7", "detail": "key k"}
    engine.explanation = {**UPSTREAM, "steps": [*UPSTREAM["steps"], step]}
    asked: list[Any] = [FOUND]

    def ask(path: Path, command: str, *, request: Any, patience: float, **_: Any) -> Any:
        assert (path, command, patience <= 2) == (Path("c.sock"), "cache.get", True)
        asked.insert(0, request)
        if isinstance(asked[-1], Exception):
            raise asked[-1]
        return asked[-1]

    monkeypatch.setattr(client, "ask", ask)
    with monkeypatch.context() as patched:
        patched.setattr("reviver.cli.explain_cache.find_socket", lambda *_: Path("c.sock"))
        yield asked


def test_the_running_proxy_says_what_it_has(cached: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["GET", "http://api.example/v1/x", "-H", "Accept-Encoding: gzip", "--client", "10.0.0.7"]
    assert main.run(["explain", "r.yaml", *arguments]) == 0
    assert cached[0] == {
        "listener": "web",
        "method": "GET",
        "url": "http://api.example/v1/x",
        "headers": [("Accept-Encoding", "gzip")],
        "client": "10.0.0.7",
    }
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    first = lines.index("in the cache of the running proxy: hit (fresh)")
    assert lines[first + 1 : first + 5] == [
        "key k", "variant accept-encoding: gzip", "age 1 m 15 s", "ttl 15 s, by max-age",
    ]  # fmt: skip
    assert any(line.startswith("answered from the cache; else sent to pool api") for line in lines)


def test_programs_get_what_the_running_proxy_has(cached: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", "r.yaml", "GET", "http://api.example/v1/x", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["cache_note"] is None
    assert answer["cache"] == {
        "verdict": "hit", "reason": "fresh", "key": "k", "variant": "accept-encoding: gzip", "status": 200, "age": 75,
        "ttl": 15, "basis": "max-age", "stored_as": "disk", "tags": ["a"],
    }  # fmt: skip


def test_where_no_variant_fits_nothing_is_told_of_the_others(
    cached: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cached[-1] = {**FOUND, "stored": [OTHER], "verdict": "miss", "reason": "vary_miss"}
    assert main.run(["explain", "r.yaml", "GET", "http://api.example/v1/x"]) == 0
    text = capsys.readouterr().out
    assert "in the cache of the running proxy: miss (vary_miss)\n  key      k\n\nsent to pool api" in text


def test_a_proxy_that_has_not_reloaded_is_told_of(cached: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    cached[-1] = {**FOUND, "route": "earlier"}
    assert main.run(["explain", "r.yaml", "GET", "http://api.example/v1/x"]) == 0
    assert "it has not read this configuration yet\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error",
    [client.NotRunningError("no proxy is running at c.sock"), client.RefusedError("no cache", []), OSError("x")],
)
def test_no_answer_is_no_failure(cached: list[Any], capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    cached[-1] = error
    assert main.run(["explain", "r.yaml", "GET", "http://api.example/v1/x", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["cache"] is None
    assert answer["cache_note"] == f"what is stored is not known: {error}"


def test_programs_get_the_engines_answer(engine: fake_engine.FakeModule, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", "r.yaml", "GET", "/v1/x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**UPSTREAM, "cache": None, "cache_note": None}


def test_the_folders_own_configuration_is_the_default(engine: fake_engine.FakeModule, tmp_path: Path) -> None:
    assert main.run(["explain", "GET", "/v1/x"]) == 2
    (tmp_path / "r.yaml").rename(tmp_path / "reviver.yaml")
    assert main.run(["explain", "GET", "/v1/x"]) == 0
    assert len(engine.explained) == 1


def test_an_unknown_listener_is_named_with_the_known_ones(
    engine: fake_engine.FakeModule, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["explain", "r.yaml", "GET", "/", "--listener", "wob"]) == 2
    assert "there is no listener 'wob'; there are: web" in capsys.readouterr().err


SEVERAL = """
listeners:
  secure: {bind: "127.0.0.1:8443", role: reverse, tls: {internal: true}}
  web: {bind: "127.0.0.1:8080", role: reverse}
  office: {bind: "127.0.0.1:3128", role: forward}
  other: {bind: "127.0.0.1:9443", role: reverse, tls: {internal: true}}
reverse: {routes: [{respond: {}}]}
forward: {}
"""


@pytest.mark.parametrize(
    ("method", "url", "listener"),
    [
        ("GET", "https://a.example/", "secure"),
        ("GET", "HTTPS://a.example:9443/", "other"),
        ("GET", "https://a.example:1/", "secure"),
        ("GET", "http://a.example/", "web"),
        ("GET", "/", None),
        ("CONNECT", "a.example:443", None),
        ("GET", "https://a.example:port/", None),
    ],
)
def test_a_url_comes_in_where_its_scheme_and_port_are_served(
    engine: fake_engine.FakeModule, tmp_path: Path, method: str, url: str, listener: str | None
) -> None:
    (tmp_path / "r.yaml").write_text(SEVERAL)
    assert main.run(["explain", "r.yaml", method, url]) == 0
    assert engine.explained[0]["listener"] == listener


def test_a_listener_that_is_named_is_kept(engine: fake_engine.FakeModule, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(SEVERAL)
    assert main.run(["explain", "r.yaml", "GET", "https://a.example/", "--listener", "web"]) == 0
    assert engine.explained[0]["listener"] == "web"


def test_without_a_listener_of_its_scheme_the_engine_chooses(engine: fake_engine.FakeModule) -> None:
    assert main.run(["explain", "r.yaml", "GET", "https://api.example/v1/x"]) == 0
    assert engine.explained[0]["listener"] is None


def test_servers_that_are_found_are_told_by_where(
    engine: fake_engine.FakeModule, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing is looked up, and a pool is not without servers because nobody has looked."""
    found = CONFIGURATION.replace('servers: ["127.0.0.1:9001", "127.0.0.1:9002"]', "discover: {dns: app.internal:80}")
    (tmp_path / "r.yaml").write_text(found)
    stand_in = "0.discovered.invalid:1"
    step = {**UPSTREAM["steps"][1], "phase": "upstream_select", "detail": f"server {stand_in}"}
    engine.explanation = {**UPSTREAM, "servers": [stand_in], "steps": [*UPSTREAM["steps"], step]}
    assert main.run(["explain", "r.yaml", "GET", "http://api.example/v1/x"]) == 0
    said = capsys.readouterr().out
    assert "sent to pool api: dns app.internal:80, by route api" in said
    assert stand_in not in said
    assert "server dns app.internal:80" in said
