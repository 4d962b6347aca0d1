"""What a configuration asks of the autopilot."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reviver.canary.actions import FULL


@dataclass(frozen=True, slots=True)
class Settings:
    """Complete, and in plain units."""

    steps: tuple[int, ...] = (100, 500, 2_500, 5_000, FULL)
    """Weights in basis points, growing."""
    every: float = 60.0
    """Seconds that a step lasts at least."""
    min_requests: int = 200
    """Of each side, at each step."""
    error_rate: float | None = 0.01
    """By how much the canary's share of errors is too high: 0.01 is one percentage point. None: not judged."""
    quantiles: Mapping[float, float] = field(default_factory=dict)
    """Which quantiles of latency are judged, and by which share of the stable one's they are too high."""
    statuses: Mapping[str, float] = field(default_factory=dict)
    """Classes (`4xx`) and single codes (`429`) that are judged, with margins like that of `error_rate`."""
    confidence: float = 0.95
    """One minus the probability that a canary without any difference is rolled back, over the whole walk."""
    dry_run: bool = False
    """Judges and tells, and moves nothing."""
    before: bool = False
    """Whether there are gates to pass before each step."""
    after: bool = False
    """Whether there are gates to pass after each step."""

    @property
    def shares(self) -> dict[str, float]:
        """Margins of what is judged as a share of requests, by the metric's name: `error_rate`, `4xx`, `429`."""
        rate = {} if self.error_rate is None else {"error_rate": self.error_rate}
        return {**rate, **self.statuses}

    @property
    def latencies(self) -> dict[str, tuple[float, float]]:
        """Quantile and margin of what is judged of latency, by the metric's name: `p95`."""
        return {f"p{100 * quantile:g}": (quantile, margin) for quantile, margin in self.quantiles.items()}

    @property
    def compares_last(self) -> bool:
        """Whether there is a step without a stable side whose errors are compared with those before."""
        return self.error_rate is not None and len(self.steps) > 1 and self.steps[-1] >= FULL
