"""From what a configuration asks of autopilots to what they are told."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reviver.canary import Settings

if TYPE_CHECKING:
    from reviver.config import Loaded
    from reviver.config.models import Autopilot


@dataclass(frozen=True, slots=True)
class Task:
    """What one autopilot is there for."""

    split: str
    canary: str
    """The canary's pool."""
    settings: Settings
    before: tuple[str, ...]
    """Gates before each step."""
    after: tuple[str, ...]
    """Gates after each step."""
    webhooks: tuple[str, ...]
    base: Path
    """The folder that files of gates are relative to."""

    def gates(self, kind: str) -> tuple[str, ...]:
        """Those that a `Gate` asks."""
        return self.before if kind == "before" else self.after


def tasks_of(loaded: "Loaded") -> Iterator[Task]:
    """One for each split that has an autopilot."""
    splits = {} if loaded.config.reverse is None else loaded.config.reverse.splits
    for name, split in splits.items():
        if split.autopilot is not None and split.canary is not None:
            pilot = split.autopilot
            gates = tuple(map(str, pilot.gates.before)), tuple(map(str, pilot.gates.after))
            yield Task(name, split.canary, settings_of(pilot), *gates, pilot.webhooks, loaded.base)


def settings_of(pilot: "Autopilot") -> Settings:
    """In plain units."""
    harm = pilot.abort_on
    return Settings(
        steps=pilot.weights,
        every=pilot.every / 1000,
        min_requests=pilot.min_requests,
        error_rate=None if harm.error_rate is None else harm.error_rate / 10_000,
        quantiles={float(name[1:]) / 100: rise / 10_000 for name, rise in harm.quantiles.items()},
        statuses={status: rise / 10_000 for status, rise in harm.status.items()},
        confidence=pilot.confidence / 10_000,
        dry_run=pilot.dry_run,
        before=bool(pilot.gates.before),
        after=bool(pilot.gates.after),
    )
