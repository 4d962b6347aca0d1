//! The same key gets the same server.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reviver_balance::{Algorithm, Ask, Pool, PoolSpec};

use crate::common::{address, ask, counts, member, pool, seconds, sequence, server, spec, take};

const HASHING: [Algorithm; 2] = [Algorithm::Hash, Algorithm::Maglev];
const KEYS: u64 = 20_000;

/// The address of each key's server.
fn homes(pool: &Pool) -> Vec<String> {
    let home = |hash| server(pool, &Ask { hash, ..ask() }).expect("a server");
    (0..KEYS).map(|hash| pool.spec().members[home(hash) as usize].address.clone()).collect()
}

/// Of keys that are not at home on this server: how many have moved.
fn moved(before: &[String], after: &[String], gone: &str) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after && **before != gone).count()
}

#[test]
fn a_key_stays_over_time_workers_and_reloads() {
    for algorithm in HASHING {
        let first = pool(algorithm, &[1; 10]);
        let homes_first = homes(&first);
        assert_eq!(homes(&first), homes_first);
        assert_eq!(homes(&Pool::new(spec(algorithm, &[1; 10]), Some(&first))), homes_first);
        // in another process, written in another order
        let mut reversed = spec(algorithm, &[1; 10]);
        reversed.members.reverse();
        let moved = moved(&homes_first, &homes(&Pool::new(reversed, None)), "");
        assert!(moved <= if algorithm == Algorithm::Hash { 0 } else { KEYS as usize / 20 }, "{algorithm:?}: {moved}");
    }
}

#[test]
fn who_goes_where_does_not_change_with_versions() {
    for (algorithm, expected) in [(Algorithm::Hash, EXPECTED_HASH), (Algorithm::Maglev, EXPECTED_MAGLEV)] {
        let pool = pool(algorithm, &[1; 7]);
        let homes: Vec<_> = (0..16).filter_map(|hash| server(&pool, &Ask { hash, ..ask() })).collect();
        assert_eq!(homes, expected, "{algorithm:?}");
    }
}

const EXPECTED_HASH: [u32; 16] = [4, 3, 6, 3, 3, 1, 3, 4, 4, 1, 1, 1, 2, 6, 6, 3];
const EXPECTED_MAGLEV: [u32; 16] = [4, 0, 2, 1, 4, 4, 5, 3, 2, 1, 5, 0, 0, 1, 5, 3];

#[test]
fn a_server_that_is_out_moves_its_own_keys_to_all_others_and_gets_them_back() {
    for algorithm in HASHING {
        let pool = pool(algorithm, &[1; 10]);
        let before = homes(&pool);
        pool.checked(3, Err("connection refused"), seconds(0.0));
        let out = homes(&pool);
        assert_eq!(moved(&before, &out, &address(3)), 0, "{algorithm:?}");
        let heirs = before.iter().zip(&out).filter(|(before, _)| **before == address(3));
        let heirs = heirs.fold(BTreeMap::<&str, usize>::new(), |mut counts, (_, heir)| {
            *counts.entry(heir).or_default() += 1;
            counts
        });
        assert_eq!(heirs.len(), 9, "{algorithm:?}");
        assert!(heirs.values().all(|&n| n < KEYS as usize / 10 / 3), "{algorithm:?}: {heirs:?}");
        pool.checked(3, Ok(()), seconds(1.0));
        assert_eq!(homes(&pool), before, "{algorithm:?}");
    }
}

#[test]
fn a_retry_of_one_key_goes_to_the_same_other() {
    for algorithm in HASHING {
        let pool = pool(algorithm, &[1; 10]);
        for hash in 0..100 {
            let first = server(&pool, &Ask { hash, ..ask() }).expect("a server");
            let again = || server(&pool, &Ask { hash, tried: &[first], ..ask() }).expect("another");
            assert!(again() != first && again() == again(), "{algorithm:?}");
        }
    }
}

#[test]
fn a_server_that_is_removed_or_added_moves_few_keys() {
    for (algorithm, others) in [(Algorithm::Hash, 0), (Algorithm::Maglev, KEYS as usize / 20)] {
        for servers in [3, 5, 10, 50] {
            let all = pool(algorithm, &vec![1; servers]);
            let before = homes(&all);
            let mut spec = spec(algorithm, &vec![1; servers]);
            spec.members.remove(1);
            let after = homes(&Pool::new(spec, None));
            let (own, moved) = (before.iter().filter(|&s| *s == address(1)), moved(&before, &after, &address(1)));
            assert!(moved <= others, "{algorithm:?} of {servers}: {moved}");
            let own = own.count();
            assert!(own < KEYS as usize / servers * 5 / 4, "{algorithm:?} of {servers}: {own}");
        }
    }
}

#[test]
fn keys_are_shared_by_weight() {
    for (algorithm, within) in [(Algorithm::Hash, 0.2), (Algorithm::Maglev, 0.08)] {
        for weights in [vec![1; 3], vec![1, 2, 3, 4], vec![100, 50, 200], vec![1; 20]] {
            let counts = sequence(&pool(algorithm, &weights), 50_000);
            let all: u32 = weights.iter().sum();
            for (server, &weight) in (0..).zip(&weights) {
                let (share, fair) = (counts[&server] as f64 / 50_000.0, f64::from(weight) / f64::from(all));
                assert!((share / fair - 1.0).abs() < within, "{algorithm:?} {weights:?}: {share} for {fair}");
            }
        }
    }
}

#[test]
fn a_thousand_servers_are_balanced() {
    for (algorithm, most) in [(Algorithm::Hash, 1.5), (Algorithm::Maglev, 1.25)] {
        let counts = sequence(&pool(algorithm, &[1; 1000]), 300_000);
        let max = *counts.values().max().expect("one") as f64 / 300.0;
        assert!(counts.len() == 1000 && max < most, "{algorithm:?}: {max}");
    }
}

fn bounded(weights: &[u32], bound: u32) -> Pool {
    Pool::new(PoolSpec { hash_bound: bound, ..spec(Algorithm::Hash, weights) }, None)
}

#[test]
fn no_server_carries_more_than_its_bound() {
    // the worst that clients can do: all the same key, or only keys of one server
    let keys: [fn(u64) -> u64; 2] = [|_| 7, |i| i % 5];
    for key in keys {
        let pool = bounded(&[1, 2, 1], 125);
        let mut leases = Vec::new();
        for i in 0..1000 {
            leases.push(take(&pool, &Ask { hash: key(i), ..ask() }));
            for status in pool.status(seconds(0.0)) {
                let share = f64::from(status.weight) / 4.0;
                let capacity = (1.25 * leases.len() as f64 * share).ceil().max(4.0);
                assert!(f64::from(status.in_flight) <= capacity, "{status:?} of {}", leases.len());
            }
        }
        drop(leases);
        assert!(pool.status(seconds(0.0)).iter().all(|s| s.in_flight == 0));
    }
}

#[test]
fn without_a_bound_one_key_stays_with_one_server() {
    let pool = bounded(&[1, 1, 1], 0);
    let leases: Vec<_> = (0..100).map(|_| take(&pool, &Ask { hash: 7, ..ask() })).collect();
    assert!(leases.iter().all(|lease| lease.index() == leases[0].index()));
}

#[test]
fn a_few_clients_stay_where_they_are_whatever_the_bound() {
    let (bounded, free) = (bounded(&[1; 20], 101), bounded(&[1; 20], 0));
    for hash in 0..1000 {
        let ask = Ask { hash, ..ask() };
        let _three = (take(&bounded, &ask), take(&bounded, &ask), take(&bounded, &ask));
        assert_eq!(server(&bounded, &ask), server(&free, &ask));
    }
}

#[test]
fn the_bound_follows_what_is_left() {
    let pool = bounded(&[1, 1, 1, 1], 125);
    (0..2).for_each(|i| pool.checked(i, Err("connection refused"), seconds(0.0)));
    let leases: Vec<_> = (0..400).map(|_| take(&pool, &Ask { hash: 7, ..ask() })).collect();
    let counts = counts(leases.iter().map(reviver_balance::Lease::index));
    let most = *counts.values().max().expect("one");
    assert_eq!(most, 250, "125 % of the half: {counts:?}");
}

proptest! {
    #[test]
    fn whoever_is_out_others_keep_their_keys(
        weights in prop::collection::vec(1u32..5, 2..12),
        out in prop::collection::vec(0u32..12, 0..6),
        kind in 0usize..2,
    ) {
        let pool = Pool::new(spec(HASHING[kind], &weights), None);
        let home = |hash| server(&pool, &Ask { hash, ..ask() });
        let before: Vec<_> = (0..200).map(home).collect();
        out.iter().for_each(|&server| pool.checked(server, Err("connection refused"), seconds(0.0)));
        let is_out = |server: u32| out.contains(&server);
        for (hash, before) in before.into_iter().enumerate() {
            let after = home(hash as u64);
            if (0..weights.len() as u32).all(is_out) {
                prop_assert_eq!(after, None);
            } else if before.is_some_and(is_out) {
                prop_assert!(after.is_some_and(|s| !is_out(s)));
            } else {
                prop_assert_eq!(after, before);
            }
        }
    }
}

#[test]
fn members_of_one_address_each_have_their_keys() {
    let twice = vec![member(0, 1), member(0, 1), member(1, 1)];
    for algorithm in HASHING {
        let pool = Pool::new(PoolSpec { members: twice.clone(), algorithm, ..PoolSpec::default() }, None);
        assert_eq!(sequence(&pool, 1000).values().sum::<u64>(), 1000, "{algorithm:?}");
    }
}
