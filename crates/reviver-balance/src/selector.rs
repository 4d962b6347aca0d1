//! Round robin with weights over two tiers.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::schedule::schedule;

/// Chooses servers of one pool; shared by all workers.
///
/// First tries follow one schedule, whichever worker asks, so that shares are exact over each cycle.
/// Further tries of a request have a schedule position of their own: if they moved the first, a dead
/// server in a pool of two would be the first try of every request.
#[derive(Debug, Default)]
pub struct Selector {
    primaries: Tier,
    backups: Tier,
}

impl Selector {
    /// The index of a server is its place among `members`.
    pub fn new(members: impl IntoIterator<Item = (u32, bool)>) -> Self {
        let (mut primaries, mut backups) = (Vec::new(), Vec::new());
        for (index, (weight, backup)) in (0u32..).zip(members) {
            if weight > 0 {
                if backup { &mut backups } else { &mut primaries }.push((index, weight));
            }
        }
        Self { primaries: Tier::new(&primaries), backups: Tier::new(&backups) }
    }

    /// The server to try next for a request that has `tried` these in vain: a primary that was not tried,
    /// else a backup that was not, else none.
    pub fn next(&self, tried: &[u32]) -> Option<u32> {
        self.primaries.next(tried).or_else(|| self.backups.next(tried))
    }
}

#[derive(Debug, Default)]
struct Tier {
    schedule: Box<[u32]>,
    first: Cursor,
    again: Cursor,
}

impl Tier {
    fn new(servers: &[(u32, u32)]) -> Self {
        Self { schedule: schedule(servers), first: Cursor::default(), again: Cursor::default() }
    }

    fn next(&self, tried: &[u32]) -> Option<u32> {
        let is_left = |server: &&u32| !tried.contains(server);
        let left = match tried {
            [] => self.schedule.len(),
            _ => self.schedule.iter().filter(is_left).count(),
        };
        if left == 0 {
            return None;
        }
        if left == self.schedule.len() {
            return self.schedule.get(self.first.advance(left)).copied();
        }
        // places of tried servers are passed over, so that the rest keep their shares among themselves
        self.schedule.iter().filter(is_left).nth(self.again.advance(left)).copied()
    }
}

/// A position in a schedule, on a cache line of its own: each worker writes it, and what stands beside it
/// is only read.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cursor(AtomicUsize);

impl Cursor {
    /// The position in a list of `length`, which is not 0. No order with other memory is needed.
    fn advance(&self, length: usize) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) % length
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    type Member = (u32, bool);

    fn member(weight: u32) -> Member {
        (weight, false)
    }

    fn backup(weight: u32) -> Member {
        (weight, true)
    }

    fn counts(picks: impl Iterator<Item = u32>) -> HashMap<u32, usize> {
        picks.fold(HashMap::new(), |mut counts, pick| {
            *counts.entry(pick).or_default() += 1;
            counts
        })
    }

    #[test]
    fn backups_wait_until_every_primary_was_tried() {
        let selector = Selector::new([backup(1), member(1), member(1), backup(1)]);
        let mut tried = Vec::new();
        while let Some(server) = selector.next(&tried) {
            tried.push(server);
        }
        assert_eq!(tried, [1, 2, 0, 3]);
    }

    #[test]
    fn a_dead_server_is_the_first_try_of_its_own_share_only() {
        let selector = Selector::new([member(1), member(1)]);
        let firsts = (0..10).map(|_| {
            let first = selector.next(&[]).expect("a server");
            if first == 0 {
                assert_eq!(selector.next(&[0]), Some(1));
            }
            first
        });
        assert_eq!(counts(firsts), HashMap::from([(0, 5), (1, 5)]));
    }

    #[test]
    fn the_load_of_a_dead_server_is_shared_by_the_others() {
        let selector = Selector::new([member(1), member(1), member(2)]);
        let again = counts((0..12).filter_map(|_| selector.next(&[0])));
        assert_eq!(again, HashMap::from([(1, 4), (2, 8)]));
    }

    #[test]
    fn weight_0_takes_no_traffic() {
        let selector = Selector::new([member(0), backup(0)]);
        assert_eq!(selector.next(&[]), None);
        let selector = Selector::new([member(0), backup(1)]);
        assert_eq!(selector.next(&[]), Some(1));
        assert_eq!(Selector::default().next(&[]), None);
    }

    #[test]
    fn shares_hold_over_all_workers_together() {
        let selector = Selector::new([member(1), member(3)]);
        let totals = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| counts((0..1001).filter_map(|_| selector.next(&[]))))).collect();
            workers.into_iter().fold(HashMap::new(), |mut totals: HashMap<u32, usize>, worker| {
                for (server, count) in worker.join().expect("a worker") {
                    *totals.entry(server).or_default() += count;
                }
                totals
            })
        });
        assert_eq!(totals, HashMap::from([(0, 1001), (1, 3003)]));
    }

    fn pools() -> impl Strategy<Value = Vec<Member>> {
        let member = (0u32..=60, any::<bool>());
        prop::collection::vec(member, 0..12)
    }

    proptest! {
        #[test]
        fn shares_are_exact_over_one_cycle(members in pools(), cycles in 1usize..4) {
            let selector = Selector::new(members.iter().copied());
            let primary = members.iter().any(|m| m.0 > 0 && !m.1);
            let share = |m: &Member| if m.1 == primary { 0 } else { m.0 as usize };
            // a whole number of cycles, since the sum of the reduced weights divides that of the weights
            let picks = members.iter().map(share).sum::<usize>() * cycles;
            let counts = counts((0..picks).filter_map(|_| selector.next(&[])));
            for (index, member) in (0..).zip(&members) {
                prop_assert_eq!(counts.get(&index).copied().unwrap_or(0), share(member) * cycles);
            }
        }

        #[test]
        fn every_server_is_tried_once_primaries_first(members in pools(), skip in 0usize..100) {
            let selector = Selector::new(members.iter().copied());
            for _ in 0..skip {
                selector.next(&[]);
            }
            let mut tried = Vec::new();
            while let Some(server) = selector.next(&tried) {
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
        fn the_same_questions_get_the_same_answers(members in pools(), tried in prop::collection::vec(0u32..12, 0..4)) {
            let answers = || {
                let selector = Selector::new(members.iter().copied());
                (0..50).map(|i| selector.next(if i % 3 == 0 { &tried } else { &[] })).collect::<Vec<_>>()
            };
            prop_assert_eq!(answers(), answers());
        }
    }
}
