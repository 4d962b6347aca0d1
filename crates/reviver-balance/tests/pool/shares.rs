//! What share of the traffic a server gets by each algorithm.

use std::collections::BTreeMap;
use std::time::Duration;

use reviver_balance::{Algorithm, Ask, Lease, Outcome, Pool};

use crate::common::{ALGORITHMS, ask, counts, pool, seconds, sequence, server, take};

const BY_CHANCE: [Algorithm; 3] = [Algorithm::Random, Algorithm::PowerOfTwo, Algorithm::PeakEwma];

/// Pearson's statistic is within four standard deviations of what chance makes of these weights.
fn assert_in_proportion(counts: &BTreeMap<u32, u64>, weights: &[u32], what: &str) {
    let (total, all) = (counts.values().sum::<u64>() as f64, f64::from(weights.iter().sum::<u32>()));
    let squares = (0..).zip(weights).filter(|(_, weight)| **weight > 0).map(|(server, &weight)| {
        let expected = total * f64::from(weight) / all;
        (counts.get(&server).copied().unwrap_or(0) as f64 - expected).powi(2) / expected
    });
    let (statistic, freedom) = (squares.sum::<f64>(), weights.iter().filter(|w| **w > 0).count() as f64 - 1.0);
    assert!(statistic < freedom + 4.0 * (2.0 * freedom).sqrt() + 4.0, "{what}: {statistic}, {counts:?}");
}

fn held<'p>(pool: &'p Pool, count: u64) -> Vec<Lease<'p>> {
    (0..count).map(|hash| take(pool, &Ask { hash, ..ask() })).collect()
}

fn carried(pool: &Pool) -> Vec<u32> {
    pool.status(seconds(0.0)).iter().map(|s| s.in_flight).collect()
}

#[test]
fn little_traffic_is_shared_by_weight() {
    for weights in [&[1, 1, 1][..], &[1, 2, 3, 4], &[5, 0, 1], &[1; 100], &[7]] {
        for algorithm in BY_CHANCE.into_iter().chain([Algorithm::RoundRobin, Algorithm::LeastRequests]) {
            let counts = sequence(&pool(algorithm, weights), 20_000);
            assert_in_proportion(&counts, weights, &format!("{algorithm:?}"));
        }
    }
}

#[test]
fn turns_of_equals_are_exact_where_they_are_not_left_to_chance() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastRequests] {
        let counts = sequence(&pool(algorithm, &[3, 1, 2]), 600);
        assert_eq!(counts, BTreeMap::from([(0, 300), (1, 100), (2, 200)]), "{algorithm:?}");
    }
}

#[test]
fn shares_by_chance_are_not_the_same_in_turn() {
    for algorithm in BY_CHANCE {
        let pool = pool(algorithm, &[1, 1]);
        let picks: Vec<_> = (0..64).filter_map(|_| server(&pool, &ask())).collect();
        let changes = picks.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!((16..48).contains(&changes), "{algorithm:?}: {picks:?}");
    }
}

#[test]
fn what_a_server_that_is_out_would_get_is_shared_by_weight() {
    for algorithm in BY_CHANCE.into_iter().chain([Algorithm::RoundRobin]) {
        let pool = pool(algorithm, &[1, 4, 2, 3]);
        pool.checked(1, Err("connection refused"), seconds(0.0));
        assert_in_proportion(&sequence(&pool, 12_000), &[1, 0, 2, 3], &format!("{algorithm:?}"));
    }
}

#[test]
fn round_robin_is_exact_among_those_that_are_left() {
    let pool = pool(Algorithm::RoundRobin, &[1, 4, 2, 1]);
    pool.checked(1, Err("connection refused"), seconds(0.0));
    assert_eq!(sequence(&pool, 400), BTreeMap::from([(0, 100), (2, 200), (3, 100)]));
}

#[test]
fn with_nearly_all_servers_out_the_rest_are_found_at_once() {
    for algorithm in ALGORITHMS {
        let pool = pool(algorithm, &[1; 300]);
        (0..300).filter(|i| i % 100 != 7).for_each(|i| pool.checked(i, Err("connection refused"), seconds(0.0)));
        let counts = sequence(&pool, 3000);
        assert_eq!(counts.values().sum::<u64>(), 3000, "{algorithm:?}");
        assert!(counts.keys().all(|server| server % 100 == 7), "{algorithm:?}: {counts:?}");
        assert!(algorithm == Algorithm::First || counts.values().all(|&n| n > 700), "{algorithm:?}: {counts:?}");
    }
}

#[test]
fn least_requests_is_exact_by_weight() {
    let pool = pool(Algorithm::LeastRequests, &[1, 2, 3, 4]);
    let _leases = held(&pool, 100);
    assert_eq!(carried(&pool), [10, 20, 30, 40]);
}

#[test]
fn least_requests_fills_up_what_has_become_free() {
    let pool = pool(Algorithm::LeastRequests, &[1; 128]);
    let mut leases = held(&pool, 1280);
    leases.retain(|lease| lease.index() != 77);
    assert!(held(&pool, 10).iter().all(|lease| lease.index() == 77));
}

#[test]
fn least_requests_over_many_servers_stays_even() {
    let pool = pool(Algorithm::LeastRequests, &[1; 1000]);
    let _leases = held(&pool, 10_000);
    let carried = carried(&pool);
    assert!(carried.iter().all(|n| (9..=11).contains(n)), "{carried:?}");
}

#[test]
fn two_choices_are_far_more_even_than_one() {
    let spread = |algorithm| {
        let pool = pool(algorithm, &[1; 50]);
        let _leases = held(&pool, 5000);
        let carried = carried(&pool);
        carried.iter().max().expect("one") - carried.iter().min().expect("one")
    };
    assert!(spread(Algorithm::PowerOfTwo) <= 8, "{}", spread(Algorithm::PowerOfTwo));
    assert!(spread(Algorithm::Random) >= 20, "{}", spread(Algorithm::Random));
}

#[test]
fn two_choices_follow_weights_under_load() {
    let pool = pool(Algorithm::PowerOfTwo, &[1, 2, 3]);
    let _leases = held(&pool, 6000);
    for (carried, expected) in carried(&pool).into_iter().zip([1000_u32, 2000, 3000]) {
        assert!(carried.abs_diff(expected) <= expected / 50, "{carried} for {expected}");
    }
}

#[test]
fn the_first_that_has_room_gets_all() {
    let pool = pool(Algorithm::First, &[1, 9]);
    assert_eq!(sequence(&pool, 50), BTreeMap::from([(0, 50)]));
    pool.checked(0, Err("connection refused"), seconds(0.0));
    assert_eq!(sequence(&pool, 50), BTreeMap::from([(1, 50)]));
}

/// Requests one after the other, one each ten milliseconds from `start` on, answered as `latency` says.
fn answered(pool: &Pool, start: f64, count: u32, answer: impl Fn(u32) -> Outcome) -> BTreeMap<u32, u64> {
    counts((0..count).map(|i| {
        let now = seconds(start) + Duration::from_millis(10) * i;
        let lease = take(pool, &Ask { now, ..ask() });
        lease.observe(answer(lease.index()), now);
        lease.index()
    }))
}

#[test]
fn peak_ewma_leaves_a_slow_server_and_comes_back_when_it_is_fast_again() {
    let pool = pool(Algorithm::PeakEwma, &[1, 1, 1]);
    let slow = |server| Outcome::Success(if server == 1 { 100_000 } else { 10_000 });
    let counts = answered(&pool, 0.0, 2000, slow);
    assert_eq!(counts.get(&1), Some(&1), "it is tried: {counts:?}");
    assert!(counts[&0].abs_diff(counts[&2]) < 300, "{counts:?}");
    answered(&pool, 20.0, 1000, |_| Outcome::Success(10_000));
    let counts = answered(&pool, 30.0, 2000, |_| Outcome::Success(10_000));
    assert!(counts.values().all(|&n| n > 400), "{counts:?}");
}

#[test]
fn peak_ewma_does_not_take_a_server_that_fails_fast_for_a_fast_one() {
    let failing = [Outcome::Failure, Outcome::Error(100)];
    for failure in failing {
        let pool = pool(Algorithm::PeakEwma, &[1, 1, 1]);
        answered(&pool, 0.0, 100, |_| Outcome::Success(10_000));
        let counts = answered(&pool, 1.0, 1000, |server| if server == 1 { failure } else { Outcome::Success(10_000) });
        assert!(counts.get(&1).is_none_or(|&n| n <= 400), "{failure:?}: {counts:?}");
    }
}

#[test]
fn peak_ewma_weighs_latency_by_what_a_server_carries() {
    let pool = pool(Algorithm::PeakEwma, &[1, 1]);
    answered(&pool, 0.0, 50, |server| Outcome::Success(if server == 1 { 30_000 } else { 10_000 }));
    let leases: Vec<_> = (0..4000).map(|_| take(&pool, &Ask { now: seconds(0.5), ..ask() })).collect();
    let slow = leases.iter().filter(|lease| lease.index() == 1).count();
    assert!((900..1100).contains(&slow), "a third as fast, a quarter of what is carried: {slow}");
}
