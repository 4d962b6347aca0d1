//! Instants as numbers that fit into an atomic.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Counts microseconds from the first instant that it was asked about.
#[derive(Debug, Default)]
pub(crate) struct Clock(OnceLock<Instant>);

impl Clock {
    /// Workers read their clocks at different moments: what lies before the first counts as the first.
    pub fn micros(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(*self.0.get_or_init(|| now)))
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
