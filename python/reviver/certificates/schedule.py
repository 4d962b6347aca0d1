"""When a certificate is renewed, when a failed attempt is repeated, what counts as soon. Pure: time is an argument."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from reviver.certificates.facts import Facts

JITTER = 0.05
"""The part of a certificate's life over which renewals are spread."""
FIRST_WAIT = 60.0
LONGEST_WAIT = 6 * 3600.0
"""Seconds between the first failure and the next attempt, and between attempts after many."""
SOON = timedelta(days=14)


def renewal(found: Facts) -> datetime:
    """At two thirds of its life, and up to a twentieth of it earlier.

    The same for the same certificate, whoever asks and how often: proxies that share one agree on it, and a restart
    changes nothing.
    """
    life = found.not_after - found.not_before
    return found.not_before + life * (2 / 3 - random.Random(found.serial).uniform(0, JITTER))  # noqa: S311


def suggested(found: Facts, suggestion: datetime | None) -> datetime:
    """What the authority suggests (RFC 9773), where it makes sense, else our own rule."""
    if suggestion is None or suggestion >= found.not_after:
        return renewal(found)
    return suggestion


def back_off(failures: int, uniform: Callable[[float, float], float]) -> float:
    """Seconds until the next attempt after so many failures: doubled each time, less up to a fifth."""
    wait = min(FIRST_WAIT * 2.0 ** min(failures - 1, 20), LONGEST_WAIT)
    return wait * uniform(0.8, 1.0)


def ends_soon(found: Facts, now: datetime) -> bool:
    """Whether somebody should look after it: 14 days before its end, or a sixth of a shorter life."""
    return found.not_after - now < min(SOON, (found.not_after - found.not_before) / 6)
