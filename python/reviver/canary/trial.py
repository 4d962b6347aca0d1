"""The canary on trial: what was counted at a step, and the verdict on it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from reviver.canary import words
from reviver.canary.actions import FULL
from reviver.canary.counters import Counters, Sides
from reviver.canary.evidence import Array
from reviver.canary.intervals import quantile
from reviver.canary.judge import BLOCK, Block, Judge
from reviver.canary.settings import Settings

Verdict = Literal["too_early", "too_few", "undecided", "safe", "harm"]
_HIGHEST = 1e12
"""Evidence beyond it is shown as this: JSON has no infinity, and nobody counts further."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One, with the numbers that it rests on."""

    at: float
    """Seconds since the epoch."""
    step: int
    weight: int
    """Basis points."""
    verdict: Verdict
    text: str
    seconds: float
    """That the step has lasted."""
    canary: dict[str, float]
    """Requests of this step, and by metric the share or the latency in milliseconds."""
    baseline: dict[str, float]
    harm: dict[str, float]
    """Evidence that the canary is worse, by metric: odds, as a bet at even ones has multiplied."""
    safe: dict[str, float]
    """Evidence that it is not worse by the margin, in this step."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Trial:
    """Of one walk."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._judge = Judge(settings)
        self._open = Sides()
        self.step = Sides()
        """What was counted at this step."""
        self.before = Counters()
        """The stable side of the last step that had one."""

    def take(self, new: Sides) -> bool:
        """What came in addition; whether there is something new to judge."""
        self.step = self.step.plus(new)
        self._open = self._open.plus(new)
        if self._open.fewest() >= BLOCK:
            self._judge.feed(_block(self._settings, self._open))
            self._open = Sides()
            return True
        return not self.step.baseline.requests and new.canary.requests > 0

    def begin(self) -> None:
        """A new step."""
        if self.step.baseline.requests:
            self.before = self.step.baseline
        self.step = Sides()
        self._judge.begin(np.array([True]))

    def judge(self, at: float, step: int, weight: int, seconds: float) -> Judgement:
        """Looks at everything up to now."""
        harms, safeties = _odds(self._judge.harms()), _odds(self._judge.safeties())
        canary, baseline = self._numbers(self.step.canary), self._numbers(self.step.baseline)
        verdict = self._verdict(weight, seconds)
        compared = self._compared(canary, baseline if weight < FULL else self._numbers(self.before))
        text = self._text(verdict, weight, seconds, compared)
        return Judgement(at, step, weight, verdict, text, seconds, canary, baseline, harms, safeties)

    def progress(self) -> dict[str, tuple[float, float]]:
        """By metric, from 0 to 1: how much of the evidence is there that harm takes, and that safety takes."""
        harms, safeties = self._judge.harms(), self._judge.safeties()
        each = self._judge.harm_at + math.log(max(len(harms), 1))
        return {name: (_portion(harms[name], each), _portion(safeties[name], self._judge.safe_at)) for name in harms}

    def save(self) -> dict[str, Any]:
        """As JSON."""
        sides = {"open": self._open.save(), "step": self.step.save(), "before": self.before.save()}
        return {**sides, "judge": self._judge.save()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """From `save` of equal settings."""
        self._open, self.step = Sides.of(saved["open"]), Sides.of(saved["step"])
        self.before = Counters.of(saved["before"])
        self._judge.load(saved["judge"])

    def _verdict(self, weight: int, seconds: float) -> Verdict:
        alone = weight >= FULL
        if self._judge.harmful()[0] or (alone and self._worse_than_before()):
            return "harm"
        if seconds < self._settings.every:
            return "too_early"
        fewest = self.step.canary.requests if alone else self.step.fewest()
        if fewest < self._settings.min_requests:
            return "too_few"
        return "safe" if alone or self._judge.safe()[0] else "undecided"

    def _worse_than_before(self) -> bool:
        now, before = self.step.canary, self.before
        counts = (np.array([float(n)]) for n in (now.requests, now.errors, before.requests, before.errors))
        return bool(self._judge.worse_than_before(*counts)[0] >= self._judge.last_at)

    def _numbers(self, side: Counters) -> dict[str, float]:
        numbers = {"requests": float(side.requests)}
        for name in self._settings.shares:
            if side.requests:
                numbers[name] = side.count(name) / side.requests
        for name, (at, _) in self._settings.latencies.items():
            found = quantile(side.latency, at, 0.5)
            if found is not None:
                numbers[name] = found[0] / 1000
        return numbers

    def _compared(self, canary: Mapping[str, float], baseline: Mapping[str, float]) -> str:
        """`errors 1.5 % against 0.5 %, p95 41 ms against 40 ms`."""
        parts = []
        for name in (*self._settings.shares, *self._settings.latencies):
            if name in canary and name in baseline:
                show = words.percent if name in self._settings.shares else words.milliseconds
                factor = 1 if name in self._settings.shares else 1000
                pair = show(factor * canary[name]), show(factor * baseline[name])
                parts.append(f"{words.metric(name)} {pair[0]} against {pair[1]}")
        return ", ".join(parts) or "nothing to compare with"

    def _text(self, verdict: Verdict, weight: int, seconds: float, compared: str) -> str:
        settings = self._settings
        match verdict:
            case "harm":
                return f"the canary does harm: {compared}"
            case "too_early":
                return f"the step lasts {math.ceil(settings.every - seconds)} s more at least: {compared}"
            case "too_few":
                sides = (self.step.canary,) if weight >= FULL else (self.step.canary, self.step.baseline)
                counts = " and ".join(str(side.requests) for side in sides)
                return f"too few requests, {counts} of {settings.min_requests}: {compared}"
            case "undecided":
                missing = [
                    f"{words.metric(name)} {100 * safe:.0f} % sure"
                    for name, (_, safe) in self.progress().items()
                    if safe < 1
                ]
                return f"harm is not out of the question yet ({', '.join(missing)}): {compared}"
            case "safe":
                return f"no harm: {compared}"


def _block(settings: Settings, sides: Sides) -> Block:
    uppers = sorted({upper for side in (sides.canary, sides.baseline) for upper, _ in side.latency})

    def requests(side: Counters) -> Array:
        return np.array([float(side.requests)])

    def yes(side: Counters) -> Array:
        return np.array([[float(side.count(name)) for name in settings.shares]])

    def latency(side: Counters) -> Array:
        table = {pair[0]: pair[1] for pair in side.latency}
        return np.array([[float(table.get(upper, 0)) for upper in uppers]])

    canary, baseline = sides.canary, sides.baseline
    return Block(
        requests(canary),
        requests(baseline),
        yes(canary),
        yes(baseline),
        np.array(uppers, float),
        latency(canary),
        latency(baseline),
    )


def _odds(logarithms: Mapping[str, Array]) -> dict[str, float]:
    limit = math.log(_HIGHEST)
    return {name: float(f"{math.exp(min(float(value[0]), limit)):.4g}") for name, value in logarithms.items()}


def _portion(value: Array, needed: float) -> float:
    return min(max(float(value[0]) / needed, 0.0), 1.0)
