"""Simulates walks of the autopilot: thousands at once, by the code that judges live traffic.

    python -m benches.canary_simulation [--runs 2000] [--seed 1]

prints how many walks were rolled back and promoted, and how soon, as a table in Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from reviver.canary.actions import FULL
from reviver.canary.judge import BLOCK, Block, Judge
from reviver.canary.settings import Settings

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Counts = NDArray[np.int64]
Watch = Callable[[float, Index, Array, Array, Array], None]
"""Is shown what each look brings: seconds, numbers of the runs, counts (requests of canary and baseline, their errors;
by run), latencies (of both sides; by run and bucket), upper bounds of the buckets."""

MEDIAN = 20_000.0
"""Microseconds."""
FAR = 1.6
"""By this factor from a quantile no threshold is: 1.2 * 1.3 at a margin of 20 %."""
TAIL = 0.9
"""Where a tail begins, as a quantile."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Traffic, and what is wrong with the canary."""

    name: str
    rate: float = 5_000.0
    """Requests per second of both versions together."""
    errors: float = 0.005
    """Share of the stable version's answers that are errors."""
    more_errors: float = 0.0
    """What the canary has in addition."""
    slower: float = 1.0
    """Factor of the canary's latencies."""
    longer_tail: float = 1.0
    """Factor of those from the 95th percentile on, growing from 1 at the 90th."""
    spread: float = 0.5
    """Sigma of the latencies' logarithm."""
    swing: float = 1.0
    """Factor by which errors and latencies of both versions rise and fall together, every ten seconds."""
    look: float = 1.0
    """Seconds between looks."""
    seconds: float = 7_200.0
    """When a walk is given up."""
    settings: Settings = field(default_factory=lambda: Settings(quantiles={0.95: 0.2}))


@dataclass(frozen=True, slots=True)
class Result:
    """Of all walks of a scenario, by run."""

    rolled_back: Array
    """Seconds; nan where it was not."""
    promoted: Array
    requests: Array
    """Of the canary until the end."""
    step: Index
    """The step at which it ended."""

    @property
    def share_rolled_back(self) -> float:
        """Of all walks."""
        return float(np.isfinite(self.rolled_back).mean())

    @property
    def share_promoted(self) -> float:
        """Of all walks."""
        return float(np.isfinite(self.promoted).mean())

    def median(self, seconds: Array) -> tuple[float, float]:
        """Seconds and requests of the canary of those that ended in this way; nan where there are none."""
        ended = np.isfinite(seconds)
        if not ended.any():
            return float("nan"), float("nan")
        return float(np.median(seconds[ended])), float(np.median(self.requests[ended]))


class _Traffic:
    """What comes between two looks."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._generator = np.random.default_rng(seed)
        octaves = 2.0 ** np.arange(10, 24)
        edges = (octaves[:, None] * (1 + np.arange(1, 17)[None, :] / 16)).ravel()
        # what is far from every threshold comes together in two buckets
        quantiles = [MEDIAN * np.exp(scenario.spread * ndtri(quantile)) for quantile in scenario.settings.quantiles]
        near = np.zeros(edges.shape, bool)
        for latency in quantiles:
            near |= (edges >= latency / FAR) & (edges <= latency * FAR * scenario.swing)
        self.edges = np.append(edges[near], 2.0**30)

    def requests(self, share: Array) -> Counts:
        """Of canary and baseline by run, by the canary's share."""
        each = self._scenario.rate * self._scenario.look
        shares = np.stack([share, np.minimum(share, 1 - share)])
        return self._generator.poisson(each * shares)

    def errors(self, requests: Counts, now: float) -> Counts:
        """Of so many requests of both sides."""
        scenario = self._scenario
        rate = scenario.errors * self._swing(now)
        rates = np.array([min(1.0, rate + scenario.more_errors), rate])
        return self._generator.binomial(requests, rates[:, None])

    def latencies(self, requests: Counts, now: float) -> Counts:
        """Of so many requests, by side, run and bucket."""
        scenario, swing = self._scenario, self._swing(now)
        worse = self._chances(scenario.slower * swing, scenario.longer_tail)
        stable = self._chances(swing, 1.0)
        return self._generator.multinomial(requests, np.stack([worse, stable])[:, None, :])

    def _swing(self, now: float) -> float:
        return self._scenario.swing if now % 20 < 10 else 1.0

    def _chances(self, factor: float, longer_tail: float) -> Array:
        below = ndtr(np.log(self.edges / (MEDIAN * factor)) / self._scenario.spread)
        if longer_tail != 1:
            quantiles = np.linspace(0.0, 1, 100_001)[:-1]
            stretched = 1 + (longer_tail - 1) * np.clip((quantiles - TAIL) / (0.95 - TAIL), 0, 1)
            latencies = MEDIAN * factor * np.exp(self._scenario.spread * ndtri(quantiles)) * stretched
            below = np.interp(self.edges, latencies, quantiles)
        below[-1] = 1
        return np.diff(below, prepend=0)


def simulate(scenario: Scenario, runs: int, seed: int, watch: Watch | None = None) -> Result:
    """All walks, look by look, each until it is rolled back, promoted or given up."""
    traffic = _Traffic(scenario, seed)
    settings = scenario.settings
    weights = np.array(settings.steps) / FULL
    alone = weights >= 1
    result = Result(np.full(runs, np.nan), np.full(runs, np.nan), np.zeros(runs), np.zeros(runs, np.intp))
    judge = Judge(settings, runs)
    run = np.arange(runs)
    step, begun = np.zeros(runs, np.intp), np.zeros(runs)
    # requests of canary and baseline, errors of both: at this step, of the last baseline, of the block that is open
    counts, before, block = np.zeros((4, runs)), np.zeros((2, runs)), np.zeros((4, runs))
    latency = np.zeros((2, runs, len(traffic.edges)))
    for now in np.arange(1, int(scenario.seconds / scenario.look) + 1) * scenario.look:
        new, slow = _come(traffic, weights[step], now, with_latencies=bool(settings.quantiles))
        if watch is not None:
            watch(float(now), run, new, slow, traffic.edges)
        result.requests[run] += new[0]
        counts += new
        block += new
        latency += slow
        closed = (block[0] >= BLOCK) & (block[1] >= BLOCK)
        if closed.any():
            judge.feed(_block(block * closed, latency * closed[None, :, None], traffic.edges))
            block[:, closed], latency[:, closed] = 0, 0
        last = judge.worse_than_before(counts[0], counts[2], before[0], before[1]) >= judge.last_at
        harm = judge.harmful() | (alone[step] & last)
        result.rolled_back[run[harm]] = now
        enough = (now - begun >= settings.every) & (counts[0] >= settings.min_requests) & ~harm
        enough &= alone[step] | ((counts[1] >= settings.min_requests) & judge.safe())
        done = enough & (step == len(weights) - 1)
        result.promoted[run[done]] = now
        on = enough & ~done
        before[:, on] = counts[[1, 3]][:, on]
        counts[:, on] = 0
        step[on] += 1
        begun[on] = now
        judge.begin(on)
        result.step[run] = step
        left = ~harm & ~done
        if not left.any():
            break
        if not left.all():
            run, step, begun, judge = run[left], step[left], begun[left], _only(judge, settings, left)
            counts, before, block, latency = counts[:, left], before[:, left], block[:, left], latency[:, left]
    return result


def _come(traffic: _Traffic, share: Array, now: float, *, with_latencies: bool) -> tuple[Array, Array]:
    requests = traffic.requests(share)
    new = np.concatenate([requests, traffic.errors(requests, now)]).astype(float)
    if not with_latencies:
        return new, np.zeros((2, len(share), len(traffic.edges)))
    return new, traffic.latencies(requests, now).astype(float)


def _block(counts: Array, latency: Array, edges: Array) -> Block:
    canary, baseline, canary_errors, baseline_errors = counts
    return Block(canary, baseline, canary_errors[:, None], baseline_errors[:, None], edges, latency[0], latency[1])


def _only(judge: Judge, settings: Settings, left: NDArray[np.bool_]) -> Judge:
    """The judge of those runs that are not over."""
    saved = judge.save()

    def kept(value: object, name: str = "") -> object:
        if isinstance(value, dict):
            return {key: kept(item, key) for key, item in value.items()}
        return value if name == "uppers" else np.array(value)[left]

    smaller = Judge(settings, int(left.sum()))
    smaller.load(kept(saved))  # type: ignore[arg-type]
    return smaller


BOTH = Settings(quantiles={0.95: 0.2})
ERRORS = Settings()
EQUAL = [
    Scenario("no difference, 0.5 % errors", settings=BOTH),
    Scenario("no difference, 1 % errors, errors alone", errors=0.01, settings=ERRORS),
    Scenario("no difference, both double and halve", swing=2, settings=BOTH),
]
WORSE = [
    Scenario("+1 point of errors, on 0.5 %", more_errors=0.01),
    Scenario("+1 point of errors, on 1 %", errors=0.01, more_errors=0.01),
    Scenario("p95 +20 %, sigma 0.5", slower=1.2),
    Scenario("p95 +20 %, sigma 1", slower=1.2, spread=1.0),
    Scenario("p95 +20 % by its tail alone", longer_tail=1.2),
    Scenario("all answers are errors", more_errors=1.0),
]
LITTLE = [
    Scenario("+0.3 points of errors", more_errors=0.003),
    Scenario("p95 +5 %", slower=1.05),
]
SLOW = [
    Scenario("no difference, a tenth of the traffic", rate=500),
    Scenario("+1 point of errors, a tenth of the traffic", rate=500, more_errors=0.01),
    Scenario("p95 +20 %, a tenth of the traffic", rate=500, slower=1.2),
]
QUIET = [Scenario("one request a minute, for a day", rate=1 / 60, look=60.0, seconds=24 * 3_600.0)]


def table(scenarios: Sequence[Scenario], runs: int, seed: int) -> str:
    """The results, in Markdown."""
    rows = [
        "| canary | rolled back | promoted | rolled back after (median) | promoted after (median) |",
        "|---|--:|--:|--:|--:|",
    ]
    for scenario in scenarios:
        result = simulate(scenario, runs, seed)
        cells = [f"{100 * result.share_rolled_back:.1f} %", f"{100 * result.share_promoted:.1f} %"]
        for ended in (result.rolled_back, result.promoted):
            seconds, requests = result.median(ended)
            cells.append("-" if np.isnan(seconds) else f"{seconds:,.0f} s, {requests:,.0f} requests")
        rows.append(f"| {scenario.name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(table([*EQUAL, *WORSE, *LITTLE, *SLOW, *QUIET], options.runs, options.seed))


if __name__ == "__main__":
    main()
