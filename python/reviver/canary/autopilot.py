"""Steps, gates, commands, state."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from reviver.canary import words
from reviver.canary.actions import FULL, Action, Event, Gate, SetWeight
from reviver.canary.counters import Counters, Sides
from reviver.canary.settings import Settings
from reviver.canary.walk import OVER, Kind, Walk, fingerprint, step_of
from reviver.errors import OperationError

if TYPE_CHECKING:
    from reviver.canary.trial import Trial

Verb = Literal["abort", "promote", "resume", "set"]

VERSION = 1
KEPT = 100
"""Judgements."""


class Autopilot:
    """Drives the weight of one split.

    A walk goes through the steps. Each begins when the gates before it have passed. It ends when it has lasted long
    enough, both sides have answered enough, harm of the margin is out of the question, and the gates after it have
    passed. Harm, or a canary without servers, ends the walk at any time.
    """

    def __init__(self, settings: Settings, state: Mapping[str, Any] | None = None) -> None:
        """Begins a walk, or goes on from what `state()` gave.

        With other steps or metrics than those of the state the weight stays, and its step begins anew; where only one
        of both is a dry run, all begins anew. The first `observe` asks for the weight that is due, so that the engine
        has it after a start.

        Raises:
            ValueError: The state is of another version, or makes no sense.
            KeyError, TypeError: It is no state.
        """
        self._settings = settings
        self._fresh = True
        self._now = 0.0
        self._walk = Walk()
        self._trial = self._new_trial()
        self._seen: Sides | None = None
        self._judgements: list[dict[str, Any]] = []
        if state is not None:
            self._load(state)

    def _new_trial(self) -> "Trial":
        # the statistics take a while to load
        from reviver.canary.trial import Trial

        return Trial(self._settings)

    # ---- looking

    def observe(self, now: float, canary: Counters, baseline: Counters, available: bool) -> list[Action]:
        """One look, as often as one likes.

        Args:
            now: Seconds since the epoch.
            canary: What the canary has answered.
            baseline: What the share of stable has answered that the canary is compared with.
            available: False when no server of the canary can take requests.
        """
        self._now = now
        walk = self._walk
        actions: list[Action] = []
        if self._fresh and walk.phase != "new":
            actions += self._weigh(walk.weight)
        self._fresh = False
        seen = Sides(canary, baseline)
        new = Sides() if self._seen is None else seen.since(self._seen)
        self._seen = seen
        if walk.phase == "new":
            steps = ", ".join(map(words.weight, self._settings.steps))
            actions.append(Event("started", f"the autopilot begins its walk: {steps}", {"steps": self._settings.steps}))
            return actions + self._go_to(0)
        if walk.phase in OVER:
            return actions
        if walk.weight and not available:
            return actions + self._roll_back("no server of the canary can take requests", "unavailable")
        if walk.begun is None:
            # what came before the first look at a step is of no step
            walk.begun = now
        elif walk.weight:
            actions += self._look(new)
        if walk.phase in ("before", "after") and walk.ask_at is not None and now >= walk.ask_at:
            actions += self._ask()
        return actions

    def _look(self, new: Sides) -> list[Action]:
        walk = self._walk
        something = self._trial.take(new)
        judgement = self._trial.judge(self._now, walk.step, walk.weight, self._seconds())
        actions: list[Action] = []
        changed = judgement.verdict != walk.verdict
        if something or changed:
            self._judgements = [*self._judgements, judgement.as_dict()][-KEPT:]
        walk.verdict = judgement.verdict
        if judgement.verdict == "harm":
            return self._roll_back(judgement.text, "harm")
        if changed:
            actions.append(Event("verdict", f"at {words.weight(walk.weight)}: {judgement.text}", judgement.as_dict()))
        if judgement.verdict == "safe" and walk.phase == "walking":
            actions += self._finish_step()
        return actions

    def _seconds(self) -> float:
        """That the step has lasted."""
        return 0.0 if self._walk.begun is None else max(0.0, self._now - self._walk.begun)

    # ---- from step to step

    def _go_to(self, step: int) -> list[Action]:
        """The next step, through its gates."""
        if not self._settings.before or self._settings.dry_run:
            return self._begin(step)
        self._walk.phase, self._walk.asks = "before", step
        nothing_yet = self._weigh(0) if not self._walk.weight else []
        return nothing_yet + self._ask()

    def _begin(self, step: int) -> list[Action]:
        walk, weight = self._walk, self._settings.steps[step]
        walk.phase, walk.step, walk.weight, walk.asks, walk.verdict = "walking", step, weight, None, None
        walk.begun = self._now
        self._trial.begin()
        text = f"step {step + 1} of {len(self._settings.steps)}: {words.weight(weight)}"
        return [*self._weigh(weight), Event("step", self._said(text), {"step": step, "weight": weight})]

    def _finish_step(self) -> list[Action]:
        if not self._settings.after or self._settings.dry_run:
            return self._next()
        self._walk.phase, self._walk.asks = "after", self._walk.step
        return self._ask()

    def _next(self) -> list[Action]:
        walk, steps = self._walk, self._settings.steps
        if steps[walk.step] == walk.weight:
            walk.took[str(walk.step)] = self._seconds()
        following = next((index for index, weight in enumerate(steps) if weight > walk.weight), None)
        if following is not None:
            return self._go_to(following)
        walk.phase, walk.asks = "promoted", None
        walk.reason = f"all steps are done; the canary stays at {words.weight(walk.weight)}"
        return [Event("promoted", self._said(walk.reason), self._facts())]

    def _roll_back(self, reason: str, cause: str) -> list[Action]:
        walk = self._walk
        facts = {**self._facts(), "cause": cause, "from": walk.weight}
        walk.phase, walk.weight, walk.reason, walk.asks = "aborted", 0, reason, None
        return [*self._weigh(0), Event("rolled_back", self._said(f"rolled back: {reason}"), facts)]

    def _weigh(self, weight: int) -> list[Action]:
        return [] if self._settings.dry_run else [SetWeight(weight)]

    def _said(self, text: str) -> str:
        return f"dry run: {text}" if self._settings.dry_run else text

    def _facts(self) -> dict[str, Any]:
        """The numbers of the last judgement."""
        walk = self._walk
        last = self._judgements[-1] if self._judgements else None
        return {"step": walk.step, "weight": walk.weight, "seconds": self._seconds(), "judgement": last}

    # ---- gates

    def _ask(self) -> list[Action]:
        walk = self._walk
        assert walk.asks is not None
        walk.ask_at = None
        kind: Kind = "before" if walk.phase == "before" else "after"
        return [Gate(kind, walk.asks, self._settings.steps[walk.asks])]

    def gate_result(self, ok: bool, detail: str) -> list[Action]:
        """What came of the last `Gate`; one that did not pass is asked again after `every`."""
        walk = self._walk
        if walk.phase not in ("before", "after") or walk.asks is None or walk.ask_at is not None:
            return []
        gate = f"gate {walk.phase} {words.weight(self._settings.steps[walk.asks])}"
        facts = {"kind": walk.phase, "step": walk.asks, "ok": ok, "detail": detail}
        if not ok:
            walk.refused, walk.ask_at = detail, self._now + self._settings.every
            again = f"asked again in {self._settings.every:g} s"
            return [Event("gate", f"{gate} did not pass: {detail or 'no reason given'}; {again}", facts)]
        walk.refused = None
        passed = Event("gate", f"{gate} passed", facts)
        if walk.phase == "after":
            return [passed, *self._next()]
        begun = self._begin(walk.asks)
        # gates answer between two looks, at a time that is not told
        walk.begun = None
        return [passed, *begun]

    # ---- commands

    def command(self, verb: Verb, weight: int | None = None) -> list[Action]:
        """What a person asks for; moves the weight in a dry run too.

        Args:
            verb: `abort` takes the canary out, for good until `resume` or `set`; `promote` gives it all traffic at
                once; `set` holds it at a weight, and harm still takes it back; `resume` walks on from there when that
                weight is judged to be safe, or begins a new walk where one was over.
            weight: For `set`, in basis points.

        Raises:
            OperationError: It makes no sense now.
        """
        match verb:
            case "abort":
                self._end("aborted", 0, "rolled back by command")
                return [SetWeight(0), Event("rolled_back", "rolled back by command", self._facts())]
            case "promote":
                self._end("promoted", FULL, "promoted by command")
                return [SetWeight(FULL), Event("promoted", "promoted by command", self._facts())]
            case "set":
                return self._hold(weight)
            case "resume":
                return self._resume()

    def _end(self, phase: Literal["aborted", "promoted"], weight: int, reason: str) -> None:
        walk = self._walk
        walk.phase, walk.weight, walk.reason, walk.asks = phase, weight, reason, None

    def _hold(self, weight: int | None) -> list[Action]:
        if weight is None or not 0 <= weight <= FULL:
            raise OperationError("say a weight from 0 % to 100 %")
        if self._walk.phase in OVER:
            self._walk, self._trial = Walk(), self._new_trial()
        else:
            self._trial.begin()
        walk = self._walk
        walk.phase, walk.weight, walk.step, walk.asks = "paused", weight, step_of(self._settings, weight), None
        walk.took = {index: took for index, took in walk.took.items() if int(index) < walk.step}
        walk.begun, walk.verdict, walk.reason = None, None, f"held at {words.weight(weight)} by command"
        return [SetWeight(weight), Event("paused", walk.reason, {"weight": weight})]

    def _resume(self) -> list[Action]:
        walk = self._walk
        if walk.phase in OVER:
            self._walk, self._trial = Walk(), self._new_trial()
            return [Event("resumed", "a new walk begins", {})]
        if walk.phase != "paused":
            raise OperationError("the autopilot is at work; there is nothing to resume")
        walk.reason = None
        resumed = Event("resumed", f"walks on from {words.weight(walk.weight)}", {"weight": walk.weight})
        # what is held is judged first, also where no step has this weight
        walk.phase = "walking" if walk.weight else "new"
        return [resumed]

    # ---- keeping and showing

    def state(self) -> dict[str, Any]:
        """All that is needed to go on after a restart, as JSON."""
        return {
            "version": VERSION,
            "settings": fingerprint(self._settings),
            "dry_run": self._settings.dry_run,
            "now": self._now,
            "walk": self._walk.save(),
            "trial": self._trial.save(),
            "seen": None if self._seen is None else self._seen.save(),
            "judgements": self._judgements,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        if state["version"] != VERSION:
            raise ValueError(f"version {state['version']!r}; this is version {VERSION}")
        if state["dry_run"] != self._settings.dry_run:
            return
        walk = Walk.read(state["walk"])
        self._seen = None if state["seen"] is None else Sides.of(state["seen"])
        self._now = state["now"]
        self._judgements = list(state["judgements"])
        if state["settings"] == fingerprint(self._settings):
            if not all(0 <= step < len(self._settings.steps) for step in (walk.step, walk.asks or 0)):
                raise ValueError("its walk is at a step that is not there")
            self._trial.load(state["trial"])
            # what cannot be judged by must not hold a canary where it is
            self._trial.judge(self._now, walk.step, walk.weight, 0.0)
            if walk.asks is not None:
                # whoever was asked has told nobody
                walk.ask_at = walk.ask_at or self._now
        elif walk.phase not in OVER:
            if walk.phase in ("before", "after"):
                walk.phase = "walking" if walk.weight else "new"
            walk.step, walk.begun, walk.verdict, walk.asks = step_of(self._settings, walk.weight), None, None, None
            walk.took = {}
        self._walk = walk

    def status(self) -> dict[str, Any]:
        """What `reviver canary status` shows, as JSON."""
        from reviver.canary.status import status

        return status(self._settings, self._walk, self._trial, self._judgements, self._now)
