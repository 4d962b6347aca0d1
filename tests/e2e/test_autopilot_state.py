"""What the autopilot asks and tells others, and that it goes on where it was."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.load import Load
from tests.support.origin import Origin, responds
from tests.support.pools import notes, wait_note
from tests.support.proxy import Config
from tests.support.splits import Pair, canary, pilot, status, steer, wait_state, wait_weight, weights
from tests.support.wait import until

QUICK: Config = {
    "steps": ["10%", "50%", "100%"],
    "every": "300ms",
    "min_requests": 20,
    "abort_on": {"error_rate": "+20%"},
}
BY_USER: Config = {"sticky": {"header": "x-user"}}


def load(pair: Pair) -> Load:
    return Load(pair.port, threads=6, people=200)


def told(hook: Origin) -> list[dict[str, Any]]:
    """What was posted."""
    return [json.loads(request.body) for request in hook.requests if request.complete]


@contextmanager
def gated(gates: Config, files: dict[str, str] | None = None, **more: Any) -> Iterator[Pair]:
    with canary(files=files, **BY_USER, autopilot={**QUICK, "gates": gates, **more}) as pair:
        yield pair


# -- gates


def test_a_gate_by_url() -> None:
    """Asked before each step; until it agrees, nobody gets the canary, and it is asked again."""
    with Origin("gate", responds(503)) as gate, gated({"before": [f"http://{gate.address}/may"]}) as pair:
        with load(pair):
            gate.wait_for("/may", 3)
            assert weights(pair.proxy) == [0, 10_000]
            row = pilot(pair.proxy)
            assert row["state"] == "gate"
            assert "503" in row["gate"]["refused"]
            wait_note(pair.proxy, "split shop", "gate", "503")
            gate.default = responds(204)
            wait_state(pair.proxy, "promoted")
        for request in gate.seen("/may"):
            assert request.method == "POST"
            assert (request.fields.get("Content-Type") or "").startswith("application/json")
        asked = [(facts["split"], facts["kind"], facts["weight"]) for facts in told(gate)]
        assert asked[0] == ("shop", "before", 1_000)
        assert [one for index, one in enumerate(asked) if one not in asked[:index]] == [
            ("shop", "before", 1_000),
            ("shop", "before", 5_000),
            ("shop", "before", 10_000),
        ]


def test_a_gate_by_a_function() -> None:
    """It is given the facts; false is a no."""
    text = """
import pathlib

HERE = pathlib.Path(__file__).parent

def may_grow(facts):
    with (HERE / "asked.txt").open("a") as out:
        out.write(f"{facts['split']} {facts['kind']} {facts['percent']:g}\\n")
    return facts["weight"] < 5000 or (HERE / "agreed").exists()
"""
    with gated({"after": ["gates.py:may_grow"]}, {"gates.py": text}) as pair, load(pair):
        wait_note(pair.proxy, "split shop", "did not pass", "gates.py:may_grow", "False")
        assert weights(pair.proxy) == [5_000, 5_000]
        assert pilot(pair.proxy)["state"] == "gate"
        pair.proxy.write("agreed", "")
        wait_state(pair.proxy, "promoted")
        asked = (pair.proxy.folder / "asked.txt").read_text().splitlines()
        assert set(asked) == {"shop after 10", "shop after 50", "shop after 100"}
        assert asked[0] == "shop after 10"


def test_a_gate_that_nobody_answers() -> None:
    with gated({"before": ["http://127.0.0.1:1/may"]}) as pair:
        wait_note(pair.proxy, "split shop", "gate", "did not pass")
        assert weights(pair.proxy) == [0, 10_000]
        steer(pair.proxy, "abort", "shop")
        assert pilot(pair.proxy)["state"] == "aborted"


def test_harm_while_a_gate_is_asked() -> None:
    """The gate after a step says no; meanwhile the canary turns bad."""
    with Origin("gate", responds(500)) as gate, gated({"after": [f"http://{gate.address}/may"]}) as pair, load(pair):
        gate.wait_for("/may")
        pair.canary.default = responds(500)
        wait_state(pair.proxy, "aborted")
        assert weights(pair.proxy) == [0, 10_000]


# -- events


def test_events_are_posted_in_order() -> None:
    with Origin("hook", responds(204)) as hook:
        autopilot: Config = {**QUICK, "webhooks": [f"http://{hook.address}/events"]}
        with canary(**BY_USER, autopilot=autopilot) as pair, load(pair):
            wait_state(pair.proxy, "promoted")
            until(lambda: any(event["kind"] == "promoted" for event in told(hook)), "the last event")
            steer(pair.proxy, "abort", "shop")
            until(lambda: any(event["kind"] == "rolled_back" for event in told(hook)), "the abort")
        events = told(hook)
        assert {event["split"] for event in events} == {"shop"}
        kinds = [event["kind"] for event in events if event["kind"] in ("started", "step", "promoted", "rolled_back")]
        assert kinds == ["started", "step", "step", "step", "promoted", "rolled_back"]
        assert [event["data"]["weight"] for event in events if event["kind"] == "step"] == [1_000, 5_000, 10_000]
        assert all(event["text"] and event["at"] for event in events)


def test_a_rollback_is_posted_with_its_numbers() -> None:
    with Origin("hook", responds(200)) as hook:
        autopilot: Config = {**QUICK, "webhooks": [f"http://{hook.address}/events"]}
        with canary(**BY_USER, autopilot=autopilot) as pair:
            pair.canary.default = responds(500)
            with load(pair):
                wait_state(pair.proxy, "aborted")
                until(lambda: any(event["kind"] == "rolled_back" for event in told(hook)), "the event")
        (event,) = (event for event in told(hook) if event["kind"] == "rolled_back")
        judged = event["data"]["judgement"]
        assert event["data"]["cause"] == "harm"
        assert judged["canary"]["error_rate"] == 1
        assert judged["baseline"]["error_rate"] == 0


def test_a_hook_that_is_down_holds_nothing_up() -> None:
    with canary(**BY_USER, autopilot={**QUICK, "webhooks": ["http://127.0.0.1:1/events"]}) as pair, load(pair):
        wait_state(pair.proxy, "promoted")


# -- over reloads and restarts


def come_to_the_second_step(pair: Pair) -> None:
    """At least, and stay there: there is nobody any more to judge by."""
    with load(pair):
        wait_weight(pair.proxy, 5_000)


@pytest.mark.parametrize("how", ["reload", "restart", "kill"])
def test_it_goes_on_where_it_was(how: str) -> None:
    """Neither from the beginning nor with a moment in which everybody gets something else."""
    autopilot: Config = {**QUICK, "every": "1s", "steps": ["10%", "50%", "70%", "90%", "100%"]}
    with canary(**BY_USER, autopilot=autopilot) as pair:
        come_to_the_second_step(pair)
        at = weights(pair.proxy)
        again(pair, how)
        row = pilot(pair.proxy)
        assert weights(pair.proxy)[0] >= at[0]
        assert [step["state"] for step in row["steps"][:1]] == ["done"]
        with load(pair):
            wait_state(pair.proxy, "promoted")
        steps = [line for line in notes(pair.proxy, "split shop: step") if "10 %" in line]
        assert len(steps) == 1, "the first step was taken once"


def again(pair: Pair, how: str) -> None:
    if how == "reload":
        pair.proxy.config["limits"] = {"head": "16KiB"}
        assert pair.proxy.reload().returncode == 0
    else:
        pair.proxy.restart(kill=how == "kill")
        # nothing is asked before the state is back
        until(lambda: pair.proxy.cli("canary", "status").returncode == 0, "the control socket")


@pytest.mark.parametrize("how", ["reload", "restart", "kill"])
def test_what_was_taken_back_stays_so(how: str) -> None:
    with canary(**BY_USER, autopilot=QUICK) as pair:
        pair.canary.default = responds(500)
        with load(pair):
            wait_state(pair.proxy, "aborted")
        pair.canary.heal()
        again(pair, how)
        with load(pair) as people:
            assert set(people.fresh(300)) == {"stable"}
        assert (pilot(pair.proxy)["state"], weights(pair.proxy)) == ("aborted", [0, 10_000])
        steer(pair.proxy, "resume", "shop")
        with load(pair):
            wait_state(pair.proxy, "promoted")


@pytest.mark.parametrize("how", ["reload", "restart", "kill"])
def test_what_a_person_has_said_stays_so(how: str) -> None:
    with canary(**BY_USER, autopilot=QUICK) as pair:
        steer(pair.proxy, "set", "shop", "33%")
        again(pair, how)
        with load(pair) as people:
            people.wait_more(300)
        assert (pilot(pair.proxy)["state"], weights(pair.proxy)) == ("paused", [3_300, 6_700])


def test_judgements_are_kept_over_a_kill() -> None:
    """With their numbers."""
    with canary(**BY_USER, autopilot={**QUICK, "min_requests": 1_000_000}) as pair:
        with load(pair) as people:
            people.wait_more(600)
            steer(pair.proxy, "set", "shop", "20%")
            people.wait_more(600)
            until(lambda: pilot(pair.proxy)["judgements"], "a judgement")
            steer(pair.proxy, "resume", "shop")
        before = pilot(pair.proxy)["judgements"]
        assert before
        pair.proxy.restart(kill=True)
        kept = [one for one in pilot(pair.proxy)["judgements"] if one["at"] <= before[-1]["at"]]
        assert kept
        assert all(one in before for one in kept)


def test_a_new_canary_begins_anew() -> None:
    """What another pool has earned is not given to this one."""
    with canary(**BY_USER, autopilot=QUICK) as pair:
        with load(pair):
            wait_state(pair.proxy, "promoted")
        pair.split()["canary"], pair.split()["stable"] = "v1", "v2"
        assert pair.proxy.reload().returncode == 0
        until(lambda: weights(pair.proxy) == [1_000, 9_000], "the first step")
        assert pilot(pair.proxy)["step"] == 0


def test_an_autopilot_that_a_reload_brings_and_takes() -> None:
    with canary(**BY_USER, weight="10%") as pair, load(pair):
        assert pilot_of(pair) is None
        pair.split()["autopilot"] = QUICK
        assert pair.proxy.reload().returncode == 0
        wait_state(pair.proxy, "promoted")
        del pair.split()["autopilot"]
        assert pair.proxy.reload().returncode == 0
        assert pilot_of(pair) is None


def pilot_of(pair: Pair) -> Any:
    return status(pair.proxy)["autopilot"]
