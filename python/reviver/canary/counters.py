"""What one side of a split has answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

Key = TypeVar("Key", int, str)


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the process started, as `split_status` of the engine has them; or what came in addition."""

    requests: int = 0
    errors: int = 0
    """Of these, answers with a status of 500 and above."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """By class (`2xx`) and by code (`429`)."""
    latency: Sequence[Sequence[int]] = ()
    """Pairs: upper bound of a bucket in microseconds, and how many first bytes came within it. Sparse."""

    @classmethod
    def of(cls, variant: Mapping[str, Any] | None) -> "Counters":
        """From an object of the engine's `split_status`; None is a side without traffic."""
        if variant is None:
            return cls()
        return cls(variant["requests"], variant["errors"], variant["statuses"], variant["latency"])

    def since(self, earlier: "Counters") -> "Counters":
        """What came in addition. Where anything went down the process has started anew, and all of it is new."""
        statuses = _difference(self.statuses, earlier.statuses)
        latency = _difference(_table(self.latency), _table(earlier.latency))
        requests, errors = self.requests - earlier.requests, self.errors - earlier.errors
        if min(requests, errors, *statuses.values(), *latency.values()) < 0:
            return self
        return Counters(requests, errors, _filled(statuses), sorted(_filled(latency).items()))

    def plus(self, more: "Counters") -> "Counters":
        """Both together."""
        statuses, latency = dict(self.statuses), _table(self.latency)
        for name, count in more.statuses.items():
            statuses[name] = statuses.get(name, 0) + count
        for upper, count in more.latency:
            latency[upper] = latency.get(upper, 0) + count
        together = self.requests + more.requests, self.errors + more.errors
        return Counters(*together, statuses, sorted(latency.items()))

    def count(self, metric: str) -> int:
        """What a metric that is a share of requests counts."""
        return self.errors if metric == "error_rate" else self.statuses.get(metric, 0)

    def save(self) -> dict[str, Any]:
        """As JSON; `of` is the way back."""
        latency = [list(pair) for pair in self.latency]
        return {
            "requests": self.requests,
            "errors": self.errors,
            "statuses": dict(self.statuses),
            "latency": latency,
        }


@dataclass(frozen=True, slots=True)
class Sides:
    """Canary and the share of stable that it is compared with."""

    canary: Counters = field(default_factory=Counters)
    baseline: Counters = field(default_factory=Counters)

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> "Sides":
        """From `save`."""
        return cls(Counters.of(saved["canary"]), Counters.of(saved["baseline"]))

    def since(self, earlier: "Sides") -> "Sides":
        """What came in addition."""
        return Sides(self.canary.since(earlier.canary), self.baseline.since(earlier.baseline))

    def plus(self, more: "Sides") -> "Sides":
        """Both together."""
        return Sides(self.canary.plus(more.canary), self.baseline.plus(more.baseline))

    def fewest(self) -> int:
        """Requests of the side that has fewer."""
        return min(self.canary.requests, self.baseline.requests)

    def save(self) -> dict[str, Any]:
        """As JSON; `of` is the way back."""
        return {"canary": self.canary.save(), "baseline": self.baseline.save()}


def _table(pairs: Sequence[Sequence[int]]) -> dict[int, int]:
    return {pair[0]: pair[1] for pair in pairs}


def _difference(now: Mapping[Key, int], earlier: Mapping[Key, int]) -> dict[Key, int]:
    return {key: now.get(key, 0) - earlier.get(key, 0) for key in {**now, **earlier}}


def _filled(table: Mapping[Key, int]) -> dict[Key, int]:
    return {key: count for key, count in table.items() if count}
