//! What stands in the files, byte by byte. All numbers are little-endian.
//!
//! A segment starts with a header that holds a random number, the nonce; every record repeats it. So bytes of a body
//! are never taken for a record when a damaged segment is searched for the next good one, whoever chose them.

use crate::{BLOCK, Key};

pub const VERSION: u32 = 1;
pub const SEGMENT_HEADER: usize = 32;
pub const RECORD: usize = 68;
pub const INDEX_HEADER: usize = 56;
pub const ENTRY: usize = 48;
pub const FOOTER: usize = 24;
/// Where the body of an object with a segment of its own starts.
pub const OWN_BODY: u64 = 4096;
/// Longest head; the table keeps its length in 26 bits.
pub const MAX_HEAD: usize = (1 << 26) - 1;

const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"RVSTORE\0");
const INDEX_MAGIC: u64 = u64::from_le_bytes(*b"RVINDEX\0");

struct Take<'a>(&'a [u8]);

impl Take<'_> {
    /// Callers have checked the length; missing bytes read as zero.
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let Some((head, rest)) = self.0.split_first_chunk::<N>() else {
            self.0 = &[];
            return [0; N];
        };
        self.0 = rest;
        *head
    }

    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.bytes())
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn u128(&mut self) -> u128 {
        u128::from_le_bytes(self.bytes())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentHeader {
    /// Many records.
    Shared {
        nonce: u64,
    },
    /// A body, its record and a footer.
    Own {
        nonce: u64,
    },
    /// Of another version of this format.
    Foreign,
    Broken,
}

impl SegmentHeader {
    pub fn encode(own: bool, nonce: u64) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        out[..8].copy_from_slice(&SEGMENT_MAGIC.to_le_bytes());
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&u32::from(own).to_le_bytes());
        out[16..24].copy_from_slice(&nonce.to_le_bytes());
        let sum = crc32c::crc32c(&out[..24]);
        out[24..28].copy_from_slice(&sum.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> SegmentHeader {
        let mut take = Take(bytes);
        let (magic, version, own, nonce, sum) = (take.u64(), take.u32(), take.u32(), take.u64(), take.u32());
        if bytes.len() < SEGMENT_HEADER || magic != SEGMENT_MAGIC || sum != crc32c::crc32c(&bytes[..24]) {
            return SegmentHeader::Broken;
        }
        match (version, own) {
            (VERSION, 0) => SegmentHeader::Shared { nonce },
            (VERSION, _) => SegmentHeader::Own { nonce },
            _ => SegmentHeader::Foreign,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Checksums and body follow the head.
    Put = 1,
    /// Checksums follow the head, the body stands at `OWN_BODY`.
    Own = 2,
    /// A label and a head for the body whose sequence is `aux`.
    Head = 3,
    /// What has the key and a lower sequence is gone.
    Remove = 4,
    Soften = 5,
    /// What has a lower sequence is gone.
    Clear = 6,
}

impl Kind {
    fn from(byte: u8) -> Option<Kind> {
        [Kind::Put, Kind::Own, Kind::Head, Kind::Remove, Kind::Soften, Kind::Clear]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// Takes something away that may stand in an older segment, so it has to outlive that segment.
    pub fn is_note(self) -> bool {
        matches!(self, Kind::Remove | Kind::Soften | Kind::Clear)
    }
}

/// What stands before a label and a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: Kind,
    pub softened: bool,
    pub key: Key,
    pub sequence: u64,
    /// Of a head: the sequence of its body. Of a body: the sequence of the head that was merged into it, or 0.
    pub aux: u64,
    pub label_len: u16,
    pub head_len: u32,
    pub body_len: u64,
}

impl Record {
    pub fn note(kind: Kind, key: Key, sequence: u64) -> Record {
        Record { kind, softened: false, key, sequence, aux: 0, label_len: 0, head_len: 0, body_len: 0 }
    }

    /// Bytes of record, label and head: what the checksum is over.
    pub fn meta_len(&self) -> usize {
        RECORD + usize::from(self.label_len) + self.head_len as usize
    }

    /// Bytes in the file, the body of `Kind::Own` not counted.
    pub fn len(&self) -> u64 {
        let body = if self.kind == Kind::Put { self.body_len } else { 0 };
        (self.meta_len() as u64).saturating_add(4 * blocks(self.body_len)).saturating_add(body)
    }

    /// `clock`: the highest sequence that was given out when this is written. Appends record, label and head.
    pub fn encode(&self, nonce: u64, clock: u64, label: &[u8], head: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&nonce.to_le_bytes());
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.aux.to_le_bytes());
        out.extend_from_slice(&clock.to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.head_len.to_le_bytes());
        out.extend_from_slice(&self.label_len.to_le_bytes());
        out.extend_from_slice(&[self.kind as u8, u8::from(self.softened)]);
        let mut sum = crc32c::crc32c(&out[start..]);
        for part in [label, head] {
            sum = crc32c::crc32c_append(sum, part);
        }
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(label);
        out.extend_from_slice(head);
    }

    /// The record at the start of `bytes` and its clock, where the checksum over it, its label and its head holds.
    pub fn decode(bytes: &[u8], nonce: u64) -> Option<(Record, u64)> {
        let fixed = bytes.get(..RECORD)?;
        let mut take = Take(fixed);
        if take.u64() != nonce {
            return None;
        }
        let (key, sequence, aux, clock) = (take.u128(), take.u64(), take.u64(), take.u64());
        let (body_len, head_len, label_len) = (take.u64(), take.u32(), take.u16());
        let (kind, softened, expected) = (take.u8(), take.u8() != 0, take.u32());
        let kind = Kind::from(kind)?;
        let record = Record { kind, softened, key, sequence, aux, label_len, head_len, body_len };
        let sum = crc32c::crc32c_append(crc32c::crc32c(&fixed[..RECORD - 4]), bytes.get(RECORD..record.meta_len())?);
        (sum == expected).then_some((record, clock))
    }

    fn encode_entry(&self, offset: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.aux.to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        // bodies in shared segments are short
        out.extend_from_slice(&(self.body_len as u32).to_le_bytes());
        out.extend_from_slice(&self.head_len.to_le_bytes());
        out.extend_from_slice(&self.label_len.to_le_bytes());
        out.extend_from_slice(&[self.kind as u8, u8::from(self.softened)]);
    }
}

/// A record of a shared segment, and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub offset: u32,
    pub record: Record,
}

impl Entry {
    fn decode(bytes: &[u8]) -> Option<Entry> {
        let mut take = Take(bytes);
        let (key, sequence, aux, offset) = (take.u128(), take.u64(), take.u64(), take.u32());
        let (body_len, head_len, label_len) = (u64::from(take.u32()), take.u32(), take.u16());
        let (kind, softened) = (Kind::from(take.u8())?, take.u8() != 0);
        Some(Entry { offset, record: Record { kind, softened, key, sequence, aux, label_len, head_len, body_len } })
    }
}

/// The entries of a segment with their labels, as the index file beside it holds them.
#[derive(Default)]
pub struct Index {
    pub entries: Vec<Entry>,
    /// One after the other, in the order of the entries.
    pub labels: Vec<u8>,
}

pub struct IndexHeader {
    pub nonce: u64,
    /// Bytes of the segment that the entries speak of.
    pub data_len: u64,
    pub count: usize,
    pub labels_len: u64,
    entries_sum: u32,
    labels_sum: u32,
}

impl Index {
    pub fn push(&mut self, entry: Entry, label: &[u8]) {
        self.entries.push(entry);
        self.labels.extend_from_slice(label);
    }

    /// Each entry with its label.
    pub fn iter(&self) -> impl Iterator<Item = (&Entry, &[u8])> {
        let mut rest = &self.labels[..];
        self.entries.iter().map(move |entry| {
            let (label, after) = rest.split_at_checked(entry.record.label_len.into()).unwrap_or_default();
            rest = after;
            (entry, label)
        })
    }

    pub fn encode(&self, nonce: u64, data_len: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(INDEX_HEADER + self.entries.len() * ENTRY + self.labels.len());
        out.resize(INDEX_HEADER, 0);
        for entry in &self.entries {
            entry.record.encode_entry(entry.offset, &mut out);
        }
        let sum = crc32c::crc32c(&out[INDEX_HEADER..]);
        out[..8].copy_from_slice(&INDEX_MAGIC.to_le_bytes());
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out[16..24].copy_from_slice(&nonce.to_le_bytes());
        out[24..32].copy_from_slice(&data_len.to_le_bytes());
        out[32..40].copy_from_slice(&(self.labels.len() as u64).to_le_bytes());
        out[40..44].copy_from_slice(&sum.to_le_bytes());
        out[44..48].copy_from_slice(&crc32c::crc32c(&self.labels).to_le_bytes());
        let sum = crc32c::crc32c(&out[..48]);
        out[48..52].copy_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&self.labels);
        out
    }
}

impl IndexHeader {
    pub fn decode(bytes: &[u8]) -> Option<IndexHeader> {
        let mut take = Take(bytes.get(..INDEX_HEADER)?);
        let (magic, version, count) = (take.u64(), take.u32(), take.u32() as usize);
        let (nonce, data_len, labels_len) = (take.u64(), take.u64(), take.u64());
        let (entries_sum, labels_sum, sum) = (take.u32(), take.u32(), take.u32());
        let ours = magic == INDEX_MAGIC && version == VERSION && sum == crc32c::crc32c(&bytes[..48]);
        ours.then_some(IndexHeader { nonce, data_len, count, labels_len, entries_sum, labels_sum })
    }

    /// The entries out of their bytes, where the checksum holds and each lies in the segment.
    pub fn entries(&self, bytes: &[u8]) -> Option<Vec<Entry>> {
        if crc32c::crc32c(bytes) != self.entries_sum || bytes.len() != self.count * ENTRY {
            return None;
        }
        let inside = |entry: &Entry| u64::from(entry.offset) + entry.record.len() <= self.data_len;
        bytes.chunks_exact(ENTRY).map(|bytes| Entry::decode(bytes).filter(inside)).collect()
    }

    pub fn holds(&self, labels: &[u8]) -> bool {
        labels.len() as u64 == self.labels_len && crc32c::crc32c(labels) == self.labels_sum
    }
}

/// The last bytes of a segment of its own: where its record starts.
pub fn encode_footer(nonce: u64, record_at: u64) -> [u8; FOOTER] {
    let mut out = [0; FOOTER];
    out[..8].copy_from_slice(&nonce.to_le_bytes());
    out[8..16].copy_from_slice(&record_at.to_le_bytes());
    let sum = crc32c::crc32c(&out[..16]);
    out[16..20].copy_from_slice(&sum.to_le_bytes());
    out
}

pub fn decode_footer(bytes: &[u8], nonce: u64) -> Option<u64> {
    let mut take = Take(bytes.get(..FOOTER)?);
    let (same, record_at, sum) = (take.u64() == nonce, take.u64(), take.u32());
    (same && sum == crc32c::crc32c(&bytes[..16])).then_some(record_at)
}

pub fn blocks(body_len: u64) -> u64 {
    body_len.div_ceil(BLOCK as u64)
}

/// The first value of a block's checksum: the same bytes in another place have another.
pub fn seed(sequence: u64, index: u64) -> u32 {
    (sequence as u32) ^ (index as u32).rotate_left(20)
}

/// Checksums of the blocks of a body that is in pieces of any size.
pub fn sums<'a>(sequence: u64, pieces: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let (mut index, mut filled, mut sum) = (0, 0, seed(sequence, 0));
    for mut piece in pieces {
        while !piece.is_empty() {
            let (part, rest) = piece.split_at(piece.len().min(BLOCK - filled));
            sum = crc32c::crc32c_append(sum, part);
            filled += part.len();
            piece = rest;
            if filled == BLOCK {
                out.extend_from_slice(&sum.to_le_bytes());
                index += 1;
                (filled, sum) = (0, seed(sequence, index));
            }
        }
    }
    if filled > 0 {
        out.extend_from_slice(&sum.to_le_bytes());
    }
}
