//! Servers that are taken out by what their own answers show.

use std::time::Duration;

use reviver_balance::{
    Algorithm, Ask, ChangeKind, Choice, LatencySpec, Outcome, OutlierSpec, Pool, PoolSpec, SuccessRateSpec,
};

use crate::common::{ALGORITHMS, address, ask, seconds, sequence, server, spec, take};

const RULES: OutlierSpec = OutlierSpec {
    consecutive_errors: 5,
    success_rate: None,
    latency: None,
    every: Duration::from_secs(10),
    eject: Duration::from_secs(10),
    max_eject: Duration::from_secs(35),
    max_ejected: 5_000,
};

const BY_SUCCESS: SuccessRateSpec = SuccessRateSpec { deviations: 1.9, min_requests: 100, min_servers: 3 };
const BY_LATENCY: LatencySpec = LatencySpec { factor: 3.0, min_requests: 100, min_servers: 3 };

fn judged(weights: &[u32], outlier: OutlierSpec) -> Pool {
    Pool::new(PoolSpec { outlier: Some(outlier), ..spec(Algorithm::RoundRobin, weights) }, None)
}

/// A try on this very server.
fn answer(pool: &Pool, server: u32, outcome: Outcome, after: f64) {
    let others: Vec<u32> = (0..pool.spec().members.len() as u32).filter(|&other| other != server).collect();
    let lease = take(pool, &Ask { tried: &others, now: seconds(after), ..ask() });
    assert_eq!(lease.index(), server);
    lease.observe(outcome, seconds(after));
}

fn fail(pool: &Pool, server: u32, times: u32, after: f64) {
    (0..times).for_each(|_| answer(pool, server, Outcome::Failure, after));
}

fn states(pool: &Pool) -> Vec<&'static str> {
    pool.status(seconds(0.0)).iter().map(|s| s.state).collect()
}

fn ejected(pool: &Pool) -> Vec<usize> {
    (0..).zip(states(pool)).filter(|(_, state)| *state == "ejected").map(|(index, _)| index).collect()
}

#[test]
fn errors_in_a_row_take_a_server_out_at_once() {
    let pool = judged(&[1, 1, 1], RULES);
    fail(&pool, 1, 4, 0.0);
    answer(&pool, 1, Outcome::Success(1000), 0.0);
    fail(&pool, 1, 4, 0.0);
    assert!(ejected(&pool).is_empty(), "a success came between");
    answer(&pool, 1, Outcome::Error(1000), 1.0);
    assert_eq!(ejected(&pool), [1]);
    assert_eq!(sequence(&pool, 10).len(), 2);
    let changes = pool.take_changes();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].server.clone(), changes[0].kind), (Some(address(1)), ChangeKind::Ejected));
    assert_eq!(changes[0].detail, "5 errors in a row: out for 10s");
    let status = &pool.status(seconds(4.0))[1];
    assert_eq!((status.ejected_ms, status.ejections, status.errors), (Some(7000), 1, 9));

    pool.tick(seconds(10.9));
    assert_eq!(ejected(&pool), [1]);
    pool.tick(seconds(11.0));
    assert!(ejected(&pool).is_empty());
    assert_eq!(pool.take_changes().iter().map(|c| c.kind).collect::<Vec<_>>(), [ChangeKind::Returned]);
    assert_eq!(sequence(&pool, 9).len(), 3);
    assert_eq!(pool.status(seconds(11.0))[1].ejected_ms, None);
}

#[test]
fn answers_of_before_do_not_count_after_the_return() {
    let pool = judged(&[1, 1], RULES);
    let leases: Vec<_> = (0..20).map(|_| take(&pool, &ask())).filter(|lease| lease.index() == 0).collect();
    leases.iter().take(9).for_each(|lease| lease.observe(Outcome::Failure, seconds(0.0)));
    pool.tick(seconds(10.0));
    leases[9].observe(Outcome::Failure, seconds(10.0));
    assert!(ejected(&pool).is_empty());
    assert_eq!(pool.status(seconds(10.0))[0].ejections, 1);
}

#[test]
fn each_ejection_is_longer_up_to_a_bound_and_calm_makes_them_shorter() {
    let pool = judged(&[1, 1], RULES);
    let mut now = 0.0;
    for expected in [10.0, 20.0, 30.0, 35.0, 35.0] {
        fail(&pool, 0, 5, now);
        pool.tick(seconds(now + expected - 0.1));
        assert_eq!(ejected(&pool), [0], "{expected}");
        now += expected;
        pool.tick(seconds(now));
        assert!(ejected(&pool).is_empty(), "{expected}");
    }
    assert_eq!(pool.status(seconds(now))[0].ejections, 5);
    assert_eq!(pool.status(seconds(now + 9.0))[0].ejections, 5);
    assert_eq!(pool.status(seconds(now + 35.0))[0].ejections, 2);
    fail(&pool, 0, 5, now + 35.0);
    assert_eq!(pool.status(seconds(now + 35.0))[0].ejected_ms, Some(30_000));
    assert_eq!(pool.status(seconds(now + 35.0))[0].ejections, 3);
}

#[test]
fn not_too_many_are_out_at_once() {
    for (servers, max_ejected, expected) in [(1, 10_000, 0), (2, 0, 1), (3, 5_000, 1), (10, 5_000, 5), (4, 10_000, 3)] {
        let pool = judged(&vec![1; servers], OutlierSpec { max_ejected, ..RULES });
        (0..servers as u32).for_each(|server| fail(&pool, server, 20, 0.0));
        assert_eq!(ejected(&pool).len(), expected, "{servers} servers, {max_ejected}");
        pool.tick(seconds(0.1));
        let told = pool.take_changes();
        assert_eq!(told.len(), expected, "{told:?}");
    }
}

#[test]
fn the_last_that_is_left_is_not_taken_out() {
    let pool = judged(&[1, 1, 1], OutlierSpec { max_ejected: 10_000, ..RULES });
    pool.checked(0, Err("connection refused"), seconds(0.0));
    pool.set_drained(&address(1), true, seconds(0.0));
    fail(&pool, 2, 20, 0.0);
    assert!(ejected(&pool).is_empty());
    pool.set_drained(&address(1), false, seconds(0.0));
    fail(&pool, 2, 5, 0.0);
    assert_eq!(ejected(&pool), [2]);
}

#[test]
fn not_too_many_are_out_over_all_workers() {
    let pool = judged(&[1; 8], RULES);
    std::thread::scope(|scope| {
        (0..4).for_each(|worker| {
            let pool = &pool;
            scope.spawn(move || (0..8).for_each(|server| fail(pool, (server + worker * 2) % 8, 5, 0.0)));
        });
    });
    assert_eq!(ejected(&pool).len(), 4);
    assert_eq!(pool.take_changes().len(), 4);
}

#[test]
fn ejected_servers_are_better_than_none_and_those_that_are_down_are_not() {
    for algorithm in ALGORITHMS {
        let pool = Pool::new(PoolSpec { outlier: Some(RULES), ..spec(algorithm, &[1, 1, 1]) }, None);
        fail(&pool, 1, 5, 0.0);
        pool.checked(0, Err("connection refused"), seconds(0.0));
        assert_eq!(sequence(&pool, 10), [(2, 10)].into(), "{algorithm:?}");
        pool.checked(2, Err("connection refused"), seconds(0.0));
        assert_eq!(sequence(&pool, 10), [(1, 10)].into(), "{algorithm:?}");
        assert!(pool.take_changes().iter().all(|c| c.kind != ChangeKind::Out), "{algorithm:?}");
        pool.checked(1, Err("connection refused"), seconds(0.0));
        assert!(matches!(pool.choose(&ask()), Choice::None), "{algorithm:?}");
    }
}

/// An interval in which each server gets `requests`, so many of which fail, each after so long.
fn interval(pool: &Pool, start: f64, requests: u32, shown: &[(u32, u64)]) {
    for (server, &(errors, latency)) in (0..).zip(shown) {
        for i in 0..requests {
            // spread, so that they are never many in a row
            let failed = (i + 1) * errors / requests > i * errors / requests;
            answer(pool, server, if failed { Outcome::Error(latency) } else { Outcome::Success(latency) }, start + 1.0);
        }
    }
    pool.tick(seconds(start + 10.0));
}

fn by_success(servers: usize) -> Pool {
    let rules = OutlierSpec { consecutive_errors: 0, success_rate: Some(BY_SUCCESS), ..RULES };
    let pool = judged(&vec![1; servers], rules);
    pool.tick(seconds(0.0));
    pool
}

#[test]
fn a_server_that_fails_more_than_its_peers_is_taken_out() {
    for servers in [3, 4, 5, 10] {
        let pool = by_success(servers);
        let mut shown = vec![(2, 1000); servers];
        shown[1].0 = 60;
        interval(&pool, 0.0, 200, &shown);
        assert_eq!(ejected(&pool), [1], "of {servers}");
        let detail = pool.take_changes().remove(0).detail;
        assert!(detail.starts_with("70.0 % of 200 requests succeeded, less than 9"), "{detail}");
    }
}

#[test]
fn who_fails_as_much_as_its_peers_stays() {
    let pool = by_success(5);
    interval(&pool, 0.0, 200, &[(100, 1000), (95, 1000), (105, 1000), (98, 1000), (102, 1000)]);
    interval(&pool, 10.0, 200, &[(0, 1000), (0, 1000), (0, 1000), (0, 1000), (1, 1000)]);
    interval(&pool, 20.0, 200, &[(0, 1000); 5]);
    interval(&pool, 30.0, 200, &[(200, 1000); 5]);
    assert!(ejected(&pool).is_empty(), "{:?}", pool.take_changes());
}

#[test]
fn what_is_bad_is_taken_out_nearly_always_and_by_chance_seldom_one() {
    // a generator of its own, so that no library's next version changes the numbers
    let mut state = 5_u64;
    let mut fails = |share: f64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31) < share
    };
    for servers in [3, 5, 10] {
        let mut ejections = |bad: f64| {
            let intervals = (0..60).filter(|_| {
                let pool = by_success(servers);
                let shares = std::iter::once(bad).chain(std::iter::repeat(0.05)).take(servers);
                let shown: Vec<_> =
                    shares.map(|share| ((0..200).filter(|_| fails(share)).count() as u32, 1000)).collect();
                interval(&pool, 0.0, 200, &shown);
                !ejected(&pool).is_empty()
            });
            intervals.count()
        };
        let (equal, worse) = (ejections(0.05), ejections(0.25));
        assert!(equal <= 15 && worse >= 57, "{servers} servers: {equal} and {worse} of 60");
    }
}

#[test]
fn too_few_requests_or_servers_are_not_judged() {
    let pool = by_success(3);
    interval(&pool, 0.0, 99, &[(0, 1000), (90, 1000), (0, 1000)]);
    assert!(ejected(&pool).is_empty(), "too few requests");
    interval(&pool, 10.0, 99, &[(0, 1000), (90, 1000), (0, 1000)]);
    assert!(ejected(&pool).is_empty(), "each interval counts for itself");
    pool.checked(2, Err("connection refused"), seconds(20.0));
    let pool = by_success(2);
    interval(&pool, 0.0, 200, &[(0, 1000), (190, 1000)]);
    assert!(ejected(&pool).is_empty(), "too few servers");
}

#[test]
fn of_several_bad_ones_the_worst_are_taken_out_within_the_bound() {
    for (max_ejected, expected) in [(5_000, vec![5, 9]), (500, vec![9])] {
        let rules = OutlierSpec { consecutive_errors: 0, success_rate: Some(BY_SUCCESS), max_ejected, ..RULES };
        let pool = judged(&[1; 20], rules);
        pool.tick(seconds(0.0));
        let mut shown = vec![(0, 1000); 20];
        (shown[5].0, shown[9].0) = (160, 180);
        interval(&pool, 0.0, 200, &shown);
        assert_eq!(ejected(&pool), expected);
    }
}

#[test]
fn a_server_that_is_many_times_slower_than_its_peers_is_taken_out() {
    let pool = |servers: usize| {
        let pool = judged(&vec![1; servers], OutlierSpec { latency: Some(BY_LATENCY), ..RULES });
        pool.tick(seconds(0.0));
        pool
    };
    let slow = pool(4);
    interval(&slow, 0.0, 100, &[(0, 10_000), (0, 12_000), (0, 36_100), (0, 14_000)]);
    assert_eq!(ejected(&slow), [2]);
    let detail = slow.take_changes().remove(0).detail;
    assert!(detail.starts_with("36.1 ms on average, where the median of its peers is 12.0 ms"), "{detail}");

    let fine = pool(4);
    interval(&fine, 0.0, 100, &[(0, 10_000), (0, 12_000), (0, 35_900), (0, 14_000)]);
    interval(&fine, 10.0, 99, &[(0, 10_000), (0, 12_000), (0, 99_000), (0, 14_000)]);
    assert!(ejected(&fine).is_empty());
    let two = pool(2);
    interval(&two, 0.0, 100, &[(0, 10_000), (0, 99_000)]);
    assert!(ejected(&two).is_empty(), "too few servers");
}

#[test]
fn after_its_return_a_server_begins_slowly() {
    let spec =
        PoolSpec { outlier: Some(RULES), slow_start: Duration::from_secs(10), ..spec(Algorithm::RoundRobin, &[1, 1]) };
    let pool = Pool::new(spec, None);
    fail(&pool, 0, 5, 0.0);
    pool.tick(seconds(10.0));
    assert_eq!(states(&pool), ["warming", "up"]);
    let picks = (0..1000).filter(|_| server(&pool, &Ask { now: seconds(10.0), ..ask() }) == Some(0)).count();
    assert!(picks < 150, "{picks}");
}

#[test]
fn a_reload_keeps_ejections_and_one_without_rules_ends_them() {
    let old = judged(&[1, 1], RULES);
    fail(&old, 0, 5, 0.0);
    let new = Pool::new(old.spec().clone(), Some(&old));
    assert_eq!(ejected(&new), [0]);
    old.take_changes();
    let free = Pool::new(PoolSpec { outlier: None, ..old.spec().clone() }, Some(&new));
    assert!(ejected(&free).is_empty());
    let told = free.take_changes();
    assert_eq!((told.len(), told[0].kind), (1, ChangeKind::Returned));
    fail(&free, 0, 50, 1.0);
    assert!(ejected(&free).is_empty());
}

#[test]
fn ejected_servers_count_for_panic() {
    let spec = PoolSpec { panic: 8_000, outlier: Some(RULES), ..spec(Algorithm::RoundRobin, &[1; 4]) };
    let pool = Pool::new(spec, None);
    fail(&pool, 0, 5, 0.0);
    assert_eq!(sequence(&pool, 8).len(), 4, "three of four are too few");
    pool.tick(seconds(0.1));
    let kinds: Vec<_> = pool.take_changes().into_iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [ChangeKind::Ejected, ChangeKind::Panic]);
}

#[test]
fn latencies_are_shown() {
    let pool = judged(&[1, 1], RULES);
    assert_eq!(pool.status(seconds(0.0))[0].latency_ms, None);
    answer(&pool, 0, Outcome::Success(2500), 0.0);
    assert_eq!(pool.status(seconds(0.0))[0].latency_ms, Some(2.5));
    answer(&pool, 0, Outcome::Failure, 0.0);
    assert_eq!(pool.status(seconds(0.0))[0].latency_ms, Some(2.5));
}
