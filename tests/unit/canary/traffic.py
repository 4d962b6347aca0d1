"""A split in front of two versions, second by second, for an autopilot to look at."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import numpy as np

from reviver.canary import Action, Autopilot, Counters, Event, Gate, Settings, SetWeight

FAST = Settings(steps=(1_000, 5_000, 10_000), every=10, min_requests=50, error_rate=0.05)
"""Judged within some hundred requests."""
START = 1_700_000_000.0


@dataclass
class Version:
    """What one of them answers."""

    errors: float = 0.0
    statuses: dict[str, float] = field(default_factory=dict)
    """Shares, by class or code."""
    median: float = 20_000.0
    """Microseconds."""
    spread: float = 0.5
    """Sigma of the latencies' logarithm."""


def bucket(microseconds: float) -> int:
    """The upper bound of the bucket that holds a latency: 16 to each power of two."""
    width: int = 2 ** max(int(np.log2(microseconds)) - 4, 0)
    return math.ceil(microseconds / width) * width


class World:
    """Drives one autopilot and does what it asks for."""

    def __init__(self, settings: Settings = FAST, rate: float = 1_000, seed: int = 1) -> None:
        self.settings = settings
        self.rate = rate
        self.canary, self.stable = Version(), Version()
        self.available = True
        self.pilot = Autopilot(settings)
        self.now = START
        self.weight = settings.steps[0]
        """As the engine has it."""
        self.sides = [Counters(), Counters()]
        self.actions: list[Action] = []
        self._random = np.random.default_rng(seed)

    # ---- time

    def look(self) -> list[Action]:
        """Shows what there is now."""
        canary, baseline = self.sides
        return self.do(self.pilot.observe(self.now, canary, baseline, self.available))

    def second(self) -> list[Action]:
        """A second of traffic, and a look."""
        share = self.weight / 10_000
        for index, (version, part) in enumerate([(self.canary, share), (self.stable, min(share, 1 - share))]):
            self.sides[index] = self.sides[index].plus(self._answered(version, self.rate * part))
        self.now += 1
        return self.look()

    def run(self, seconds: int, until: str | None = None) -> World:
        """Some seconds, or until an event of a kind."""
        self.look()
        for _ in range(seconds):
            if until in [action.kind for action in self.second() if isinstance(action, Event)]:
                break
        return self

    def do(self, actions: list[Action]) -> list[Action]:
        """What the runner does with actions."""
        for action in actions:
            if isinstance(action, SetWeight):
                self.weight = action.weight
        self.actions += actions
        return actions

    def restart(self, settings: Settings | None = None, *, counters: bool = True) -> None:
        """The process ends, and another goes on from the state; its counters begin at zero."""
        self.settings = settings or self.settings
        self.pilot = Autopilot(self.settings, json.loads(json.dumps(self.pilot.state(), allow_nan=False)))
        if counters:
            self.sides = [Counters(), Counters()]

    def _answered(self, version: Version, requests: float) -> Counters:
        count = int(self._random.poisson(requests))
        errors = int(self._random.binomial(count, version.errors))
        statuses = {name: int(self._random.binomial(count, share)) for name, share in version.statuses.items()}
        latencies = version.median * np.exp(version.spread * self._random.standard_normal(count))
        table: dict[int, int] = {}
        for latency in latencies:
            table[bucket(latency)] = table.get(bucket(latency), 0) + 1
        return Counters(count, errors, {**statuses, "5xx": errors}, sorted(table.items()))

    # ---- what became of it

    @property
    def weights(self) -> list[int]:
        """All that were asked for."""
        return [action.weight for action in self.actions if isinstance(action, SetWeight)]

    @property
    def gates(self) -> list[Gate]:
        """All that were asked."""
        return [action for action in self.actions if isinstance(action, Gate)]

    def events(self, kind: str) -> list[Event]:
        """Those of a kind."""
        return [action for action in self.actions if isinstance(action, Event) and action.kind == kind]

    @property
    def state(self) -> str:
        """As status shows it."""
        return str(self.pilot.status()["state"])
