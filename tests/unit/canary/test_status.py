"""What `reviver canary status` is given."""

import json
from dataclasses import replace

from tests.unit.canary.traffic import FAST, Version, World

ALL = replace(FAST, quantiles={0.95: 0.2}, statuses={"4xx": 0.05})


def test_both_sides_have_numbers_with_intervals() -> None:
    world = World(ALL, rate=1_000)
    world.stable = Version(errors=0.02, statuses={"4xx": 0.1})
    world.canary = Version(errors=0.02, statuses={"4xx": 0.1})
    world.run(8)
    status = world.pilot.status()
    json.dumps(status, allow_nan=False)
    for name, rate in (("error_rate", 0.02), ("4xx", 0.1)):
        for side in ("canary", "baseline"):
            shown = status["shares"][name][side]
            assert shown["value"] == shown["count"] / status["requests"][side]
            assert shown["low"] < rate < shown["high"]
    assert list(status["latency"]) == ["p50", "p95", "p99"]
    for side in ("canary", "baseline"):
        median = status["latency"]["p50"][side]
        assert median["low"] < 20 < median["high"]
        assert status["latency"]["p95"][side]["low"] < 45.5
    assert [metric["name"] for metric in status["metrics"]] == ["error_rate", "4xx", "p95"]
    assert all(0 <= metric["safe"] <= 1 and 0 <= metric["harm"] <= 1 for metric in status["metrics"])


def test_before_the_first_request_there_are_no_numbers() -> None:
    world = World(ALL)
    status = world.pilot.status()
    assert status["verdict"] == {"kind": "none", "text": "nothing is known yet"}
    assert [step["state"] for step in status["steps"]] == ["to come"] * 3
    world.look()
    status = world.pilot.status()
    json.dumps(status, allow_nan=False)
    assert status["shares"]["error_rate"]["canary"] == {"count": 0, "value": None, "low": None, "high": None}
    assert status["latency"]["p95"]["baseline"] == {"value": None, "low": None, "high": None}
    assert [step["state"] for step in status["steps"]] == ["current", "to come", "to come"]


def test_evidence_grows_towards_its_end() -> None:
    world = World(ALL, rate=200).run(3)
    first = world.pilot.status()["metrics"][0]["safe"]
    world.run(300, until="step")
    assert first < 1
    assert world.weights == [1_000, 5_000]
    assert [step["state"] for step in world.pilot.status()["steps"]] == ["done", "current", "to come"]


def test_verdicts_have_both_numbers_in_them() -> None:
    world = World(ALL, rate=2_000).run(5)
    text = world.pilot.status()["verdict"]["text"]
    assert text.startswith("the step lasts 5 s more at least: errors 0 % against 0 %, 4xx 0 % against 0 %, p95 ")
    assert text.endswith(" ms")


def test_the_gate_is_shown() -> None:
    world = World(replace(FAST, before=True))
    world.look()
    status = world.pilot.status()
    assert status["state"] == "gate"
    assert status["gate"] == {"kind": "before", "step": 0, "weight": 1_000, "refused": None, "again_in": None}
    world.do(world.pilot.gate_result(False, "not today"))
    world.run(4)
    gate = world.pilot.status()["gate"]
    assert (gate["refused"], gate["again_in"]) == ("not today", 6.0)
