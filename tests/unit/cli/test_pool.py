"""`reviver pool`: what the proxy is asked, and how its answer is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from reviver.cli import main
from tests.unit.cli.asking import answering, printed
from tests.unit.cli.test_main import _modules

SERVER: dict[str, Any] = {
    "address": "127.0.0.1:9001",
    "state": "up",
    "weight": 1,
    "backup": False,
    "max_connections": 0,
    "in_flight": 3,
    "requests": 1000,
    "errors": 0,
    "latency_ms": 1.25,
    "check": None,
    "checked_ms_ago": 250,
    "ejected_ms": None,
    "ejections": 0,
    "added": False,
}
POOL: dict[str, Any] = {
    "name": "api",
    "balance": "round_robin",
    "panic": False,
    "waiting": 0,
    "servers": [
        SERVER,
        {**SERVER, "address": "127.0.0.1:9002", "state": "down", "weight": 3, "max_connections": 100, "errors": 25,
         "check": "connection refused", "checked_ms_ago": 61_000},
        {**SERVER, "address": "127.0.0.1:9003", "state": "ejected", "backup": True, "added": True, "latency_ms": None,
         "checked_ms_ago": None, "ejected_ms": 9000, "ejections": 2},
    ],
    "removed": ["127.0.0.1:9004"],
    "from": "configuration",
    "failing": None,
}  # fmt: skip
ANSWERS: dict[str, dict[str, Any]] = {
    "pool.status": {"pools": [POOL]},
    "pool.drain": {"pool": "api", "server": "127.0.0.1:9001", "state": "draining", "left": 1},
    "pool.restore": {"pool": "api", "server": "127.0.0.1:9001", "state": "up", "left": 2},
    "pool.add": {"pool": "api", "server": "127.0.0.1:9005", "weight": 1, "backup": False, "max_connections": 0},
    "pool.remove": {"pool": "api", "server": "127.0.0.1:9001"},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    return answering(monkeypatch, ANSWERS.__getitem__)


def test_each_server_is_a_row(asked: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["pool", "status", "--socket", "/x"]) == 0
    assert printed(capsys) == [
        "pool api: 1 of 3 servers up, round_robin",
        "server state weight in flight requests errors latency last check note",
        "127.0.0.1:9001 up 1 3 1000 0 1.2 ms good, 250 ms ago",
        "127.0.0.1:9002 down 3 3 / 100 1000 25 (2.5 %) 1.2 ms connection refused, 1 m 1 s ago",
        "127.0.0.1:9003 ejected 1 3 1000 0 backup, added, back in 9 s, ejected 2 times",
        "removed at run time: 127.0.0.1:9004",
    ]


def test_servers_that_are_found_say_by_what(
    asked: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = {**POOL, "servers": [SERVER], "removed": [], "from": "dns", "failing": "app.internal A: SERVFAIL"}
    none = {**POOL, "name": "web", "servers": [], "removed": [], "from": "docker"}
    monkeypatch.setitem(ANSWERS, "pool.status", {"pools": [pool, none]})
    assert main.run(["pool", "status", "--socket", "/x"]) == 0
    assert [line for line in printed(capsys) if "9001" not in line and "latency" not in line] == [
        "pool api: 1 of 1 server up (by dns), round_robin",
        "discovery by dns fails: app.internal A: SERVFAIL",
        "",
        "pool web: 0 of 0 servers up (by docker), round_robin",
    ]


def test_a_pool_in_trouble_says_so(
    asked: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = {**POOL, "panic": True, "waiting": 7}
    monkeypatch.setitem(ANSWERS, "pool.status", {"pools": [trouble, trouble]})
    assert main.run(["pool", "status", "--socket", "/x"]) == 0
    line = "pool api: 1 of 3 servers up, round_robin, too few are up: all are used, 7 waiting for room"
    assert printed(capsys).count(line) == 2


@pytest.mark.parametrize(
    ("arguments", "command", "request_", "said"),
    [
        (["status", "api"], "pool.status", {"pool": "api"}, None),
        (["status"], "pool.status", {"pool": None}, None),
        (
            ["drain", "api", "127.0.0.1:9001"], "pool.drain", {"pool": "api", "server": "127.0.0.1:9001"},
            "pool api: 127.0.0.1:9001 drains",
        ),
        (
            ["restore", "api", "127.0.0.1:9001"], "pool.restore", {"pool": "api", "server": "127.0.0.1:9001"},
            "pool api: 127.0.0.1:9001 is up",
        ),
        (
            ["remove", "api", "127.0.0.1:9001"], "pool.remove", {"pool": "api", "server": "127.0.0.1:9001"},
            "pool api: 127.0.0.1:9001 was removed",
        ),
        (
            ["add", "api", "127.0.0.1:9005"], "pool.add",
            {"pool": "api", "address": "127.0.0.1:9005", "weight": None, "backup": None, "max_connections": None},
            "pool api: 127.0.0.1:9005 was added",
        ),
        (
            ["add", "api", "127.0.0.1:9005", "--weight", "0", "--backup", "--max-connections", "7"], "pool.add",
            {"pool": "api", "address": "127.0.0.1:9005", "weight": 0, "backup": True, "max_connections": 7},
            "pool api: 127.0.0.1:9005 was added",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_asked_and_said(
    asked: list[tuple[str, Any]],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    command: str,
    request_: dict[str, Any],
    said: str | None,
    as_json: bool,
) -> None:
    assert main.run(["pool", *arguments, "--socket", "/x", *["--json"] * as_json]) == 0
    assert asked == [(command, request_)]
    out, err = capsys.readouterr()
    assert err == ""
    if as_json:
        assert json.loads(out) == ANSWERS[command]
    elif said is not None:
        assert out == f"{said}\n"


def test_draining_the_last_one_is_noted(
    asked: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, "pool.drain", {**ANSWERS["pool.drain"], "left": 0})
    assert main.run(["pool", "drain", "api", "127.0.0.1:9001", "--socket", "/x"]) == 0
    assert capsys.readouterr().err == "no other server of pool api takes requests\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["drain", "api"], "SERVER"),
        (["add", "api", "127.0.0.1:1", "--weight", "1001"], "--weight"),
        (["add", "api", "127.0.0.1:1", "--max-connections", "-1"], "--max-connections"),
        (["drian", "api", "127.0.0.1:1"], "drian"),
        ([], "Usage"),
    ],
)
def test_bad_usage_asks_nobody(
    asked: list[object], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main.run(["pool", *arguments]) == 2
    assert asked == []
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["drain", "a", "b:1"], ["restore", "a", "b:1"], ["add", "a", "b:1"], ["remove", "a", "b:1"]],
)
def test_without_a_proxy_it_fails_and_loads_little(tmp_path: Path, arguments: list[str]) -> None:
    none = ["--socket", str(tmp_path / "none")]
    assert main.run(["pool", *arguments, *none]) == 1
    loaded = _modules("pool", *arguments, *none)
    assert not loaded & {"pydantic", "rich", "asyncio", "ssl", "reviver._engine"}


@pytest.mark.parametrize("command", ["status", "drain", "restore", "add", "remove"])
def test_each_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["pool", command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"  reviver pool {command}" in out
    assert "--json" in out
