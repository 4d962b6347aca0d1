//! A stored response, and how it goes to and comes from the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use reviver_cache::Meta;

use super::growing::Growing;
use super::parts::Pieces;
use super::slices::Slicing;

/// Smaller bodies are not compressed, nor are larger ones.
const LEAST_PACKED: usize = 512;
const MOST_PACKED: u64 = 1 << 20;

/// Where a body stands.
#[derive(Clone, Debug)]
pub enum Body {
    None,
    /// Behind the fields of its object.
    Inline,
    One(Arc<[u8]>),
    Many(Arc<Blocks>),
    /// On disk only, under the object's key.
    Disk(u64),
    /// Still arriving.
    Growing(Arc<Growing>),
    /// In pieces that are objects of their own.
    Sliced(Arc<Slicing>),
    /// Some parts of it.
    Parts(Arc<Pieces>),
    /// LZ4 of what is served, which has this length.
    Packed(Arc<[u8]>, u32),
}

/// A body of more than one block.
#[derive(Debug)]
pub struct Blocks {
    pub blocks: Vec<Arc<[u8]>>,
    pub length: u64,
}

impl Blocks {
    pub fn body(blocks: Vec<Arc<[u8]>>) -> Body {
        match blocks.len() {
            0 => Body::None,
            1 => Body::One(Arc::clone(&blocks[0])),
            _ => {
                let length = blocks.iter().map(|block| block.len() as u64).sum();
                Body::Many(Arc::new(Self { blocks, length }))
            }
        }
    }

    /// All of it in one run.
    pub fn joined(&self) -> Arc<[u8]> {
        self.blocks.iter().flat_map(|block| block.iter().copied()).collect()
    }
}

impl Body {
    /// The same compressed, where that saves a fifth and it is not too large to be unpacked at once.
    pub fn packed(self) -> Self {
        let bytes = match &self {
            Self::One(block) => Arc::clone(block),
            Self::Many(blocks) if blocks.length <= MOST_PACKED => blocks.joined(),
            _ => return self,
        };
        if bytes.len() < LEAST_PACKED {
            return self;
        }
        let packed = lz4_flex::compress(&bytes);
        if packed.len() > bytes.len() / 5 * 4 || packed.len() > super::disk::AT_ONCE as usize {
            return self;
        }
        Self::Packed(packed.into(), bytes.len() as u32)
    }
}

/// What an object is found and chosen by, in one run of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(Box<[u8]>);

/// The parts of a label.
#[derive(Clone, Copy, Debug, Default)]
pub struct LabelParts<'a> {
    /// The key space: a route's name.
    pub space: &'a [u8],
    /// `scheme://host/path?query`, and further lines where the key has some.
    pub key: &'a [u8],
    /// What selected it (`Vary`).
    pub selecting: &'a [u8],
    /// One a line.
    pub tags: &'a [u8],
    pub groups: &'a [u8],
    pub content_type: &'a [u8],
}

const PARTS: usize = 6;

impl Label {
    pub fn new(parts: LabelParts<'_>) -> Self {
        let all = [parts.space, parts.key, parts.selecting, parts.tags, parts.groups, parts.content_type];
        let mut bytes = Vec::with_capacity(PARTS * 2 + all.iter().map(|p| p.len()).sum::<usize>());
        all.iter().for_each(|part| write_length(part.len(), &mut bytes));
        all.iter().for_each(|part| bytes.extend_from_slice(part));
        Self(bytes.into_boxed_slice())
    }

    pub fn parts(&self) -> LabelParts<'_> {
        parts_of(&self.0).unwrap_or_default()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What a primary key is made of: the space and the key.
    pub fn is_of(&self, space: &[u8], key: &[u8]) -> bool {
        let parts = self.parts();
        parts.space == space && parts.key == key
    }
}

/// Seven bits a byte, the least significant first.
fn write_length(mut length: usize, out: &mut Vec<u8>) {
    while length > 0x7F {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn read_length(bytes: &mut &[u8]) -> Option<usize> {
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}

/// Appends the form in which a label stands on disk.
pub fn write_label(meta: &Meta, label: &[u8], out: &mut Vec<u8>) {
    meta.write(out);
    out.extend_from_slice(label);
}

/// Reads it back.
pub fn read_label(bytes: &[u8]) -> Option<(Meta, LabelParts<'_>)> {
    let (meta, read) = Meta::read(bytes)?;
    Some((meta, parts_of(&bytes[read..])?))
}

fn parts_of(bytes: &[u8]) -> Option<LabelParts<'_>> {
    let mut rest = bytes;
    let mut lengths = [0; PARTS];
    for length in &mut lengths {
        *length = read_length(&mut rest)?;
    }
    let mut parts = [&b""[..]; PARTS];
    for (part, length) in parts.iter_mut().zip(lengths) {
        (*part, rest) = rest.split_at_checked(length)?;
    }
    let [space, key, selecting, tags, groups, content_type] = parts;
    Some(LabelParts { space, key, selecting, tags, groups, content_type })
}

/// The part of a key text that is the URL.
pub fn url_of(key: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', key).map_or(key, |end| &key[..end])
}

#[derive(Debug)]
pub struct Object {
    pub key: u128,
    pub meta: Meta,
    /// Label, fields as lines, and a small body: one piece of memory.
    data: Box<[u8]>,
    fields_at: u32,
    body_at: u32,
    pub hits: AtomicU32,
    /// The number of the latest purge when its fetch began; 0 where that is not known any more.
    pub born: u64,
    pub body: Body,
}

/// What an object costs beside its bytes: itself, the counters of what it shares, and its place in the store.
const OVERHEAD: u64 = 256;
/// Bodies up to this size stand in their objects.
pub const INLINE: usize = 4096;

impl Object {
    pub fn new(key: u128, label: &[u8], meta: Meta, fields: &[u8], body: Body) -> Self {
        match body {
            Body::One(bytes) if bytes.len() <= INLINE => Self::inline(key, label, meta, fields, &bytes),
            body => Self { body, ..Self::inline(key, label, meta, fields, &[]) },
        }
    }

    /// With a body in its own memory.
    pub fn inline(key: u128, label: &[u8], meta: Meta, fields: &[u8], body: &[u8]) -> Self {
        let mut data = Vec::with_capacity(label.len() + fields.len() + body.len());
        data.extend_from_slice(label);
        data.extend_from_slice(fields);
        data.extend_from_slice(body);
        Self {
            key,
            meta,
            data: data.into_boxed_slice(),
            fields_at: label.len() as u32,
            body_at: (label.len() + fields.len()) as u32,
            hits: AtomicU32::new(0),
            born: 0,
            body: if body.is_empty() { Body::None } else { Body::Inline },
        }
    }

    pub fn born_at(self, born: u64) -> Self {
        Self { born, ..self }
    }

    pub fn label(&self) -> &[u8] {
        &self.data[..self.fields_at as usize]
    }

    pub fn parts(&self) -> LabelParts<'_> {
        parts_of(self.label()).unwrap_or_default()
    }

    pub fn is_of(&self, space: &[u8], key: &[u8]) -> bool {
        let parts = self.parts();
        parts.space == space && parts.key == key
    }

    /// As lines.
    pub fn fields(&self) -> &[u8] {
        &self.data[self.fields_at as usize..self.body_at as usize]
    }

    /// The body that stands in the object.
    pub fn inline_body(&self) -> &[u8] {
        &self.data[self.body_at as usize..]
    }

    /// Of the whole body; none while that is not known.
    pub fn length(&self) -> Option<u64> {
        match &self.body {
            Body::None => Some(0),
            Body::Inline => Some(self.inline_body().len() as u64),
            Body::One(block) => Some(block.len() as u64),
            Body::Many(blocks) => Some(blocks.length),
            Body::Disk(length) => Some(*length),
            Body::Packed(_, length) => Some(u64::from(*length)),
            Body::Growing(growing) => growing.length(),
            Body::Sliced(slicing) => Some(slicing.length),
            Body::Parts(pieces) => Some(pieces.length),
        }
    }

    /// Bytes of the body in memory.
    pub fn held(&self) -> u64 {
        match &self.body {
            Body::None | Body::Disk(_) | Body::Growing(_) | Body::Sliced(_) => 0,
            Body::Inline => self.inline_body().len() as u64,
            Body::Parts(pieces) => pieces.held(),
            Body::One(block) => block.len() as u64,
            Body::Many(blocks) => blocks.length,
            Body::Packed(packed, _) => packed.len() as u64,
        }
    }

    /// The same with other fields, or known otherwise.
    pub fn with(&self, meta: Meta, fields: Option<Vec<u8>>) -> Self {
        let fields = fields.as_deref().unwrap_or_else(|| self.fields());
        let mut new = Self::inline(self.key, self.label(), meta, fields, self.inline_body());
        new.body = self.body.clone();
        new.born = self.born;
        new.hits = AtomicU32::new(self.hits.load(Ordering::Relaxed));
        new
    }

    pub fn with_body(&self, body: Body) -> Self {
        let new = Self { born: self.born, ..Self::new(self.key, self.label(), self.meta.clone(), self.fields(), body) };
        new.hits.store(self.hits.load(Ordering::Relaxed), Ordering::Relaxed);
        new
    }

    pub fn is_sliced(&self) -> bool {
        matches!(self.body, Body::Sliced(_))
    }

    pub fn weight(&self) -> u64 {
        let apart = if matches!(self.body, Body::Inline) { 0 } else { self.held() };
        OVERHEAD + self.data.len() as u64 + apart
    }
}

/// The names of fields that responses under one key vary by, the latest first.
#[derive(Debug)]
pub struct Sets {
    pub key: u128,
    pub label: Label,
    /// Part of the keys of all variants: with another one, no variant of before is found.
    pub generation: u64,
    pub sets: Vec<Vec<String>>,
}

/// Responses of one resource rarely vary by more than two sets of fields.
pub const MOST_SETS: usize = 4;
/// What marks such a list on disk: no response has this status.
pub const SETS_STATUS: u16 = 1;
/// The same for a piece of a sliced response.
pub const SLICE_STATUS: u16 = 2;

impl Sets {
    pub fn weight(&self) -> u64 {
        OVERHEAD + self.label.0.len() as u64 + self.sets.iter().flatten().map(|n| n.len() as u64 + 24).sum::<u64>()
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.generation.to_le_bytes().to_vec();
        for set in &self.sets {
            out.extend_from_slice(set.join(",").as_bytes());
            out.push(b'\n');
        }
        out
    }

    pub fn read(key: u128, label: Label, bytes: &[u8]) -> Option<Self> {
        let (generation, rest) = bytes.split_first_chunk::<8>()?;
        let sets = std::str::from_utf8(rest).ok()?.lines().take(MOST_SETS);
        let sets = sets.map(|set| set.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect());
        Some(Self { key, label, generation: u64::from_le_bytes(*generation), sets: sets.collect() })
    }
}
