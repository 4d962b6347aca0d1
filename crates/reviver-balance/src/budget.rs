//! How many requests may be tried again.

use std::sync::atomic::{AtomicU64, Ordering};

/// Seconds that count: this one and those before it.
const WINDOW: u64 = 10;

/// More than [`WINDOW`], so that a worker whose clock is a little behind still has its second.
const SLOTS: usize = 16;

/// So many retries in each second are no bound at all.
const UNBOUNDED: u32 = 1_000_000;

/// Requests and retries of the last ten seconds, over all workers.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    requests: Seconds,
    retries: Seconds,
}

impl Budget {
    /// Whether there is anything to count.
    pub fn is_bounded(per_second: u32) -> bool {
        per_second < UNBOUNDED
    }

    pub fn request(&self, now: u64) {
        self.requests.add(now);
    }

    /// Whether one more may be tried again, of so many hundredths of a percent of the requests, and so many in each
    /// second besides. Counts first and takes it back where it was too much: never more in sum, whoever else asks.
    pub fn may_retry(&self, now: u64, percent: u32, per_second: u32) -> bool {
        let allowed = self.requests.sum(now) * u64::from(percent) / 10_000 + WINDOW * u64::from(per_second);
        self.retries.add(now);
        let within = self.retries.sum(now) <= allowed;
        if !within {
            self.retries.take_back(now);
        }
        within
    }
}

/// Counts of single seconds, in turn: the number of the second in the upper half, the count in the lower.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Seconds([AtomicU64; SLOTS]);

impl Seconds {
    fn slot(&self, now: u64) -> (u64, &AtomicU64) {
        let second = now / 1_000_000;
        (second & u64::from(u32::MAX), &self.0[(second % SLOTS as u64) as usize])
    }

    fn add(&self, now: u64) {
        let (second, slot) = self.slot(now);
        let mut seen = slot.load(Ordering::Relaxed);
        while seen >> 32 != second {
            // a count of a past second makes room
            match slot.compare_exchange_weak(seen, (second << 32) | 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
        slot.fetch_add(1, Ordering::Relaxed);
    }

    fn take_back(&self, now: u64) {
        let (second, slot) = self.slot(now);
        let less = |seen: u64| (seen >> 32 == second && seen & u64::from(u32::MAX) > 0).then(|| seen - 1);
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn sum(&self, now: u64) -> u64 {
        let (second, _) = self.slot(now);
        let counts = |slot: &AtomicU64| {
            let seen = slot.load(Ordering::Relaxed);
            match second.checked_sub(seen >> 32) {
                Some(age) if age < WINDOW => seen & u64::from(u32::MAX),
                _ => 0,
            }
        };
        self.0.iter().map(counts).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn allowed(budget: &Budget, now: u64, percent: u32, per_second: u32) -> usize {
        (0..10_000).take_while(|_| budget.may_retry(now, percent, per_second)).count()
    }

    #[test]
    fn a_share_of_the_last_ten_seconds_and_some_besides() {
        let budget = Budget::default();
        assert_eq!(allowed(&budget, 0, 2_000, 0), 0);
        (0..1000).for_each(|i| budget.request(i * 3_000));
        assert_eq!(allowed(&budget, 3 * SECOND, 2_000, 0), 200);
        assert_eq!(allowed(&budget, 3 * SECOND, 2_000, 1), 10);
        assert_eq!(allowed(&budget, 3 * SECOND, 2_000, 1), 0, "each refusal is taken back, and only that");
        assert_eq!(allowed(&budget, 3 * SECOND, 3_000, 0), 90);
    }

    #[test]
    fn what_is_older_than_ten_seconds_no_longer_counts() {
        let budget = Budget::default();
        (0..100).for_each(|_| budget.request(0));
        assert_eq!(allowed(&budget, 5 * SECOND, 1_000, 0), 10);
        assert_eq!(allowed(&budget, 9 * SECOND, 1_000, 0), 0);
        assert_eq!(allowed(&budget, 10 * SECOND, 1_000, 0), 0, "neither the requests nor the retries");
        (0..100).for_each(|_| budget.request(13 * SECOND));
        assert_eq!(allowed(&budget, 13 * SECOND, 2_000, 0), 10);
        assert_eq!(allowed(&budget, 16 * SECOND, 2_000, 0), 10, "the retries of second 5 have gone");
        // all of it is past, even where the slots come around again
        assert_eq!(allowed(&budget, 200 * SECOND, 10_000, 0), 0);
    }

    #[test]
    fn no_more_than_allowed_over_all_workers() {
        let budget = Budget::default();
        let granted: usize = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| budget.may_retry(0, 0, 20)).count())).collect();
            workers.into_iter().map(|w| w.join().expect("a worker")).sum()
        });
        assert!(granted <= 200, "{granted}");
        assert!(granted >= 150, "{granted}");
    }
}
