//! A bound on what a pool carries that follows its latency: how it is counted over all workers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::gradient::{Estimate, Seen};
use crate::{AdaptiveSpec, Outcome};

/// Microseconds that answers are gathered for at least, before the bound is judged by them.
const WINDOW: u64 = 100_000;

/// And at most, however long answers take.
const LONGEST: u64 = 10_000_000;

/// Fewer say nothing.
const ANSWERS: u32 = 10;

/// Somebody judges.
const JUDGING: u64 = u64::MAX;

/// The bound, and what it is judged by. Kept over reloads.
///
/// Answers are counted by all workers, and who finds that the window is over judges: it takes `until` for itself by a
/// compare-and-exchange, so that nobody waits and nobody judges twice.
#[derive(Debug, Default)]
pub(crate) struct Adaptive {
    standing: Standing,
    window: Window,
}

/// Read by each request, written when a window is over.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Standing {
    limit: AtomicU32,
    /// As in [`AdaptiveSpec`]; `max` 0: it is off.
    min: AtomicU32,
    max: AtomicU32,
    tolerance: AtomicU32,
    /// As `f64`.
    estimate: [AtomicU64; Estimate::NUMBERS],
}

/// Written with each answer.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Window {
    /// When it ends; 0: none has begun, or [`JUDGING`].
    until: AtomicU64,
    answers: AtomicU32,
    failures: AtomicU32,
    /// The sum of the answers' latencies.
    micros: AtomicU64,
    /// The most that the pool carried.
    peak: AtomicU32,
}

impl Adaptive {
    /// What was learned stays, within other bounds. Where it is off it is forgotten.
    pub fn adopt(&self, spec: Option<AdaptiveSpec>) {
        let rules = spec.unwrap_or_default();
        self.standing.min.store(rules.min, Ordering::Relaxed);
        self.standing.max.store(rules.max, Ordering::Relaxed);
        self.standing.tolerance.store(rules.tolerance, Ordering::Relaxed);
        self.keep(spec.and_then(|_| self.estimate()).unwrap_or_default(), rules);
    }

    pub fn limit(&self) -> u32 {
        self.standing.limit.load(Ordering::SeqCst)
    }

    /// Counts how a try has ended in a pool that carries so many, and judges where the window is over. True: there
    /// is more room now.
    pub fn observe(&self, outcome: Outcome, carried: u32, now: u64) -> bool {
        let window = &self.window;
        let latency = match outcome {
            Outcome::Success(latency) => Some(latency),
            // who fails fast is not fast
            Outcome::Error(latency) => Some(latency.max(self.estimate().map_or(0, |e| e.long as u64))),
            Outcome::Failure => None,
        };
        window.add(latency, carried);
        let until = window.until.load(Ordering::Relaxed);
        if now < until || until != 0 && window.count() < ANSWERS {
            return false;
        }
        if window.until.compare_exchange(until, JUDGING, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        let (has_grown, length) = match until {
            // the first answer begins the first window
            0 => (false, WINDOW),
            _ => self.judge(window.take()),
        };
        window.until.store(now.saturating_add(length), Ordering::Release);
        has_grown
    }

    /// Whether the bound is higher, and how long the next window is: twice as long as a request takes, so that each
    /// judgement sees the effect of the one before.
    fn judge(&self, seen: Seen) -> (bool, u64) {
        let read = |number: &AtomicU32| number.load(Ordering::Relaxed);
        let Standing { min, max, tolerance, .. } = &self.standing;
        let rules = AdaptiveSpec { min: read(min), max: read(max), tolerance: read(tolerance) };
        // an answer of an earlier plan
        if rules.max == 0 {
            return (false, WINDOW);
        }
        let length = (seen.latency * 2.0).clamp(WINDOW as f64, LONGEST as f64) as u64;
        (self.keep(self.estimate().unwrap_or_default().after(seen, rules), rules), length)
    }

    /// None: nothing was kept yet.
    fn estimate(&self) -> Option<Estimate> {
        Estimate::from_numbers(self.standing.estimate.each_ref().map(|n| f64::from_bits(n.load(Ordering::Relaxed))))
    }

    fn keep(&self, estimate: Estimate, rules: AdaptiveSpec) -> bool {
        for (number, value) in self.standing.estimate.iter().zip(estimate.numbers()) {
            number.store(value.to_bits(), Ordering::Relaxed);
        }
        let limit = estimate.in_force(rules);
        // before those who wait are called, see `Queue`
        self.standing.limit.swap(limit, Ordering::SeqCst) < limit
    }
}

impl Window {
    fn add(&self, latency: Option<u64>, carried: u32) {
        match latency {
            Some(latency) => {
                self.micros.fetch_add(latency, Ordering::Relaxed);
                self.answers.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        // only read while it is not the most
        if self.peak.load(Ordering::Relaxed) < carried {
            self.peak.fetch_max(carried, Ordering::Relaxed);
        }
    }

    fn count(&self) -> u32 {
        self.answers.load(Ordering::Relaxed).saturating_add(self.failures.load(Ordering::Relaxed))
    }

    /// What was counted, which begins anew. What is added at this moment counts in one of both windows.
    fn take(&self) -> Seen {
        let answers = self.answers.swap(0, Ordering::Relaxed);
        let micros = self.micros.swap(0, Ordering::Relaxed);
        Seen {
            answers,
            failures: self.failures.swap(0, Ordering::Relaxed),
            latency: micros as f64 / f64::from(answers.max(1)),
            peak: self.peak.swap(0, Ordering::Relaxed),
        }
    }
}
