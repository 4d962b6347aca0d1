"""What Reviver is to reach, as shares of what the peers take in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benches.bench import Outcome
from benches.peers import PEERS

NO_RIVALS = {"Reviver", *(peer.name for peer in PEERS if peer.floor)}


@dataclass(frozen=True)
class Target:
    """Reviver's main metric in a scenario is at most `share` of a peer's, or of the best peer's (None)."""

    scenario: str
    peer: str | None
    share: float


TARGETS = (
    Target("reverse-1k", "HAProxy", 0.85),
    Target("reverse-1k", "nginx", 0.6),
    Target("forward-1k", "Squid", 0.25),
    Target("reverse-1m", None, 1.0),
    Target("forward-1m", None, 1.0),
    Target("reverse-churn", "HAProxy", 1.0),
    Target("idle", "HAProxy", 1.0),
)


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured, both as the main metric."""

    target: Target
    heading: str
    title: str
    peer: str
    reviver: float
    limit: float

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.reviver <= self.limit


def judge(outcomes: Mapping[str, Outcome]) -> list[Verdict]:
    """The targets for which both sides were measured."""
    verdicts = []
    for target in TARGETS:
        outcome = outcomes.get(target.scenario)
        reviver = outcome.median("Reviver") if outcome else None
        if outcome is None or reviver is None:
            continue
        rivals = {
            name: median
            for name in outcome.rows
            if name not in NO_RIVALS and (median := outcome.median(name)) is not None
        }
        peer = target.peer or min(rivals, key=rivals.__getitem__, default="")
        if peer in rivals:
            scenario = outcome.scenario
            heading = next(metric.heading for metric in scenario.metrics if metric.key == scenario.main)
            verdicts.append(Verdict(target, heading, scenario.title, peer, reviver, target.share * rivals[peer]))
    return verdicts
