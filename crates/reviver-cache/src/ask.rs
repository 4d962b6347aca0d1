//! What a request asks of a cache.

use reviver_http::{FieldKind, Framing, Method, RequestHead};

use crate::Why;
use crate::directives::{Argument, directives};

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
    /// RFC 5861, section 4: in place of what the response says.
    pub stale_if_error: Option<u64>,
    /// The request has such a field.
    pub authorization: bool,
    pub cookie: bool,
    pub range: bool,
    /// `If-None-Match` or `If-Modified-Since`.
    pub conditional: bool,
}

/// Fields by which frameworks let a request be one of another method.
const METHOD_OVERRIDES: [&[u8]; 3] = [b"x-http-method-override", b"x-http-method", b"x-method-override"];

impl Ask {
    /// Of directives that are there twice, or that cannot be read, the reading that serves least counts.
    #[inline]
    pub fn of(head: &RequestHead) -> Self {
        let mut ask = Self::default();
        let (mut controlled, mut pragma) = (false, false);
        for field in head.fields() {
            match field.kind {
                FieldKind::CacheControl => {
                    controlled = true;
                    ask.read(head.value(field));
                }
                FieldKind::Pragma => pragma |= directives(head.value(field)).any(|directive| directive.is(b"no-cache")),
                FieldKind::Authorization => ask.authorization = true,
                FieldKind::Cookie => ask.cookie = true,
                FieldKind::Range => ask.range = true,
                FieldKind::IfNoneMatch | FieldKind::IfModifiedSince => ask.conditional = true,
                _ => {}
            }
        }
        // section 5.4: only where there is no Cache-Control
        ask.no_cache |= pragma && !controlled;
        ask
    }

    fn read(&mut self, value: &[u8]) {
        for directive in directives(value) {
            let seconds = directive.argument.seconds();
            match directive.name.len() {
                7 if directive.is(b"max-age") => {
                    let seconds = seconds.unwrap_or(0);
                    self.max_age = Some(self.max_age.map_or(seconds, |other| other.min(seconds)));
                }
                8 if directive.is(b"no-cache") => self.no_cache = true,
                8 if directive.is(b"no-store") => self.no_store = true,
                9 if directive.is(b"min-fresh") => match seconds {
                    Some(seconds) => self.min_fresh = Some(self.min_fresh.unwrap_or(0).max(seconds)),
                    None => self.no_cache = true,
                },
                9 if directive.is(b"max-stale") => {
                    // 0 is as if it were not there
                    let seconds = if directive.argument == Argument::None { u64::MAX } else { seconds.unwrap_or(0) };
                    self.max_stale = Some(self.max_stale.map_or(seconds, |other| other.min(seconds)));
                }
                12 if directive.is(b"no-transform") => self.no_transform = true,
                14 if directive.is(b"only-if-cached") => self.only_if_cached = true,
                14 if directive.is(b"stale-if-error") => {
                    let seconds = seconds.unwrap_or(0);
                    self.stale_if_error = Some(self.stale_if_error.map_or(seconds, |other| other.min(seconds)));
                }
                _ => {}
            }
        }
    }

    /// Without what it says of freshness: `no-cache`, `max-age`, `min-fresh`, `max-stale`, `stale-if-error` and
    /// `Pragma`.
    pub fn without_freshness(self) -> Self {
        Self { no_cache: false, max_age: None, min_fresh: None, max_stale: None, stale_if_error: None, ..self }
    }

    /// Why the request has nothing to do with the store: its response is neither stored nor taken from there.
    #[inline]
    pub fn bypasses(head: &RequestHead) -> Option<Why> {
        if !matches!(head.method, Method::Get | Method::Head) {
            return Some(Why::Method);
        }
        // RFC 9110, section 9.3.1: content has no meaning here, but servers have been seen to answer by it
        if !matches!(head.framing, Framing::None | Framing::Length(0)) {
            return Some(Why::RequestBody);
        }
        let mut precondition = false;
        for field in head.fields() {
            match field.kind {
                // RFC 9111, section 4.3.2: not for a cache to evaluate
                FieldKind::IfMatch | FieldKind::IfUnmodifiedSince => precondition = true,
                FieldKind::Other if overrides_method(head.name(field)) => return Some(Why::MethodOverride),
                _ => {}
            }
        }
        if precondition {
            return Some(Why::Precondition);
        }
        head.upgrade.then_some(Why::Upgrade)
    }
}

/// `_` counts as `-`: servers that hand fields on as variables (CGI, WSGI) read both as one name.
fn overrides_method(name: &[u8]) -> bool {
    let same = |known: &[u8]| {
        name.iter()
            .zip(known)
            .all(|(byte, known)| byte.eq_ignore_ascii_case(known) || (*byte == b'_' && *known == b'-'))
    };
    METHOD_OVERRIDES.iter().any(|known| name.len() == known.len() && same(known))
}
