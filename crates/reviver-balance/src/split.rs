//! Which variant of a split a person sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// All that a weight can be: hundredths of a percent.
pub const WHOLE: u32 = 10_000;

/// 2^64 divided by the golden ratio: its multiples, modulo 2^64, lie as evenly as those of any number can.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The weights of a split as they are now: kept over reloads that leave the written ones as they were.
#[derive(Debug)]
pub struct SplitState {
    written: Vec<u32>,
    live: Arc<Live>,
}

#[derive(Debug)]
struct Live {
    /// Where each variant's share ends; swapped as a whole, so that nobody reads half of a change.
    ends: ArcSwap<Vec<u32>>,
    /// Requests of nobody so far.
    counter: AtomicU64,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    pub variant: u32,
    /// It belongs to the share of the second variant that is as large as the first one's: with a canary, the share
    /// of stable that the canary is compared with. Where the first has more than half it is all of the second.
    pub baseline: bool,
}

/// The number by which a split knows a person. Part of the contract: it is the same in every version and process,
/// so that an update flips nobody. The split's name is the salt, so that two splits do not choose the same people.
pub fn person(salt: &str, id: &[u8]) -> u64 {
    xxh3_64_with_seed(id, xxh3_64(salt.as_bytes()))
}

impl SplitState {
    /// `written` adds up to [`WHOLE`].
    pub fn new(written: &[u32], earlier: Option<&Self>) -> Self {
        let kept = earlier.filter(|e| e.written == written).map(|e| Arc::clone(&e.live));
        let fresh = || Arc::new(Live { ends: ArcSwap::from_pointee(ends(written)), counter: AtomicU64::new(0) });
        Self { written: written.to_vec(), live: kept.unwrap_or_else(fresh) }
    }

    /// The side of the person whose hash this is; none: of one request that nobody is known by. Such requests are
    /// dealt out evenly: after any number of them each variant is within a few requests of its weight.
    pub fn side(&self, person: Option<u64>) -> Side {
        let hash = person.unwrap_or_else(|| {
            // From the middle on, so that the first request after a start is not the canary's.
            self.live.counter.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN).wrapping_add(1 << 63)
        });
        let position = ((u128::from(hash) * u128::from(WHOLE)) >> 64) as u32;
        let ends = self.live.ends.load();
        let variant = ends.partition_point(|&end| end <= position).min(ends.len().saturating_sub(1));
        let baseline = variant == 1 && position < ends[0].saturating_mul(2);
        Side { variant: variant as u32, baseline }
    }

    /// The weights in force.
    pub fn weights(&self) -> Vec<u32> {
        let mut start = 0;
        let share = |&end: &u32| end - std::mem::replace(&mut start, end);
        self.live.ends.load().iter().map(share).collect()
    }

    /// Puts other weights in force, for all workers at once. False where they do not add up or are not as many.
    pub fn set(&self, weights: &[u32]) -> bool {
        let whole = weights.iter().map(|&weight| u64::from(weight)).sum::<u64>() == u64::from(WHOLE);
        let fits = whole && weights.len() == self.written.len();
        if fits {
            self.live.ends.store(Arc::new(ends(weights)));
        }
        fits
    }
}

fn ends(weights: &[u32]) -> Vec<u32> {
    let end_of = |end: &mut u32, &weight: &u32| {
        *end = end.saturating_add(weight);
        Some(*end)
    };
    weights.iter().scan(0, end_of).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const USERS: usize = 1_000_000;

    fn users(salt: &str) -> Vec<u64> {
        (0..USERS as u64).map(|user| person(salt, &user.to_le_bytes())).collect()
    }

    fn canary(weight: u32) -> [u32; 2] {
        [weight, WHOLE - weight]
    }

    /// Basis points of `WHOLE`.
    fn share(count: usize, of: usize) -> f64 {
        count as f64 * f64::from(WHOLE) / of as f64
    }

    #[test]
    fn of_a_million_users_each_weight_gets_its_share_and_nobody_flips_back() {
        let split = SplitState::new(&canary(0), None);
        let users = users("shop");
        let mut converted = vec![false; USERS];
        for weight in [0, 1, 10, 100, 500, 2_500, 5_000, 9_999, WHOLE] {
            assert!(split.set(&canary(weight)));
            let (mut count, mut baseline) = (0, 0);
            for (user, was) in users.iter().zip(&mut converted) {
                let side = split.side(Some(*user));
                assert_eq!(side, split.side(Some(*user)), "one person, two sides");
                assert!(side.variant == 0 || !*was, "flipped back at {weight}");
                *was = side.variant == 0;
                count += usize::from(side.variant == 0);
                baseline += usize::from(side.baseline);
            }
            assert!((share(count, USERS) - f64::from(weight)).abs() < 20.0, "{count} at {weight}");
            let expected = weight.min(WHOLE - weight);
            assert!((share(baseline, USERS) - f64::from(expected)).abs() < 20.0, "{baseline} at {weight}");
        }
    }

    #[test]
    fn the_smallest_weight_is_neither_none_nor_many() {
        let split = SplitState::new(&canary(1), None);
        let count = users("shop").iter().filter(|user| split.side(Some(**user)).variant == 0).count();
        assert!((60..140).contains(&count), "{count} of a million at 0.01 %");
    }

    #[test]
    fn several_variants_get_their_shares() {
        let written = [5_000, 3_000, 0, 1_500, 500];
        let split = SplitState::new(&written, None);
        let mut counts = [0; 5];
        for user in users("colours") {
            counts[split.side(Some(user)).variant as usize] += 1;
        }
        for (count, weight) in counts.into_iter().zip(written) {
            assert!((share(count, USERS) - f64::from(weight)).abs() < 20.0, "{count} at {weight}");
        }
        assert_eq!(counts[2], 0);
    }

    #[test]
    fn two_splits_do_not_choose_the_same_people() {
        let (one, other) = (SplitState::new(&canary(2_000), None), SplitState::new(&canary(2_000), None));
        let both = users("shop")
            .into_iter()
            .zip(users("search"))
            .filter(|&(a, b)| one.side(Some(a)).variant == 0 && other.side(Some(b)).variant == 0)
            .count();
        // 20 % of 20 %.
        assert!((share(both, USERS) - 400.0).abs() < 20.0, "{both}");
    }

    #[test]
    fn people_are_known_by_the_same_numbers_in_every_version() {
        // Computed by the reference implementation of xxHash.
        assert_eq!(person("shop", b""), 0xb2e6_a61f_a29b_97d3);
        assert_eq!(person("shop", b"7"), 0x83bd_346b_bcb9_3f21);
        assert_eq!(person("shop", b"alice"), 0xf6f3_a550_22ac_4677);
        assert_eq!(person("search", b"alice"), 0xc132_87ad_b3ed_e4f7);
        assert_eq!(person("shop", b"0123456789abcdef0123456789abcdef"), 0xccf3_138e_95a6_387d);
        assert_eq!(person("shop", &[b'a'; 300]), 0x38a0_3016_7876_e25d);
    }

    #[test]
    fn hashes_at_the_borders_of_shares() {
        // The first hash whose position is not below the weight.
        let border = |weight: u64| ((u128::from(weight) << 64).div_ceil(u128::from(WHOLE))) as u64;
        for weight in [1, 2, 3_333, 9_999] {
            let split = SplitState::new(&canary(weight), None);
            assert_eq!(split.side(Some(border(u64::from(weight)) - 1)), Side { variant: 0, baseline: false });
            assert_eq!(split.side(Some(border(u64::from(weight)))), Side { variant: 1, baseline: true });
        }
        let split = SplitState::new(&canary(2_500), None);
        assert_eq!(split.side(Some(border(5_000) - 1)), Side { variant: 1, baseline: true });
        assert_eq!(split.side(Some(border(5_000))), Side { variant: 1, baseline: false });
        for hash in [0, u64::MAX] {
            assert_eq!(SplitState::new(&canary(0), None).side(Some(hash)), Side { variant: 1, baseline: false });
            assert_eq!(SplitState::new(&canary(WHOLE), None).side(Some(hash)).variant, 0);
        }
    }

    #[test]
    fn requests_of_nobody_are_dealt_out_evenly_at_any_time() {
        for written in [vec![1, 9_999], vec![100, 9_900], vec![1_234, 8_766], vec![5_000, 3_000, 2_000]] {
            let split = SplitState::new(&written, None);
            let mut counts = vec![0_u32; written.len()];
            let mut baseline = 0_u32;
            for requests in 1..=100_000_u32 {
                let side = split.side(None);
                counts[side.variant as usize] += 1;
                baseline += u32::from(side.baseline);
                for (count, weight) in counts.iter().zip(&written) {
                    let expected = f64::from(requests) * f64::from(*weight) / f64::from(WHOLE);
                    assert!((f64::from(*count) - expected).abs() < 5.0, "{count} of {requests} at {weight}");
                }
                let expected = f64::from(requests) * f64::from(written[0].min(written[1])) / f64::from(WHOLE);
                assert!((f64::from(baseline) - expected).abs() < 5.0, "{baseline} of {requests}");
            }
        }
    }

    #[test]
    fn workers_together_deal_out_evenly() {
        let split = SplitState::new(&canary(1_000), None);
        let count = || (0..25_000).filter(|_| split.side(None).variant == 0).count();
        let total: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker")).sum()
        });
        assert!((9_995..=10_005).contains(&total), "{total} of 100,000 at 10 %");
    }

    #[test]
    fn nobody_sees_half_of_a_change() {
        // Ends of one beside ends of the other would give the second variant a share.
        let weights = [[WHOLE, 0, 0], [0, 0, WHOLE]];
        let split = SplitState::new(&weights[0], None);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for worker in 0..3_u64 {
                let (split, done) = (&split, &done);
                scope.spawn(move || {
                    let mut hash = worker;
                    loop {
                        // Once more after the last change.
                        let last = done.load(Ordering::SeqCst);
                        hash = hash.wrapping_add(GOLDEN);
                        assert_ne!(split.side(Some(hash)).variant, 1);
                        assert_eq!(split.weights().iter().sum::<u32>(), WHOLE);
                        if last {
                            assert_eq!(split.weights(), weights[1]);
                            break;
                        }
                    }
                });
            }
            for change in 0..20_000 {
                assert!(split.set(&weights[change % 2]));
            }
            done.store(true, Ordering::SeqCst);
        });
    }

    #[test]
    fn weights_that_do_not_add_up_or_are_not_as_many_change_nothing() {
        let split = SplitState::new(&canary(500), None);
        for weights in [&[500_u32, 9_499][..], &[500, 9_501], &[u32::MAX, 10_001], &[WHOLE], &[500, 9_500, 0], &[]] {
            assert!(!split.set(weights), "{weights:?}");
            assert_eq!(split.weights(), [500, 9_500]);
        }
    }

    #[test]
    fn set_weights_outlive_a_reload_that_leaves_the_written_ones() {
        let before = SplitState::new(&canary(500), None);
        assert!(before.set(&canary(2_500)));
        let after = SplitState::new(&canary(500), Some(&before));
        assert_eq!(after.weights(), [2_500, 7_500]);
        // Flows that still hold the earlier snapshot see later changes too.
        assert!(after.set(&canary(5_000)));
        assert_eq!(before.weights(), [5_000, 5_000]);
        let rewritten = SplitState::new(&canary(100), Some(&after));
        assert_eq!(rewritten.weights(), [100, 9_900]);
        assert_eq!(after.weights(), [5_000, 5_000]);
    }

    proptest! {
        #[test]
        fn nobody_flips_back_while_the_canary_grows(hash: u64, mut weights in prop::collection::vec(0..=WHOLE, 2..20)) {
            weights.sort_unstable();
            let split = SplitState::new(&canary(0), None);
            let mut converted = false;
            for weight in weights {
                prop_assert!(split.set(&canary(weight)));
                let side = split.side(Some(hash));
                prop_assert!(side.variant == 0 || !converted);
                converted = side.variant == 0;
            }
        }

        #[test]
        fn every_hash_has_a_variant_with_a_weight(hash: u64, mut cuts in prop::collection::vec(0..=WHOLE, 0..63)) {
            cuts.extend([0, WHOLE]);
            cuts.sort_unstable();
            let weights: Vec<u32> = cuts.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let split = SplitState::new(&weights, None);
            prop_assert_eq!(split.weights(), weights.clone());
            prop_assert!(weights[split.side(Some(hash)).variant as usize] > 0);
        }
    }
}
