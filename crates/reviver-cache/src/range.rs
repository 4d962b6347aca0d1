//! Ranges of stored responses (RFC 9110, section 14).

use reviver_http::RequestHead;
use smallvec::SmallVec;

use crate::Meta;

/// What a `Range` field asks of a response of known length. Ends are exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// There is none that counts: the whole response is sent.
    Whole,
    One(u64, u64),
    /// In the order asked for; overlapping and adjacent ones are joined.
    Many(SmallVec<[(u64, u64); 4]>),
    /// 416.
    Unsatisfiable,
}

/// A malformed field, another unit and one that asks for too many pieces are as if it were not there.
pub fn parse_ranges(request: &RequestHead, length: u64) -> Ranges {
    let _ = (request, length);
    Ranges::Whole
}

/// Whether `If-Range` is not there or holds for the stored response (section 13.1.5).
pub fn if_range_holds(request: &RequestHead, fields: &[u8], meta: &Meta) -> bool {
    let _ = (request, fields, meta);
    true
}

/// `Content-Range: bytes first-last/complete`. The end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    pub start: u64,
    pub end: u64,
    /// None: `*`.
    pub complete: Option<u64>,
}

impl ContentRange {
    pub fn parse(value: &[u8]) -> Option<Self> {
        let _ = value;
        None
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let _ = out;
    }
}

/// The head of one part of `multipart/byteranges` (section 14.6), blank line included.
pub fn write_part_head(boundary: &[u8], content_type: Option<&[u8]>, range: ContentRange, out: &mut Vec<u8>) {
    let _ = (boundary, content_type, range, out);
}

/// What stands behind the last part.
pub fn write_parts_end(boundary: &[u8], out: &mut Vec<u8>) {
    let _ = (boundary, out);
}
