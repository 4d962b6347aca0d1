//! What a response's directives say to a shared cache (RFC 9111, section 5.2.2; RFC 5861; RFC 8246; RFC 9213).

use reviver_http::ResponseHead;
use smallvec::SmallVec;

/// Times are seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    pub max_age: Option<u64>,
    pub s_maxage: Option<u64>,
    /// A freshness directive is there and cannot be read: the response is stale (section 4.2.1).
    pub invalid_freshness: bool,
    pub no_cache: bool,
    /// Field names of a qualified `no-cache` or `private`, lower case: these fields are not stored.
    pub not_stored: SmallVec<[String; 2]>,
    pub no_store: bool,
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub no_transform: bool,
    pub immutable: bool,
    pub stale_while_revalidate: Option<u64>,
    pub stale_if_error: Option<u64>,
    /// A targeted field spoke: `Cache-Control` and `Expires` do not count.
    pub targeted: bool,
}

impl Control {
    /// `targeted`: names of targeted fields, lower case, the first that is there and valid counts.
    pub fn of(response: &ResponseHead, targeted: &[String]) -> Self {
        let _ = (response, targeted);
        Self::default()
    }
}
