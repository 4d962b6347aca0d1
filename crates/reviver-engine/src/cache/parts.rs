//! Parts of a response, put together (RFC 9111, section 3.4).

use std::sync::Arc;

use reviver_cache::{ContentRange, Meta, Ranges, parse_ranges, value_of, write_without};
use reviver_http::RequestHead;
use reviver_store::BLOCK;

use super::Cache;
use super::memory::Slot;
use super::object::{Blocks, Body, Object};

/// Pieces in order; none touches another.
#[derive(Debug)]
pub struct Pieces {
    /// Of the whole response.
    pub length: u64,
    pieces: Vec<(u64, Arc<[u8]>)>,
}

impl Pieces {
    pub fn held(&self) -> u64 {
        self.pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// The bytes of a range that lies in one piece.
    pub fn get(&self, start: u64, end: u64) -> Option<&[u8]> {
        let at = self.pieces.partition_point(|(from, _)| *from <= start).checked_sub(1)?;
        let (from, bytes) = &self.pieces[at];
        bytes.get(usize::try_from(start - from).ok()?..usize::try_from(end - from).ok()?)
    }

    /// With one more piece; where two overlap the newer counts.
    fn with(&self, start: u64, bytes: &[u8]) -> Self {
        let end = start + bytes.len() as u64;
        let (mut first, mut joined) = (start, Vec::new());
        let mut pieces = Vec::with_capacity(self.pieces.len() + 1);
        let mut behind = Vec::new();
        for (from, old) in &self.pieces {
            let to = from + old.len() as u64;
            if to < start || *from > end {
                pieces.push((*from, Arc::clone(old)));
                continue;
            }
            if *from < start {
                first = *from;
                joined.extend_from_slice(&old[..(start - from) as usize]);
            }
            if to > end {
                behind.extend_from_slice(&old[(end - from) as usize..]);
            }
        }
        joined.extend_from_slice(bytes);
        joined.extend_from_slice(&behind);
        pieces.push((first, Arc::from(joined)));
        pieces.sort_by_key(|(from, _)| *from);
        Self { length: self.length, pieces }
    }

    fn is_complete(&self) -> bool {
        matches!(self.pieces.as_slice(), [(0, bytes)] if bytes.len() as u64 == self.length)
    }
}

/// Whether what a request asks for lies in the parts that are there.
pub fn covers(pieces: &Pieces, request: &RequestHead) -> bool {
    match parse_ranges(request, pieces.length) {
        Ranges::Whole => false,
        Ranges::One(start, end) => pieces.get(start, end).is_some(),
        Ranges::Many(ranges) => ranges.iter().all(|(start, end)| pieces.get(*start, *end).is_some()),
        Ranges::Unsatisfiable => true,
    }
}

impl Cache {
    /// Keeps a 206, with what is there of the same response already. False where it cannot be told which part it is.
    pub(super) fn keep_part(&self, part: &Object, body: &Body) -> bool {
        let range = value_of(part.fields(), b"content-range").and_then(ContentRange::parse);
        let Some(ContentRange { start, complete: Some(length), .. }) = range else { return false };
        let bytes = match body {
            Body::One(bytes) => Arc::clone(bytes),
            Body::Many(blocks) => blocks.joined(),
            _ => return false,
        };
        let mut pieces = Pieces { length, pieces: Vec::new() };
        if let Some(Slot::Object(old)) = self.memory.peek(part.key)
            && old.label() == part.label()
        {
            match &old.body {
                // Section 3.4: only parts that share a strong validator are of one response.
                Body::Parts(known) if known.length == length && same_version(old.fields(), part.fields()) => {
                    pieces.pieces.clone_from(&known.pieces);
                }
                Body::Parts(_) => {}
                // The whole of it is there.
                _ if old.meta.status == 200 && same_version(old.fields(), part.fields()) => return false,
                _ => {}
            }
        }
        let pieces = pieces.with(start, &bytes);
        if pieces.held() > self.most_in_memory {
            return false;
        }
        let mut fields = Vec::with_capacity(part.fields().len());
        write_without(part.fields(), &[b"content-range"], &mut fields);
        let meta = Meta { status: 200, content_length: Some(length), ..part.meta.clone() };
        let whole = pieces.is_complete();
        let body = match whole {
            true => whole_of(&pieces.pieces[0].1),
            false => Body::Parts(Arc::new(pieces)),
        };
        let object = Object::new(part.key, part.label(), meta, &fields, body);
        let object = Arc::new(object.born_at(part.born));
        // Parts are kept in memory only.
        if !whole && let Some(disk) = &self.disk {
            // What stood there is another version, or less of this one.
            disk.remove(part.key);
        }
        self.keep(&object, !whole)
    }
}

fn whole_of(bytes: &Arc<[u8]>) -> Body {
    if bytes.len() <= BLOCK {
        return Body::One(Arc::clone(bytes));
    }
    Blocks::body(bytes.chunks(BLOCK).map(Arc::from).collect())
}

pub(super) fn strong_tag(fields: &[u8]) -> Option<&[u8]> {
    value_of(fields, b"etag").filter(|tag| !tag.starts_with(b"W/"))
}

/// Whether two responses show the same strong validator.
fn same_version(one: &[u8], other: &[u8]) -> bool {
    match (strong_tag(one), strong_tag(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => {
            let date = |fields| value_of(fields, b"last-modified");
            date(one).is_some() && date(one) == date(other)
        }
        _ => false,
    }
}
