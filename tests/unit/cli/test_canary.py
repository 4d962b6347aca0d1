"""`reviver canary`: what the proxy is asked, and how its answer is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from reviver.canary import Autopilot, Counters, Settings
from reviver.cli import main
from tests.unit.cli.asking import answering
from tests.unit.cli.test_main import _modules


def _variant(name: str, pool: str, weight: int, requests: int, errors: int) -> dict[str, Any]:
    statuses = {"2xx": requests - errors, "5xx": errors}
    counts = {"requests": requests, "errors": errors, "statuses": statuses, "latency": [[10_000, requests]]}
    return {"name": name, "pool": pool, "weight": weight, "written": weight, **counts}


CANARY = _variant("canary", "v2", 1000, 200, 1)
STABLE = _variant("stable", "v1", 9000, 1800, 9)
SPLIT: dict[str, Any] = {
    "name": "shop", "canary": True, "variants": [CANARY, STABLE], "baseline": STABLE, "autopilot": None,
}  # fmt: skip


def _piloted(*looks: tuple[int, int], settings: Settings | None = None, refused: str | None = None) -> dict[str, Any]:
    """The split with an autopilot that has seen so many requests and errors of both sides."""
    settings = settings or Settings(steps=(1000, 5000, 10_000), every=10, min_requests=50, quantiles={0.95: 0.2})
    pilot = Autopilot(settings)
    now = 1_000_000.0
    pilot.observe(now, Counters(), Counters(), True)
    if refused is not None:
        pilot.gate_result(False, refused)
    canary = baseline = 0, 0
    for requests, errors in ((0, 0), *looks):
        now += 1
        canary = canary[0] + requests, canary[1] + errors
        baseline = baseline[0] + requests, 0
        counters = [Counters(n, bad, {"5xx": bad}, [[10_000, n]]) for n, bad in (canary, baseline)]
        pilot.observe(now, counters[0], counters[1], True)
    return {**SPLIT, "autopilot": {**pilot.status(), "asking": False}}


@pytest.fixture
def answer() -> dict[str, Any]:
    return {"splits": [SPLIT]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> list[tuple[str, Any]]:
    return answering(monkeypatch, lambda command: answer if command == "canary.status" else answer["splits"][0])


def _shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main.run(["canary", "status", "--socket", "/x"]) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_both_sides_have_their_shares_with_intervals(asked: object, capsys: pytest.CaptureFixture[str]) -> None:
    lines = _shown(capsys)
    assert lines[0] == "split shop: canary 10 %, stable 90 %"
    rows = {line.split(" ", 1)[0]: line for line in lines[3:]}
    assert lines[2] == "since the start canary stable"
    assert rows["pool"] == "pool v2 v1"
    assert rows["requests"] == "requests 200 1800"
    assert rows["errors"] == "errors 1 9"
    [rate] = [line for line in lines if line.startswith("error rate")]
    assert rate.startswith("error rate 0.5 % [")
    assert rate.count("[") == 2
    assert rows["p95"].startswith("p95 ")
    assert rows["p95"].count("[") == 2


def test_without_requests_there_are_dashes(
    asked: object, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = {**CANARY, "requests": 0, "errors": 0, "statuses": {}, "latency": []}
    answer["splits"] = [{**SPLIT, "variants": [nothing, STABLE]}]
    lines = _shown(capsys)
    assert any(line.startswith("error rate - 0.5 % [") for line in lines)
    assert any(line.startswith("p50 - ") for line in lines)


def test_without_splits_it_says_so(asked: object, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answer["splits"] = []
    assert _shown(capsys) == ["the configuration has no splits"]


def test_an_autopilot_shows_steps_evidence_and_verdict(
    asked: object, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answer["splits"] = [_piloted(*[(20, 0)] * 5)]
    lines = _shown(capsys)
    assert lines[0] == "split shop: canary 10 %, stable 90 %; the autopilot walks"
    assert lines[1] == "steps: ▶ 10 % · 50 % · 100 %"
    assert lines[2].startswith("autopilot walks, for ")
    assert lines[2].endswith("a step takes 10 s and 50 requests of each side at least")
    assert "this step, 95 % canary stable's share" in lines
    assert "requests 100 100" in lines
    assert any(line.startswith("error rate 0 % [0 %, ") and line.count("[") == 2 for line in lines)
    judged = lines.index("judged may be evidence that it is less evidence of harm")
    assert lines[judged + 1].startswith("error rate +1 % points ")
    assert lines[judged + 2].startswith("p95 +20 % ")
    assert any(line.startswith("verdict: the step lasts") for line in lines)
    assert any(line.startswith("last judgements at verdict") for line in lines)
    assert sum("too early" in line for line in lines) == 5


def test_one_that_has_rolled_back_says_why(
    asked: object, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answer["splits"] = [_piloted((50, 0), (50, 45))]
    lines = _shown(capsys)
    assert lines[0].endswith("the autopilot has rolled back")
    [verdict] = [line for line in lines if line.startswith("verdict: ")]
    assert "the canary does harm: errors 45 % against 0 %" in verdict


def test_a_gate_that_did_not_pass_is_there_with_its_reason(
    asked: object, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    gated = Settings(steps=(1000, 10_000), every=60, before=True)
    answer["splits"] = [_piloted(settings=gated, refused="not on a Friday")]
    lines = _shown(capsys)
    assert lines[0].endswith("the autopilot is at a gate")
    assert "gate before 10 % did not pass: not on a Friday; asked again in 59 s" in lines


def test_a_dry_run_is_told_from_the_real_thing(
    asked: object, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answer["splits"] = [_piloted((10, 0), settings=Settings(steps=(1000, 10_000), every=60, dry_run=True))]
    lines = _shown(capsys)
    assert lines[0].endswith("the autopilot judges only (dry run)")
    assert "without that it walks at 10 %" in lines[2]


@pytest.mark.parametrize(
    ("arguments", "command", "request_"),
    [
        (["status", "shop"], "canary.status", {"split": "shop"}),
        (["set", "shop", "25%"], "canary.set", {"split": "shop", "weight": 2500}),
        (["set", "shop", "0.05%"], "canary.set", {"split": "shop", "weight": 5}),
        (["set", "shop", "0"], "canary.set", {"split": "shop", "weight": 0}),
        (["set", "shop", "100%"], "canary.set", {"split": "shop", "weight": 10_000}),
        (
            ["set", "ab", "a=50%", "b=30.5%", "c=19.5"], "canary.set",
            {"split": "ab", "weights": {"a": 5000, "b": 3050, "c": 1950}},
        ),
        (["promote", "shop"], "canary.promote", {"split": "shop", "variant": None}),
        (["promote", "ab", "b"], "canary.promote", {"split": "ab", "variant": "b"}),
        (["abort", "shop"], "canary.abort", {"split": "shop", "variant": None}),
        (["resume", "shop"], "canary.resume", {"split": "shop"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_asked_and_said(
    asked: list[tuple[str, Any]],
    answer: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    command: str,
    request_: dict[str, Any],
    as_json: bool,
) -> None:
    assert main.run(["canary", *arguments, "--socket", "/x", *["--json"] * as_json]) == 0
    assert asked == [(command, request_)]
    out = capsys.readouterr().out
    if as_json:
        assert json.loads(out) == (answer if command == "canary.status" else SPLIT)
    elif command != "canary.status":
        assert out == "split shop: canary 10 %, stable 90 %\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["set", "shop"], "say the weight: shop 25%"),
        (["set", "shop", "101%"], "101% is more than 100%"),
        (["set", "shop", "0.001%"], "'0.001%' is not a percentage in steps of 0.01%"),
        (["set", "shop", "-1%"], "-1"),
        (["set", "shop", "many"], "'many' is not a percentage"),
        (["set", "shop", "a=5%", "7%"], "'7%' is not VARIANT=WEIGHT"),
        (["set", "shop", "a=5%", "a=95%"], "a is there twice"),
        (["set", "shop", "a="], "'' is not a percentage"),
        (["promote"], "SPLIT"),
        (["promte", "shop"], "promte"),
    ],
)
def test_bad_usage_asks_nobody(
    asked: list[object], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main.run(["canary", *arguments]) == 2
    assert asked == []
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["status"], ["set", "s", "1%"], ["promote", "s"], ["abort", "s"], ["resume", "s"], ["diff"]]
)
def test_without_a_proxy_it_fails_and_loads_little(tmp_path: Path, arguments: list[str]) -> None:
    none = ["--socket", str(tmp_path / "none")]
    assert main.run(["canary", *arguments, *none]) == 1
    loaded = _modules("canary", *arguments, *none)
    assert not loaded & {"pydantic", "rich", "asyncio", "ssl", "numpy", "reviver._engine", "reviver.canary"}


@pytest.mark.parametrize("command", ["status", "set", "promote", "abort", "resume", "diff"])
def test_each_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["canary", command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"  reviver canary {command}" in out
    assert "--json" in out
