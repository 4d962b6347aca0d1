"""What the autopilot wants done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FULL = 10_000
"""All traffic, in basis points."""


@dataclass(frozen=True, slots=True)
class SetWeight:
    """The canary's share of traffic from now on. Never asked for in a dry run."""

    weight: int
    """Basis points."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Asks all gates of a kind; `Autopilot.gate_result` is told whether every one of them passed.

    A gate that was asked and not answered is asked again by an autopilot that goes on from a state.
    """

    kind: Literal["before", "after"]
    step: int
    """Index of the step, from 0."""
    weight: int
    """Its weight in basis points."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people and their programs want to be told: for the log and for webhooks."""

    kind: str
    """`started`, `step`, `verdict`, `gate`, `rolled_back`, `promoted`, `paused`, `resumed`, `dry`, `restarted`."""
    text: str
    """One sentence for a person."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The numbers, as JSON."""


Action = SetWeight | Gate | Event
