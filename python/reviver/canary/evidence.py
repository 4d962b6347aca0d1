"""E-values of two samples of yes and no: how much the odds moved of a bet against a null hypothesis.

A block is what both sides answered between two looks. Its e-value is the likelihood of the block under an alternative,
divided by that under the point of the null which is nearest to the alternative. Its expectation is at most 1 under
every point of the null, so a product of such blocks exceeds 1/alpha with probability alpha at most, whenever one looks
(Ville). The alternative may be chosen anew for each block from what was known before it; rates may change from block
to block, as long as they stay in the null.

    Turner, Ly, Grünwald: Generic E-variables for exact sequential k-sample tests that allow for optional stopping.
    Journal of Statistical Planning and Inference 230 (2024), 106116.
    Turner, Grünwald: Exact anytime-valid confidence intervals for contingency tables and beyond.
    Statistics & Probability Letters 198 (2023), 109835.
    Wasserman, Ramdas, Balakrishnan: Universal inference. PNAS 117 (2020), 16880-16890.

All functions take arrays and work element by element; they give natural logarithms.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, xlogy

Array = NDArray[np.float64]

TINY = 1e-9
"""Rates are kept this far from 0 and 1."""
_STEPS = 12


def likelihood(n: Array, k: Array, rate: Array) -> Array:
    """Of `k` among `n`, without the constant."""
    return np.asarray(xlogy(k, rate) + xlogy(n - k, 1 - rate))


def compared(nc: Array, kc: Array, nb: Array, kb: Array, tc: Array, tb: Array) -> Array:
    """Against "the canary's rate is not on this side of the other one's", where (tc, tb) is: an alternative.

    With tc > tb the null is that the canary's rate is at most the other one's, with tc < tb that it is at least that.
    The nearest point has both rates at the mean of the alternative, weighed by the sizes of the block.
    """
    middle = (nc * tc + nb * tb) / np.maximum(nc + nb, 1)
    middle = np.clip(middle, TINY, 1 - TINY)
    return likelihood(nc, kc, tc) - likelihood(nc, kc, middle) + likelihood(nb, kb, tb) - likelihood(nb, kb, middle)


def nearest(nc: Array, tc: Array, nb: Array, tb: Array, margin: float) -> Array:
    """Where on the line "canary is the other one's rate plus `margin`" the alternative (tc, tb) comes to lie.

    Gives the other one's rate there: the zero of the derivative of the divergence. Multiplied by the denominators that
    is a polynomial with the same sign, and has one zero in the range: by Newton's steps, halving where one leaves what
    is known to hold it.
    """
    low = np.full(np.broadcast(nc, tc, nb, tb).shape, TINY)
    high = np.full(low.shape, 1 - margin - TINY)
    at = np.clip(tb, low, high)
    for _ in range(_STEPS):
        shifted = at + margin
        vc, vb = shifted * (1 - shifted), at * (1 - at)
        dc, db = nc * (shifted - tc), nb * (at - tb)
        value = dc * vb + db * vc
        below = value < 0
        low, high = np.where(below, at, low), np.where(below, high, at)
        slope = nc * vb + dc * (1 - 2 * at) + nb * vc + db * (1 - 2 * shifted)
        step = at - value / np.where(slope == 0, 1, slope)
        at = np.where((step >= low) & (step <= high), step, (low + high) / 2)
    return np.asarray(at)


def harmless(nc: Array, kc: Array, nb: Array, kb: Array, tc: Array, tb: Array, margin: float) -> Array:
    """Against "the canary's rate is higher by `margin` at least", where (tc, tb) is an alternative to that."""
    at = nearest(nc, tc, nb, tb, margin)
    canary, other = likelihood(nc, kc, tc) - likelihood(nc, kc, at + margin), likelihood(nb, kb, tb)
    return np.asarray(canary + other - likelihood(nb, kb, at))


def after(nc: Array, kc: Array, nb: Array, kb: Array, margin: float) -> Array:
    """Against "the canary's rate is at most the other one's plus `margin`", for a sample that was complete before.

    Both likelihoods are averaged over Jeffreys' prior, and divided by the highest that the null allows.
    """
    some = (nc > 0) & (nb > 0)
    nc, nb = np.where(some, nc, 1), np.where(some, nb, 1)
    rate_c, rate_b = np.where(some, kc, 0) / nc, np.where(some, kb, 0) / nb
    at = nearest(nc, rate_c, nb, rate_b, margin)
    null = likelihood(nc, kc, at + margin) + likelihood(nb, kb, at)
    value = marginal(nc, kc) + marginal(nb, kb) - null
    return np.asarray(np.where(some & (rate_c - rate_b > margin), value, 0.0))


def marginal(n: Array, k: Array) -> Array:
    """Likelihood of `k` among `n`, averaged over Jeffreys' prior of the rate."""
    return np.asarray(betaln(k + 0.5, n - k + 0.5) - betaln(0.5, 0.5))
