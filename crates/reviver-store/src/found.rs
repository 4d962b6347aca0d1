//! An object that was found, and reading it.

use std::sync::Arc;

use crate::layout::{self, Kind, OWN_BODY};
use crate::segment::Segment;
use crate::table::Slot;
use crate::{BLOCK, ReadError, disk};

/// An object, and where it stands. It can be read also when it is gone from the store meanwhile.
#[derive(Clone)]
pub struct Found {
    pub head_len: u32,
    pub body_len: u64,
    /// `soften` was said since the object was put.
    pub softened: bool,
    pub(crate) slot: Slot,
    pub(crate) segment: Arc<Segment>,
    pub(crate) record_at: u64,
    /// Where label and head stand, when not in front of the body.
    pub(crate) head: Option<HeadPlace>,
}

#[derive(Clone)]
pub(crate) struct HeadPlace {
    pub segment: Arc<Segment>,
    pub at: u64,
    pub label_len: u16,
}

impl Found {
    /// Label and head.
    pub(crate) fn read_meta(&self, wait: bool) -> Result<(Vec<u8>, Vec<u8>), ReadError> {
        let (segment, at, label_len) = match &self.head {
            Some(head) => (&head.segment, head.at, head.label_len),
            None => (&self.segment, self.record_at, self.slot.label_len),
        };
        let label_len = usize::from(label_len);
        let len = layout::RECORD + label_len + self.head_len as usize;
        let (record, mut bytes) = segment.read_meta(at, len, wait)?;
        let belongs = match record.kind {
            Kind::Head => record.aux == self.slot.sequence() && self.head.is_some(),
            _ => record.sequence == self.slot.sequence() && record.body_len == self.body_len,
        };
        if !belongs || record.key != self.slot.key() {
            return Err(ReadError::Corrupt);
        }
        let head = bytes.split_off(layout::RECORD + label_len);
        bytes.drain(..layout::RECORD);
        Ok((bytes, head))
    }

    pub(crate) fn read_block(&self, index: u64, out: &mut Vec<u8>, wait: bool) -> Result<(), ReadError> {
        let start = index.checked_mul(BLOCK as u64).filter(|start| *start < self.body_len);
        let Some(start) = start else {
            return Err(ReadError::Io(std::io::ErrorKind::InvalidInput.into()));
        };
        let len = (self.body_len - start).min(BLOCK as u64) as usize;
        let blocks = layout::blocks(self.body_len);
        let sums_at = self.record_at + self.slot.meta_len() as u64;
        let body_at = if self.segment.own.get().is_some() { OWN_BODY } else { sums_at + 4 * blocks };
        let (before, mut sum) = (out.len(), [0; 4]);
        let sum_at = sums_at + 4 * index;
        if body_at + start == sum_at + 4 {
            // of one block, the common case, the checksum stands right before it
            disk::read(&self.segment.file, sum_at, &mut sum, len, out, wait)?;
        } else {
            disk::read(&self.segment.file, sum_at, &mut sum, 0, out, wait)?;
            disk::read(&self.segment.file, body_at + start, &mut [], len, out, wait)?;
        }
        if u32::from_le_bytes(sum) != crc32c::crc32c_append(layout::seed(self.slot.sequence(), index), &out[before..]) {
            out.truncate(before);
            return Err(ReadError::Corrupt);
        }
        Ok(())
    }
}
