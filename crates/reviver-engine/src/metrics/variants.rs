//! What the variants of splits answered, as finely as a judgement between them needs it.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use histogram::Histogram;
use reviver_flow::{Ending, Fault, Record};
use reviver_plan::{Plan, Snapshot};
use serde::Serialize;
use serde_json::{Value, json};

use super::{CONFIG, Group, GroupSummary, Metrics, Names, Sum, add};

/// Statuses have three digits.
const STATUSES: usize = 600;

/// The counters of one variant, or of the share of stable that a canary is compared with, on one core.
#[derive(Debug)]
pub(super) struct Variant {
    pub group: Group,
    /// Flows that were not served from the cache, and did not choose their variant: by the status that the client got.
    statuses: Box<[AtomicU64]>,
    /// Of these, answered with 5xx or broken off.
    errors: AtomicU64,
}

impl Default for Variant {
    fn default() -> Self {
        let statuses = (0..STATUSES).map(|_| AtomicU64::new(0)).collect();
        Self { group: Group::default(), statuses, errors: AtomicU64::new(0) }
    }
}

impl Variant {
    pub fn observe(&self, record: &Record) {
        // What is the client's own fault, and reached no server, says nothing of the variant.
        let own = record.upstream_status == 0 && record.reason.slug.row().fault == Fault::Client;
        if own || record.cache.is_some_and(|c| c.age.is_some()) || record.chosen.is_some_and(|c| c.forced) {
            return;
        }
        self.group.observe(record, record.status, record.times.first_byte.map(u64::from));
        if let Some(counter) = self.statuses.get(usize::from(record.status)) {
            add(counter, 1);
        }
        if record.status >= 500 || record.ending == Ending::UpstreamAborted {
            add(&self.errors, 1);
        }
    }
}

/// The names of a plan's variants, each split's followed by its baseline.
pub(super) fn names(plan: &Plan) -> impl Iterator<Item = String> {
    let splits = plan.reverse.iter().flat_map(|r| &r.splits);
    splits.flat_map(|split| {
        let variants = split.variants.iter().map(|v| format!("{}/{}", split.name, v.name));
        variants.chain([baseline(&split.name)])
    })
}

/// No variant has such a name.
fn baseline(split: &str) -> String {
    format!("{split}/ baseline")
}

#[derive(Debug, Serialize)]
struct Counts {
    requests: u64,
    errors: u64,
    /// By class and by status.
    statuses: BTreeMap<String, u64>,
    /// Upper bounds of buckets in microseconds, and how many there are in each.
    latency: Vec<(u64, u64)>,
}

impl Metrics {
    /// All splits with their weights and what their variants have answered since the start.
    pub fn splits(&self, snapshot: &Snapshot) -> Value {
        let splits = snapshot.divided().map(|(split, state)| {
            let weights = state.weights();
            let variants = split.variants.iter().zip(weights).map(|(variant, weight)| {
                let mut shown = json!({
                    "name": variant.name, "weight": weight, "written": variant.weight,
                    "pool": snapshot.pool(variant.pool).map(|p| p.name.as_str()),
                });
                merge(&mut shown, self.counts(&format!("{}/{}", split.name, variant.name)));
                shown
            });
            let variants: Vec<Value> = variants.collect();
            let compared = split.canary.then(|| self.counts(&baseline(&split.name)));
            json!({"name": split.name, "canary": split.canary, "variants": variants, "baseline": compared})
        });
        json!({ "splits": splits.collect::<Vec<_>>() })
    }

    /// By `split/variant`, baselines left out.
    pub(super) fn variants(&self) -> BTreeMap<String, GroupSummary> {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for core in &self.cores {
            let names = core.lock().unwrap_or_else(PoisonError::into_inner);
            for (name, variant) in names.variants.iter().filter(|(name, _)| !name.ends_with("/ baseline")) {
                sums.entry(name.clone()).or_default().add(&variant.group);
            }
        }
        sums.into_iter().map(|(name, sum)| (name, sum.summary())).collect()
    }

    fn counts(&self, name: &str) -> Value {
        let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
        let mut latency = Histogram::with_config(&CONFIG);
        let (mut requests, mut errors) = (0, 0);
        for core in &self.cores {
            let names: std::sync::MutexGuard<'_, Names> = core.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(variant) = names.variants.get(name) else { continue };
            errors += variant.errors.load(Relaxed);
            for (status, counter) in variant.statuses.iter().enumerate() {
                let count = counter.load(Relaxed);
                if count > 0 {
                    requests += count;
                    *statuses.entry(format!("{}xx", status / 100)).or_default() += count;
                    *statuses.entry(status.to_string()).or_default() += count;
                }
            }
            // the same configuration everywhere, and counts far from overflowing
            let _ = latency.checked_add_assign(&variant.group.latency.load());
        }
        let latency = latency.into_iter().filter(|b| b.count() > 0).map(|b| (b.end(), b.count())).collect();
        serde_json::to_value(Counts { requests, errors, statuses, latency }).unwrap_or_default()
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}
