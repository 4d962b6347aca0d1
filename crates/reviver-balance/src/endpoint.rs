//! What is known of one server, over reloads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::ewma::Ewma;
use crate::health::Health;
use crate::outlier::Shown;

/// A server's state: written by all workers, and kept while its pool names its address.
///
/// What each request writes stands on cache lines of its own, apart from what each request only reads.
#[derive(Debug, Default)]
pub struct Endpoint {
    pub(crate) standing: Standing,
    pub(crate) load: Load,
    pub(crate) answers: Answers,
    pub(crate) health: Mutex<Health>,
}

/// Read by each request, written when something has happened.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Standing {
    /// [`DOWN`], [`EJECTED`], [`DRAINED`], [`WARMING`]; 0: like any other.
    state: AtomicU32,
    /// Requests at the same time; 0 is no bound. Here and not in the pool, so that it holds for flows of the
    /// earlier plan as well.
    pub limit: AtomicU32,
    /// When its slow start began, or [`UNSTARTED`].
    pub warm_since: AtomicU64,
    /// When its ejection ends.
    pub ejected_until: AtomicU64,
    /// When its last ejection ended.
    pub returned: AtomicU64,
    /// Ejections up to `returned`.
    pub ejections: AtomicU32,
}

/// Written with each request.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Load {
    /// Requests that it carries.
    in_flight: AtomicU32,
    /// Requests that it was given.
    pub requests: AtomicU64,
}

/// Written with each answer.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Answers {
    /// Requests that failed on it.
    pub errors: AtomicU64,
    /// Those since the last success.
    pub in_a_row: AtomicU32,
    /// Mean latency.
    pub latency: Ewma,
    /// What [`crate::Algorithm::PeakEwma`] goes by.
    pub peak: Ewma,
    /// Since servers were compared last: requests, those of them that failed, the sum of latencies and of how many.
    pub interval: Interval,
}

#[derive(Debug, Default)]
pub(crate) struct Interval {
    pub requests: AtomicU32,
    pub errors: AtomicU32,
    pub answers: AtomicU32,
    pub micros: AtomicU64,
}

/// Health checks say that it does not serve.
pub(crate) const DOWN: u32 = 1;
/// Its own answers have taken it out for a time.
pub(crate) const EJECTED: u32 = 2;
/// A person has taken it out: only who is bound to it by a cookie goes there.
pub(crate) const DRAINED: u32 = 4;
/// It has come back, and its share is growing.
pub(crate) const WARMING: u32 = 8;

/// Its slow start begins with the first request or tick that sees it.
pub(crate) const UNSTARTED: u64 = u64::MAX;

/// The share of its weight that a server starts with.
const COLD: f64 = 0.1;

impl Endpoint {
    pub(crate) fn state(&self) -> u32 {
        self.standing.state.load(Ordering::Relaxed)
    }

    /// False: it was so already.
    pub(crate) fn set(&self, bit: u32) -> bool {
        self.standing.state.fetch_or(bit, Ordering::SeqCst) & bit == 0
    }

    /// False: it was so already.
    pub(crate) fn clear(&self, bit: u32) -> bool {
        self.standing.state.fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.load.in_flight.load(Ordering::Relaxed)
    }

    /// What it carries, if it may carry one more.
    pub(crate) fn with_room(&self) -> Option<u32> {
        let limit = self.standing.limit.load(Ordering::Relaxed);
        // in one order with `release` and the count of those who wait, see `Queue`
        let in_flight = self.load.in_flight.load(Ordering::SeqCst);
        (limit == 0 || in_flight < limit).then_some(in_flight)
    }

    /// One more request, unless it carries as many as it may.
    pub(crate) fn take(&self) -> bool {
        let limit = self.standing.limit.load(Ordering::Relaxed);
        let more = |carried: u32| (carried < limit).then_some(carried + 1);
        let taken = match limit {
            0 => {
                self.load.in_flight.fetch_add(1, Ordering::Relaxed);
                true
            }
            _ => self.load.in_flight.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more).is_ok(),
        };
        if taken {
            self.load.requests.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    pub(crate) fn release(&self) {
        self.load.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// Begins a slow start.
    pub(crate) fn warm(&self, since: u64) {
        self.standing.warm_since.store(since, Ordering::Relaxed);
        self.set(WARMING);
    }

    /// The share of its weight that a server may have whose slow start takes so many microseconds: it grows evenly.
    pub(crate) fn warmth(&self, now: u64, slow_start: u64) -> f64 {
        let since = match self.standing.warm_since.load(Ordering::Relaxed) {
            UNSTARTED => {
                let start = &self.standing.warm_since;
                start.compare_exchange(UNSTARTED, now, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|t| t, |_| now)
            }
            since => since,
        };
        let passed = now.saturating_sub(since);
        if passed >= slow_start {
            return 1.0;
        }
        COLD + (1.0 - COLD) * (passed as f64 / slow_start as f64)
    }

    /// Ejections that still count: one less for each `eject` microseconds that it has been without.
    pub(crate) fn ejections(&self, now: u64, eject: u64) -> u32 {
        let count = self.standing.ejections.load(Ordering::Relaxed);
        if self.state() & EJECTED != 0 {
            return count;
        }
        let calm = now.saturating_sub(self.standing.returned.load(Ordering::Relaxed)) / eject.max(1);
        count.saturating_sub(u32::try_from(calm).unwrap_or(u32::MAX))
    }
}

impl Interval {
    /// What was counted, as it is, and begins anew. What is added at this moment counts in one of both intervals.
    pub fn take(&self) -> Self {
        Self {
            requests: self.requests.swap(0, Ordering::Relaxed).into(),
            errors: self.errors.swap(0, Ordering::Relaxed).into(),
            answers: self.answers.swap(0, Ordering::Relaxed).into(),
            micros: self.micros.swap(0, Ordering::Relaxed).into(),
        }
    }

    pub fn shown(self, server: u32) -> Shown {
        Shown {
            server,
            requests: self.requests.into_inner(),
            errors: self.errors.into_inner(),
            answers: self.answers.into_inner(),
            micros: self.micros.into_inner(),
        }
    }

    pub fn add(&self, failed: bool, latency: Option<u64>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(latency) = latency {
            self.answers.fetch_add(1, Ordering::Relaxed);
            self.micros.fetch_add(latency, Ordering::Relaxed);
        }
    }
}

/// A server as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointStatus {
    pub address: String,
    /// `up`, `down`, `ejected`, `draining` (wins over the others), `warming`.
    pub state: &'static str,
    pub weight: u32,
    pub backup: bool,
    pub max_connections: u32,
    pub in_flight: u32,
    pub requests: u64,
    pub errors: u64,
    /// Mean latency in milliseconds, the latest weighing most; none before the first answer.
    pub latency_ms: Option<f64>,
    /// What the last health check said; none: it was good, or there was none.
    pub check: Option<String>,
    /// When the last check was, as how long ago.
    pub checked_ms_ago: Option<u64>,
    /// How much longer it stays ejected.
    pub ejected_ms: Option<u64>,
    pub ejections: u32,
}

/// The word for a state.
pub(crate) fn word(state: u32) -> &'static str {
    match state {
        s if s & DRAINED != 0 => "draining",
        s if s & DOWN != 0 => "down",
        s if s & EJECTED != 0 => "ejected",
        s if s & WARMING != 0 => "warming",
        _ => "up",
    }
}
