"""The two tests of one metric: is there harm, and is harm as large as the margin out of the question?

Everything has a first axis of runs: the autopilot has one, a simulation thousands, and both run the same code.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp

from reviver.canary.evidence import TINY, Array, compared, harmless

Index = NDArray[np.intp]

ALTERNATIVES = 5
"""How bad a canary may be: from the margin to nearly always, so that a disaster is seen within some ten requests."""
AIM = 1.5
"""The mildest of them, as a multiple of the margin. Harm at the margin then takes some percent more requests to see
than with 1, and harm of a third of the margin, which nobody asked to be told, is as good as none."""
WORST = 0.95
REMEMBERED = 20_000.0
"""Requests after which what is older counts less in estimates of the stable side."""
NARROWEST = 1.07
"""No bucket is wider than this, as upper by lower bound."""


class Evidence:
    """The e-processes of one metric, as logarithms.

    Harm is a mixture over `groups` of alternatives and over the step since which the canary is worse: a walk that was
    good for long does not outvote what a higher weight has brought, and nothing is forgotten either. Safety is about
    the current step alone.
    """

    def __init__(self, runs: int, steps: int, groups: int = 1) -> None:
        self.harms = np.zeros((runs, steps, groups * ALTERNATIVES))
        self.safety = np.zeros(runs)
        bad = np.tile(_prior(ALTERNATIVES), groups) / groups
        self._prior = _prior(steps)[:, None] * bad[None, :]

    @property
    def harm(self) -> Array:
        """Of harm, shape (runs)."""
        return np.asarray(logsumexp(self.harms, axis=(1, 2), b=self._prior))

    def add(self, harm: Array, safety: Array, step: Index) -> None:
        """A block's logarithms; `step` is the one at which each run is."""
        reached = np.arange(self.harms.shape[1])[None, :] <= step[:, None]
        self.harms += harm[:, None, :] * reached[:, :, None]
        self.safety += safety

    def save(self) -> dict[str, Any]:
        """As JSON."""
        return {"harms": self.harms.tolist(), "safety": self.safety.tolist()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """From `save` of equal settings."""
        self.harms = np.array(saved["harms"])
        self.safety = np.array(saved["safety"])


class Share:
    """Errors, or a class of statuses: their share among the requests."""

    def __init__(self, runs: int, steps: int, margin: float) -> None:
        """Where the margin is that of the share itself: 0.01 for one percentage point."""
        self.evidence = Evidence(runs, steps)
        self._margin = margin
        self._seen = np.zeros(runs)
        self._yes = np.zeros(runs)

    def feed(self, canary: Array, canary_yes: Array, baseline: Array, baseline_yes: Array, step: Index) -> None:
        """A block of each run; one without requests says nothing."""
        base = (self._yes + 0.5) / (self._seen + 0.5 / self._margin)
        worse = alternatives(base, base + AIM * self._margin)
        columns = canary[:, None], canary_yes[:, None], baseline[:, None], baseline_yes[:, None]
        harm = compared(*columns, worse, base[:, None])
        base = np.minimum(base, 1 - self._margin)
        safety = harmless(canary, canary_yes, baseline, baseline_yes, base, base, self._margin)
        self.evidence.add(harm, safety, step)
        self._seen += baseline
        self._yes += baseline_yes
        less = np.minimum(1, REMEMBERED / np.maximum(self._seen, 1))
        self._seen *= less
        self._yes *= less

    def save(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.evidence.save(), "seen": self._seen.tolist(), "yes": self._yes.tolist()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """From `save` of equal settings."""
        self.evidence.load(saved)
        self._seen, self._yes = np.array(saved["seen"]), np.array(saved["yes"])


class Past:
    """Latencies of the stable side so far: what thresholds are chosen from, and how often they are exceeded."""

    def __init__(self, runs: int) -> None:
        self.edges = np.zeros(0)
        """Upper bounds of buckets in microseconds, and a lower bound of each that has no neighbour, ascending."""
        self.counts = np.zeros((runs, 0))

    def widen(self, uppers: Array) -> None:
        """Makes room for these buckets."""
        wanted = np.union1d(self.edges, uppers)
        if len(wanted) == len(self.edges):
            return
        lonely = np.diff(wanted, prepend=0) > wanted * (1 - 1 / NARROWEST)
        wanted = np.union1d(wanted, wanted[lonely] / NARROWEST)
        counts = np.zeros((self.counts.shape[0], len(wanted)))
        counts[:, np.searchsorted(wanted, self.edges)] = self.counts
        self.edges, self.counts = wanted, counts

    def add(self, counts: Array) -> None:
        """A block's requests by edge."""
        self.counts += counts
        total = self.counts.sum(axis=1)
        self.counts *= np.minimum(1, REMEMBERED / np.maximum(total, 1))[:, None]

    def save(self) -> dict[str, Any]:
        """As JSON."""
        return {"edges": self.edges.tolist(), "counts": self.counts.tolist()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """From `save`."""
        self.edges, self.counts = np.array(saved["edges"]), np.array(saved["counts"])

    def times(self, factor: float) -> Index:
        """For each edge the last one that is not above its product with `factor`; -1 where there is none."""
        return np.searchsorted(self.edges, self.edges * (factor * (1 + TINY)), side="right") - 1

    def between(self, rates: Array, latency: Array) -> Array:
        """One of `rates` by edge for each run, at a latency: on a line in its logarithm between two edges."""
        low = np.searchsorted(self.edges, latency * (1 + TINY), side="right") - 1
        high = np.minimum(low + 1, len(self.edges) - 1)
        there = np.where(low < 0, latency, self.edges[low])
        portion = np.log(latency / there) / np.log(np.maximum(self.edges[high] / there, 1 + TINY))
        portion = np.clip(portion, 0, 1)
        return np.asarray(_pick(rates, low) * (1 - portion) + _pick(rates, high) * portion)


def exceeding(counts: Array) -> Array:
    """Requests above each edge, with those above none in the last column: that of index -1."""
    total = counts.sum(axis=1, keepdims=True)
    return np.concatenate([total - np.cumsum(counts, axis=1), total], axis=1)


class Quantile:
    """A quantile of latency, by how often thresholds near the stable one are exceeded."""

    def __init__(self, runs: int, steps: int, quantile: float, margin: float) -> None:
        """The margin is a share of the quantile: 0.2 for a fifth more."""
        self.evidence = Evidence(runs, steps, groups=2)
        self._quantile = quantile
        self._margin = margin

    def feed(self, past: Past, canary: Array, baseline: Array, step: Index) -> None:
        """A block of each run by edges of `past`, which does not hold it yet."""
        total = past.counts.sum(axis=1)
        ready = total * (1 - self._quantile) >= 4
        if not ready.any():
            return
        rate = (exceeding(past.counts) + 0.5) / (total[:, None] + 1)
        at = np.argmax(np.cumsum(past.counts, axis=1) >= self._quantile * total[:, None] - TINY, axis=1)
        above, below = exceeding(canary), exceeding(baseline)
        factor = 1 + self._margin
        harm = np.concatenate(
            [self._harm(above, below, rate, past, past.times(to)[at]) for to in (1 + self._margin / 2, factor)], axis=1
        )
        safety = self._safety(above, below, rate, at, past.times(factor))
        self.evidence.add(np.where(ready[:, None], harm, 0), np.where(ready, safety, 0), step)

    def save(self) -> dict[str, Any]:
        """As JSON."""
        return self.evidence.save()

    def load(self, saved: Mapping[str, Any]) -> None:
        """From `save` of equal settings."""
        self.evidence.load(saved)

    def _harm(self, above: Array, below: Array, rate: Array, past: Past, threshold: Index) -> Array:
        """One threshold for both sides: halfway to the margin, where a canary that is slower as a whole shows most.

        And at the margin, for one with a longer tail. A canary at the margin exceeds it as often as the stable side
        exceeds what is lower by the margin.
        """
        base = _pick(rate, threshold)
        slower = past.between(rate, past.edges[threshold] / (1 + AIM * self._margin))
        return compared(
            above[:, -1:],
            _pick(above, threshold)[:, None],
            below[:, -1:],
            _pick(below, threshold)[:, None],
            alternatives(base, slower),
            base[:, None],
        )

    def _safety(self, above: Array, below: Array, rate: Array, at: Index, times: Index) -> Array:
        """A canary at the margin exceeds a threshold times the margin as often as the stable side exceeds it.

        Of the thresholds near the quantile the one is taken that is expected to tell most.
        """
        there, further = rate[:, :-1], rate[:, times]
        tail = 1 - self._quantile
        near = (there >= tail / 2) & (there <= min(2 * tail, 1 - self._quantile / 2))
        near |= np.abs(np.arange(there.shape[1])[None, :] - at[:, None] + 0.5) < 1
        gain = np.where(near, _divergence(there, further), -1)
        best = np.argmax(gain, axis=1)
        tb = _pick(there, best)
        tc = np.minimum(_pick(further, best), tb)
        return compared(above[:, -1], _pick(above, times[best]), below[:, -1], _pick(below, best), tc, tb)


def alternatives(base: Array, margin: Array) -> Array:
    """Rates of a canary that does harm: from that at the margin, evenly in log odds, to the worst; shape (runs, n)."""
    first = logit(np.clip(margin, TINY, 1 - TINY))
    first = np.maximum(first, logit(np.clip(base, TINY, 1 - TINY)) + 0.1)
    last = np.maximum(first, logit(WORST))
    portion = np.linspace(0, 1, ALTERNATIVES)
    return np.asarray(expit(first[:, None] * (1 - portion) + last[:, None] * portion))


def _prior(count: int) -> Array:
    """Half on the first, the rest shared out evenly."""
    return np.ones(1) if count == 1 else np.array([0.5] + [0.5 / (count - 1)] * (count - 1))


def _pick(rows: Array, index: Index) -> Array:
    """One column of each row."""
    return np.asarray(np.take_along_axis(rows, index[:, None], axis=1)[:, 0])


def _divergence(first: Array, second: Array) -> Array:
    """How fast a pair of requests tells two rates apart, nearly."""
    middle = (first + second) / 2
    return np.asarray((first - second) ** 2 / (middle * (1 - middle)))
