//! Rate limits with what they have counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reviver_policy::{Gcra, RateTable, RateVerdict};

use crate::{LimitBy, RateLimit, Route, Snapshot};

/// One limit of a route.
#[derive(Debug)]
pub struct Rate {
    gcra: Gcra,
    table: Arc<RateTable>,
}

impl Rate {
    pub fn check(&self, key: u64, now: Instant) -> RateVerdict {
        self.table.check(&self.gcra, key, now)
    }
}

/// The limits of a route; what they have counted is kept where they have not changed.
pub(crate) fn rates(route: &Route, earlier: Option<&Snapshot>) -> Vec<Rate> {
    let kept = earlier.and_then(|e| {
        let routes = &e.plan.reverse.as_ref()?.routes;
        let index = routes.iter().position(|r| r.name == route.name)?;
        Some((routes[index].limits.as_slice(), e.rates.get(index)?.as_slice()))
    });
    let rate = |limit: &RateLimit| {
        let same = |other: &RateLimit| {
            (other.rate, other.period_ms, other.burst, &other.by)
                == (limit.rate, limit.period_ms, limit.burst, &limit.by)
        };
        let counted = kept.and_then(|(limits, rates)| rates.get(limits.iter().position(same)?));
        let entries = if limit.by == LimitBy::Route { 1 } else { RateTable::ENTRIES };
        Rate {
            gcra: Gcra::new(limit.rate, Duration::from_millis(limit.period_ms), limit.burst),
            table: counted.map_or_else(|| Arc::new(RateTable::new(entries)), |rate| Arc::clone(&rate.table)),
        }
    };
    route.limits.iter().map(rate).collect()
}
