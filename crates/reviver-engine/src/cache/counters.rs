//! What the cache did for flows, counted on each core and summed when asked for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use reviver_cache::{Refusal, Why};
use reviver_flow::{CacheVerdict, Cached};
use serde::Serialize;

/// Written by one thread alone.
#[derive(Debug)]
pub struct CacheCounters {
    verdicts: [AtomicU64; CacheVerdict::ALL.len()],
    missed: [AtomicU64; Why::ALL.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
    stored: AtomicU64,
    collapsed: AtomicU64,
}

impl Default for CacheCounters {
    fn default() -> Self {
        Self {
            verdicts: Default::default(),
            missed: [const { AtomicU64::new(0) }; Why::ALL.len()],
            refused: [const { AtomicU64::new(0) }; Refusal::ALL.len()],
            stored: AtomicU64::default(),
            collapsed: AtomicU64::default(),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

impl CacheCounters {
    pub fn observe(&self, cached: &Cached) {
        count(&self.verdicts[cached.verdict as usize]);
        if matches!(cached.verdict, CacheVerdict::Miss | CacheVerdict::Bypass | CacheVerdict::Revalidated) {
            count(&self.missed[cached.why as usize]);
        }
        if let Some(refusal) = cached.refusal {
            count(&self.refused[refusal as usize]);
        }
        if cached.stored {
            count(&self.stored);
        }
        if cached.collapsed {
            count(&self.collapsed);
        }
    }
}

/// Sums, by the names that people read; what never happened is left out of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheSummary {
    pub requests: BTreeMap<&'static str, u64>,
    pub why_missed: BTreeMap<&'static str, u64>,
    pub not_stored: BTreeMap<&'static str, u64>,
    pub stored: u64,
    pub collapsed: u64,
}

impl CacheSummary {
    pub fn add(&mut self, counters: &CacheCounters) {
        for verdict in CacheVerdict::ALL {
            let count = counters.verdicts[*verdict as usize].load(Relaxed);
            *self.requests.entry(verdict.name()).or_default() += count;
        }
        let missed = Why::ALL.iter().map(|why| (why.name(), &counters.missed[*why as usize]));
        let refused = Refusal::ALL.iter().map(|refusal| (refusal.name(), &counters.refused[*refusal as usize]));
        sum(&mut self.why_missed, missed);
        sum(&mut self.not_stored, refused);
        self.stored += counters.stored.load(Relaxed);
        self.collapsed += counters.collapsed.load(Relaxed);
    }

    /// Takes away what is counted elsewhere.
    pub fn subtract(&mut self, other: &Self) {
        let tables = [
            (&mut self.requests, &other.requests),
            (&mut self.why_missed, &other.why_missed),
            (&mut self.not_stored, &other.not_stored),
        ];
        for (table, others) in tables {
            for (name, count) in others {
                let left = table.entry(name).or_default();
                *left = left.saturating_sub(*count);
            }
        }
        self.stored = self.stored.saturating_sub(other.stored);
        self.collapsed = self.collapsed.saturating_sub(other.collapsed);
    }

    /// Of the requests that had to do with the store, the share that took nothing of the upstream.
    pub fn hit_ratio(&self) -> f64 {
        let of = |names: &[&str]| names.iter().filter_map(|n| self.requests.get(n)).sum::<u64>();
        match of(&["hit", "stale", "revalidated", "miss"]) {
            0 => 0.0,
            all => of(&["hit", "stale"]) as f64 / all as f64,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.requests.values().all(|count| *count == 0)
    }
}

fn sum<'c>(table: &mut BTreeMap<&'static str, u64>, counters: impl Iterator<Item = (&'static str, &'c AtomicU64)>) {
    for (name, count) in counters.map(|(name, counter)| (name, counter.load(Relaxed))).filter(|(_, n)| *n > 0) {
        *table.entry(name).or_default() += count;
    }
}
