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

pub fn judge(meta: &Meta, ask: &Ask, now_ms: u64) -> Judgement {
    let _ = (meta, ask, now_ms);
    Judgement::Validate(Why::Stale)
}

/// Whether it may be served although it is stale, where the upstream cannot be reached or answers 500, 502, 503 or 504
/// (RFC 5861, section 4; RFC 9111, section 4.2.4).
pub fn may_serve_on_error(meta: &Meta, ask: &Ask, now_ms: u64) -> bool {
    let _ = (meta, ask, now_ms);
    false
}
