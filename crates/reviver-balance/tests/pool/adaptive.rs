//! A bound that follows latency.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use reviver_balance::{AdaptiveSpec, Algorithm, Ask, Choice, Outcome, Pool, PoolSpec};

use crate::common::{ask, seconds, spec, take};
use crate::simulated::{Servers, Simulation};

const RULES: AdaptiveSpec = AdaptiveSpec { min: 3, max: 1000, tolerance: 150 };

fn spec_of(rules: AdaptiveSpec) -> PoolSpec {
    PoolSpec { adaptive: Some(rules), ..spec(Algorithm::RoundRobin, &[1, 1]) }
}

fn pool() -> Pool {
    Pool::new(spec_of(RULES), None)
}

fn limit(pool: &Pool) -> u32 {
    pool.limit_status().expect("it is on").1
}

/// Answers of ten requests at a time, while the pool carries as much as it may.
struct Answers<'p> {
    pool: &'p Pool,
    now: Cell<f64>,
}

impl<'p> Answers<'p> {
    fn new(pool: &'p Pool) -> Self {
        Self { pool, now: Cell::new(0.0) }
    }

    fn come(&self, times: u32, outcome: Outcome) {
        for _ in 0..times {
            let choose = || match self.pool.choose(&ask()) {
                Choice::Server(lease) => Some(lease),
                _ => None,
            };
            let leases: Vec<_> = std::iter::from_fn(choose).collect();
            (0..10).for_each(|i| leases[i % leases.len()].observe(outcome, seconds(self.now.get())));
            self.now.set(self.now.get() + 20.0);
        }
    }
}

#[test]
fn under_overload_it_settles_near_the_knee_and_stays() {
    for (seed, servers) in (1..).zip([Servers { knee: 20.0, base: 0.05 }, Servers { knee: 60.0, base: 0.2 }]) {
        let pool = pool();
        let mut simulation = Simulation::new(&pool, seed);
        let rate = 3.0 * servers.capacity();
        simulation.run(60.0, rate, servers);
        for minute in 0..10 {
            let counted = simulation.run(60.0, rate, servers);
            let latency = counted.latency / counted.served / servers.base;
            assert!(latency < 3.0, "{servers:?}, minute {minute}: {latency} times as long");
            let served = counted.served / 60.0 / servers.capacity();
            assert!(served > 0.95, "{servers:?}, minute {minute}: {served} of what they can");
        }
    }
}

#[test]
fn a_pool_that_is_not_overloaded_is_not_held_back() {
    let (pool, servers) = (pool(), Servers { knee: 100.0, base: 0.02 });
    let mut simulation = Simulation::new(&pool, 3);
    let rate = 0.8 * servers.capacity();
    simulation.run(20.0, rate, servers);
    let counted = simulation.run(100.0, rate, servers);
    assert!(counted.refused < counted.served / 10_000.0, "{counted:?}");
    assert!(limit(&pool) < 400, "{}", limit(&pool));
}

#[test]
fn servers_that_turn_slow_keep_what_they_can_carry_and_have_all_when_they_recover() {
    for load in [0.8, 2.0] {
        let (pool, servers) = (pool(), Servers { knee: 40.0, base: 0.02 });
        let mut simulation = Simulation::new(&pool, 4);
        let rate = load * servers.capacity();
        simulation.run(30.0, rate, servers);
        let slow = Servers { base: 0.1, ..servers };
        simulation.run(15.0, rate, slow);
        let counted = simulation.run(30.0, rate, slow);
        let served = counted.served / 30.0 / slow.capacity();
        assert!(served > 0.95, "at {load}: {served} of what they can");
        simulation.run(10.0, rate, servers);
        let counted = simulation.run(30.0, rate, servers);
        let (served, latency) = (counted.served / 30.0 / servers.capacity(), counted.latency / counted.served);
        assert!(served > 0.95 * load.min(1.0), "at {load}: {served} of what they can");
        assert!(latency < 3.0 * servers.base, "at {load}: {latency} s");
    }
}

#[test]
fn what_servers_can_carry_no_longer_is_refused_and_comes_back_with_them() {
    let (pool, servers) = (pool(), Servers { knee: 80.0, base: 0.02 });
    let mut simulation = Simulation::new(&pool, 5);
    let rate = 1.5 * servers.capacity();
    simulation.run(30.0, rate, servers);
    let fewer = Servers { knee: 20.0, ..servers };
    simulation.run(15.0, rate, fewer);
    let counted = simulation.run(30.0, rate, fewer);
    let latency = counted.latency / counted.served;
    assert!(latency < 3.5 * servers.base, "{latency} s");
    simulation.run(15.0, rate, servers);
    let counted = simulation.run(30.0, rate, servers);
    assert!(counted.served / 30.0 / servers.capacity() > 0.95, "{counted:?}");
}

#[test]
fn it_begins_within_its_bounds() {
    assert_eq!(limit(&pool()), 20);
    for (min, max, first) in [(30, 100, 30), (1, 8, 8), (0, 0, 1), (9, 2, 9)] {
        let pool = Pool::new(spec_of(AdaptiveSpec { min, max, ..RULES }), None);
        assert_eq!(limit(&pool), first, "{min} to {max}");
    }
}

#[test]
fn little_traffic_changes_nothing() {
    let pool = pool();
    for i in 0..2000 {
        let lease = take(&pool, &ask());
        lease.observe(Outcome::Success(if i % 7 == 0 { 90_000 } else { 1000 }), seconds(f64::from(i)));
    }
    assert_eq!(limit(&pool), 20);
}

#[test]
fn lost_connections_shrink_it_down_to_its_least() {
    let pool = pool();
    let answers = Answers::new(&pool);
    answers.come(4, Outcome::Failure);
    assert!((12..=18).contains(&limit(&pool)), "{}", limit(&pool));
    answers.come(60, Outcome::Failure);
    assert_eq!(limit(&pool), 3);
    answers.come(60, Outcome::Success(1000));
    assert!(limit(&pool) > 30, "{}", limit(&pool));
}

#[test]
fn who_fails_fast_is_not_fast() {
    let pool = Pool::new(spec_of(AdaptiveSpec { max: 50, ..RULES }), None);
    let answers = Answers::new(&pool);
    answers.come(20, Outcome::Success(10_000));
    answers.come(100, Outcome::Error(100));
    answers.come(5, Outcome::Success(10_000));
    assert_eq!(limit(&pool), 50, "what is usual is not taken for slow");
}

#[test]
fn the_lower_of_both_bounds_holds() {
    let pool = Pool::new(PoolSpec { max_requests: 12, ..spec_of(RULES) }, None);
    assert_eq!(pool.limit_status(), Some((0, 12)));
    Answers::new(&pool).come(60, Outcome::Failure);
    assert_eq!(pool.limit_status(), Some((0, 3)));
}

#[test]
fn a_reload_keeps_what_was_learned_within_other_bounds() {
    let old = pool();
    Answers::new(&old).come(60, Outcome::Success(1000));
    let learned = limit(&old);
    assert!(learned > 30, "{learned}");
    let same = Pool::new(spec_of(RULES), Some(&old));
    assert_eq!(limit(&same), learned);
    let lower = Pool::new(spec_of(AdaptiveSpec { max: 25, ..RULES }), Some(&same));
    assert_eq!((limit(&lower), limit(&same)), (25, 25), "flows of the earlier plan keep to it too");
    let off = Pool::new(spec(Algorithm::RoundRobin, &[1, 1]), Some(&lower));
    assert_eq!(off.limit_status(), None);
    let again = Pool::new(spec_of(RULES), Some(&off));
    assert_eq!(limit(&again), 20, "what was known before it was off is forgotten");
}

#[test]
fn many_workers_never_carry_more_than_it_lets_through() {
    let pool = Pool::new(spec_of(AdaptiveSpec { min: 2, max: 30, tolerance: 150 }), None);
    let (carried, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let worker = |seed: u32| {
        let mut held = Vec::new();
        for i in 0..20_000 {
            let now = seconds(f64::from(i) / 1000.0);
            if let Choice::Server(lease) = pool.choose(&Ask { now, ..ask() }) {
                most.fetch_max(carried.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                held.push(lease);
            }
            if held.len() > ((i + seed) % 17) as usize {
                let lease = held.swap_remove(0);
                let outcome = if i % 5000 < 500 { Outcome::Failure } else { Outcome::Success(u64::from(i % 900)) };
                lease.observe(outcome, now);
                carried.fetch_sub(1, Ordering::SeqCst);
            }
        }
        carried.fetch_sub(held.len() as u32, Ordering::SeqCst);
    };
    std::thread::scope(|scope| (0..4).for_each(|seed| drop(scope.spawn(move || worker(seed)))));
    assert!((2..=30).contains(&most.into_inner()));
    let (left, limit) = pool.limit_status().expect("it is on");
    assert!(left == 0 && (2..=30).contains(&limit), "{left} of {limit}");
}
