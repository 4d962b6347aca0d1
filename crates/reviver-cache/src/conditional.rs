//! Preconditions that a cache evaluates (RFC 9110, section 13; RFC 9111, section 4.3.2), and those that it makes.

use reviver_http::{FieldKind, FieldSink, Method, RequestHead};

use crate::Meta;
use crate::validator::{EntityTag, date_ms, modified, only};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is none, or it holds: the response is sent.
    Proceed,
    /// Answered with 304.
    NotModified,
}

/// `fields` and `meta` are those of the stored response.
pub fn precondition(request: &RequestHead, fields: &[u8], meta: &Meta) -> Precondition {
    // RFC 9110, section 13.2.1: only where the answer would be a success without it
    if !matches!(request.method, Method::Get | Method::Head) || !(200..300).contains(&meta.status) {
        return Precondition::Proceed;
    }
    // section 13.1.3: `If-Modified-Since` does not count beside `If-None-Match`, whatever that says
    let holds = match none_match(request, fields) {
        Some(matches) => !matches,
        None => modified_since(request, fields, meta),
    };
    if holds { Precondition::Proceed } else { Precondition::NotModified }
}

/// Whether `If-None-Match` names the stored response by weak comparison; None where there is no such field. One that
/// cannot be read names nothing.
fn none_match(request: &RequestHead, fields: &[u8]) -> Option<bool> {
    let mut values = request.values(FieldKind::IfNoneMatch).peekable();
    values.peek()?;
    let stored = EntityTag::stored(fields);
    let (mut any, mut tags, mut found) = (false, false, false);
    for value in values {
        if value == b"*" {
            any = true;
            continue;
        }
        let mut rest = value;
        loop {
            rest = rest.trim_ascii_start();
            match rest {
                [] => break,
                // RFC 9110, section 5.6.1.2: empty elements
                [b',', behind @ ..] => rest = behind,
                _ => {
                    let Some((tag, behind)) = EntityTag::split(rest) else { return Some(false) };
                    tags = true;
                    found |= stored.is_some_and(|stored| stored.opaque == tag.opaque);
                    rest = behind.trim_ascii_start();
                    if !matches!(rest, [] | [b',', ..]) {
                        return Some(false);
                    }
                }
            }
        }
    }
    Some(if any { !tags } else { found })
}

fn modified_since(request: &RequestHead, fields: &[u8], meta: &Meta) -> bool {
    let Some(since) = only(request.values(FieldKind::IfModifiedSince)).and_then(date_ms) else { return true };
    let changed = modified(fields).map_or(meta.date_ms, |(_, date)| date);
    changed > since
}

/// Writes `If-None-Match` and `If-Modified-Since` made of the stored validators. False where there is none.
pub fn write_validators(fields: &[u8], sink: &mut impl FieldSink) -> bool {
    let tag = EntityTag::stored(fields);
    if let Some(tag) = tag {
        sink.field(b"If-None-Match", tag.text);
    }
    let date = modified(fields);
    if let Some((text, _)) = date {
        sink.field(b"If-Modified-Since", text);
    }
    tag.is_some() || date.is_some()
}
