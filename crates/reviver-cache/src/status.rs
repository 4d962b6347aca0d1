//! `Cache-Status` (RFC 9211).

use crate::Why;

/// What one cache did with one request.
#[derive(Clone, Copy, Debug)]
pub struct CacheStatus<'a> {
    /// The cache's name: a token.
    pub name: &'a [u8],
    pub hit: bool,
    pub why: Why,
    /// Seconds; where a stored response was served or stored.
    pub ttl: Option<i64>,
    /// What the upstream answered, where it was asked.
    pub forward_status: Option<u16>,
    pub stored: bool,
    pub collapsed: bool,
    pub key: Option<&'a [u8]>,
    /// Why it was not stored.
    pub detail: Option<&'a str>,
}

/// Appends the member, without the field's name.
pub fn write_cache_status(status: &CacheStatus<'_>, out: &mut Vec<u8>) {
    let _ = (status, out);
}
