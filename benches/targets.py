"""What Reviver is to reach, as shares of what the peers take in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benches.bench import Outcome
from benches.peers import PEERS

NO_RIVALS = {"Reviver", *(peer.name for peer in PEERS if peer.floor)}


@dataclass(frozen=True)
class Target:
    """Reviver's main metric in a scenario is at most `share` of that of the best of these peers; of all, if `()`."""

    scenario: str
    peers: tuple[str, ...]
    share: float


HAPROXY_AND_NGINX = ("HAProxy", "nginx", "Debian nginx")

TARGETS = (
    Target("reverse-1k", ("HAProxy",), 0.85),
    Target("reverse-1k", ("nginx",), 0.6),
    Target("forward-1k", ("Squid",), 0.25),
    Target("reverse-1m", (), 1.0),
    Target("forward-1m", (), 1.0),
    Target("reverse-churn", ("HAProxy",), 1.0),
    Target("reverse-tls-1k", HAPROXY_AND_NGINX, 1.0),
    Target("reverse-tls-1m", HAPROXY_AND_NGINX, 1.0),
    Target("tls-handshakes", HAPROXY_AND_NGINX, 1.0),
    Target("h2-10", HAPROXY_AND_NGINX, 1.0),
    Target("h2-100", HAPROXY_AND_NGINX, 1.0),
    Target("h2-both", ("Envoy",), 0.6),
    Target("idle", ("HAProxy",), 1.0),
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
            for name in target.peers or outcome.rows
            if name not in NO_RIVALS and (median := outcome.median(name)) is not None
        }
        peer = min(rivals, key=rivals.__getitem__, default="")
        if peer in rivals:
            scenario = outcome.scenario
            heading = next(metric.heading for metric in scenario.metrics if metric.key == scenario.main)
            verdicts.append(Verdict(target, heading, scenario.title, peer, reviver, target.share * rivals[peer]))
    return verdicts
