"""The e-values and intervals: what they promise, computed exactly where that is possible."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import binom

from reviver.canary import intervals
from reviver.canary.counters import Counters
from reviver.canary.evidence import Array, after, compared, harmless
from reviver.canary.metrics import Past

Block = tuple[Array, Array, Array, Array]

RATES = [0.0, 0.001, 0.02, 0.3, 0.5, 0.9, 1.0]


def _expectation(nc: int, nb: int, pc: float, pb: float, logarithms: Array) -> float:
    """Of e-values by outcome (canary's, then baseline's)."""
    chances = binom.pmf(np.arange(nc + 1), nc, pc)[:, None] * binom.pmf(np.arange(nb + 1), nb, pb)[None, :]
    return float((chances * np.exp(logarithms)).sum())


def _blocks() -> Iterator[tuple[int, int, Block]]:
    for nc, nb in [(1, 1), (5, 5), (3, 40), (60, 7)]:
        kc, kb = np.meshgrid(np.arange(nc + 1.0), np.arange(nb + 1.0), indexing="ij")
        yield nc, nb, (np.array(float(nc)), kc, np.array(float(nb)), kb)


@pytest.mark.parametrize(("tc", "tb"), [(0.02, 0.01), (0.95, 0.001), (0.5, 0.4)])
def test_a_bet_on_harm_gains_nothing_where_there_is_none(tc: float, tb: float) -> None:
    for nc, nb, block in _blocks():
        evidence = compared(*block, np.array(tc), np.array(tb))
        for pc, pb in itertools.product(RATES, RATES):
            if pc <= pb:
                assert _expectation(nc, nb, pc, pb, evidence) <= 1 + 1e-9
        assert _expectation(nc, nb, tc, tb, evidence) > 1


@pytest.mark.parametrize(("tc", "tb", "margin"), [(0.01, 0.01, 0.01), (0.001, 0.001, 0.05), (0.3, 0.29, 0.1)])
def test_a_bet_on_safety_gains_nothing_where_harm_is_as_large_as_the_margin(
    tc: float, tb: float, margin: float
) -> None:
    for nc, nb, block in _blocks():
        evidence = harmless(*block, np.array(tc), np.array(tb), margin)
        for pc, pb in itertools.product([*RATES, *(min(1.0, rate + margin) for rate in RATES)], RATES):
            if pc >= pb + margin:
                assert _expectation(nc, nb, pc, pb, evidence) <= 1 + 1e-9
        assert _expectation(nc, nb, tc, tb, evidence) > 1


@pytest.mark.parametrize("margin", [0.0, 0.005, 0.1])
def test_a_sample_of_before_is_compared_without_gain_too(margin: float) -> None:
    for nc, nb, block in _blocks():
        evidence = after(*block, margin)
        for pc, pb in itertools.product(RATES, RATES):
            if pc <= pb + margin:
                assert _expectation(nc, nb, pc, pb, np.where(evidence > 0, evidence, -np.inf)) <= 1 + 1e-9


def test_more_errors_than_before_are_evidence_and_as_many_are_none() -> None:
    many, more, less, none = (np.array([float(count)]) for count in (10_000, 300, 100, 0))
    assert after(many, more, many, less, 0.005)[0] > 10
    assert after(many, more, many, less, 0.03)[0] == 0
    assert after(none, none, none, none, 0.005)[0] == 0


def test_a_rate_is_in_its_interval_at_all_times() -> None:
    random = np.random.default_rng(1)
    outside = 0
    for _ in range(200):
        yes = np.cumsum(random.random(2_000) < 0.02)
        looks = [(count, int(yes[count - 1])) for count in (1, 2, 5, 10, *range(20, 2_001, 60))]
        bounds = [intervals.rate(count, hits, 0.1) for count, hits in looks]
        outside += any(not low <= 0.02 <= high for low, high in bounds)
    assert outside <= 20


@pytest.mark.parametrize(("requests", "yes"), [(1, 0), (1, 1), (1_000, 0), (1_000, 1_000), (1_000_000, 5_000)])
def test_an_interval_holds_what_was_seen(requests: int, yes: int) -> None:
    low, high = intervals.rate(requests, yes, 0.05)
    assert 0 <= low <= yes / requests <= high <= 1
    assert (low == 0) == (yes == 0)
    assert (high == 1) == (yes == requests)


def test_a_quantile_is_in_its_interval_at_all_times() -> None:
    random = np.random.default_rng(2)
    outside = 0
    for _ in range(100):
        seen: list[int] = []
        missed = False
        for _ in range(20):
            seen += random.integers(1, 101, 50).tolist()
            uppers, counts = np.unique(seen, return_counts=True)
            found = intervals.quantile(list(zip(uppers.tolist(), counts.tolist(), strict=True)), 0.9, 0.1)
            assert found is not None
            value, low, high = found
            assert low < value
            assert high is None or value <= high
            missed |= not low < 90 or (high is not None and high < 90)
        outside += missed
    assert outside <= 10


def test_a_quantile_of_little_has_no_upper_bound() -> None:
    assert intervals.quantile([], 0.5, 0.05) is None
    assert intervals.quantile([(100, 3), (200, 1)], 0.95, 0.05) == (200.0, 0.0, None)


# ---- latencies of before


def test_every_bucket_has_its_lower_bound_among_the_edges() -> None:
    past = Past(1)
    past.add(np.array([2_000.0]), np.array([[7.0]]))
    past.widen(np.array([1_000.0, 1_920.0]))
    assert past.edges.tolist() == pytest.approx([1_000 / 1.07, 1_000, 1_920 / 1.07, 1_920, 2_000])
    assert past.counts.tolist() == [[0, 0, 0, 0, 7]]


def test_what_is_above_an_edge_is_counted_by_buckets_that_are_new_too() -> None:
    past = Past(1)
    past.widen(np.array([1_000.0, 1_050.0]))
    above = past.exceeded(np.array([980.0, 1_020.0, 4_000.0]), np.array([[1.0, 2.0, 4.0]]))
    assert above.tolist() == [[7, 6, 4, 7]]


# ---- counters


def test_counters_that_went_down_have_begun_anew() -> None:
    before = Counters(10, 2, {"2xx": 8, "5xx": 2}, [(100, 6), (200, 4)])
    more = Counters(15, 2, {"2xx": 13, "5xx": 2}, [(100, 11), (200, 4)])
    assert more.since(before) == Counters(5, 0, {"2xx": 5}, [(100, 5)])
    for later in (
        Counters(9, 2, before.statuses, before.latency),
        Counters(12, 0, {"2xx": 12}, [(100, 12), (200, 0)]),
        Counters(12, 2, {"2xx": 9, "4xx": 3}, [(100, 7), (200, 5)]),
        Counters(12, 2, {"2xx": 10, "5xx": 2}, [(100, 12)]),
    ):
        assert later.since(before) == later


def test_counters_add_up() -> None:
    one, other = Counters(3, 1, {"2xx": 2}, [(100, 3)]), Counters(2, 0, {"4xx": 2}, [(50, 1), (100, 1)])
    assert one.plus(other) == Counters(5, 1, {"2xx": 2, "4xx": 2}, [(50, 1), (100, 4)])
    assert one.plus(other).since(one).requests == 2
