"""What Reviver is to reach, as shares of what the peers take in the same run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benches.balancing import BALANCERS
from benches.bench import Outcome
from benches.peers import PEERS

NO_RIVALS = {"Reviver", "Reviver, no cache", *(peer.name for peer in PEERS if peer.floor)}


@dataclass(frozen=True)
class Target:
    """Reviver's metric in a scenario is at most `share` of that of the best of these subjects, and `plus`; of all, if
    `()`. The main metric unless told; at least, where more of it is better. Where there are several rows `of` Reviver,
    the worst of them counts.
    """

    scenario: str
    peers: tuple[str, ...]
    share: float
    plus: float = 0.0
    metric: str | None = None
    at_least: bool = False
    of: tuple[str, ...] = ("Reviver",)


HAPROXY_AND_NGINX = ("HAProxy", "nginx", "Debian nginx")
NGINX = ("nginx", "Debian nginx")
NGINX_AND_VARNISH = (*NGINX, "Varnish")
# no policy that is used can do what Belady's does
PRACTICAL = ("W-TinyLFU (simulated)", "S3-FIFO (simulated)", "LRU (simulated)")
# a target that is a number; the subject itself, for want of another
NOBODY = ("Reviver",)
OF_TWO = ("Reviver, power_of_two",)

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
    Target("cache-hit-1k", ("HAProxy",), 0.9),
    Target("cache-hit-1k", NGINX_AND_VARNISH, 0.35),
    Target("cache-hit-64k", (), 1.0),
    Target("cache-hit-disk", NGINX, 1.0),
    Target("cache-miss", ("Reviver, no cache",), 1.08),
    Target("cache-zipf", NGINX_AND_VARNISH, 1.0),
    Target("cache-zipf", NGINX_AND_VARNISH, 1.0, metric="hit", at_least=True),
    Target("cache-zipf", PRACTICAL, 1.0, -3.0, "hit", at_least=True),
    Target("cache-herd", NOBODY, 0.0, 1.0),
    Target("cache-memory", NOBODY, 0.0, 300.0),
    Target("balance-3", BALANCERS, 0.0, 3.0, of=BALANCERS),
    Target("balance-1000", BALANCERS, 0.0, 3.0, of=BALANCERS),
    Target("balance-slow", OF_TWO, 0.0, 1.3, "over", of=OF_TWO),
    # two that do the same are so far apart
    Target("balance-slow", ("HAProxy, leastconn", "Envoy, LEAST_REQUEST"), 1.02, of=OF_TWO),
    Target("health-1000", NOBODY, 0.0, 1.0),
)


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured."""

    target: Target
    heading: str
    title: str
    peer: str
    subject: str
    reviver: float
    limit: float

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.reviver >= self.limit if self.target.at_least else self.reviver <= self.limit


def judge(outcomes: Mapping[str, Outcome]) -> list[Verdict]:
    """The targets for which both sides were measured."""
    verdicts = []
    for target in TARGETS:
        outcome = outcomes.get(target.scenario)
        key = target.metric or (outcome.scenario.main if outcome else "")
        if outcome is None:
            continue
        best, worst = (max, min) if target.at_least else (min, max)
        own = medians(outcome, target.of, key)
        rivals = medians(
            outcome, target.peers or [name for name in outcome.rows if name not in {*NO_RIVALS, *target.of}], key
        )
        subject = worst(own, key=own.__getitem__, default="")
        peer = best(rivals, key=rivals.__getitem__, default="")
        if subject in own and peer in rivals:
            scenario = outcome.scenario
            heading = next(metric.heading for metric in scenario.metrics if metric.key == key)
            limit = target.share * rivals[peer] + target.plus
            verdicts.append(Verdict(target, heading, scenario.title, peer, subject, own[subject], limit))
    return verdicts


def medians(outcome: Outcome, subjects: Iterable[str], key: str) -> dict[str, float]:
    """Of those of them that have the metric."""
    return {name: median for name in subjects if (median := outcome.median(name, key)) is not None}
