"""From e-values of blocks to those of a walk: the two e-processes of a metric.

Everything has a first axis of runs: the autopilot has one, a simulation thousands, and both run the same code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from reviver.canary.evidence import Array

Flags = NDArray[np.bool_]

ALTERNATIVES = 5
"""How bad a canary may be: from about the margin to nearly always, so that a disaster is seen within ten requests."""
FIRST, STEP, LATER = 0.5, 0.25, 0.25
"""Which share of what is not at stake yet is put on harm that begins with the walk, with a step, and divided by their
number with any other block."""
ENOUGH = 2 / 3
"""How much of the harm at the margin has to be seen at least. Not for the sake of false alarms: evidence that there is
any harm says nothing of its size, and harm far below the margin is not what was asked for."""
HARMLESS = np.array([0.0, 0.25, 0.5])
"""How bad a canary may be that does no harm, as parts of the margin: nobody is without any error for ever."""
_HARMLESS_PRIOR = np.array([0.5, 0.25, 0.25])
_NOTHING = -1e9
"""As good as the logarithm of 0, and a number in JSON."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Of a block, shape (runs, groups): what the evidence comes from."""

    canary: Array
    """Requests."""
    canary_yes: Array
    baseline: Array
    baseline_yes: Array
    gap: Array
    """By how much the shares of yes differ where harm is as large as the margin."""

    @classmethod
    def together(cls, groups: Sequence["Counted"]) -> "Counted":
        """All groups of a metric."""
        parts = (np.concatenate([getattr(group, name) for group in groups], axis=1) for name in cls.__slots__)
        return cls(*parts)


class Process:
    """Logarithms of the evidence of harm in this walk, and against harm of the margin at this step.

    Harm is a mixture over alternatives, and over the block since which it is there: so that a canary that has been good
    for long is not believed for as long again when it is no longer. It begins at 1; what is not at stake yet stays what
    it is, the rest is multiplied by the e-value of each block. A mean of e-processes that begin at a time known before
    is one.
    """

    def __init__(self, runs: int, groups: int = 1) -> None:
        """Where a group has alternatives, thresholds and counts of its own; the evidence is the mean over groups."""
        self._bets = np.full((runs, groups, ALTERNATIVES), _NOTHING)
        self._rest = np.zeros(runs)
        self._blocks = np.zeros(runs)
        self._new = np.ones(runs)
        self._since = np.zeros((runs, groups, 5))
        self._safeties = np.zeros((runs, len(HARMLESS)))
        self._prior = np.log([0.5, *[0.5 / (ALTERNATIVES - 1)] * (ALTERNATIVES - 1)])

    @property
    def harm(self) -> Array:
        """Of harm that can be seen to be at least a part of the margin, shape (runs)."""
        evidence = np.logaddexp(logsumexp(self._bets, axis=2), self._rest[:, None])
        canary, canary_yes, baseline, baseline_yes, gap = np.moveaxis(self._since, 2, 0)
        seen = canary_yes / np.maximum(canary, 1e-9) - baseline_yes / np.maximum(baseline, 1e-9)
        large = (canary > 0) & (seen >= ENOUGH * gap / np.maximum(canary, 1e-9))
        return np.asarray(logsumexp(np.where(large, evidence, _NOTHING), axis=1) - np.log(large.shape[1]))

    @property
    def safety(self) -> Array:
        """Against harm of the margin at this step, shape (runs)."""
        return np.asarray(logsumexp(self._safeties + np.log(_HARMLESS_PRIOR), axis=1))

    def begin(self, runs: Flags) -> None:
        """These are at a new step."""
        self._safeties[runs] = 0
        self._new[runs] = 1

    def add(self, harm: Array, safety: Array, counted: Counted, having: Flags) -> None:
        """A block's logarithms, where there is one: of harm by run, group and alternative, of safety without groups."""
        chance = np.where(self._new > 0, np.where(self._blocks > 0, STEP, FIRST), LATER / (self._blocks + 1))
        staked = self._rest + np.log(chance)
        before = logsumexp(self._bets, axis=2)
        kept = np.exp(before - np.logaddexp(before, staked[:, None]))
        bets = np.logaddexp(self._bets, staked[:, None, None] + self._prior) + harm
        self._bets = np.where(having[:, None, None], bets, self._bets)
        self._rest = np.where(having, self._rest + np.log1p(-chance), self._rest)
        # what was counted since harm began, as far as one can tell when that was
        parts = counted.canary, counted.canary_yes, counted.baseline, counted.baseline_yes
        block = np.stack([*parts, counted.gap * counted.canary], axis=2)
        self._since = np.where(having[:, None, None], self._since * kept[:, :, None] + block, self._since)
        self._safeties = np.where(having[:, None], self._safeties + safety, self._safeties)
        self._blocks = self._blocks + having
        self._new = np.where(having, 0, self._new)

    def save(self) -> dict[str, Any]:
        """As JSON; each value has the axis of runs."""
        return {
            "bets": self._bets.tolist(),
            "rest": self._rest.tolist(),
            "blocks": self._blocks.tolist(),
            "new": self._new.tolist(),
            "since": self._since.tolist(),
            "safety": self._safeties.tolist(),
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """From `save` of equal settings."""
        self._bets, self._rest = np.array(saved["bets"], float), np.array(saved["rest"], float)
        self._blocks, self._new = np.array(saved["blocks"], float), np.array(saved["new"], float)
        self._since, self._safeties = np.array(saved["since"], float), np.array(saved["safety"], float)
