//! What a request asks of a cache.

use reviver_http::RequestHead;

use crate::Why;

/// Directives (RFC 9111, section 5.2.1) and the fields that matter to a cache. Times are seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub no_cache: bool,
    pub no_store: bool,
    pub no_transform: bool,
    pub only_if_cached: bool,
    pub max_age: Option<u64>,
    pub min_fresh: Option<u64>,
    /// `u64::MAX`: however stale.
    pub max_stale: Option<u64>,
    /// The request has such a field.
    pub authorization: bool,
    pub cookie: bool,
    pub range: bool,
    /// `If-None-Match` or `If-Modified-Since`.
    pub conditional: bool,
}

impl Ask {
    pub fn of(head: &RequestHead) -> Self {
        let _ = head;
        Self::default()
    }

    /// Without what it says of freshness: `no-cache`, `max-age`, `min-fresh`, `max-stale` and `Pragma`.
    pub fn without_freshness(self) -> Self {
        Self { no_cache: false, max_age: None, min_fresh: None, max_stale: None, ..self }
    }

    /// Why the request has nothing to do with the store: its response is neither stored nor taken from there.
    pub fn bypasses(head: &RequestHead) -> Option<Why> {
        let _ = head;
        None
    }
}
