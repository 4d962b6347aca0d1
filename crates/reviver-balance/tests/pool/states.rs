//! Checks, drained servers, slow start, panic, and what people are told.

use std::time::{Duration, Instant};

use reviver_balance::{Algorithm, Ask, ChangeKind, Choice, HealthSpec, Outcome, Pool, PoolSpec};

use crate::common::{ALGORITHMS, address, ask, counts, member, seconds, sequence, server, spec};

fn checked(algorithm: Algorithm, weights: &[u32]) -> PoolSpec {
    PoolSpec { health: Some(HealthSpec { rise: 2, fall: 3 }), ..spec(algorithm, weights) }
}

fn fail(pool: &Pool, server: u32) {
    (0..3).for_each(|_| pool.checked(server, Err("connection refused"), seconds(0.0)));
}

fn pass(pool: &Pool, server: u32, now: Instant) {
    (0..2).for_each(|_| pool.checked(server, Ok(()), now));
}

/// What people have been told: of which server (its index), what, and why.
fn told(pool: &Pool) -> Vec<(Option<usize>, ChangeKind, String)> {
    let index = |address: String| pool.spec().members.iter().position(|m| m.address == address);
    pool.take_changes().into_iter().map(|c| (c.server.and_then(index), c.kind, c.detail)).collect()
}

fn kinds(pool: &Pool) -> Vec<ChangeKind> {
    pool.take_changes().into_iter().map(|change| change.kind).collect()
}

fn state(pool: &Pool, server: usize) -> &'static str {
    pool.status(seconds(0.0))[server].state
}

#[test]
fn fall_and_rise_decide_and_each_change_is_told_once() {
    let pool = Pool::new(checked(Algorithm::RoundRobin, &[1, 1]), None);
    let check = |outcome: Result<(), ()>| pool.checked(0, outcome.map_err(|()| "connection refused"), seconds(1.0));
    check(Ok(()));
    [Err(()), Err(()), Ok(()), Err(()), Err(())].into_iter().for_each(check);
    assert!(!pool.is_down(0) && told(&pool).is_empty(), "never three in a row");
    check(Err(()));
    assert!(pool.is_down(0));
    assert_eq!(told(&pool), [(Some(0), ChangeKind::Down, "3 checks failed: connection refused".to_owned())]);
    assert_eq!(sequence(&pool, 10), [(1, 10)].into());
    [Err(()), Ok(()), Err(()), Ok(())].into_iter().for_each(check);
    assert!(pool.is_down(0) && told(&pool).is_empty(), "never two in a row");
    check(Ok(()));
    assert!(!pool.is_down(0));
    assert_eq!(told(&pool), [(Some(0), ChangeKind::Up, "2 checks passed".to_owned())]);
    [Ok(()); 3].into_iter().for_each(check);
    assert!(told(&pool).is_empty());
    assert_eq!(sequence(&pool, 10), [(0, 5), (1, 5)].into());
}

#[test]
fn the_first_check_decides_alone_and_before_it_a_server_counts_as_up() {
    let pool = Pool::new(checked(Algorithm::RoundRobin, &[1, 1]), None);
    assert_eq!(sequence(&pool, 10), [(0, 5), (1, 5)].into());
    pool.checked(1, Err("503"), seconds(0.0));
    assert_eq!(told(&pool), [(Some(1), ChangeKind::Down, "1 check failed: 503".to_owned())]);
    pool.checked(0, Ok(()), seconds(0.0));
    pool.checked(0, Err("503"), seconds(0.0));
    assert_eq!((state(&pool, 0), state(&pool, 1)), ("up", "down"));
    assert!(told(&pool).is_empty());
    pool.checked(9, Err("503"), seconds(0.0));
    assert!(!pool.is_down(9), "there is no such server");
}

#[test]
fn the_last_check_is_shown() {
    let pool = Pool::new(checked(Algorithm::RoundRobin, &[1]), None);
    let shown = |after: f64| {
        let status = pool.status(seconds(after)).remove(0);
        (status.check, status.checked_ms_ago)
    };
    assert_eq!(shown(0.0), (None, None));
    pool.checked(0, Ok(()), seconds(1.0));
    assert_eq!(shown(1.5), (None, Some(500)));
    pool.checked(0, Err("timeout"), seconds(2.0));
    assert_eq!(shown(3.0), (Some("timeout".to_owned()), Some(1000)));
}

#[test]
fn all_down_is_none_at_once_and_told_once() {
    for algorithm in ALGORITHMS {
        let pool = Pool::new(checked(algorithm, &[1, 1]), None);
        pool.tick(seconds(0.0));
        [0, 1].into_iter().for_each(|server| fail(&pool, server));
        for _ in 0..5 {
            assert!(matches!(pool.choose(&ask()), Choice::None), "{algorithm:?}");
            pool.tick(seconds(1.0));
        }
        assert_eq!(kinds(&pool), [ChangeKind::Down, ChangeKind::Down, ChangeKind::Out]);
        pass(&pool, 1, seconds(2.0));
        pool.tick(seconds(2.0));
        assert_eq!(kinds(&pool), [ChangeKind::Up, ChangeKind::Back]);
        assert_eq!(server(&pool, &ask()), Some(1));
    }
}

#[test]
fn primaries_that_are_down_are_replaced_by_backups() {
    for algorithm in ALGORITHMS {
        let mut spec = checked(algorithm, &[1, 1, 1]);
        spec.members[1].backup = true;
        let pool = Pool::new(spec, None);
        [0, 2].into_iter().for_each(|server| fail(&pool, server));
        assert_eq!(sequence(&pool, 10), [(1, 10)].into(), "{algorithm:?}");
        pass(&pool, 2, seconds(1.0));
        assert_eq!(sequence(&pool, 10), [(2, 10)].into(), "{algorithm:?}");
    }
}

#[test]
fn panic_uses_all_servers_and_is_told_once() {
    for algorithm in ALGORITHMS {
        let pool = Pool::new(PoolSpec { panic: 5_000, ..checked(algorithm, &[1; 4]) }, None);
        [0, 1].into_iter().for_each(|server| fail(&pool, server));
        assert!(sequence(&pool, 100).keys().all(|&server| server > 1), "half is enough: {algorithm:?}");
        assert_eq!(kinds(&pool), [ChangeKind::Down, ChangeKind::Down]);
        fail(&pool, 2);
        pool.tick(seconds(0.1));
        assert_eq!(
            told(&pool)[1..],
            [(None, ChangeKind::Panic, "1 of 4 servers up: all are used".to_owned())],
            "{algorithm:?}"
        );
        let used = sequence(&pool, 100).len();
        assert_eq!(used, if algorithm == Algorithm::First { 1 } else { 4 }, "{algorithm:?}");
        assert_eq!(server(&pool, &Ask { pinned: Some(2), ..ask() }), Some(2));
        fail(&pool, 3);
        assert_eq!(kinds(&pool), [ChangeKind::Down], "all are used: the pool is not out");
        [0, 3].into_iter().for_each(|server| pass(&pool, server, seconds(1.0)));
        assert_eq!(kinds(&pool), [ChangeKind::Up, ChangeKind::Up, ChangeKind::Calm]);
        assert!(sequence(&pool, 100).keys().all(|&server| server == 0 || server == 3), "{algorithm:?}");
    }
}

#[test]
fn a_drained_server_serves_only_who_is_bound_to_it() {
    for algorithm in ALGORITHMS {
        let pool = Pool::new(checked(algorithm, &[1, 1]), None);
        assert!(pool.set_drained(&address(0), true, seconds(0.0)));
        assert!(pool.set_drained(&address(0), true, seconds(0.0)));
        assert!(!pool.set_drained("10.9.9.9:80", true, seconds(0.0)));
        assert_eq!((state(&pool, 0), pool.drained()), ("draining", vec![address(0)]));
        assert_eq!(sequence(&pool, 10), [(1, 10)].into(), "{algorithm:?}");
        let bound = Ask { pinned: Some(0), ..ask() };
        assert_eq!(server(&pool, &bound), Some(0));
        assert_eq!(server(&pool, &Ask { tried: &[0], ..bound }), Some(1));
        assert!(pool.set_drained(&address(0), false, seconds(0.0)));
        assert_eq!(kinds(&pool), [ChangeKind::Draining, ChangeKind::Restored]);
        assert_eq!((state(&pool, 0), pool.drained()), ("up", vec![]));
    }
}

#[test]
fn who_is_bound_goes_elsewhere_when_the_server_is_down_or_full() {
    for algorithm in ALGORITHMS {
        let mut spec = checked(algorithm, &[1, 1]);
        spec.members[1].max_connections = 1;
        let pool = Pool::new(spec, None);
        let bound = Ask { pinned: Some(1), ..ask() };
        assert!((0..10).all(|_| server(&pool, &bound) == Some(1)), "{algorithm:?}");
        let Choice::Server(lease) = pool.choose(&bound) else { panic!("{algorithm:?}") };
        assert_eq!(server(&pool, &bound), Some(0));
        assert!(matches!(pool.choose(&Ask { tried: &[0], ..bound }), Choice::Full));
        drop(lease);
        fail(&pool, 1);
        assert_eq!(server(&pool, &bound), Some(0));
        assert_eq!(server(&pool, &Ask { pinned: Some(9), ..ask() }), Some(0), "there is no such server");
    }
}

#[test]
fn a_drained_server_that_is_full_is_waited_for_by_who_is_bound_to_it() {
    let mut spec = checked(Algorithm::RoundRobin, &[1]);
    spec.members[0].max_connections = 1;
    let pool = Pool::new(spec, None);
    pool.set_drained(&address(0), true, seconds(0.0));
    let bound = Ask { pinned: Some(0), ..ask() };
    let Choice::Server(_lease) = pool.choose(&bound) else { panic!("it has room") };
    assert!(matches!(pool.choose(&bound), Choice::Full));
    assert!(matches!(pool.choose(&ask()), Choice::None));
    assert_eq!(told(&pool)[1], (None, ChangeKind::Out, "1 of 1 servers up, 1 draining".to_owned()));
}

/// The share of server 0 in little traffic, so long after the start.
fn share(pool: &Pool, after: f64) -> f64 {
    let picks = (0..4000).filter_map(|hash| {
        let Choice::Server(lease) = pool.choose(&Ask { now: seconds(after), hash, ..ask() }) else { return None };
        lease.observe(Outcome::Success(1000), seconds(after));
        Some(lease.index())
    });
    counts(picks).get(&0).map_or(0.0, |&n| n as f64 / 4000.0)
}

#[test]
fn the_share_of_a_server_that_comes_up_grows_evenly() {
    for algorithm in ALGORITHMS {
        let spec = PoolSpec { slow_start: Duration::from_secs(10), ..checked(algorithm, &[1, 1]) };
        let pool = Pool::new(spec, None);
        let full = share(&pool, 0.0);
        assert!(state(&pool, 0) == "up" && full > 0.4, "not when the process starts: {algorithm:?} {full}");
        fail(&pool, 0);
        pass(&pool, 0, seconds(100.0));
        assert_eq!(state(&pool, 0), "warming");
        for (after, least, most) in [(100.0, 0.07, 0.25), (105.0, 0.45, 0.75), (110.0, 0.9, 1.1)] {
            let share = share(&pool, after) / full;
            assert!((least..most).contains(&share), "{algorithm:?} after {after}: {share}");
        }
        pool.tick(seconds(109.0));
        assert_eq!(state(&pool, 0), "warming");
        pool.tick(seconds(110.0));
        assert_eq!(state(&pool, 0), "up");
    }
}

#[test]
fn a_server_that_warms_carries_its_part_under_load() {
    let spec = PoolSpec { slow_start: Duration::from_secs(10), ..checked(Algorithm::LeastRequests, &[1, 1]) };
    let pool = Pool::new(spec, None);
    fail(&pool, 0);
    pass(&pool, 0, seconds(0.0));
    let leases: Vec<_> = (0..1100).map(|_| crate::common::take(&pool, &ask())).collect();
    let on = leases.iter().filter(|lease| lease.index() == 0).count();
    assert!((95..=105).contains(&on), "a tenth of its weight: {on}");
}

#[test]
fn only_what_is_left_warms_when_nothing_else_is_up() {
    for algorithm in ALGORITHMS {
        let spec = PoolSpec { slow_start: Duration::from_secs(10), ..checked(algorithm, &[1, 1]) };
        let pool = Pool::new(spec, None);
        [0, 1].into_iter().for_each(|server| fail(&pool, server));
        pass(&pool, 0, seconds(0.0));
        assert_eq!(sequence(&pool, 200), [(0, 200)].into(), "{algorithm:?}");
    }
}

#[test]
fn a_server_that_is_added_or_restored_begins_slowly() {
    let spec = |count: usize| PoolSpec {
        slow_start: Duration::from_secs(10),
        members: (0..count).rev().map(|index| member(index, 1)).collect(),
        ..checked(Algorithm::RoundRobin, &[])
    };
    let old = Pool::new(spec(2), None);
    let pool = Pool::new(spec(3), Some(&old));
    assert_eq!((state(&pool, 0), state(&pool, 1), state(&pool, 2)), ("warming", "up", "up"));
    assert!(share(&pool, 50.0) < 0.1, "from the first request that sees it");
    assert!(share(&pool, 60.0) > 0.3);
    pool.tick(seconds(60.0));
    assert_eq!(state(&pool, 0), "up");
    pool.set_drained(&address(2), true, seconds(61.0));
    pool.set_drained(&address(2), false, seconds(62.0));
    assert_eq!(state(&pool, 0), "warming");
}

#[test]
fn a_reload_keeps_states_and_numbers_of_the_same_addresses() {
    let old = Pool::new(checked(Algorithm::RoundRobin, &[1, 1, 1]), None);
    sequence(&old, 9);
    fail(&old, 0);
    old.set_drained(&address(1), true, seconds(0.0));
    kinds(&old);
    let mut spec = checked(Algorithm::Random, &[1, 1, 1, 1]);
    spec.members.rotate_left(1);
    spec.members.remove(1);
    let new = Pool::new(spec.clone(), Some(&old));
    let shown: Vec<_> = new.status(seconds(0.0)).into_iter().map(|s| (s.address, s.state, s.requests)).collect();
    assert_eq!(shown, [(address(1), "draining", 3), (address(3), "up", 0), (address(0), "down", 3)]);
    assert!(kinds(&new).is_empty());
    // checks of the new pool are seen by flows of the old
    pass(&new, 2, seconds(0.0));
    assert_eq!(state(&old, 0), "up");
    fail(&new, 2);
    kinds(&new);

    spec.health = None;
    let unchecked = Pool::new(spec, Some(&new));
    assert_eq!((state(&unchecked, 2), state(&unchecked, 0)), ("up", "draining"));
    assert_eq!(told(&unchecked), [(Some(2), ChangeKind::Up, "it is no longer checked".to_owned())]);
}

#[test]
fn of_very_many_changes_the_oldest_are_forgotten() {
    let pool = Pool::new(checked(Algorithm::RoundRobin, &[1, 1]), None);
    for i in 0..6000 {
        pool.set_drained(&address(0), true, seconds(0.0));
        pool.set_drained(&address(0), false, seconds(0.0));
        if i == 0 {
            assert_eq!(pool.take_changes().len(), 2);
        }
    }
    assert_eq!(pool.take_changes().len(), 10_000);
    assert!(pool.take_changes().is_empty());
}

#[test]
fn many_checkers_at_once_tell_each_change_once() {
    let pool =
        Pool::new(PoolSpec { health: Some(HealthSpec { rise: 1, fall: 1 }), ..checked(Algorithm::First, &[1]) }, None);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for i in 0..500 {
                    pool.checked(0, if i % 2 == 0 { Err("503") } else { Ok(()) }, seconds(0.0));
                }
            });
        }
    });
    let of_server: Vec<_> =
        kinds(&pool).into_iter().filter(|k| matches!(k, ChangeKind::Up | ChangeKind::Down)).collect();
    assert!(of_server.len() > 1);
    assert!(of_server.windows(2).all(|pair| pair[0] != pair[1]), "{of_server:?}");
}
