//! Making room: the oldest segment goes, what was asked for in it stays.
//!
//! First in, first out with reinsertion: one pass over a segment in place of a list that every use would have to
//! change. A record is never older than what it takes away, so segments that go in order leave nothing behind that
//! could come back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::{self, Name};
use crate::layout::{self, Kind, Record};
use crate::segment::{Own, Segment};
use crate::table::{Elsewhere, Slot};
use crate::writer::{Content, Then, Writer};
use crate::{Key, ReadError};

impl Writer {
    /// Copies of what stays are written before a segment goes, so half a segment is kept free. False: there is nothing
    /// that could go.
    pub fn room(&mut self, bytes: u64) -> io::Result<bool> {
        let limit = self.core.limit.saturating_sub(self.core.tuning.segment / 2);
        let mut moves = self.order.len();
        while self.core.bytes.load(Ordering::Relaxed) + bytes > limit {
            let Some((_, oldest)) = self.order.pop_first() else {
                return Ok(false);
            };
            match oldest.own.get() {
                Some(own) => {
                    moves = moves.saturating_sub(1);
                    self.evict_own(&oldest, *own, moves > 0);
                }
                None => self.evict_shared(&oldest)?,
            }
        }
        Ok(true)
    }

    /// It goes to the young end instead, where it was asked for and may.
    fn evict_own(&mut self, segment: &Arc<Segment>, own: Own, may_stay: bool) {
        let asked = may_stay && self.core.table.cool(own.key, segment.id);
        if asked {
            let from = segment.name().path(&self.core.folder);
            if std::fs::rename(&from, Name::Object(self.next_number).path(&self.core.folder)).is_ok() {
                segment.number.store(self.next_number, Ordering::Relaxed);
                self.order.insert(self.next_number, Arc::clone(segment));
                self.next_number += 1;
                return;
            }
        }
        self.evicted(segment);
    }

    fn evicted(&mut self, segment: &Arc<Segment>) {
        let lost = self.unlink(Arc::clone(segment));
        self.core.evicted.fetch_add(lost, Ordering::Relaxed);
    }

    /// On failure it stays.
    fn evict_shared(&mut self, segment: &Arc<Segment>) -> io::Result<()> {
        let copied = self.copy_hot(segment);
        if let Err(error) = copied.and_then(|()| self.flush()) {
            self.order.insert(segment.number(), Arc::clone(segment));
            return Err(error);
        }
        self.evicted(segment);
        Ok(())
    }

    /// Writes anew what was asked for, at most half of it, and what speaks of objects in segments of their own.
    fn copy_hot(&mut self, segment: &Arc<Segment>) -> io::Result<()> {
        let (mut hot, mut heads): (Vec<Slot>, Vec<Elsewhere>) = (Vec::new(), Vec::new());
        for shard in self.core.table.shards() {
            hot.extend(shard.slots().filter(|slot| slot.segment == segment.id && slot.hits() > 0));
            let apart = |head: &&Elsewhere| shard.slot(head.key).is_some_and(|slot| slot.segment != segment.id);
            heads.extend(shard.heads().filter(|head| head.segment == segment.id).filter(apart));
        }
        hot.sort_by_key(|slot| std::cmp::Reverse(slot.hits()));
        let mut budget = self.core.tuning.segment / 2;
        hot.retain(|slot| {
            let fits = slot.record_len() <= budget;
            budget -= if fits { slot.record_len() } else { 0 };
            fits
        });
        hot.sort_by_key(|slot| slot.offset);
        for slot in hot {
            // what cannot be read goes with the segment
            if let Ok((record, content)) = self.read_whole(&slot) {
                self.append(record, content, Then::Relocate(slot));
            }
        }
        for head in heads {
            let at = (u64::from(head.offset), layout::RECORD + usize::from(head.label_len) + head.head_len as usize);
            if let Ok((record, bytes)) = segment.read_meta(at.0, at.1, true) {
                let softened = self.core.table.shard(head.key).slot(head.key).is_some_and(Slot::softened);
                let (label, head_bytes) = bytes[layout::RECORD..].split_at(head.label_len.into());
                let content = Content { label: label.to_vec(), head: head_bytes.to_vec(), ..Content::default() };
                self.append(Record { softened, ..record }, content, Then::RelocateHead(head));
            }
        }
        let softened = std::mem::take(&mut segment.rest().softened);
        for key in softened {
            self.soften_again(key);
        }
        Ok(())
    }

    fn soften_again(&mut self, key: Key) {
        let shard = self.core.table.shard(key);
        if shard.slot(key).is_some_and(Slot::softened) {
            let sequence = self.core.queue.next_sequence();
            drop(shard);
            self.append(Record::note(Kind::Soften, key, sequence), Content::default(), Then::Nothing);
        }
    }

    /// The record of an object with its body, and with the head that counts.
    fn read_whole(&self, slot: &Slot) -> Result<(Record, Content), ReadError> {
        let key = slot.key();
        let (found, elsewhere) = {
            let shard = self.core.table.shard(key);
            (shard.found(key), shard.elsewhere(key).copied())
        };
        let found = found.filter(|found| found.slot.same_place(slot)).ok_or(ReadError::Corrupt)?;
        let (record, _) = found.segment.read_meta(found.record_at, slot.meta_len(), true)?;
        let (label, head) = found.read_meta(true)?;
        let (mut sums, mut body) = (vec![0; 4 * layout::blocks(found.body_len) as usize], Vec::new());
        let sums_at = found.record_at + slot.meta_len() as u64;
        disk::read(&found.segment.file, sums_at, &mut sums, found.body_len as usize, &mut body, true)?;
        let record = Record {
            softened: found.softened,
            aux: elsewhere.map_or(record.aux, |head| head.sequence),
            label_len: label.len() as u16,
            head_len: head.len() as u32,
            ..record
        };
        Ok((record, Content { label, head, sums: Some(sums), body: vec![body.into()] }))
    }

    /// Segments that nothing is found in any more go at once. One with notes waits until it is the oldest.
    pub fn bury(&mut self) {
        let (mut dead, mut older) = (Vec::new(), false);
        for segment in self.order.values() {
            let goes = segment.is_dead() && !(older && segment.rest().has_notes);
            if goes {
                dead.push(Arc::clone(segment));
            }
            older |= !goes && !segment.alone;
        }
        for segment in dead {
            self.order.remove(&segment.number());
            if segment.alone {
                self.evicted(&segment);
            } else if self.evict_shared(&segment).is_err() {
                return;
            }
        }
    }
}
