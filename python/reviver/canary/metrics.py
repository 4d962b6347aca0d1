"""The two tests of one metric: is there harm, and is harm as large as the margin out of the question?

Everything has a first axis of runs: the autopilot has one, a simulation thousands, and both run the same code.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from reviver.canary.evidence import TINY, Array, compared, harmless
from reviver.canary.process import ALTERNATIVES, HARMLESS, Counted, Process

Index = NDArray[np.intp]

AIM = 1.5
"""The mildest alternative, as a multiple of the margin: harm at the margin is seen as soon, far below it less often."""
WORST = 0.95
REMEMBERED = 20_000.0
"""Requests after which what is older counts less in estimates of the stable side."""
WIDEST = 1.07
"""No bucket is wider than this, as upper by lower bound."""
KNOWN = 4
"""Requests beyond a quantile after which it is known well enough to choose thresholds by it."""


class Share:
    """Errors, or a class of statuses: their share among the requests."""

    def __init__(self, runs: int, margin: float) -> None:
        """Where the margin is that of the share itself: 0.01 for one percentage point."""
        self.process = Process(runs)
        self._margin = margin
        self._seen = np.zeros(runs)
        self._yes = np.zeros(runs)

    def feed(self, canary: Array, canary_yes: Array, baseline: Array, baseline_yes: Array) -> None:
        """A block of each run; one without requests says nothing."""
        base = (self._yes + 0.5) / (self._seen + 0.5 / self._margin)
        nc, kc, nb, kb = (column[:, None] for column in (canary, canary_yes, baseline, baseline_yes))
        harm = compared(nc, kc, nb, kb, alternatives(base, base + AIM * self._margin), base[:, None])
        base = np.minimum(base, 1 - self._margin)[:, None]
        safety = harmless(nc, kc, nb, kb, base + HARMLESS * self._margin, base, self._margin)
        counted = Counted(nc, kc, nb, kb, np.full(nc.shape, self._margin))
        self.process.add(harm[:, None, :], safety, counted, (canary > 0) & (baseline > 0))
        self._seen += baseline
        self._yes += baseline_yes
        less = np.minimum(1, REMEMBERED / np.maximum(self._seen, 1))
        self._seen *= less
        self._yes *= less

    def save(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.process.save(), "seen": self._seen.tolist(), "yes": self._yes.tolist()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """From `save` of equal settings."""
        self.process.load(saved)
        self._seen, self._yes = np.array(saved["seen"], float), np.array(saved["yes"], float)


class Past:
    """Latencies of the stable side so far: what thresholds are chosen from, and how often they are exceeded."""

    def __init__(self, runs: int) -> None:
        self.edges = np.zeros(0)
        """Upper bounds of buckets in microseconds, and a lower bound of each that has no neighbour, ascending."""
        self.counts = np.zeros((runs, 0))
        self._uppers = np.zeros(0)

    def widen(self, uppers: Array) -> None:
        """Makes room for these buckets."""
        together = np.union1d(self._uppers, uppers)
        if len(together) == len(self._uppers):
            return
        lonely = np.diff(together, prepend=0) > together * (1 - 1 / WIDEST)
        edges = np.union1d(together, together[lonely] / WIDEST)
        counts = np.zeros((self.counts.shape[0], len(edges)))
        counts[:, np.searchsorted(edges, self._uppers)] = self.counts[:, np.searchsorted(self.edges, self._uppers)]
        self.edges, self.counts, self._uppers = edges, counts, together

    def exceeded(self, uppers: Array, counts: Array) -> Array:
        """How many of a block's requests, by its own buckets, are above each edge; all in a last column.

        That column is the one of index -1, for what is below every edge.
        """
        total = counts.sum(axis=1, keepdims=True)
        within = np.concatenate([np.zeros_like(total), np.cumsum(counts, axis=1)], axis=1)
        return np.concatenate([total - within[:, np.searchsorted(uppers, self.edges, side="right")], total], axis=1)

    def add(self, uppers: Array, counts: Array) -> None:
        """A block's requests by its own buckets."""
        self.widen(uppers)
        self.counts[:, np.searchsorted(self.edges, uppers)] += counts
        total = self.counts.sum(axis=1)
        self.counts *= np.minimum(1, REMEMBERED / np.maximum(total, 1))[:, None]

    def save(self) -> dict[str, Any]:
        """As JSON."""
        columns = self.counts[:, np.searchsorted(self.edges, self._uppers)]
        return {"uppers": self._uppers.tolist(), "counts": columns.tolist()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """From `save`."""
        self.widen(np.array(saved["uppers"], float))
        self.counts[:, np.searchsorted(self.edges, self._uppers)] = np.array(saved["counts"], float)

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


class Quantile:
    """A quantile of latency, by how often thresholds near the stable one are exceeded."""

    def __init__(self, runs: int, quantile: float, margin: float) -> None:
        """The margin is a share of the quantile: 0.2 for a fifth more."""
        self.process = Process(runs, groups=2)
        self._quantile = quantile
        self._margin = margin

    def feed(self, past: Past, above: Array, below: Array) -> None:
        """A block of each run: how many are above each edge of `past`, of canary and baseline.

        `past` does not hold the block yet: thresholds are chosen before what is compared by them is known.
        """
        total = past.counts.sum(axis=1)
        having = (total * (1 - self._quantile) >= KNOWN) & (above[:, -1] > 0) & (below[:, -1] > 0)
        if not having.any():
            return
        rate = (past.exceeded(past.edges, past.counts) + 0.5) / (total[:, None] + 1)
        at = np.argmax(np.cumsum(past.counts, axis=1) >= self._quantile * total[:, None] - TINY, axis=1)
        factor = 1 + self._margin
        # one threshold for both sides: halfway to the margin, where a canary that is slower as a whole shows most; and
        # at the margin, for one with a longer tail
        both = [self._harm(above, below, rate, past, past.times(to)[at]) for to in (1 + self._margin / 2, factor)]
        harm = np.stack([evidence for evidence, _ in both], axis=1)
        counted = Counted.together([one for _, one in both])
        safety = self._safety(above, below, rate, at, past.times(factor))
        self.process.add(harm, safety, counted, having)

    def save(self) -> dict[str, Any]:
        """As JSON."""
        return self.process.save()

    def load(self, saved: Mapping[str, Any]) -> None:
        """From `save` of equal settings."""
        self.process.load(saved)

    def _harm(self, above: Array, below: Array, rate: Array, past: Past, threshold: Index) -> tuple[Array, Counted]:
        """A canary at the margin exceeds a threshold as often as the stable side exceeds what is lower by the margin.

        Gives the e-values by alternative, and what was counted.
        """
        base = _pick(rate, threshold)
        latency = past.edges[threshold]
        worse, margin = (past.between(rate, latency / (1 + aim * self._margin)) for aim in (AIM, 1))
        nc, kc, nb, kb = (
            column[:, None] for column in (above[:, -1], _pick(above, threshold), below[:, -1], _pick(below, threshold))
        )
        counted = Counted(nc, kc, nb, kb, np.maximum(margin - base, 0)[:, None])
        return compared(nc, kc, nb, kb, alternatives(base, worse), base[:, None]), counted

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
        tb = _pick(there, best)[:, None]
        tc = np.minimum(_pick(further, best)[:, None], tb)
        kc, kb = _pick(above, times[best])[:, None], _pick(below, best)[:, None]
        return compared(above[:, -1:], kc, below[:, -1:], kb, tc + HARMLESS * (tb - tc), tb)


def alternatives(base: Array, margin: Array) -> Array:
    """Rates of a canary that does harm: from that at the margin, evenly in log odds, to the worst; shape (runs, n)."""
    first = logit(np.clip(margin, TINY, 1 - TINY))
    first = np.maximum(first, logit(np.clip(base, TINY, 1 - TINY)) + 0.1)
    last = np.maximum(first, logit(WORST))
    portion = np.linspace(0, 1, ALTERNATIVES)
    return np.asarray(expit(first[:, None] * (1 - portion) + last[:, None] * portion))


def _pick(rows: Array, index: Index) -> Array:
    """One column of each row."""
    return np.asarray(np.take_along_axis(rows, index[:, None], axis=1)[:, 0])


def _divergence(first: Array, second: Array) -> Array:
    """How fast a pair of requests tells two rates apart, nearly."""
    middle = (first + second) / 2
    return np.asarray((first - second) ** 2 / (middle * (1 - middle)))
