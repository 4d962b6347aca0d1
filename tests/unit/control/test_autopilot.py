"""Autopilots at work, with a plane and a clock of the test: weights, gates, events, state, reloads."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from reviver.config import load_mapping
from reviver.control.autopilot import Autopilots
from reviver.control.autopilot_tasks import settings_of, tasks_of
from reviver.control.compiled import Compiled, compile_loaded
from reviver.control.live import Live
from reviver.control.overlay import Overlay
from reviver.control.state import State, StateFile
from reviver.control.webhooks import Webhooks
from reviver.errors import OperationError
from tests.support.hooks import hook

PILOT: dict[str, Any] = {
    "steps": ["10%", "50%", "100%"],
    "every": "10s",
    "min_requests": 50,
    "abort_on": {"error_rate": "+20%"},
}


def compiled(pilot: dict[str, Any] | None, **split: Any) -> Compiled:
    written = {"stable": "v1", "canary": "v2", **({} if pilot is None else {"autopilot": pilot}), **split}
    tree = {
        "listeners": {"web": {"bind": "127.0.0.1:8080", "role": "reverse"}},
        "reverse": {
            "routes": [{"split": "shop"}],
            "pools": {name: {"servers": [f"127.0.0.1:{port}"]} for name, port in (("v1", 1), ("v2", 2), ("v3", 3))},
            "splits": {"shop": written},
        },
    }
    return compile_loaded(load_mapping(tree))


class Plane:
    """The engine, as far as autopilots see it."""

    def __init__(self, weights: list[int]) -> None:
        self.weights = weights
        self.set: list[int] = []
        """Each weight of the canary that was set."""
        self.counts = {"canary": [0, 0], "stable": [0, 0]}
        """Requests and errors."""
        self.state = "up"

    def more(self, requests: int, canary_errors: int = 0) -> None:
        """Answers of both sides."""
        for side, errors in (("canary", canary_errors), ("stable", 0)):
            self.counts[side][0] += requests
            self.counts[side][1] += errors

    def split_status(self) -> dict[str, Any]:
        variants = []
        for name, weight in zip(("canary", "stable"), self.weights, strict=True):
            requests, errors = self.counts[name]
            statuses = {"2xx": requests - errors, "5xx": errors}
            counts = {"requests": requests, "errors": errors, "statuses": statuses, "latency": [[1000, requests]]}
            variants.append({"name": name, "pool": "", "weight": weight, "written": 0, **counts})
        return {"splits": [{"name": "shop", "canary": True, "variants": variants, "baseline": variants[1]}]}

    def split_set(self, name: str, weights: list[int]) -> None:
        assert name == "shop"
        self.weights = list(weights)
        self.set.append(weights[0])

    def pool_status(self) -> dict[str, Any]:
        server = {"address": "127.0.0.1:2", "state": self.state, "weight": 1}
        return {"pools": [{"name": name, "servers": [server]} for name in ("v2", "v3")]}


class World:
    """A proxy with one split, and time that only the test moves."""

    def __init__(self, folder: Path, written: Compiled, plane: Plane | None = None) -> None:
        self.folder = folder
        self.compiled = written
        self.overlay = Overlay()
        variants = written.plan["reverse"]["splits"][0]["variants"]  # type: ignore[index]
        self.plane = plane or Plane([variant["weight"] for variant in variants])
        self.now = 1_000_000.0
        self.said: list[str] = []
        self.file = StateFile("r.yaml", folder)
        self.begin(State())

    def begin(self, state: State) -> None:
        self.live = Live(self, state, self.file, self.said.append)  # type: ignore[arg-type]
        self.webhooks = Webhooks(self.said.append, (0.0,))
        self.pilots = Autopilots(
            self, self.live, self.said.append, clock=lambda: self.now, webhooks=self.webhooks  # type: ignore[arg-type]
        )  # fmt: skip

    async def follow(self) -> None:
        """As at the start and after a reload."""
        self.live.put_back()
        self.pilots.follow(tasks_of(self.compiled.loaded))
        await self.look()

    async def look(self, requests: int = 0, errors: int = 0, seconds: float = 1.0) -> None:
        """Time goes by, answers come, and the autopilots look."""
        self.now += seconds
        self.plane.more(requests, errors)
        if self.pilots.look():
            await self.pilots.save()

    async def restart(self) -> None:
        """Another process on the same state, with an engine that has counted nothing."""
        await self.pilots.finish(0)
        self.plane = Plane(self.plane.weights)
        self.begin(self.file.load(pytest.fail))
        await self.follow()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Lets gates and webhooks come to their end."""
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    @property
    def status(self) -> dict[str, Any]:
        runner = self.pilots.get("shop")
        assert runner is not None
        return runner.shown()


def play(work: Callable[[World], Coroutine[Any, Any, None]], world: World) -> World:
    async def run() -> None:
        await world.follow()
        await work(world)
        await world.pilots.finish(20)

    asyncio.run(run())
    return world


def test_a_good_canary_walks_all_steps(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        for _ in range(60):
            await world.look(100)

    world = play(work, World(tmp_path, compiled(PILOT)))
    assert world.plane.set == [1000, 5000, 10_000]
    assert world.status["state"] == "promoted"
    steps = [line for line in world.said if ": step " in line]
    assert steps == [f"split shop: step {n} of 3: {weight} %" for n, weight in ((1, 10), (2, 50), (3, 100))]


def test_a_bad_one_goes_back_at_once_and_stays_there(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.look(100)
        await world.look(100, 90)
        for _ in range(60):
            await world.look(100)

    world = play(work, World(tmp_path, compiled(PILOT)))
    assert world.plane.set == [1000, 0]
    assert sum("rolled back" in line for line in world.said) == 1


@pytest.mark.parametrize("state", ["down", "ejected", "draining"])
def test_one_without_servers_goes_back(tmp_path: Path, state: str) -> None:
    async def work(world: World) -> None:
        world.plane.state = "warming"
        await world.look()
        assert world.plane.set == [1000]
        world.plane.state = state
        await world.look()

    assert play(work, World(tmp_path, compiled(PILOT))).plane.set == [1000, 0]


def test_a_dry_run_judges_and_moves_nothing(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        for _ in range(60):
            await world.look(100)

    world = play(work, World(tmp_path, compiled({**PILOT, "dry_run": True})))
    assert world.plane.set == []
    assert any("dry run: step 3 of 3" in line for line in world.said)


def test_a_person_has_the_last_word(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        runner = world.pilots.get("shop")
        assert runner is not None
        runner.command("set", 2500)
        for _ in range(60):
            await world.look(100)
        assert world.plane.set == [1000, 2500], "it does not walk on by itself"
        runner.command("resume")
        await world.look(100)
        assert world.plane.weights == [5000, 5000]
        runner.command("abort")
        for _ in range(60):
            await world.look(100)
        assert world.plane.weights == [0, 10_000]
        runner.command("promote")
        assert world.plane.weights == [10_000, 0]
        with pytest.raises(OperationError):
            runner.command("set", 10_001)

    play(work, World(tmp_path, compiled(PILOT)))


# ---- gates and webhooks


def test_a_gate_comes_before_each_step(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        assert world.plane.weights == [0, 10_000], "nobody gets it before the first gate has passed"
        there.go.set()
        await world.until(lambda: world.plane.weights == [1000, 9000])
        for _ in range(60):
            await world.look(100)
            await world.until(lambda: not world.status["asking"])

    with hook() as there:
        there.go.clear()
        world = play(work, World(tmp_path, compiled({**PILOT, "gates": {"before": there.url()}})))
    assert world.plane.set == [0, 1000, 5000, 10_000]
    asked = [(body["split"], body["kind"], body["step"], body["weight"], body["percent"]) for body in there.bodies]
    assert asked == [
        ("shop", "before", 0, 1000, 10), ("shop", "before", 1, 5000, 50), ("shop", "before", 2, 10_000, 100),
    ]  # fmt: skip


def test_a_gate_that_refuses_holds_the_step_and_says_why(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        for _ in range(30):
            await world.look(100)
            await world.until(lambda: not world.status["asking"])
        assert world.plane.set == [1000]
        assert world.status["state"] == "gate"
        there.answers.clear()
        for _ in range(11):
            await world.look(100)
            await world.until(lambda: not world.status["asking"])
        assert world.plane.set == [1000, 5000]

    no = (403, dict[str, str](), b"not on a Friday")
    with hook(no, no, no, no, no) as there:
        world = play(work, World(tmp_path, compiled({**PILOT, "gates": {"after": there.url()}})))
    assert any("not on a Friday" in line for line in world.said)


def test_harm_does_not_wait_for_a_gate(tmp_path: Path) -> None:
    """And what the gate says then no longer counts."""

    async def work(world: World) -> None:
        for _ in range(30):
            await world.look(100)
            if there.bodies:
                break
            await asyncio.sleep(0)
        await asyncio.to_thread(there.wait)
        assert world.status["asking"]
        await world.look(100, 95)
        assert world.plane.weights == [0, 10_000]
        there.go.set()
        for _ in range(30):
            await world.look(100)
            await asyncio.sleep(0.005)
        assert world.plane.weights == [0, 10_000]

    with hook() as there:
        there.go.clear()
        play(work, World(tmp_path, compiled({**PILOT, "gates": {"after": there.url()}})))


def test_a_function_of_a_file_is_a_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gate.py").write_text("def go(facts): return facts['step'] == 0")

    async def work(world: World) -> None:
        await world.until(lambda: world.plane.weights == [1000, 9000])
        for _ in range(30):
            await world.look(100)
            await world.until(lambda: not world.status["asking"])

    world = play(work, World(tmp_path, compiled({**PILOT, "gates": {"before": "gate.py:go"}})))
    assert world.plane.set == [0, 1000]
    assert any("gate.py:go: it returned False" in line for line in world.said)


def test_events_go_to_webhooks(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.look(100)
        await world.look(100, 95)

    with hook() as there:
        world = play(work, World(tmp_path, compiled({**PILOT, "webhooks": there.url()})))
    kinds = [body["kind"] for body in there.bodies]
    assert kinds[:2] == ["started", "step"]
    assert kinds[-1] == "rolled_back"
    assert [body["text"] for body in there.bodies] == world.said, "what is said is told"
    assert all(body["split"] == "shop" and body["at"] and isinstance(body["data"], dict) for body in there.bodies)


# ---- state and reloads


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        while world.plane.weights != [5000, 5000]:
            await world.look(100)
        await world.look(40)
        await world.restart()
        assert world.plane.weights == [5000, 5000]
        assert world.status["requests"]["canary"] >= 40, "what was seen of the step still counts"
        for _ in range(30):
            await world.look(100)

    world = play(work, World(tmp_path, compiled(PILOT)))
    assert world.plane.weights == [10_000, 0]
    assert sum("begins its walk" in line for line in world.said) == 1


def test_a_restart_asks_again_whom_nobody_has_heard(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await asyncio.to_thread(there.wait)
        await world.restart()
        there.go.set()
        await world.until(lambda: world.plane.weights == [1000, 9000])

    with hook() as there:
        there.go.clear()
        play(work, World(tmp_path, compiled({**PILOT, "gates": {"before": there.url()}})))
    assert [body["step"] for body in there.bodies] == [0, 0]


def test_a_state_that_makes_no_sense_begins_anew_and_says_so(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.pilots.finish(0)
        state = world.file.load(pytest.fail)
        state.splits["shop"].autopilot = {"version": 99}
        world.begin(state)
        await world.follow()
        assert world.plane.weights == [1000, 9000]

    world = play(work, World(tmp_path, compiled(PILOT)))
    assert any("the autopilot begins anew" in line for line in world.said)


def test_a_reload_with_other_settings_keeps_the_weight(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        while world.plane.weights != [5000, 5000]:
            await world.look(100)
        world.compiled = compiled({**PILOT, "min_requests": 1_000_000})
        await world.follow()
        for _ in range(30):
            await world.look(100)
        assert world.plane.weights == [5000, 5000]
        assert world.status["min_requests"] == 1_000_000

    world = play(work, World(tmp_path, compiled(PILOT)))
    assert sum("begins its walk" in line for line in world.said) == 1


def test_a_reload_that_changes_nothing_is_not_noticed(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.look(100)
        runner = world.pilots.get("shop")
        world.compiled = compiled(PILOT)
        await world.follow()
        assert world.pilots.get("shop") is runner

    play(work, World(tmp_path, compiled(PILOT)))


def test_another_canary_walks_from_the_beginning(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        while world.plane.weights != [5000, 5000]:
            await world.look(100)
        world.compiled = compiled(PILOT, canary="v3")
        assert world.pilots.look() is False, "between a reload and what follows it nothing is judged"
        await world.follow()
        assert world.plane.weights == [1000, 9000]

    world = play(work, World(tmp_path, compiled(PILOT)))
    assert sum("begins its walk" in line for line in world.said) == 2


def test_without_its_table_it_ends(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.look(100)
        world.compiled = compiled(None, weight="10%")
        await world.follow()
        for _ in range(60):
            await world.look(100, 90)
        assert world.pilots.get("shop") is None
        assert world.plane.weights == [1000, 9000]

    play(work, World(tmp_path, compiled(PILOT)))


def test_a_failure_inside_is_told_once_and_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        runner = world.pilots.get("shop")
        assert runner is not None
        monkeypatch.setattr(runner.pilot, "observe", lambda *_: 1 / 0)
        for _ in range(5):
            await world.look(100)

    world = play(work, World(tmp_path, compiled(PILOT)))
    assert sum("internal error: ZeroDivisionError" in line for line in world.said) == 1
    assert world.plane.set == [1000]


def test_settings_are_taken_as_they_are_written() -> None:
    pilot = {
        "steps": ["0.5%", "20%"], "every": "1500ms", "min_requests": 7, "confidence": "99%", "dry_run": True,
        "abort_on": {"p95": "+20%", "p99": "50%", "status": {"4xx": "+5%", "429": "+0.5%"}},
        "gates": {"before": "https://a.example/x"},
    }  # fmt: skip
    reverse = compiled(pilot).loaded.config.reverse
    assert reverse is not None
    written = reverse.splits["shop"].autopilot
    assert written is not None
    settings = settings_of(written)
    assert settings.steps == (50, 2000)
    assert (settings.every, settings.min_requests, settings.confidence) == (1.5, 7, 0.99)
    assert settings.error_rate is None
    assert dict(settings.quantiles) == {0.95: 0.2, 0.99: 0.5}
    assert dict(settings.statuses) == {"4xx": 0.05, "429": 0.005}
    assert (settings.dry_run, settings.before, settings.after) == (True, True, False)
