//! Preconditions that a cache evaluates (RFC 9110, section 13; RFC 9111, section 4.3.2), and those that it makes.

use reviver_http::{FieldSink, RequestHead};

use crate::Meta;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is none, or it holds: the response is sent.
    Proceed,
    /// Answered with 304.
    NotModified,
}

/// `fields` and `meta` are those of the stored response.
pub fn precondition(request: &RequestHead, fields: &[u8], meta: &Meta) -> Precondition {
    let _ = (request, fields, meta);
    Precondition::Proceed
}

/// Writes `If-None-Match` and `If-Modified-Since` made of the stored validators. False where there is none.
pub fn write_validators(fields: &[u8], sink: &mut impl FieldSink) -> bool {
    let _ = (fields, sink);
    false
}
