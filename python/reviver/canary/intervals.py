"""Confidence sequences: intervals that hold at all times at once, so that one may look whenever one likes.

A rate is in the interval as long as the likelihood under it is not smaller by 1/alpha than the likelihood averaged over
Jeffreys' prior (the beta-binomial mixture). A quantile is above an upper bound of a bucket as long as the share of
requests up to that bound can be what the quantile says: one quantile needs nothing for there being many bounds.

    Robbins: Statistical methods related to the law of the iterated logarithm. Annals of Mathematical Statistics 41
    (1970), 1397-1409.
    Howard, Ramdas, McAuliffe, Sekhon: Time-uniform, nonparametric, nonasymptotic confidence sequences. Annals of
    Statistics 49 (2021), 1055-1080.
    Howard, Ramdas: Sequential estimation of quantiles with applications to A/B testing and best-arm identification.
    Bernoulli 28 (2022), 1704-1728.

Both take the rate to be the same for as long as was counted: here one step. Each interval is wrong with probability
alpha; judgements do not rest on them.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from reviver.canary.evidence import TINY, Array, likelihood, marginal


def rate(requests: int, yes: int, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the rate at which one answers yes."""
    n, k = np.array(float(requests)), np.array(float(yes))

    def excess(at: float) -> float:
        return float(_evidence(n, k, at)) + math.log(alpha)

    low, high, middle = TINY, 1 - TINY, min(max(yes / max(requests, 1), TINY), 1 - TINY)
    below = 0.0 if excess(low) <= 0 or middle <= low else float(brentq(excess, low, middle))
    above = 1.0 if excess(high) <= 0 or middle >= high else float(brentq(excess, middle, high))
    return below, above


def quantile(latency: Sequence[Sequence[int]], at: float, alpha: float) -> tuple[float, float, float | None] | None:
    """A quantile of counted latencies, its lower and upper bound in microseconds; None as upper bound is "unknown".

    None where nothing was counted.
    """
    total = sum(count for _, count in latency)
    if not total:
        return None
    uppers = np.array([upper for upper, _ in latency], float)
    within = np.cumsum([float(count) for _, count in latency])
    middle = int(np.argmax(within >= at * total - TINY))
    unlikely = _evidence(np.array(float(total)), within, at) >= -math.log(alpha)
    less = np.flatnonzero(unlikely & (within < at * total))
    more = np.flatnonzero(unlikely & (within > at * total))
    low = float(uppers[less[-1]]) if len(less) else 0.0
    return float(uppers[middle]), low, float(uppers[more[0]]) if len(more) else None


def _evidence(n: Array, k: Array, at: float) -> Array:
    """Logarithm of the evidence against the rate `at`."""
    return np.asarray(marginal(n, k) - likelihood(n, k, np.array(at)))
