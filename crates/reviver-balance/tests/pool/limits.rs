//! What a pool carries as a whole, and whose requests are refused first.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use reviver_balance::{AdaptiveSpec, Algorithm, Ask, Choice, Lease, Outcome, Pool, PoolSpec, Priority};

use crate::bounds::{Waiter, wait};
use crate::common::{ALGORITHMS, ask, seconds, spec, take};

const PRIORITIES: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

fn limited(max_requests: u32, queue_max: u32) -> PoolSpec {
    PoolSpec { max_requests, queue_max, ..spec(Algorithm::RoundRobin, &[1, 1]) }
}

fn of(priority: Priority) -> Ask<'static> {
    Ask { priority, ..ask() }
}

fn queued(priority: Priority) -> Ask<'static> {
    Ask { queued: true, ..of(priority) }
}

/// As many as are let through.
fn fill(pool: &Pool, priority: Priority) -> Vec<Lease<'_>> {
    std::iter::from_fn(|| match pool.choose(&of(priority)) {
        Choice::Server(lease) => Some(lease),
        _ => None,
    })
    .collect()
}

fn carried(pool: &Pool) -> u32 {
    pool.limit_status().expect("a bound").0
}

#[test]
fn the_sum_over_all_workers_never_exceeds_it_and_every_lease_is_released() {
    for algorithm in ALGORITHMS {
        for hash_bound in [0, 125] {
            let pool = Pool::new(PoolSpec { algorithm, hash_bound, ..limited(5, 0) }, None);
            let (now, served) = (AtomicU32::new(0), AtomicU32::new(0));
            let worker = |seed: u64| {
                let mut held = Vec::new();
                for i in 0..2000 {
                    if let Choice::Server(lease) = pool.choose(&Ask { hash: seed << 32 | i, ..ask() }) {
                        assert!(now.fetch_add(1, Ordering::SeqCst) < 5, "{algorithm:?}");
                        served.fetch_add(1, Ordering::Relaxed);
                        held.push(lease);
                    }
                    if held.len() > (i % 3) as usize {
                        now.fetch_sub(1, Ordering::SeqCst);
                        held.swap_remove(0);
                    }
                }
                now.fetch_sub(held.len() as u32, Ordering::SeqCst);
            };
            std::thread::scope(|scope| (0..4).for_each(|seed| drop(scope.spawn(move || worker(seed)))));
            assert_eq!(pool.limit_status(), Some((0, 5)), "{algorithm:?}");
            assert!(served.into_inner() > 2000, "{algorithm:?}");
        }
    }
}

#[test]
fn each_priority_is_refused_from_its_share_on() {
    for (max, shares) in [(10, [7, 10, 12]), (100, [70, 100, 120]), (1, [1, 1, 2]), (4, [3, 4, 5])] {
        for (priority, share) in PRIORITIES.into_iter().zip(shares) {
            let pool = Pool::new(limited(max, 0), None);
            assert_eq!(fill(&pool, priority).len(), share, "{priority:?} of {max}");
        }
        let pool = Pool::new(limited(max, 0), None);
        let leases: Vec<_> = PRIORITIES.into_iter().flat_map(|priority| fill(&pool, priority)).collect();
        assert_eq!(leases.len(), shares[2], "they count together");
        assert!(fill(&pool, Priority::Low).is_empty() && fill(&pool, Priority::Normal).is_empty());
    }
}

#[test]
fn who_is_refused_waits_only_where_there_is_a_queue_and_never_with_low_priority() {
    for (queue_max, normal_waits) in [(0, false), (3, true)] {
        let pool = Pool::new(limited(4, queue_max), None);
        let leases = fill(&pool, Priority::High);
        assert!(matches!(pool.choose(&of(Priority::Low)), Choice::Shed));
        for priority in [Priority::Normal, Priority::High] {
            let waits = matches!(pool.choose(&of(priority)), Choice::Full);
            assert_eq!(waits, normal_waits, "{priority:?}");
            assert!(waits || matches!(pool.choose(&of(priority)), Choice::Shed));
        }
        drop(leases);
        PRIORITIES.into_iter().for_each(|priority| drop(take(&pool, &of(priority))));
    }
}

#[test]
fn where_only_servers_are_full_it_is_their_queue_that_says_so() {
    for queue_max in [0, 3] {
        let mut spec = PoolSpec { queue_max, ..limited(10, 0) };
        spec.members.iter_mut().for_each(|member| member.max_connections = 1);
        for max_requests in [0, 10] {
            let pool = Pool::new(PoolSpec { max_requests, ..spec.clone() }, None);
            let _leases = fill(&pool, Priority::Normal);
            assert!(matches!(pool.choose(&of(Priority::Normal)), Choice::Full));
            assert!(matches!(pool.choose(&of(Priority::High)), Choice::Full));
            assert!(matches!(pool.choose(&of(Priority::Low)), Choice::Shed), "it never waits");
        }
    }
}

#[test]
fn without_a_bound_nobody_is_refused_for_a_priority() {
    let pool = Pool::new(limited(0, 0), None);
    let leases: Vec<_> = (0..999).map(|i| take(&pool, &of(PRIORITIES[i % 3]))).collect();
    assert_eq!((leases.len(), pool.limit_status()), (999, None));
}

#[test]
fn a_full_pool_without_servers_has_no_server() {
    let pool = Pool::new(limited(1, 0), None);
    let _lease = take(&pool, &ask());
    (0..2).for_each(|server| pool.checked(server, Err("connection refused"), seconds(0.0)));
    PRIORITIES.into_iter().for_each(|priority| assert!(matches!(pool.choose(&of(priority)), Choice::None)));
}

#[test]
fn who_waits_for_the_pool_is_served_in_order() {
    let pool = Pool::new(limited(2, 9), None);
    let mut leases = fill(&pool, Priority::Normal);
    let (mut first, mut second) = (Waiter::new(&pool), Waiter::new(&pool));
    assert!(!first.is_turn(&pool) && !second.is_turn(&pool));
    leases.pop();
    assert_eq!((first.rings(), second.rings()), (1, 0));
    assert!(matches!(pool.choose(&of(Priority::Normal)), Choice::Full), "others wait already");
    assert!(matches!(pool.choose(&of(Priority::Low)), Choice::Shed));
    assert!(!second.is_turn(&pool) && first.is_turn(&pool));
    leases.push(take(&pool, &queued(Priority::Normal)));
    drop(first);
    assert!(!second.is_turn(&pool), "it is full again");
    leases.clear();
    assert!(second.rings() > 0 && second.is_turn(&pool));
}

#[test]
fn high_priority_does_not_stand_behind_those_who_wait_and_takes_no_more_than_its_share() {
    let pool = Pool::new(limited(10, 9), None);
    let mut leases = fill(&pool, Priority::Normal);
    let mut waiter = Waiter::new(&pool);
    assert!(!waiter.is_turn(&pool));
    leases.extend(fill(&pool, Priority::High));
    assert_eq!(leases.len(), 12);
    leases.truncate(10);
    assert!(!waiter.is_turn(&pool), "its own share is still full");
    leases.pop();
    assert!(waiter.is_turn(&pool));
    take(&pool, &queued(Priority::Normal));
}

#[test]
fn who_had_to_wait_with_high_priority_is_served_in_its_turn() {
    let pool = Pool::new(limited(10, 9), None);
    let mut leases = fill(&pool, Priority::High);
    let mut waiter = Waiter::new(&pool);
    assert!(!waiter.is_turn(&pool));
    leases.truncate(9);
    assert!(waiter.rings() > 0 && waiter.is_turn(&pool));
    take(&pool, &queued(Priority::High));
}

#[test]
fn who_waits_hears_when_the_bound_grows() {
    let rules = AdaptiveSpec { min: 10, max: 100, tolerance: 150 };
    let pool = Pool::new(PoolSpec { adaptive: Some(rules), ..limited(0, 9) }, None);
    let leases = fill(&pool, Priority::Normal);
    let mut waiter = Waiter::new(&pool);
    assert!(!waiter.is_turn(&pool));
    for (second, leases) in (0..).zip(leases.chunks(10)) {
        leases.iter().for_each(|lease| lease.observe(Outcome::Success(1000), seconds(f64::from(second))));
    }
    leases[0].observe(Outcome::Success(1000), seconds(9.0));
    leases[1..10].iter().for_each(|lease| lease.observe(Outcome::Success(1000), seconds(20.0)));
    assert_eq!(carried(&pool), 20);
    assert!(waiter.rings() > 0 && waiter.is_turn(&pool));
    take(&pool, &queued(Priority::Normal));
}

#[test]
fn another_try_has_the_place_of_the_one_before() {
    for algorithm in ALGORITHMS {
        let pool = Pool::new(PoolSpec { algorithm, hash_bound: 125, ..limited(1, 0) }, None);
        let first = take(&pool, &ask());
        let tried = [first.index()];
        let again = Ask { tried: &tried, ..ask() };
        assert!(matches!(pool.choose(&again), Choice::Shed), "{algorithm:?}: two at the same time");
        let second = take(&pool, &Ask { instead: Some(&first), ..again });
        assert_ne!(second.index(), first.index());
        assert_eq!(carried(&pool), 1, "{algorithm:?}");
        assert!(matches!(pool.choose(&Ask { instead: Some(&first), ..again }), Choice::Shed), "it is handed on once");
        drop(first);
        assert_eq!(carried(&pool), 1, "{algorithm:?}");
        drop(second);
        assert_eq!(carried(&pool), 0, "{algorithm:?}");
    }
}

#[test]
fn another_try_keeps_its_place_where_there_is_no_other_server() {
    let pool = Pool::new(limited(1, 0), None);
    let lease = take(&pool, &ask());
    assert!(matches!(pool.choose(&Ask { tried: &[0, 1], instead: Some(&lease), ..ask() }), Choice::None));
    assert_eq!(carried(&pool), 1);
    drop(lease);
    assert_eq!(carried(&pool), 0);
    let other = Pool::new(limited(1, 0), None);
    let (_full, lease) = (take(&pool, &ask()), take(&other, &ask()));
    assert!(matches!(pool.choose(&Ask { instead: Some(&lease), ..ask() }), Choice::Shed), "a place of another pool");
}

#[test]
fn another_try_does_not_stand_behind_those_who_wait_for_the_pool() {
    let pool = Pool::new(limited(1, 9), None);
    let first = take(&pool, &ask());
    let mut waiter = Waiter::new(&pool);
    assert!(!waiter.is_turn(&pool));
    let second = take(&pool, &Ask { tried: &[first.index()], instead: Some(&first), ..ask() });
    drop(first);
    assert!(!waiter.is_turn(&pool), "the place is not free");
    drop(second);
    assert!(waiter.is_turn(&pool));
}

#[test]
fn a_reload_keeps_what_is_carried_and_bounds_flows_of_both_plans() {
    let old = Pool::new(limited(2, 9), None);
    let mut leases = fill(&old, Priority::Normal);
    let mut waiter = Waiter::new(&old);
    assert!(!waiter.is_turn(&old));
    let new = Pool::new(limited(3, 9), Some(&old));
    assert_eq!(new.limit_status(), Some((2, 3)));
    assert_eq!(waiter.rings(), 1, "the bound is higher now");
    assert!(waiter.is_turn(&old));
    leases.push(take(&old, &queued(Priority::Normal)));
    drop(waiter);
    assert!(matches!(new.choose(&ask()), Choice::Full), "both plans carry three in sum");
    let lower = Pool::new(limited(1, 9), Some(&new));
    assert!(matches!(old.choose(&ask()), Choice::Full) && matches!(lower.choose(&ask()), Choice::Full));
    leases.truncate(1);
    assert!(matches!(old.choose(&ask()), Choice::Full));

    let off = Pool::new(limited(0, 9), Some(&lower));
    assert_eq!(off.limit_status(), None);
    let more: Vec<_> = (0..9).map(|_| take(&off, &ask())).collect();
    drop(leases);
    let on = Pool::new(limited(1, 9), Some(&off));
    assert_eq!(on.limit_status(), Some((0, 1)), "what was carried without a bound is not counted");
    let lease = take(&on, &ask());
    drop(more);
    assert_eq!(on.limit_status(), Some((1, 1)));
    drop(lease);
    assert_eq!(on.limit_status(), Some((0, 1)));
}

#[test]
fn nobody_starves() {
    let pool = Pool::new(limited(3, 1000), None);
    let served: [AtomicUsize; 3] = Default::default();
    let refused = AtomicUsize::new(0);
    let worker = |seed: usize| {
        for i in 0..1500 {
            let place = (seed + i) % 3;
            let lease = match pool.choose(&of(PRIORITIES[place])) {
                Choice::Server(lease) => lease,
                Choice::Full => wait(&pool, &queued(PRIORITIES[place])),
                Choice::Shed => {
                    assert_eq!(place, 0, "only low priority does not wait");
                    refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Choice::None => panic!("none"),
            };
            served[place].fetch_add(1, Ordering::Relaxed);
            drop(lease);
        }
    };
    std::thread::scope(|scope| (0..6).for_each(|seed| drop(scope.spawn(move || worker(seed)))));
    let [low, normal, high] = served.map(AtomicUsize::into_inner);
    assert_eq!((normal, high, low + refused.into_inner()), (3000, 3000, 3000));
    assert_eq!((carried(&pool), pool.waiting()), (0, 0));
}

#[test]
fn who_waits_is_served_although_high_priority_keeps_coming() {
    let pool = Pool::new(limited(4, 100), None);
    let mut leases = std::collections::VecDeque::from(fill(&pool, Priority::Normal));
    let mut waiters: Vec<_> = (0..20).map(|_| Waiter::new(&pool)).collect();
    let mut high = 0;
    for round in 0..200 {
        // what ends makes room for one, and every other time somebody of high priority is there first
        leases.pop_front();
        if round % 2 == 0
            && let Choice::Server(lease) = pool.choose(&of(Priority::High))
        {
            leases.push_back(lease);
            high += 1;
        }
        if waiters.first_mut().is_some_and(|first| first.is_turn(&pool)) {
            leases.push_back(take(&pool, &queued(Priority::Normal)));
            waiters.remove(0);
        }
    }
    assert!(waiters.is_empty() && high >= 100, "{} wait, {high} of high priority", waiters.len());
}

#[test]
fn a_turn_that_nothing_comes_of_does_not_spin() {
    let mut spec = limited(9, 9);
    spec.members[0].max_connections = 1;
    let pool = Pool::new(spec, None);
    let held = take(&pool, &Ask { tried: &[1], ..ask() });
    let mut ticket = pool.wait().expect("a place");
    let mut poll = || pool.poll_turn(&mut ticket, &mut Context::from_waker(Waker::noop()));
    assert_eq!(poll(), Poll::Ready(()));
    assert!(matches!(pool.choose(&Ask { tried: &[1], ..queued(Priority::Normal) }), Choice::Full));
    assert_eq!(poll(), Poll::Pending);
    drop(held);
    assert_eq!(poll(), Poll::Ready(()));
}
