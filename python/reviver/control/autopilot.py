"""Autopilots at work: what they see, what they ask for, what becomes of it.

The judgement is `reviver.canary`'s, which does no I/O; this asks the engine once a second, sets weights, asks gates,
and tells events. Imported only where a split has an autopilot: the statistics behind it take a while to load.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from reviver.canary import Action, Autopilot, Counters, Event, Gate, SetWeight
from reviver.canary.actions import FULL
from reviver.canary.autopilot import Verb
from reviver.control import gates
from reviver.control.autopilot_tasks import Task
from reviver.control.live import Live
from reviver.control.pools import TAKING
from reviver.control.proxy import Proxy
from reviver.control.webhooks import Webhooks

LOOK_EVERY = 1.0
"""Seconds; more often where steps are shorter than twice that."""
SAVE_EVERY = 5.0
"""Seconds between saves where nothing but counters has changed."""


class Runner:
    """One autopilot, and what is done for it."""

    def __init__(
        self, task: Task, state: Mapping[str, Any] | None, live: Live, webhooks: Webhooks, report: Callable[[str], None]
    ) -> None:
        """Goes on from a state where there is one that can be used."""
        self.task = task
        self.written = live.written(task.split)
        self._live = live
        self._webhooks = webhooks
        self._report = report
        self._changed = False
        self._asking: asyncio.Task[None] | None = None
        self._said: str | None = None
        try:
            self.pilot = Autopilot(task.settings, state)
        except Exception as error:
            # of an earlier version, or somebody wrote into the file
            self._report(f"split {task.split}: the autopilot begins anew: {type(error).__name__}: {error}")
            self.pilot = Autopilot(task.settings)

    def look(self, now: float, split: Mapping[str, Any], available: bool) -> None:
        """Shows the autopilot what both sides have answered."""
        try:
            canary, baseline = Counters.of(split["variants"][0]), Counters.of(split["baseline"])
            self._carry_out(self.pilot.observe(now, canary, baseline, available))
        except Exception as error:
            # one autopilot that fails must not stop the others; its weight stays, and it is told once
            self._tell_once(f"internal error: {type(error).__name__}: {error}")

    def command(self, verb: Verb, weight: int | None = None) -> None:
        """What a person asks for. Raises OperationError where it makes no sense now."""
        actions = self.pilot.command(verb, weight)
        if verb != "resume":
            self.cancel()
        self._carry_out(actions)
        self._changed = True

    def cancel(self) -> None:
        """What gates that are being asked say no longer counts."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def remember(self) -> None:
        """Hands over the state, for the next save."""
        self._live.record(self.task.split).autopilot = self.pilot.state()

    def took_change(self) -> bool:
        """Whether something has changed since the last call that should not be lost."""
        changed, self._changed = self._changed, False
        return changed

    def shown(self) -> dict[str, Any]:
        """For `reviver canary status`."""
        return {**self.pilot.status(), "asking": self._asking is not None}

    def _carry_out(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._changed = True
            match action:
                case SetWeight(weight):
                    self.cancel()
                    self._weigh(weight)
                case Gate():
                    self.cancel()
                    self._asking = asyncio.ensure_future(self._ask(action))
                case Event():
                    self._tell(action)

    def _weigh(self, weight: int) -> None:
        self._live.set_weights(self.task.split, [weight, FULL - weight])

    async def _ask(self, gate: Gate) -> None:
        facts = {
            "split": self.task.split,
            "kind": gate.kind,
            "step": gate.step,
            "weight": gate.weight,
            "percent": gate.weight / 100,
            "dry_run": self.task.settings.dry_run,
            "status": self.pilot.status(),
        }
        answer = await gates.ask_all(self.task.gates(gate.kind), facts, self.task.base, self._report)
        self._asking = None
        try:
            self._carry_out(self.pilot.gate_result(answer.passed, answer.detail))
        except Exception as error:
            self._tell_once(f"internal error: {type(error).__name__}: {error}")
        self._changed = True

    def _tell(self, event: Event) -> None:
        text = f"split {self.task.split}: {event.text}"
        self._report(text)
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        told = {"split": self.task.split, "kind": event.kind, "text": text, "at": at, "data": dict(event.data)}
        self._webhooks.send(self.task.webhooks, told)

    def _tell_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._report(f"split {self.task.split}: {text}")


class Autopilots:
    """Those of one running proxy. Of the event loop's thread."""

    def __init__(
        self,
        proxy: Proxy,
        live: Live,
        report: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
        webhooks: Webhooks | None = None,
    ) -> None:
        self._proxy = proxy
        self._live = live
        self._report = report
        self._clock = clock
        self._webhooks = Webhooks(report) if webhooks is None else webhooks
        self._runners: dict[str, Runner] = {}
        self._saved = 0.0
        self._ended = False

    def get(self, split: str) -> Runner | None:
        """The runner of a split that has an autopilot."""
        return self._runners.get(split)

    def follow(self, tasks: Iterable[Task]) -> None:
        """Starts and stops autopilots so that there are these; comes after `Live.put_back`.

        One that goes on with other settings keeps what it has seen, as long as its split means the same.
        """
        wanted = {task.split: task for task in tasks}
        for name in [*self._runners.keys() - wanted.keys()]:
            self._runners.pop(name).cancel()
            if name in self._live.splits:
                self._live.splits[name].autopilot = None
        for name, task in wanted.items():
            there, record = self._runners.get(name), self._live.splits.get(name)
            goes_on = record is not None and record.autopilot is not None
            if there is not None and goes_on and there.task == task:
                continue
            state = None if record is None else record.autopilot
            if there is not None:
                state = there.pilot.state() if goes_on else None
                there.cancel()
            runner = Runner(task, state, self._live, self._webhooks, self._report)
            runner.remember()
            self._runners[name] = runner

    def look(self) -> bool:
        """Shows each what has been answered; whether there is something that should be saved now."""
        if not self._runners:
            return False
        now = self._clock()
        splits = {split["name"]: split for split in self._proxy.plane.split_status()["splits"]}
        pools = {pool["name"]: pool for pool in self._proxy.plane.pool_status()["pools"]}
        for name, runner in self._runners.items():
            # a reload may have come between: then it is another split, and `follow` comes next
            if name in splits and self._means_the_same(runner):
                runner.look(now, splits[name], _available(pools.get(runner.task.canary)))
        changed = [runner.took_change() for runner in self._runners.values()]
        return any(changed) or now - self._saved >= SAVE_EVERY

    def _means_the_same(self, runner: Runner) -> bool:
        with contextlib.suppress(KeyError):
            return self._live.written(runner.task.split) == runner.written
        return False

    async def save(self) -> None:
        """Keeps where they are."""
        for runner in self._runners.values():
            if self._means_the_same(runner):
                runner.remember()
        self._saved = self._clock()
        await self._live.save()

    async def run(self) -> None:
        """Looks and saves, until `finish`."""
        while not self._ended:
            if self.look():
                await self.save()
            shortest = min((runner.task.settings.every for runner in self._runners.values()), default=LOOK_EVERY)
            await asyncio.sleep(min(LOOK_EVERY, shortest / 2))

    async def finish(self, seconds: float) -> None:
        """Keeps where they are, asks no more gates, and lets webhooks be told what has happened for so long."""
        self._ended = True
        for runner in self._runners.values():
            runner.cancel()
        if self._runners:
            await self.save()
        await self._webhooks.finish(seconds)


def _available(pool: Mapping[str, Any] | None) -> bool:
    """Whether a server of the pool can take requests."""
    servers = () if pool is None else pool["servers"]
    return any(server["state"] in TAKING and server["weight"] > 0 for server in servers)
