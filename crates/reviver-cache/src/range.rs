//! Ranges of stored responses (RFC 9110, section 14).

use reviver_http::{FieldKind, Method, RequestHead};
use smallvec::SmallVec;

use crate::Meta;
use crate::validator::{EntityTag, date_ms, modified, only};

/// A client that asks for more pieces gets the whole (RFC 9110, section 14.2).
const MAX_RANGES: usize = 16;

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

/// A malformed field, another unit and one that asks for too many pieces are as if it were not there. So is one that
/// asks for more than twice the response: nobody needs that, and it costs the one who answers.
pub fn parse_ranges(request: &RequestHead, length: u64) -> Ranges {
    let mut values = request.values(FieldKind::Range);
    match (request.method, values.next(), values.next()) {
        (Method::Get, Some(value), None) => read(value, length).unwrap_or(Ranges::Whole),
        _ => Ranges::Whole,
    }
}

fn read(value: &[u8], length: u64) -> Option<Ranges> {
    let set = in_bytes(value)?.strip_prefix(b"=")?;
    let (mut asked, mut total) = (0, 0u64);
    let mut kept: SmallVec<[(u64, u64); 4]> = SmallVec::new();
    for spec in set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty()) {
        let range = satisfiable(spec, length)?;
        asked += 1;
        if asked > MAX_RANGES {
            return None;
        }
        if let Some((start, end)) = range {
            total = total.saturating_add(end - start);
            join(&mut kept, start, end);
        }
    }
    match kept[..] {
        _ if asked == 0 || total > length.saturating_mul(2) => None,
        // a suffix of nothing is nothing, which no `Content-Range` can say
        [(start, end)] if start == end => None,
        [] => Some(Ranges::Unsatisfiable),
        [(start, end)] => Some(Ranges::One(start, end)),
        _ => Some(Ranges::Many(kept)),
    }
}

/// What stands behind the unit `bytes` (section 14.1: without case).
fn in_bytes(value: &[u8]) -> Option<&[u8]> {
    let (unit, rest) = value.split_at_checked(5)?;
    unit.eq_ignore_ascii_case(b"bytes").then_some(rest)
}

/// Section 14.1.2. None outside: it is malformed; inside: nothing of it is there.
fn satisfiable(spec: &[u8], length: u64) -> Option<Option<(u64, u64)>> {
    let dash = memchr::memchr(b'-', spec)?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        let suffix = number(last)?;
        return Some((suffix > 0).then(|| (length.saturating_sub(suffix), length)));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some((first < length).then(|| (first, last.saturating_add(1).min(length))))
}

/// One that is too large is larger than any response.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| {
        byte.is_ascii_digit().then(|| value.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}

/// Puts a range in the place of the first that it touches. What is there already touches nothing else there.
fn join(kept: &mut SmallVec<[(u64, u64); 4]>, mut start: u64, mut end: u64) {
    let at = kept.iter().position(|(from, to)| start <= *to && *from <= end).unwrap_or(kept.len());
    kept.retain(|(from, to)| {
        let apart = end < *from || *to < start;
        if !apart {
            (start, end) = (start.min(*from), end.max(*to));
        }
        apart
    });
    kept.insert(at, (start, end));
}

/// Whether `If-Range` is not there or holds for the stored response (section 13.1.5).
pub fn if_range_holds(request: &RequestHead, fields: &[u8], meta: &Meta) -> bool {
    let mut values = request.values(FieldKind::IfRange).peekable();
    if values.peek().is_none() {
        return true;
    }
    let Some(value) = only(values) else { return false };
    if let Some(tag) = EntityTag::parse(value) {
        return EntityTag::stored(fields).is_some_and(|stored| stored.is_strongly(tag));
    }
    let (Some(asked), Some((_, changed))) = (date_ms(value), modified(fields)) else { return false };
    // section 8.8.2.2: within that second it may have changed once more
    asked == changed && meta.date_ms >= changed.saturating_add(1000)
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
    /// None also for one that says nothing of a part (`bytes */9`) or contradicts itself (section 14.4).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let rest = in_bytes(value)?.strip_prefix(b" ")?;
        let slash = memchr::memchr(b'/', rest)?;
        let (range, complete) = (&rest[..slash], &rest[slash + 1..]);
        let dash = memchr::memchr(b'-', range)?;
        let (start, last) = (number(&range[..dash])?, number(&range[dash + 1..])?);
        let end = last.checked_add(1)?;
        let complete = if complete == b"*" { None } else { Some(number(complete)?) };
        (start < end && complete.is_none_or(|complete| end <= complete)).then_some(Self { start, end, complete })
    }

    /// An empty range is written as a 416 tells the length: `bytes */complete`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(b"bytes ");
        if self.start < self.end {
            out.extend_from_slice(digits.format(self.start).as_bytes());
            out.push(b'-');
            out.extend_from_slice(digits.format(self.end - 1).as_bytes());
        } else {
            out.push(b'*');
        }
        out.push(b'/');
        match self.complete {
            Some(complete) => out.extend_from_slice(digits.format(complete).as_bytes()),
            None => out.push(b'*'),
        }
    }
}

/// The head of one part of `multipart/byteranges` (section 14.6), blank line included.
pub fn write_part_head(boundary: &[u8], content_type: Option<&[u8]>, range: ContentRange, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n--");
    out.extend_from_slice(boundary);
    if let Some(content_type) = content_type {
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(content_type);
    }
    out.extend_from_slice(b"\r\nContent-Range: ");
    range.write(out);
    out.extend_from_slice(b"\r\n\r\n");
}

/// What stands behind the last part.
pub fn write_parts_end(boundary: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n--");
    out.extend_from_slice(boundary);
    out.extend_from_slice(b"--\r\n");
}

/// Bytes of the whole `multipart/byteranges` content: heads, ranges and end.
pub fn parts_length(boundary: &[u8], content_type: Option<&[u8]>, ranges: &[(u64, u64)], complete: Option<u64>) -> u64 {
    let mut frame = Vec::new();
    let mut content = 0u64;
    for &(start, end) in ranges {
        write_part_head(boundary, content_type, ContentRange { start, end, complete }, &mut frame);
        content = content.saturating_add(end.saturating_sub(start));
    }
    write_parts_end(boundary, &mut frame);
    content.saturating_add(frame.len() as u64)
}
