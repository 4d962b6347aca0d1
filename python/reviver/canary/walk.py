"""Where a walk is."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from reviver.canary.actions import FULL
from reviver.canary.settings import Settings

Phase = Literal["new", "before", "walking", "after", "paused", "aborted", "promoted"]
Kind = Literal["before", "after"]

OVER = ("aborted", "promoted")


@dataclass(slots=True)
class Walk:
    """Of one canary, from no traffic to all or none."""

    phase: Phase = "new"
    step: int = 0
    """The one it is at, or was last; while gates before the first are asked: the first."""
    weight: int = 0
    """Basis points; in a dry run those that there would be."""
    begun: float | None = None
    """When the step was first looked at; none: not yet."""
    verdict: str | None = None
    """The last one's kind."""
    reason: str | None = None
    """Why the walk is over, or who holds it."""
    asks: int | None = None
    """The step whose gates are asked."""
    ask_at: float | None = None
    """When they are asked again; none: they are being asked."""
    refused: str | None = None
    """What the gate said that did not pass."""
    took: dict[str, float] = field(default_factory=dict)
    """Seconds that steps have lasted, by index."""

    def save(self) -> dict[str, Any]:
        """As JSON; `read` is the way back."""
        return asdict(self)

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> "Walk":
        """From `save`. Raises ValueError where it is of another form, or no walk can be there."""
        # as JSON even strict rules take an object for it
        walk = TypeAdapter(cls).validate_json(json.dumps(dict(saved)), strict=True)
        times = [time for time in (walk.begun, walk.ask_at, *walk.took.values()) if time is not None]
        gates = walk.phase in ("before", "after")
        if not (0 <= walk.weight <= FULL and all(map(math.isfinite, times)) and gates == (walk.asks is not None)):
            raise ValueError("its walk makes no sense")
        return walk


def fingerprint(settings: Settings) -> str:
    """Of what evidence depends on: with another one it cannot be carried over."""
    evidence = settings.steps, settings.shares, settings.latencies, settings.confidence
    return json.dumps(evidence, sort_keys=True)


def step_of(settings: Settings, weight: int) -> int:
    """The last step that is not above a weight, or the first."""
    return max([index for index, step in enumerate(settings.steps) if step <= weight], default=0)
