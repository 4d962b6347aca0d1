"""What is promised of judgements, over thousands of simulated walks. `-s` shows how soon they end."""

import numpy as np
import pytest

from benches.canary_simulation import BOTH, EQUAL, LITTLE, QUIET, WORSE, Array, Index, Scenario, simulate
from reviver.canary import Autopilot, Counters, Settings, SetWeight

RUNS = 2_000
ALPHA = 0.05


def _named(scenarios: list[Scenario]) -> list[object]:
    return [pytest.param(scenario, id=scenario.name) for scenario in scenarios]


def _tell(scenario: Scenario, text: str) -> None:
    print(f"\n{scenario.name}: {text}")


@pytest.mark.parametrize("scenario", _named(EQUAL))
def test_a_canary_without_any_difference_is_hardly_ever_rolled_back(scenario: Scenario) -> None:
    result = simulate(scenario, RUNS, seed=1)
    seconds, requests = result.median(result.promoted)
    _tell(scenario, f"{result.share_rolled_back:.2%} rolled back; promoted after {seconds:,.0f} s, {requests:,.0f}")
    assert result.share_rolled_back <= ALPHA
    assert result.share_promoted >= 1 - ALPHA


@pytest.mark.parametrize("scenario", _named(WORSE))
def test_harm_of_the_margin_is_rolled_back_before_it_has_all_traffic(scenario: Scenario) -> None:
    result = simulate(scenario, RUNS, seed=1)
    seconds, requests = result.median(result.rolled_back)
    _tell(scenario, f"{result.share_rolled_back:.2%} rolled back, by half after {seconds:,.0f} s, {requests:,.0f}")
    assert result.share_rolled_back >= 0.95
    assert result.share_promoted <= ALPHA


@pytest.mark.parametrize("scenario", _named(LITTLE))
def test_harm_far_below_the_margin_is_mostly_let_pass(scenario: Scenario) -> None:
    result = simulate(scenario, RUNS // 4, seed=1)
    _tell(scenario, f"{result.share_rolled_back:.2%} rolled back")
    assert result.share_rolled_back + result.share_promoted == 1
    assert result.share_rolled_back < 0.5


@pytest.mark.parametrize("scenario", _named(QUIET))
def test_one_request_a_minute_brings_no_verdict(scenario: Scenario) -> None:
    result = simulate(scenario, RUNS // 4, seed=1)
    assert not np.isfinite(result.rolled_back).any()
    assert not np.isfinite(result.promoted).any()
    assert not result.step.any()


class _Live:
    """One run of a simulation, by the autopilot itself."""

    def __init__(self, settings: Settings) -> None:
        self._pilot = Autopilot(settings)
        self._sides = Counters(), Counters()
        self._last: int | None = None
        self.ended: tuple[str, float] | None = None
        self._look(0.0)

    def come(self, now: float, counts: Array, latency: Array, edges: Array) -> None:
        def side(index: int) -> Counters:
            pairs = [(int(upper), int(count)) for upper, count in zip(edges, latency[index], strict=True) if count]
            return Counters(int(counts[index]), int(counts[2 + index]), {}, pairs)

        self._sides = self._sides[0].plus(side(0)), self._sides[1].plus(side(1))
        self._look(now)

    def _look(self, now: float) -> None:
        for action in self._pilot.observe(now, *self._sides, available=True):
            if isinstance(action, SetWeight) and action.weight == 0:
                self.ended = "rolled back", now
        if self.ended is None and self._pilot.status()["state"] == "promoted":
            self.ended = "promoted", now


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("errors", more_errors=0.01, settings=Settings()),
        Scenario("slow", rate=50_000, slower=1.1, settings=Settings(every=5, error_rate=None, quantiles={0.95: 0.2})),
        Scenario("equal", rate=50_000, settings=Settings(every=5, quantiles={0.95: 0.2})),
    ],
    ids=lambda scenario: scenario.name,
)
def test_the_autopilot_decides_as_the_simulation_does(scenario: Scenario) -> None:
    live = [_Live(scenario.settings) for _ in range(6)]

    def watch(now: float, runs: Index, counts: Array, latency: Array, edges: Array) -> None:
        for column, run in enumerate(runs):
            live[run].come(now, counts[:, column], latency[:, column], edges)

    result = simulate(scenario, len(live), seed=3, watch=watch)
    for run, one in enumerate(live):
        assert one.ended is not None
        ended, seconds = one.ended
        expected = result.rolled_back if ended == "rolled back" else result.promoted
        assert expected[run] == seconds


def test_the_simulation_can_tell_good_from_bad() -> None:
    always = Scenario("a test without any bound", settings=Settings(confidence=1e-9, min_requests=1))
    assert simulate(always, 100, seed=1).share_rolled_back > ALPHA
    never = Scenario("too little time", more_errors=0.01, seconds=5, settings=BOTH)
    assert simulate(never, 100, seed=1).share_rolled_back < 0.95
