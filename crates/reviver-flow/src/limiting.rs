//! Rate limits of routes: phase `route`.

use std::time::{Duration, Instant};

use reviver_http::{FieldSink, RequestHead};
use reviver_plan::{LimitBy, RateLimit};
use reviver_policy::{client_key, cookie_values, value_key};

use crate::{Flow, Reason, Rule, Slug};

/// What a limit has said of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limited<'s> {
    pub limit: &'s RateLimit,
    pub allowed: bool,
    remaining: u64,
    reset: Duration,
    pub retry_after: Duration,
}

impl<'s> Flow<'s> {
    /// Whether the route's limits let the request through. Each of them counts it up to the first that does not.
    pub(crate) fn check_limits(&mut self, route: u32, head: &RequestHead, now: Instant) -> Option<Reason> {
        if self.internal {
            // Nobody's request but the proxy's own.
            return None;
        }
        let limits = &self.snapshot.route(route)?.limits;
        let rates = self.snapshot.rates.get(route as usize)?;
        for ((index, limit), rate) in (0..).zip(limits).zip(rates) {
            let key = self.key_of(&limit.by, head);
            let verdict = rate.check(key, now);
            let limited = Limited {
                limit,
                allowed: verdict.allowed,
                remaining: verdict.remaining,
                reset: verdict.reset,
                retry_after: verdict.retry_after,
            };
            match (limited.allowed, limit.dry_run) {
                (false, true) => {
                    self.dry_limit.get_or_insert(&limit.name);
                }
                (false, false) => {
                    self.limited = Some(limited);
                    return Some(Reason::new(Slug::RateLimited, Rule::Limit(route, index)));
                }
                // The tightest is told.
                (true, _) if self.limited.is_none_or(|l| limited.remaining < l.remaining) => {
                    self.limited = Some(limited);
                }
                (true, _) => {}
            }
        }
        None
    }

    fn key_of(&self, by: &LimitBy, head: &RequestHead) -> u64 {
        // Keys of values have a secret: none can be made up that meets an address.
        let client = || client_key(self.client.address);
        match by {
            LimitBy::Route => 0,
            LimitBy::Client => client(),
            LimitBy::Header(name) => head.values_of(name.as_bytes()).next().map_or_else(client, value_key),
            LimitBy::Cookie(name) => cookie_values(head, name.as_bytes()).next().map_or_else(client, value_key),
        }
    }

    /// The name of the limit that refused the request, or would have.
    pub fn limit_name(&self) -> Option<&'s str> {
        self.limited.filter(|l| !l.allowed).map(|l| l.limit.name.as_str()).or(self.dry_limit)
    }

    /// `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers, sections 4 and 5): what is let through at once, in
    /// how many seconds that is there again, and what is left.
    pub(crate) fn write_limit_fields(&self, sink: &mut impl FieldSink) {
        let Some(limited) = self.limited.filter(|l| l.limit.fields) else { return };
        let limit = limited.limit;
        let window =
            (u128::from(limit.period_ms) * u128::from(limit.burst)).div_ceil(u128::from(limit.rate.max(1)) * 1000);
        let name = &limit.name;
        let policy = format!("\"{name}\";q={};w={window}", limit.burst);
        sink.field(b"RateLimit-Policy", policy.as_bytes());
        let state = format!("\"{name}\";r={};t={}", limited.remaining, seconds(limited.reset));
        sink.field(b"RateLimit", state.as_bytes());
    }

    /// Whole seconds after which a refused request may be sent again.
    pub(crate) fn retry_after(&self) -> u64 {
        self.limited.filter(|l| !l.allowed).map_or(1, |l| seconds(l.retry_after).max(1))
    }
}

/// Rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
