//! Round robin, tiers and what was tried.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reviver_balance::{Algorithm, Ask, Choice, Member, Pool, PoolSpec};

use crate::common::{ALGORITHMS, ask, counts, member, pool, sequence, server};

fn tiers(algorithm: Algorithm, members: &[(u32, bool)]) -> Pool {
    let member = |(index, &(weight, backup)): (usize, &(u32, bool))| Member { backup, ..member(index, weight) };
    let members = members.iter().enumerate().map(member).collect();
    Pool::new(PoolSpec { algorithm, members, ..PoolSpec::default() }, None)
}

fn retried(pool: &Pool, tried: &[u32]) -> Option<u32> {
    server(pool, &Ask { tried, ..ask() })
}

#[test]
fn a_heavy_server_does_not_get_its_share_in_one_run() {
    let pool = pool(Algorithm::RoundRobin, &[5, 1, 1]);
    let turns: Vec<_> = (0..14).filter_map(|_| server(&pool, &ask())).collect();
    assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn backups_wait_until_every_primary_was_tried() {
    for algorithm in ALGORITHMS {
        let pool = tiers(algorithm, &[(1, true), (1, false), (1, false), (1, true)]);
        let mut tried = Vec::new();
        while let Some(server) = retried(&pool, &tried) {
            tried.push(server);
        }
        let tiers: Vec<bool> = tried.iter().map(|&server| server == 0 || server == 3).collect();
        assert_eq!(tiers, [false, false, true, true], "{algorithm:?}");
        assert!(matches!(pool.choose(&Ask { tried: &tried, ..ask() }), Choice::None));
    }
}

#[test]
fn a_dead_server_is_the_first_try_of_its_own_share_only() {
    let pool = pool(Algorithm::RoundRobin, &[1, 1]);
    let firsts = (0..10).filter_map(|_| {
        let first = server(&pool, &ask());
        if first == Some(0) {
            assert_eq!(retried(&pool, &[0]), Some(1));
        }
        first
    });
    assert_eq!(counts(firsts), BTreeMap::from([(0, 5), (1, 5)]));
}

#[test]
fn the_load_of_a_dead_server_is_shared_by_the_others() {
    let pool = pool(Algorithm::RoundRobin, &[1, 1, 2]);
    let again = counts((0..12).filter_map(|_| retried(&pool, &[0])));
    assert_eq!(again, BTreeMap::from([(1, 4), (2, 8)]));
}

#[test]
fn weight_0_takes_no_traffic() {
    for algorithm in ALGORITHMS {
        assert_eq!(sequence(&tiers(algorithm, &[(0, false), (0, true)]), 10), BTreeMap::new());
        assert_eq!(sequence(&tiers(algorithm, &[(0, false), (1, true)]), 10), BTreeMap::from([(1, 10)]));
        assert_eq!(sequence(&tiers(algorithm, &[]), 10), BTreeMap::new());
        assert_eq!(server(&tiers(algorithm, &[(0, false)]), &Ask { pinned: Some(0), ..ask() }), None);
    }
}

#[test]
fn shares_hold_over_all_workers_together() {
    let pool = pool(Algorithm::RoundRobin, &[1, 3]);
    let totals = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| sequence(&pool, 1001))).collect();
        workers.into_iter().fold(BTreeMap::new(), |mut totals: BTreeMap<u32, u64>, worker| {
            for (server, count) in worker.join().expect("a worker") {
                *totals.entry(server).or_default() += count;
            }
            totals
        })
    });
    assert_eq!(totals, BTreeMap::from([(0, 1001), (1, 3003)]));
}

fn any_members() -> impl Strategy<Value = Vec<(u32, bool)>> {
    prop::collection::vec((0u32..=60, any::<bool>()), 0..12)
}

proptest! {
    #[test]
    fn shares_are_exact_over_one_cycle(members in any_members(), cycles in 1u64..4) {
        let pool = tiers(Algorithm::RoundRobin, &members);
        let primary = members.iter().any(|m| m.0 > 0 && !m.1);
        let share = |m: &(u32, bool)| if m.1 == primary { 0 } else { u64::from(m.0) };
        // a whole number of cycles, since the sum of the reduced weights divides that of the weights
        let counts = sequence(&pool, members.iter().map(share).sum::<u64>() * cycles);
        for (index, member) in (0..).zip(&members) {
            prop_assert_eq!(counts.get(&index).copied().unwrap_or(0), share(member) * cycles);
        }
    }

    #[test]
    fn every_server_is_tried_once_primaries_first(members in any_members(), skip in 0u64..100, kind in 0usize..8) {
        let pool = tiers(ALGORITHMS[kind], &members);
        sequence(&pool, skip);
        let mut tried = Vec::new();
        while let Some(server) = retried(&pool, &tried) {
            prop_assert!(!tried.contains(&server));
            tried.push(server);
        }
        let is_backup: Vec<bool> = tried.iter().map(|&server| members[server as usize].1).collect();
        prop_assert!(is_backup.is_sorted());
        tried.sort_unstable();
        let expected: Vec<u32> = (0..).zip(&members).filter(|(_, m)| m.0 > 0).map(|(i, _)| i).collect();
        prop_assert_eq!(tried, expected);
    }

    #[test]
    fn the_same_questions_get_the_same_answers(
        members in any_members(),
        tried in prop::collection::vec(0u32..12, 0..4),
        kind in 0usize..8,
    ) {
        let answers = || {
            let pool = tiers(ALGORITHMS[kind], &members);
            (0..50).map(|i| retried(&pool, if i % 3 == 0 { &tried } else { &[] })).collect::<Vec<_>>()
        };
        prop_assert_eq!(answers(), answers());
    }
}
