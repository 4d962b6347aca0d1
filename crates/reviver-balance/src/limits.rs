//! What a pool may carry at the same time, over all servers and workers, and who gets in first.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::PoolSpec;
use crate::adaptive::Adaptive;

/// Whose requests are refused first where a pool has a bound of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Takes no more than 70 % of the bound, and never waits.
    Low,
    #[default]
    Normal,
    /// May go 20 % beyond the bound, and while it may does not stand behind those who wait.
    High,
}

impl Priority {
    /// The share of the bound, in percent, from which on it is refused.
    fn share(self) -> u64 {
        match self {
            Self::Low => 70,
            Self::Normal => 100,
            Self::High => 120,
        }
    }

    fn fits(self, carried: u32, bound: u32) -> bool {
        u64::from(carried) * 100 < u64::from(bound) * self.share()
    }
}

/// The bounds of a pool. Here and not in the pool, as with servers, so that they hold for flows of the earlier plan
/// as well.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    carried: Carried,
    /// 0: no bound.
    max: AtomicU32,
    pub adaptive: Adaptive,
}

/// Requests that all servers carry, where something asks for it: written with each of them.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Carried(AtomicU32);

impl Limits {
    pub fn adopt(&self, spec: &PoolSpec) {
        self.max.store(spec.max_requests, Ordering::SeqCst);
        self.adaptive.adopt(spec.adaptive);
    }

    /// The lower of both bounds; [`u32::MAX`]: none.
    pub fn bound(&self, spec: &PoolSpec) -> u32 {
        let max = match self.max.load(Ordering::SeqCst) {
            0 => u32::MAX,
            max => max,
        };
        // where it is off, what is left of it binds nobody
        if spec.adaptive.is_some() { max.min(self.adaptive.limit()) } else { max }
    }

    pub fn carried(&self) -> u32 {
        // in one order with `leave` and the count of those who wait, see `Queue`
        self.carried.0.load(Ordering::SeqCst)
    }

    pub fn has_room(&self, spec: &PoolSpec, priority: Priority) -> bool {
        priority.fits(self.carried(), self.bound(spec))
    }

    /// One more, whatever the bound.
    pub fn count(&self) {
        self.carried.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One more, unless it carries as many as it may.
    pub fn enter(&self, spec: &PoolSpec, priority: Priority) -> bool {
        let bound = self.bound(spec);
        let more = |carried: u32| priority.fits(carried, bound).then_some(carried + 1);
        self.carried.0.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more).is_ok()
    }

    pub fn leave(&self) {
        self.carried.0.fetch_sub(1, Ordering::SeqCst);
    }
}
