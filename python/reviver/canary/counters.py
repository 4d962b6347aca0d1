"""What one side of a split has answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the process started, as `split_status` of the engine has them."""

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
