"""The judgement of a walk: all metrics together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reviver.canary.evidence import Array, after
from reviver.canary.metrics import Past, Quantile, Share
from reviver.canary.process import Flags
from reviver.canary.settings import Settings

BLOCK = 5
"""Requests of each side that a block has at least: smaller ones differ too much in their sides' sizes to tell much."""
LAST = 0.1
"""Which share of the allowed false alarms the step without a stable side has for itself."""


@dataclass(frozen=True, slots=True)
class Block:
    """What both sides have answered between two looks, by run."""

    canary: Array
    """Requests, shape (runs)."""
    baseline: Array
    canary_yes: Array
    """What each share counts, shape (runs, shares)."""
    baseline_yes: Array
    edges: Array
    """Upper bounds of buckets of latency, ascending."""
    canary_latency: Array
    """Requests by bucket, shape (runs, edges)."""
    baseline_latency: Array


class Judge:
    """Of as many runs as there are."""

    def __init__(self, settings: Settings, runs: int = 1) -> None:
        alpha = 1 - settings.confidence
        self._runs = runs
        self._margin = settings.error_rate
        last = LAST if settings.compares_last else 0
        self.harm_at = -math.log(alpha * (1 - last))
        """Logarithm of the evidence at which there is harm: of the mean over all metrics."""
        self.safe_at = -math.log(alpha)
        """Logarithm of the evidence at which a metric is safe."""
        self.last_at = -math.log(alpha * LAST)
        """Logarithm of the evidence at which there is harm where no stable side is left."""
        self.shares = {name: Share(runs, margin) for name, margin in settings.shares.items()}
        self.quantiles = {
            name: Quantile(runs, quantile, margin) for name, (quantile, margin) in settings.latencies.items()
        }
        self._tests: dict[str, Share | Quantile] = {**self.shares, **self.quantiles}
        self._past = Past(runs)

    def feed(self, block: Block) -> None:
        """A block of each run; one without requests says nothing."""
        for column, share in enumerate(self.shares.values()):
            share.feed(block.canary, block.canary_yes[:, column], block.baseline, block.baseline_yes[:, column])
        if self.quantiles:
            past, uppers = self._past, block.edges
            above, below = past.exceeded(uppers, block.canary_latency), past.exceeded(uppers, block.baseline_latency)
            for quantile in self.quantiles.values():
                quantile.feed(past, above, below)
            past.add(uppers, block.baseline_latency)

    def harms(self) -> dict[str, Array]:
        """Logarithms of the evidence of harm, by metric."""
        return {name: test.process.harm for name, test in self._tests.items()}

    def safeties(self) -> dict[str, Array]:
        """Logarithms of the evidence that this step does less harm than the margin, by metric."""
        return {name: test.process.safety for name, test in self._tests.items()}

    def harmful(self) -> Flags:
        """Whether the evidence of harm is enough. The mean of e-values is one, however they depend on each other."""
        harms = list(self.harms().values())
        if not harms:
            return np.zeros(self._runs, bool)
        mean = np.logaddexp.reduce(harms, axis=0) - math.log(len(harms))
        return np.asarray(mean >= self.harm_at)

    def safe(self) -> Flags:
        """Whether every metric is."""
        flags = np.ones(self._runs, bool)
        for value in self.safeties().values():
            flags &= value >= self.safe_at
        return flags

    def worse_than_before(self, canary: Array, errors: Array, baseline: Array, baseline_errors: Array) -> Array:
        """Logarithm of the evidence that errors are more by half the margin than with the last stable side."""
        return after(canary, errors, baseline, baseline_errors, (self._margin or 0) / 2)

    def begin(self, runs: Flags) -> None:
        """These are at a new step."""
        for test in self._tests.values():
            test.process.begin(runs)

    def save(self) -> dict[str, Any]:
        """As JSON."""
        tests = {name: test.save() for name, test in self._tests.items()}
        return {"tests": tests, "past": self._past.save()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """From `save` of equal settings."""
        for name, test in self._tests.items():
            test.load(saved["tests"][name])
        self._past.load(saved["past"])
