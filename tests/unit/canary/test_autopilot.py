"""Steps, gates and commands of the autopilot."""

import json
from dataclasses import replace

import pytest

from reviver.canary import Autopilot, Counters, Event, Gate, Settings, SetWeight
from reviver.errors import OperationError
from tests.unit.canary.traffic import FAST, START, Version, World

LATENCY = replace(FAST, quantiles={0.95: 0.2})
GATED = replace(FAST, before=True, after=True)


def test_a_good_canary_walks_all_steps() -> None:
    world = World(LATENCY, rate=5_000).run(200, until="promoted")
    assert world.weights == [1_000, 5_000, 10_000]
    assert world.state == "promoted"
    steps = world.pilot.status()["steps"]
    assert [step["state"] for step in steps] == ["done"] * 3
    assert all(step["seconds"] >= 10 for step in steps)
    assert [event.data["weight"] for event in world.events("step")] == [1_000, 5_000, 10_000]


def test_each_step_lasts_as_long_as_it_should() -> None:
    world = World(rate=100_000).run(9)
    assert world.weights == [1_000]
    assert world.pilot.status()["verdict"]["kind"] == "too_early"
    world.second()
    assert world.weights == [1_000, 5_000]


def test_errors_take_the_canary_back_at_once_and_for_good() -> None:
    world = World()
    world.canary = Version(errors=1.0)
    world.run(9, until="rolled_back")
    assert world.weights == [1_000, 0]
    assert world.now - START == 1
    rolled_back = world.events("rolled_back")[0]
    assert "errors 100 % against 0 %" in rolled_back.text
    assert rolled_back.data["judgement"]["harm"]["error_rate"] > 20
    assert rolled_back.data["cause"] == "harm"
    world.canary = Version()
    world.run(300)
    assert world.weights == [1_000, 0]
    assert world.state == "aborted"
    assert "errors 100 %" in world.pilot.status()["verdict"]["text"]


@pytest.mark.parametrize(
    ("settings", "canary"),
    [
        (replace(FAST, error_rate=0.01), Version(errors=0.02)),
        (replace(FAST, error_rate=None, quantiles={0.5: 0.2}), Version(median=24_000)),
        (LATENCY, Version(median=24_000)),
        (replace(FAST, error_rate=None, quantiles={0.99: 0.5}), Version(spread=0.8)),
        (replace(FAST, error_rate=None, statuses={"4xx": 0.05}), Version(statuses={"4xx": 0.06})),
        (replace(FAST, error_rate=None, statuses={"429": 0.01}), Version(statuses={"4xx": 0.02, "429": 0.02})),
    ],
    ids=["errors", "p50", "p95", "p99", "class", "status"],
)
def test_every_metric_takes_the_canary_back(settings: Settings, canary: Version) -> None:
    world = World(settings, rate=2_000)
    world.canary = canary
    world.run(120, until="rolled_back")
    assert world.state == "aborted"
    assert world.weights == [1_000, 0]


def test_harm_that_only_a_higher_weight_brings_is_seen_there() -> None:
    world = World(replace(FAST, every=60), rate=1_000).run(120, until="step")
    assert world.weight == 5_000
    world.canary = Version(errors=0.06)
    world.run(10, until="rolled_back")
    assert world.weights == [1_000, 5_000, 0]


def test_errors_with_all_traffic_are_compared_with_the_last_stable_ones() -> None:
    world = World(replace(FAST, every=30)).run(59)
    assert world.weight == 5_000
    world.second()
    assert world.weight == 10_000
    world.canary = Version(errors=0.2)
    world.run(20, until="rolled_back")
    assert world.weights[-2:] == [10_000, 0]
    assert world.events("rolled_back")[0].text.endswith("% against 0 %")


def test_an_outage_that_hits_both_sides_rolls_nothing_back() -> None:
    world = World(replace(FAST, every=40), rate=1_000)
    for errors in (0.0, 0.5, 0.0):
        world.canary, world.stable = Version(errors=errors), Version(errors=errors)
        world.run(10)
    assert not world.events("rolled_back")


def test_a_canary_without_servers_is_taken_back() -> None:
    world = World().run(2)
    world.available = False
    world.second()
    assert world.weights == [1_000, 0]
    assert world.events("rolled_back")[0].data["cause"] == "unavailable"


def test_low_traffic_is_waited_for() -> None:
    world = World(rate=10).run(40)
    assert world.weights == [1_000]
    assert world.state == "waiting"
    assert world.pilot.status()["verdict"]["kind"] == "too_few"
    assert f"{world.sides[0].requests} and {world.sides[1].requests} of 50" in world.pilot.status()["verdict"]["text"]


def test_enough_requests_are_not_enough_evidence() -> None:
    world = World(replace(FAST, error_rate=0.001, min_requests=1), rate=1_000).run(15)
    assert world.weights == [1_000]
    assert world.state == "waiting"
    status = world.pilot.status()
    assert status["verdict"]["kind"] == "undecided"
    assert 0 < status["metrics"][0]["safe"] < 1


def test_a_harm_well_below_the_margin_is_let_pass() -> None:
    world = World(LATENCY, rate=5_000)
    world.canary = Version(errors=0.005, median=20_600)
    world.run(300, until="promoted")
    assert world.state == "promoted"


@pytest.mark.parametrize(("factor", "ends"), [(1.0, "promoted"), (1.06, "promoted"), (1.3, "rolled_back")])
def test_latencies_that_hardly_differ_from_each_other(factor: float, ends: str) -> None:
    world = World(replace(LATENCY, quantiles={0.5: 0.2, 0.95: 0.2}), rate=5_000)
    world.stable, world.canary = Version(spread=0.002), Version(spread=0.002, median=factor * 20_000)
    world.run(120, until=ends)
    assert len(world.events(ends)) == 1


def test_without_anything_to_judge_only_time_and_requests_count() -> None:
    world = World(replace(FAST, error_rate=None)).run(60, until="promoted")
    assert world.state == "promoted"


def test_all_traffic_in_one_step_has_nothing_to_compare_with() -> None:
    world = World(replace(FAST, steps=(10_000,))).run(11)
    assert world.weights == [10_000]
    assert world.state == "promoted"


def test_steps_may_end_below_all_traffic() -> None:
    world = World(replace(FAST, steps=(1_000, 5_000))).run(100, until="promoted")
    assert world.weight == 5_000
    assert "stays at 50 %" in world.pilot.status()["verdict"]["text"]


# ---- gates


def test_gates_are_asked_before_and_after_each_step() -> None:
    world = World(GATED)
    world.look()
    assert world.weights == [0]
    asked: list[tuple[str, int, int]] = []
    for _ in range(200):
        if world.state == "gate" and len(world.gates) > len(asked):
            asked.append((world.gates[-1].kind, world.gates[-1].weight, world.weight))
            world.do(world.pilot.gate_result(True, ""))
        world.second()
    assert asked == [
        ("before", 1_000, 0),
        ("after", 1_000, 1_000),
        ("before", 5_000, 1_000),
        ("after", 5_000, 5_000),
        ("before", 10_000, 5_000),
        ("after", 10_000, 10_000),
    ]
    assert world.state == "promoted"


def test_a_gate_that_does_not_pass_is_asked_again() -> None:
    world = World(replace(FAST, after=True)).run(20)
    assert [gate.kind for gate in world.gates] == ["after"]
    world.do(world.pilot.gate_result(False, "smoke test failed"))
    assert "smoke test failed" in world.events("gate")[0].text
    assert "smoke test failed" in world.pilot.status()["verdict"]["text"]
    world.run(9)
    assert len(world.gates) == 1
    world.second()
    assert len(world.gates) == 2
    assert world.weights == [1_000]
    world.do(world.pilot.gate_result(True, ""))
    assert world.weights == [1_000, 5_000]


def test_harm_is_seen_while_a_gate_is_asked() -> None:
    world = World(replace(FAST, after=True)).run(20)
    assert world.state == "gate"
    world.canary = Version(errors=1.0)
    world.run(5, until="rolled_back")
    assert world.state == "aborted"
    assert world.pilot.gate_result(True, "") == []
    assert world.weights == [1_000, 0]


def test_an_answer_that_nobody_asked_for_changes_nothing() -> None:
    world = World().run(3)
    assert world.pilot.gate_result(True, "") == []
    assert world.pilot.gate_result(False, "no") == []


def test_a_gate_without_answer_is_asked_again_after_a_restart() -> None:
    world = World(GATED)
    world.look()
    world.restart()
    assert world.look() == [SetWeight(0), Gate("before", 0, 1_000)]


def test_a_canary_that_is_down_before_its_first_step_is_waited_for() -> None:
    world = World(GATED)
    world.available = False
    world.run(5)
    assert world.state == "gate"


# ---- commands


def test_abort_is_final_until_resume_begins_a_new_walk() -> None:
    world = World().run(3)
    world.do(world.pilot.command("abort"))
    assert world.weight == 0
    world.run(30)
    assert world.state == "aborted"
    world.do(world.pilot.command("resume"))
    world.run(100, until="promoted")
    assert world.weights == [1_000, 0, 1_000, 5_000, 10_000]


def test_evidence_of_a_walk_that_is_over_is_none_for_the_next() -> None:
    world = World()
    world.canary = Version(errors=1.0)
    world.run(5, until="rolled_back")
    world.canary = Version()
    world.do(world.pilot.command("resume"))
    world.run(100, until="promoted")
    assert world.state == "promoted"


def test_promote_gives_all_traffic_at_once() -> None:
    world = World().run(3)
    world.do(world.pilot.command("promote"))
    assert world.weight == 10_000
    assert world.state == "promoted"
    world.available = False
    assert world.second() == []


def test_set_holds_a_weight_and_resume_walks_on() -> None:
    world = World().run(3)
    world.do(world.pilot.command("set", 2_000))
    world.run(60)
    assert world.weights == [1_000, 2_000]
    assert world.state == "paused"
    world.do(world.pilot.command("resume"))
    assert world.weights == [1_000, 2_000]
    world.second()
    assert world.weights == [1_000, 2_000, 5_000]
    world.run(100, until="promoted")
    assert world.state == "promoted"


def test_what_is_held_is_judged_before_it_grows() -> None:
    world = World(replace(FAST, before=True)).run(3)
    world.do(world.pilot.command("set", 1))
    world.do(world.pilot.command("resume"))
    world.run(30)
    assert world.weights == [0, 1]
    assert world.state == "waiting"
    assert [gate.weight for gate in world.gates] == [1_000]


def test_set_to_nothing_and_resume_begin_at_the_first_step() -> None:
    world = World().run(15)
    world.do(world.pilot.command("set", 0))
    world.run(20)
    assert world.state == "paused"
    world.do(world.pilot.command("resume"))
    world.second()
    assert world.weights == [1_000, 5_000, 0, 1_000]


def test_set_to_a_step_goes_on_within_it() -> None:
    world = World().run(3)
    world.do(world.pilot.command("set", 5_000))
    world.run(20)
    world.do(world.pilot.command("resume"))
    world.second()
    assert world.weights == [1_000, 5_000, 10_000]


def test_harm_takes_back_what_is_held() -> None:
    world = World().run(3)
    world.do(world.pilot.command("set", 2_000))
    world.canary = Version(errors=1.0)
    world.run(5)
    assert world.state == "aborted"
    assert world.weight == 0


def test_what_was_rolled_back_can_be_set_by_hand() -> None:
    world = World().run(1)
    world.do(world.pilot.command("abort"))
    world.do(world.pilot.command("set", 500))
    assert world.state == "paused"
    world.run(30)
    assert world.weight == 500


def test_commands_that_make_no_sense() -> None:
    world = World().run(3)
    with pytest.raises(OperationError, match="nothing to resume"):
        world.pilot.command("resume")
    for weight in (None, -1, 10_001):
        with pytest.raises(OperationError, match="from 0 % to 100 %"):
            world.pilot.command("set", weight)


# ---- dry run


def test_a_dry_run_judges_and_moves_nothing() -> None:
    world = World(replace(FAST, dry_run=True, before=True, after=True))
    world.weight = 1_000
    world.run(100, until="promoted")
    status = world.pilot.status()
    assert (status["state"], status["would"]) == ("dry", "promoted")
    assert not world.weights
    assert not world.gates
    assert all(event.text.startswith("dry run: ") for event in world.events("step"))


def test_a_dry_run_tells_when_it_would_roll_back() -> None:
    world = World(replace(FAST, dry_run=True))
    world.canary = Version(errors=1.0)
    world.run(5)
    assert not world.weights
    assert world.events("rolled_back")[0].text.startswith("dry run: rolled back: the canary does harm")
    assert world.pilot.status()["would"] == "aborted"


def test_an_end_of_the_dry_run_begins_anew() -> None:
    world = World(replace(FAST, dry_run=True))
    world.canary = Version(errors=1.0)
    world.run(5)
    world.restart(FAST)
    assert world.state == "walking"


# ---- restarts


def test_a_restarted_proxy_counts_from_zero() -> None:
    world = World(rate=300).run(5)
    before = world.pilot.status()["requests"]["canary"]
    world.restart()
    assert world.look()[0] == SetWeight(1_000)
    world.second()
    assert world.pilot.status()["requests"]["canary"] == before + world.sides[0].requests
    world.run(200, until="promoted")
    assert world.state == "promoted"


def test_what_was_rolled_back_stays_so_over_a_restart() -> None:
    world = World().run(1)
    world.do(world.pilot.command("abort"))
    world.restart()
    assert world.look() == [SetWeight(0)]
    assert world.state == "aborted"


def test_other_settings_keep_the_weight_and_begin_the_step_anew() -> None:
    world = World().run(15)
    assert world.weight == 5_000
    world.restart(replace(FAST, steps=(1_000, 2_500, 5_000, 7_500, 10_000)))
    assert world.look() == [SetWeight(5_000)]
    assert world.pilot.status()["step"] == 2
    assert world.pilot.status()["requests"] == {"canary": 0, "baseline": 0}
    world.run(200, until="promoted")
    assert world.weights == [1_000, 5_000, 5_000, 7_500, 10_000]


def test_longer_steps_do_not_lose_evidence() -> None:
    world = World().run(5)
    requests = world.pilot.status()["requests"]
    world.restart(replace(FAST, every=20, min_requests=60), counters=False)
    assert world.pilot.status()["requests"] == requests


def test_states_of_other_versions_are_refused() -> None:
    state = World().run(3).pilot.state()
    with pytest.raises(ValueError, match="version 2"):
        Autopilot(FAST, {**state, "version": 2})
    with pytest.raises((KeyError, TypeError)):
        Autopilot(FAST, {"version": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": 20_000},
        {"weight": -1},
        {"weight": "1000"},
        {"step": 3},
        {"step": -1},
        {"phase": "running"},
        {"phase": "after"},
        {"phase": "after", "asks": 7},
        {"begun": float("nan")},
    ],
)
def test_a_walk_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    """It would hold the canary where it is, and judge it no more."""
    state = World().run(3).pilot.state()
    Autopilot(FAST, state)
    with pytest.raises(ValueError, match=r"walk|Walk"):
        Autopilot(FAST, {**state, "walk": {**state["walk"], **wrong}})


def test_a_clock_that_goes_back_does_no_harm() -> None:
    world = World().run(3)
    world.now -= 3_600
    world.run(20)
    assert world.weights == [1_000]
    world.now += 3_600
    world.second()
    assert world.weights == [1_000, 5_000]


# ---- what is told


def test_verdicts_are_told_when_they_change() -> None:
    world = World(rate=30).run(600, until="promoted")
    kinds = [event.data["verdict"] for event in world.events("verdict")]
    assert kinds[:4] == ["too_early", "too_few", "undecided", "safe"]
    assert kinds[-1] == "safe"
    json.dumps([dict(action.data) for action in world.actions if isinstance(action, Event)], allow_nan=False)


def test_the_last_hundred_judgements_are_kept() -> None:
    world = World(replace(FAST, every=1_000)).run(130)
    kept = world.pilot.state()["judgements"]
    assert len(kept) == 100
    assert kept[-1]["at"] == world.now
    assert kept[-1]["canary"]["requests"] == world.pilot.status()["requests"]["canary"]
    assert len(world.pilot.status()["judgements"]) == 20


def test_the_first_look_sees_nothing_of_what_was_before() -> None:
    pilot = Autopilot(FAST)
    pilot.observe(START, Counters(5_000, 5_000), Counters(5_000, 0), True)
    pilot.observe(START + 1, Counters(5_000, 5_000), Counters(5_000, 0), True)
    assert pilot.status()["requests"] == {"canary": 0, "baseline": 0}
