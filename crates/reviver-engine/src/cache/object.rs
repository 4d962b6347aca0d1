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
    One(Arc<[u8]>),
    Many {
        blocks: Arc<[Arc<[u8]>]>,
        length: u64,
    },
    /// On disk only, under the object's key.
    Disk {
        length: u64,
    },
    /// Still arriving.
    Growing(Arc<Growing>),
    /// In pieces that are objects of their own.
    Sliced(Slicing),
    /// Some parts of it.
    Parts(Arc<Pieces>),
    /// LZ4 of what is served.
    Packed {
        packed: Arc<[u8]>,
        length: u64,
    },
}

impl Body {
    /// Of the whole body; none while that is not known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::One(block) => Some(block.len() as u64),
            Self::Many { length, .. } | Self::Disk { length } | Self::Packed { length, .. } => Some(*length),
            Self::Growing(growing) => growing.length(),
            Self::Sliced(slicing) => Some(slicing.length),
            Self::Parts(pieces) => Some(pieces.length),
        }
    }

    /// The same compressed, where that saves a fifth and it is not too large to be unpacked at once.
    pub fn packed(self) -> Self {
        let bytes = match &self {
            Self::One(block) => Arc::clone(block),
            Self::Many { blocks, length } if *length <= MOST_PACKED => {
                blocks.iter().flat_map(|block| block.iter().copied()).collect()
            }
            _ => return self,
        };
        if bytes.len() < LEAST_PACKED {
            return self;
        }
        let packed = lz4_flex::compress(&bytes);
        if packed.len() > bytes.len() / 5 * 4 || packed.len() > super::AT_ONCE as usize {
            return self;
        }
        Self::Packed { packed: packed.into(), length: bytes.len() as u64 }
    }

    /// Bytes in memory.
    pub fn held(&self) -> u64 {
        match self {
            Self::None | Self::Disk { .. } | Self::Growing(_) | Self::Sliced(_) => 0,
            Self::Parts(pieces) => pieces.held(),
            Self::One(block) => block.len() as u64,
            Self::Many { length, .. } => *length,
            Self::Packed { packed, .. } => packed.len() as u64,
        }
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
        let mut bytes = Vec::with_capacity(PARTS * 4 + all.iter().map(|p| p.len()).sum::<usize>());
        for part in all {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        }
        all.iter().for_each(|part| bytes.extend_from_slice(part));
        Self(bytes.into_boxed_slice())
    }

    pub fn parts(&self) -> LabelParts<'_> {
        parts_of(&self.0).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What a primary key is made of: the space and the key.
    pub fn is_of(&self, space: &[u8], key: &[u8]) -> bool {
        let parts = self.parts();
        parts.space == space && parts.key == key
    }
}

/// Appends the form in which a label stands on disk.
pub fn write_label(meta: &Meta, label: &Label, out: &mut Vec<u8>) {
    meta.write(out);
    out.extend_from_slice(&label.0);
}

/// Reads it back.
pub fn read_label(bytes: &[u8]) -> Option<(Meta, LabelParts<'_>)> {
    let (meta, read) = Meta::read(bytes)?;
    Some((meta, parts_of(&bytes[read..])?))
}

fn parts_of(bytes: &[u8]) -> Option<LabelParts<'_>> {
    let (lengths, mut rest) = bytes.split_at_checked(PARTS * 4)?;
    let mut parts = [&b""[..]; PARTS];
    for (part, length) in parts.iter_mut().zip(lengths.chunks_exact(4)) {
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
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
    pub label: Label,
    pub meta: Meta,
    /// As lines.
    pub fields: Box<[u8]>,
    pub body: Body,
    pub hits: AtomicU32,
}

/// What an object costs beside its bytes: itself, the counters of what it shares, and its place in the store.
const OVERHEAD: u64 = 256;

impl Object {
    pub fn new(key: u128, label: Label, meta: Meta, fields: Vec<u8>, body: Body) -> Self {
        Self { key, label, meta, fields: fields.into_boxed_slice(), body, hits: AtomicU32::new(0) }
    }

    /// The same with other fields, or known otherwise.
    pub fn with(&self, meta: Meta, fields: Option<Vec<u8>>) -> Self {
        Self {
            key: self.key,
            label: self.label.clone(),
            meta,
            fields: fields.map_or_else(|| self.fields.clone(), Vec::into_boxed_slice),
            body: self.body.clone(),
            hits: AtomicU32::new(self.hits.load(Ordering::Relaxed)),
        }
    }

    pub fn with_body(&self, body: Body) -> Self {
        Self { body, ..self.with(self.meta.clone(), None) }
    }

    pub fn is_sliced(&self) -> bool {
        matches!(self.body, Body::Sliced(_))
    }

    pub fn weight(&self) -> u64 {
        OVERHEAD + self.label.len() as u64 + self.fields.len() as u64 + self.body.held()
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
        OVERHEAD + self.label.len() as u64 + self.sets.iter().flatten().map(|n| n.len() as u64 + 24).sum::<u64>()
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
