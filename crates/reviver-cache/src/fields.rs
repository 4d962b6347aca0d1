//! Stored fields: lines of HTTP/1, each with its CRLF.

use reviver_http::{FieldKind, ResponseHead};

/// One line of stored fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
    /// As it stands, CRLF included.
    pub line: &'a [u8],
}

/// The lines of stored fields, in order. What is no line is skipped.
pub fn lines(fields: &[u8]) -> impl Iterator<Item = Line<'_>> + Clone {
    let mut rest = fields;
    std::iter::from_fn(move || {
        loop {
            let end = memchr::memchr(b'\n', rest)?;
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            if let Some(colon) = memchr::memchr(b':', line) {
                return Some(Line { name: &line[..colon], value: line[colon + 1..].trim_ascii(), line });
            }
        }
    })
}

/// The value of the first field of a name (compared without case).
pub fn value_of<'a>(fields: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines(fields).find(|line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
}

/// Appends the lines whose names (compared without case) are none of these.
pub fn write_without(fields: &[u8], names: &[&[u8]], out: &mut Vec<u8>) {
    for line in lines(fields).filter(|line| !names.iter().any(|name| line.name.eq_ignore_ascii_case(name))) {
        out.extend_from_slice(line.line);
    }
}

/// A field, wherever it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) kind: FieldKind,
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
}

pub(crate) fn received(head: &ResponseHead) -> impl Iterator<Item = Item<'_>> + Clone {
    head.fields().iter().map(|field| Item { kind: field.kind, name: head.name(field), value: head.value(field) })
}

pub(crate) fn stored(fields: &[u8]) -> impl Iterator<Item = Item<'_>> + Clone {
    lines(fields).map(|line| Item { kind: FieldKind::of(line.name), name: line.name, value: line.value })
}
