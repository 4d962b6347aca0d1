//! When the next check is due. Time is an argument, and so is chance.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Checks of servers that are new begin so far from each other ...
const STEP: Duration = Duration::from_millis(10);
/// ... and closer where it would take longer than this to begin all.
const SPREAD: Duration = Duration::from_secs(1);
/// Hundredths of a percent.
const WHOLE: u64 = 10_000;

/// A server's place, and whose it is: places are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub slot: u32,
    pub generation: u32,
}

/// What is due, the earliest first. A server stands in it at most once: never while it is being checked.
#[derive(Debug, Default)]
pub struct Schedule(BinaryHeap<Reverse<(Instant, Key)>>);

impl Schedule {
    pub fn push(&mut self, when: Instant, key: Key) {
        self.0.push(Reverse((when, key)));
    }

    pub fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((when, _))| *when)
    }

    /// The first that is due by `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Key> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, key))| key)
    }

    /// Forgets what is no longer there.
    pub fn retain(&mut self, mut is_there: impl FnMut(Key) -> bool) {
        self.0.retain(|Reverse((_, key))| is_there(*key));
    }
}

/// How long the `nth` of so many new servers waits for its first check: the first not at all.
pub fn lead(nth: usize, of: usize, every: Duration) -> Duration {
    let (nth, of) = (u32::try_from(nth).unwrap_or(u32::MAX), u32::try_from(of.max(1)).unwrap_or(u32::MAX));
    (every.min(SPREAD) / of).min(STEP) * nth
}

/// An interval, shortened or prolonged by up to `jitter` hundredths of a percent as `chance`, any number, says.
pub fn interval(every: Duration, jitter: u32, chance: u32) -> Duration {
    let every = every.as_micros() as u64;
    let swing = every / WHOLE * u64::from(jitter).min(WHOLE);
    let added = (u128::from(2 * swing) * u128::from(chance) / u128::from(u32::MAX)) as u64;
    Duration::from_micros((every - swing + added).max(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn new_servers_begin_at_once_but_not_all_at_the_same_time() {
        assert_eq!([0, 1, 2].map(|nth| lead(nth, 3, ms(5000))), [ms(0), ms(10), ms(20)]);
        assert_eq!([0, 500, 999].map(|nth| lead(nth, 1000, ms(5000))), [ms(0), ms(500), ms(999)]);
        assert_eq!(lead(999, 1000, ms(100)), Duration::from_micros(99_900));
        assert_eq!(lead(0, 0, ms(5000)), ms(0));
    }

    #[test]
    fn an_interval_swings_evenly_about_what_was_written() {
        let of = |jitter, chance| interval(ms(5000), jitter, chance);
        assert_eq!([0, u32::MAX / 2, u32::MAX].map(|chance| of(0, chance)), [ms(5000); 3]);
        assert_eq!((of(1000, 0), of(1000, u32::MAX)), (ms(4500), ms(5500)));
        assert!(of(1000, u32::MAX / 2).abs_diff(ms(5000)) < ms(1));
        assert_eq!(of(20_000, u32::MAX), ms(10_000));
        // Not even all of the jitter makes it a busy loop.
        assert_eq!(of(10_000, 0), ms(1));
        assert_eq!(interval(Duration::ZERO, 0, 0), ms(1));
    }

    #[test]
    fn the_earliest_goes_first_and_none_before_its_time() {
        let start = Instant::now();
        let key = |slot| Key { slot, generation: 0 };
        let mut schedule = Schedule::default();
        for (after, slot) in [(30, 3), (10, 1), (20, 2)] {
            schedule.push(start + ms(after), key(slot));
        }
        assert_eq!(schedule.pop(start + ms(9)), None);
        assert_eq!((schedule.next(), schedule.pop(start + ms(25))), (Some(start + ms(10)), Some(key(1))));
        schedule.retain(|key| key.slot != 2);
        assert_eq!((schedule.pop(start + ms(25)), schedule.next()), (None, Some(start + ms(30))));
    }
}
