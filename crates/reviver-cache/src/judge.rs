//! Whether a stored response may be served (RFC 9111, section 4).

use crate::{Ask, Meta, Why};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// [`Why::Fresh`] or [`Why::MaxStale`].
    Serve(Why),
    /// Served at once, and validated behind the client's back (RFC 5861, section 3).
    ServeAndRevalidate,
    /// The upstream is asked first.
    Validate(Why),
}

/// A soft purge makes a response stale at once; the times for which it may be served stale still count from the end of
/// its lifetime.
#[inline]
pub fn judge(meta: &Meta, ask: &Ask, now_ms: u64) -> Judgement {
    // section 5.2.1.4
    if ask.no_cache {
        return Judgement::Validate(Why::Request);
    }
    // section 5.2.2.4
    if meta.no_cache {
        return Judgement::Validate(Why::NoCache);
    }
    let age = meta.age_ms(now_ms);
    // section 5.2.1.1; by 0 people mean now, also where less than a clock's tick has passed
    if ask.max_age.is_some_and(|seconds| seconds == 0 || age > millis(seconds)) {
        return Judgement::Validate(Why::Request);
    }
    let left = if meta.purged { 0 } else { meta.lifetime_ms.saturating_sub(age) };
    if left > 0 {
        // section 5.2.1.3
        let enough = ask.min_fresh.is_none_or(|seconds| left >= millis(seconds));
        return if enough { Judgement::Serve(Why::Fresh) } else { Judgement::Validate(Why::Request) };
    }
    let why = if meta.purged { Why::Purged } else { Why::Stale };
    // section 4.2.4
    if meta.must_revalidate || ask.min_fresh.is_some() {
        return Judgement::Validate(why);
    }
    let stale = age.saturating_sub(meta.lifetime_ms);
    if within(stale, meta.stale_while_revalidate_ms) {
        return Judgement::ServeAndRevalidate;
    }
    // section 5.2.1.2; whoever purged did not mean this client's patience
    match ask.max_stale {
        Some(seconds) if !meta.purged && within(stale, millis(seconds)) => Judgement::Serve(Why::MaxStale),
        _ => Judgement::Validate(why),
    }
}

/// Whether it may be served although it is stale, where the upstream cannot be reached or answers 500, 502, 503 or 504
/// (RFC 5861, section 4; RFC 9111, section 4.2.4): "regardless of other freshness information".
pub fn may_serve_on_error(meta: &Meta, ask: &Ask, now_ms: u64) -> bool {
    if meta.no_cache || meta.must_revalidate || ask.no_cache {
        return false;
    }
    let window = ask.stale_if_error.map_or(meta.stale_if_error_ms, millis);
    within(meta.age_ms(now_ms).saturating_sub(meta.lifetime_ms), window)
}

/// No window is none, also at the moment when the lifetime ends.
fn within(stale_ms: u64, window_ms: u64) -> bool {
    window_ms > 0 && stale_ms <= window_ms
}

fn millis(seconds: u64) -> u64 {
    seconds.saturating_mul(1000)
}
