//! What a pool may carry, by what its latency shows.

use crate::AdaptiveSpec;

/// Requests that are let through before anything is known.
const FIRST: f64 = 20.0;

/// How much of the way to its new value the bound goes at once.
const SMOOTHING: f64 = 0.2;

/// After so many windows a latency weighs 1/e of what it did in the long-term mean.
const MEMORY: f64 = 300.0;

/// A long-term mean that is so many times the latency of now is of times that are past, and fades faster.
const PAST: f64 = 2.0;
const FADING: f64 = 0.9;

/// What is left of the bound after a window of failures.
const DROP: f64 = 0.9;

/// The share of failures that counts as such: one lost connection among thousands is no sign of load.
const FAILING: f64 = 0.1;

/// Windows in which latency holds the pool back, until it is looked at with part of the load.
const HELD: f64 = 100.0;

/// What a window has shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub answers: u32,
    pub failures: u32,
    /// The mean of the answers, in microseconds.
    pub latency: f64,
    /// The most that the pool carried.
    pub peak: u32,
}

/// What is known after a window.
///
/// `Gradient2Limit` of Netflix's concurrency-limits (<https://github.com/Netflix/concurrency-limits>; Landau, Thurston
/// and Bozarth, "Performance Under Load", 2018): while latency is within what is tolerated of its long-term mean, the
/// bound grows by a queue of its square root; beyond that it shrinks in proportion.
///
/// By itself that cannot tell load from slowness. The mean of a pool that is overloaded for long becomes that of the
/// overload, and the bound grows for ever; servers that turn slow, at whatever load, are left without any. So latency
/// is measured anew while the pool carries only part of the load: when the bound has shrunk so far, and for a moment
/// when it has been held back for long or has grown far, as BBR does (Cardwell et al., "BBR: Congestion-Based
/// Congestion Control", 2016).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    limit: f64,
    /// The long-term mean of latency in microseconds; 0: there was no answer yet.
    pub long: f64,
    /// Windows in which latency has held the pool back, less those in which it has not. From [`HELD`] on it is looked
    /// at with part of the load: for two windows, since the first has answers to requests of before.
    held: f64,
    /// The bound from which it shrinks.
    from: f64,
    /// The highest latency since.
    worst: f64,
    /// The bound when latency was measured.
    at: f64,
}

impl Default for Estimate {
    fn default() -> Self {
        Self { limit: FIRST, long: 0.0, held: 0.0, from: FIRST, worst: 0.0, at: FIRST }
    }
}

impl Estimate {
    pub const NUMBERS: usize = 6;

    pub fn numbers(self) -> [f64; Self::NUMBERS] {
        [self.limit, self.long, self.held, self.from, self.worst, self.at]
    }

    /// None: they are all 0.
    pub fn from_numbers([limit, long, held, from, worst, at]: [f64; Self::NUMBERS]) -> Option<Self> {
        (limit > 0.0).then_some(Self { limit, long, held, from, worst, at })
    }

    /// What may be carried now.
    pub fn in_force(self, rules: AdaptiveSpec) -> u32 {
        let limit = if self.held < HELD { self.limit } else { self.limit * part(rules) };
        within(limit, rules) as u32
    }

    pub fn after(mut self, seen: Seen, rules: AdaptiveSpec) -> Self {
        self.limit = within(self.limit, rules);
        if seen.answers > 0 {
            let latency = seen.latency.max(1.0);
            if self.held < HELD {
                self.follow(latency, seen, rules);
            } else if self.held == HELD {
                self.held += 1.0;
            } else {
                self.measured(latency);
            }
        }
        let share = f64::from(seen.failures) / f64::from((seen.answers + seen.failures).max(1));
        self.limit = within(self.limit * (1.0 - (1.0 - DROP) * (share / FAILING).min(1.0)), rules);
        self
    }

    fn follow(&mut self, latency: f64, seen: Seen, rules: AdaptiveSpec) {
        if self.long == 0.0 {
            self.long = latency;
        }
        self.long += (latency - self.long) / MEMORY;
        if self.long > PAST * latency {
            self.long *= FADING;
        }
        // what is not made use of is not known to be needed, nor to be too much
        if f64::from(seen.peak) * 2.0 < self.limit {
            return;
        }
        let gradient = (tolerance(rules) * self.long / latency).clamp(0.5, 1.0);
        let before = self.limit;
        let next = before * gradient + before.sqrt();
        self.limit = within(before + (next - before) * SMOOTHING, rules);
        if gradient == 1.0 {
            (self.from, self.worst) = (self.limit, 0.0);
            // it would take more, and what is known is of a load far from this one
            let is_far = f64::from(seen.peak) > before - 1.0 && self.limit * part(rules) > self.at;
            self.held = if is_far { HELD } else { (self.held - 1.0).max(0.0) };
            return;
        }
        (self.from, self.worst) = (self.from.max(before), self.worst.max(latency));
        self.held += 1.0;
        if self.limit <= self.from * part(rules) {
            self.measured(latency);
        }
    }

    /// The pool has carried only part, and this is its latency then. Where it is not much less than with all, it does
    /// not come from the load.
    fn measured(&mut self, latency: f64) {
        self.long = if latency * 2.0 > self.worst { latency } else { self.long.min(latency) };
        (self.held, self.from, self.worst, self.at) = (0.0, self.limit, latency, self.limit);
    }
}

fn tolerance(rules: AdaptiveSpec) -> f64 {
    f64::from(rules.tolerance.max(100)) / 100.0
}

/// The part of the load with which a latency that is as high as is tolerated, and comes from the load, is half of the
/// long-term mean.
fn part(rules: AdaptiveSpec) -> f64 {
    0.5 / tolerance(rules)
}

/// One at least is let through: else nothing would ever be learned.
fn within(limit: f64, rules: AdaptiveSpec) -> f64 {
    let least = rules.min.max(1);
    limit.clamp(f64::from(least), f64::from(rules.max.max(least)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: AdaptiveSpec = AdaptiveSpec { min: 5, max: 200, tolerance: 150 };

    fn seen(latency: f64, peak: u32) -> Seen {
        Seen { answers: 100, failures: 0, latency, peak }
    }

    fn after(windows: impl IntoIterator<Item = Seen>) -> Estimate {
        windows.into_iter().fold(Estimate::default(), |estimate, seen| estimate.after(seen, RULES))
    }

    #[test]
    fn it_grows_by_a_fifth_of_its_root_while_latency_is_tolerated() {
        let first = after([seen(1000.0, 20)]);
        assert_eq!(first.limit, 20.0 + 20.0_f64.sqrt() / 5.0);
        let next = first.after(seen(1490.0, 20), RULES);
        assert_eq!(next.limit, first.limit + first.limit.sqrt() / 5.0);
    }

    #[test]
    fn it_shrinks_with_what_latency_is_above_and_no_faster_than_by_a_tenth() {
        let calm = after([seen(1000.0, 20)]);
        let shrunk = |latency| (calm.after(seen(latency, 20), RULES).limit - calm.limit.sqrt() / 5.0) / calm.limit;
        assert!((shrunk(2000.0) - 0.95).abs() < 0.001, "three quarters, of which it goes a fifth: {}", shrunk(2000.0));
        assert!((shrunk(3000.0) - 0.9).abs() < 0.001);
        assert!((shrunk(1e9) - 0.9).abs() < 0.001);
    }

    #[test]
    fn it_stays_while_less_than_half_is_made_use_of() {
        let idle = after((0..1000).map(|i| seen(if i % 10 == 0 { 50_000.0 } else { 1000.0 }, 9)));
        assert_eq!(idle.limit, 20.0);
        assert!(after([seen(1000.0, 10)]).limit > 20.0);
    }

    #[test]
    fn failures_shrink_it_by_a_tenth_and_single_ones_by_little() {
        let failing = |answers, failures| after([Seen { answers, failures, latency: 1000.0, peak: 1 }]).limit;
        assert_eq!(failing(0, 10), 18.0);
        assert_eq!(failing(90, 10), 18.0);
        assert_eq!(failing(95, 5), 19.0);
        assert_eq!(failing(999, 1), 19.98);
        let gone = (0..100).fold(Estimate::default(), |e, _| e.after(Seen { failures: 10, ..Seen::default() }, RULES));
        assert_eq!(gone.in_force(RULES), 5);
    }

    #[test]
    fn latency_that_changes_for_good_becomes_the_usual_by_and_by() {
        let changed = |windows| after((0..10 + windows).map(|i| seen(if i < 10 { 1000.0 } else { 1400.0 }, 1))).long;
        assert!(changed(3) < 1010.0, "{}", changed(3));
        assert!((changed(300) - (1400.0 - 400.0 / std::f64::consts::E)).abs() < 1.0, "{}", changed(300));
        assert!(changed(3000) > 1399.0);
    }

    #[test]
    fn a_mean_of_slower_times_fades_at_once() {
        let recovered = |windows| after((0..10 + windows).map(|i| seen(if i < 10 { 9000.0 } else { 1000.0 }, 1))).long;
        assert!(recovered(20) < 2000.0, "{}", recovered(20));
        assert!(recovered(40) > 1500.0, "only while it is more than twice what is needed now: {}", recovered(40));
    }

    #[test]
    fn latency_that_does_not_fall_with_the_load_is_not_held_against_the_pool() {
        // whatever it carries
        let slow = after((0..40).map(|i| seen(if i < 20 { 1000.0 } else { 9000.0 }, 200)));
        assert_eq!(slow.long, 9000.0);
        // in proportion to what it carries
        let loaded = (0..40).fold(after((0..20).map(|_| seen(1000.0, 200))), |estimate, _| {
            estimate.after(seen(1000.0 * (estimate.limit / 5.0).max(1.0), 200), RULES)
        });
        assert!(loaded.long < 2000.0, "{loaded:?}");
    }

    #[test]
    fn a_pool_that_is_held_back_for_long_is_looked_at_with_a_third_for_two_windows() {
        let mut estimate = after((0..20).map(|_| seen(1000.0, 30)));
        let mut dips = Vec::new();
        for window in 0..300 {
            estimate = estimate.after(seen(1000.0 * (estimate.limit / 15.0).max(1.0), 200), RULES);
            if f64::from(estimate.in_force(RULES)) < estimate.limit * 0.5 {
                dips.push(window);
            }
        }
        assert_eq!(dips.len() % 2, 0, "{dips:?}");
        assert!(dips.len() >= 4 && dips.chunks(2).all(|pair| pair[1] == pair[0] + 1), "{dips:?}");
    }

    proptest! {
        #[test]
        fn it_is_always_within_its_bounds(
            windows in prop::collection::vec((0u32..200, 0u32..50, 0.0..1e12_f64, 0u32..500), 1..400),
            min in 0u32..300,
            max in 0u32..300,
            tolerance in 0u32..1000,
        ) {
            let rules = AdaptiveSpec { min, max, tolerance };
            let mut estimate = Estimate::default();
            for (answers, failures, latency, peak) in windows {
                estimate = estimate.after(Seen { answers, failures, latency, peak }, rules);
                let limit = estimate.in_force(rules);
                prop_assert!(limit >= min.max(1) && limit <= max.max(min).max(1), "{limit}: {estimate:?}");
                prop_assert!(estimate.numbers().iter().all(|number| number.is_finite()), "{estimate:?}");
            }
        }
    }
}
