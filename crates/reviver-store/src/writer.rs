//! The one thread that writes.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::Key;
use crate::core::Core;
use crate::disk::{self, Name};
use crate::layout::{self, ENTRY, Entry, INDEX_HEADER, Index, Kind, Record, SegmentHeader};
use crate::queue::Op;
use crate::segment::Segment;
use crate::table::{Elsewhere, Slot};

/// Gathered bytes are written when there are so many.
const BATCH: u64 = 8 * 1024 * 1024;

pub struct Writer {
    pub core: Arc<Core>,
    /// Sealed segments, the oldest first, by their numbers.
    pub order: BTreeMap<u64, Arc<Segment>>,
    pub active: Option<Arc<Segment>>,
    pub next_number: u64,
    pub next_id: u32,
    pub free_ids: Vec<u32>,
    batch: Vec<Gathered>,
    batch_len: u64,
    /// What was decided and could not be written yet.
    owed: Vec<Record>,
    /// Files that could not be removed yet.
    doomed: Vec<Arc<Segment>>,
}

/// A record that will be written with others.
struct Gathered {
    entry: Entry,
    /// Record, label, head and checksums.
    meta: Vec<u8>,
    body: Vec<Arc<[u8]>>,
    then: Then,
}

/// What follows when a record is written.
pub enum Then {
    /// A new object is found.
    Publish,
    /// A new head of the body of that sequence is found.
    Head(u64),
    /// A copy takes the place of what is to go.
    Relocate(Slot),
    RelocateHead(Elsewhere),
    Nothing,
}

/// Label, head and body of a record.
#[derive(Default)]
pub struct Content {
    pub label: Vec<u8>,
    pub head: Vec<u8>,
    /// None: made from the body.
    pub sums: Option<Vec<u8>>,
    pub body: Vec<Arc<[u8]>>,
}

impl Writer {
    pub fn new(core: Arc<Core>, loaded: crate::load::Loaded) -> Writer {
        let lost = loaded.lost_before.map(|sequence| Record::note(Kind::Clear, 0, sequence));
        Writer {
            core,
            order: loaded.order,
            active: loaded.active,
            next_number: loaded.next_number,
            next_id: loaded.next_id,
            free_ids: Vec::new(),
            batch: Vec::new(),
            batch_len: 0,
            owed: lost.into_iter().collect(),
            doomed: Vec::new(),
        }
    }

    pub fn run(mut self) {
        self.seal_old();
        if self.core.health.accepts() {
            let _ = self.room(0);
            self.pay();
            let _ = self.flush();
        }
        loop {
            let mut taken = self.core.queue.take(self.patience());
            let count = taken.ops.len();
            let queued = self.work(&mut taken.ops);
            // a batch that fails is given up there
            let _ = self.flush();
            self.core.queue.release(queued);
            self.bury();
            self.core.queue.finished(count);
            if taken.closed && count == 0 {
                break;
            }
        }
        self.core.health.retry_now();
        self.pay();
        let _ = self.flush();
        if let Some(active) = self.active.take() {
            self.seal(&active);
        }
    }

    /// How long it may rest when nobody has anything to write.
    fn patience(&self) -> Option<Duration> {
        let unpaid = !self.owed.is_empty() || !self.doomed.is_empty();
        unpaid.then(|| self.core.health.rest().max(self.core.tuning.retry / 10))
    }

    /// Returns the bytes that the queue held for what was done.
    fn work(&mut self, ops: &mut VecDeque<Op>) -> u64 {
        self.pay();
        let mut queued = 0;
        for op in ops.drain(..) {
            match op {
                Op::Put { key, sequence, label, head, body } => {
                    queued += put_len(&label, &head, &body);
                    self.put(key, sequence, Content { label, head, sums: None, body });
                }
                Op::Head { key, sequence, label, head, body } => {
                    queued += put_len(&label, &head, &[]);
                    self.replace_head(key, sequence, body, Content { label, head, ..Content::default() });
                }
                Op::Remove { key, sequence } => self.note(Record::note(Kind::Remove, key, sequence)),
                Op::Soften { key, sequence } => self.note(Record::note(Kind::Soften, key, sequence)),
                Op::Clear { sequence } => self.clear(sequence),
                Op::Append(stream) => self.write_stream(&stream),
                Op::Finish(stream) => self.finish_stream(&stream),
                Op::Abort(stream) => self.abort_stream(&stream),
            }
        }
        queued
    }

    /// Writes what is owed, when writing may work again.
    fn pay(&mut self) {
        if !self.core.health.accepts() {
            return;
        }
        for record in std::mem::take(&mut self.owed) {
            self.note(record);
        }
        for segment in std::mem::take(&mut self.doomed) {
            self.unlink(segment);
        }
    }

    pub fn put(&mut self, key: Key, sequence: u64, content: Content) {
        let body_len = content.body.iter().map(|piece| piece.len() as u64).sum();
        let record = Record {
            kind: Kind::Put,
            softened: false,
            key,
            sequence,
            aux: 0,
            label_len: content.label.len() as u16,
            head_len: content.head.len() as u32,
            body_len,
        };
        if !self.core.health.accepts() {
            return self.abandon(record, &Then::Publish);
        }
        if record.len() <= self.core.own_from() {
            return self.gather(record, content, Then::Publish);
        }
        let record = Record { kind: Kind::Own, ..record };
        match self.write_own(record, &content) {
            Ok(true) => return self.core.works(),
            Ok(false) => {}
            Err(error) => self.report(&error),
        }
        self.abandon(record, &Then::Publish);
    }

    fn replace_head(&mut self, key: Key, sequence: u64, body: u64, content: Content) {
        // the body may be in the batch; without one nothing is written
        let _ = self.flush();
        let current = self.core.table.shard(key).slot(key).is_some_and(|slot| slot.sequence() == body);
        let record = Record {
            aux: body,
            label_len: content.label.len() as u16,
            head_len: content.head.len() as u32,
            ..Record::note(Kind::Head, key, sequence)
        };
        if !current || !self.core.health.accepts() {
            return self.abandon(record, &Then::Head(body));
        }
        self.gather(record, content, Then::Head(body));
    }

    pub fn note(&mut self, record: Record) {
        if !self.core.health.accepts() {
            return self.abandon(record, &Then::Nothing);
        }
        self.gather(record, Content::default(), Then::Nothing);
    }

    fn clear(&mut self, sequence: u64) {
        let _ = self.flush();
        // all of it may be dead now; then it goes with the others, and the note stands in a new one
        if let Some(active) = self.active.take_if(|active| active.is_dead()) {
            self.order.insert(active.number(), active);
        }
        self.note(Record::note(Kind::Clear, 0, sequence));
    }

    /// Makes room first.
    pub fn gather(&mut self, record: Record, content: Content, then: Then) {
        match self.room(record.len() + (ENTRY + content.label.len()) as u64) {
            Ok(true) => self.append(record, content, then),
            Ok(false) => self.abandon(record, &then),
            Err(error) => {
                self.report(&error);
                self.abandon(record, &then);
            }
        }
    }

    /// Room is there. What comes of it is told by `then`.
    pub fn append(&mut self, record: Record, content: Content, then: Then) {
        let active = match self.active_for(record.len()) {
            Ok(active) => active,
            Err(error) => {
                self.report(&error);
                return self.abandon(record, &then);
            }
        };
        let offset = active.len.load(Ordering::Relaxed) + self.batch_len;
        let mut meta = Vec::with_capacity(record.meta_len() + 4 * layout::blocks(record.body_len) as usize);
        record.encode(active.nonce, self.core.queue.sequence(), &content.label, &content.head, &mut meta);
        match content.sums {
            Some(sums) => meta.extend_from_slice(&sums),
            None => layout::sums(record.sequence, content.body.iter().map(|piece| &**piece), &mut meta),
        }
        self.batch_len += record.len();
        self.grow(record.len() + (ENTRY + content.label.len()) as u64);
        let entry = Entry { offset: offset as u32, record };
        self.batch.push(Gathered { entry, meta, body: content.body, then });
        if self.batch_len >= BATCH {
            let _ = self.flush();
        }
    }

    pub fn grow(&self, bytes: u64) {
        self.core.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn shrink(&self, bytes: u64) {
        self.core.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn report(&self, error: &io::Error) {
        self.core.failed(error);
    }

    fn active_for(&mut self, len: u64) -> io::Result<Arc<Segment>> {
        if let Some(active) = &self.active {
            let active = Arc::clone(active);
            if active.len.load(Ordering::Relaxed) + self.batch_len + len <= self.core.tuning.segment {
                return Ok(active);
            }
            self.flush()?;
            self.active = None;
            self.seal(&active);
        }
        let segment = self.create(false)?;
        segment.rest().index = Some(Index::default());
        segment.index_len.store(INDEX_HEADER as u64, Ordering::Relaxed);
        self.grow(INDEX_HEADER as u64);
        self.active = Some(Arc::clone(&segment));
        Ok(segment)
    }

    pub fn create(&mut self, alone: bool) -> io::Result<Arc<Segment>> {
        let number = self.next_number;
        self.next_number += 1;
        let path = if alone { Name::Object(number) } else { Name::Segment(number) }.path(&self.core.folder);
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|_| io::Error::other("no random numbers"))?;
        let nonce = u64::from_le_bytes(nonce);
        let file = disk::create(&path)?;
        let header = SegmentHeader::encode(alone, nonce);
        if let Err(error) = self.write(&file, 0, &mut [IoSlice::new(&header)]) {
            disk::remove(&path);
            return Err(error);
        }
        let id = self.free_ids.pop().unwrap_or_else(|| {
            self.next_id += 1;
            self.next_id - 1
        });
        let segment = Arc::new(Segment::new(id, number, alone, file, nonce, header.len() as u64));
        self.core.table.add_segment(&segment);
        self.grow(header.len() as u64);
        Ok(segment)
    }

    pub fn write(&self, file: &std::fs::File, at: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        #[cfg(test)]
        if let error @ 1.. = self.core.tuning.fault.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(error));
        }
        disk::write(file, at, parts)
    }

    /// Writes what was gathered, and lets it be found.
    pub fn flush(&mut self) -> io::Result<()> {
        let (batch, len) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.batch_len));
        let Some(active) = self.active.clone().filter(|_| !batch.is_empty()) else {
            return Ok(());
        };
        let at = active.len.load(Ordering::Relaxed);
        let mut parts = Vec::with_capacity(batch.len() * 2);
        for gathered in &batch {
            parts.push(IoSlice::new(&gathered.meta));
            parts.extend(gathered.body.iter().map(|piece| IoSlice::new(piece)));
        }
        if let Err(error) = self.write(&active.file, at, &mut parts) {
            drop(parts);
            // so that no half of it is taken for something when the segment is read without an index
            if active.file.set_len(at).is_err() {
                self.active = None;
                self.seal(&active);
            }
            self.report(&error);
            for gathered in batch {
                let record = gathered.entry.record;
                self.shrink(record.len() + ENTRY as u64 + u64::from(record.label_len));
                self.abandon(record, &gathered.then);
            }
            return Err(error);
        }
        drop(parts);
        self.core.works();
        active.len.store(at + len, Ordering::Relaxed);
        for gathered in batch {
            let record = gathered.entry.record;
            let label_len = usize::from(record.label_len);
            let label = gathered.meta.get(layout::RECORD..layout::RECORD + label_len).unwrap_or_default();
            let mut rest = active.rest();
            rest.has_notes |= record.kind.is_note();
            if let Some(index) = &mut rest.index {
                index.push(gathered.entry, label);
            }
            drop(rest);
            active.index_len.fetch_add((ENTRY + label_len) as u64, Ordering::Relaxed);
            self.publish(&active, gathered.entry, gathered.then);
        }
        Ok(())
    }

    fn publish(&self, active: &Arc<Segment>, entry: Entry, then: Then) {
        let (table, record) = (&self.core.table, entry.record);
        let elsewhere = Elsewhere {
            key: record.key,
            sequence: record.sequence,
            segment: active.id,
            offset: entry.offset,
            head_len: record.head_len,
            label_len: record.label_len,
        };
        match then {
            Then::Publish => {
                table.publish(Slot::new(active.id, &entry));
            }
            Then::Head(body) => table.publish_head(elsewhere, body),
            Then::Relocate(from) => table.relocate(&from, Slot::new(active.id, &entry)),
            Then::RelocateHead(from) => table.relocate_head(&from, elsewhere),
            Then::Nothing if record.kind == Kind::Soften => {
                let shard = table.shard(record.key);
                let alone = |slot: &&Slot| shard.segment(slot.segment).is_some_and(|segment| segment.alone);
                if shard.slot(record.key).filter(alone).is_some_and(Slot::softened) {
                    active.rest().softened.push(record.key);
                }
            }
            Then::Nothing => {}
        }
    }

    /// It cannot be written. What takes away is owed.
    pub fn abandon(&mut self, record: Record, then: &Then) {
        match then {
            Then::Publish | Then::Head(_) => {
                self.core.table.give_up(record.key);
                self.core.drop_one();
            }
            Then::Nothing => self.owed.push(record),
            Then::Relocate(_) | Then::RelocateHead(_) => {}
        }
    }

    /// Segments of before that have no index yet.
    fn seal_old(&mut self) {
        let open: Vec<Arc<Segment>> =
            self.order.values().filter(|segment| segment.rest().index.is_some()).cloned().collect();
        for segment in open {
            self.seal(&segment);
        }
    }

    /// Writes the index of a segment that gets no more records. Without one the segment is read whole the next time.
    fn seal(&mut self, segment: &Arc<Segment>) {
        self.order.insert(segment.number(), Arc::clone(segment));
        let mut rest = segment.rest();
        let Some(index) = rest.index.take() else {
            return;
        };
        let bytes = index.encode(segment.nonce, segment.len.load(Ordering::Relaxed));
        let path = Name::Index(segment.number()).path(&self.core.folder);
        let written = disk::create(&path).and_then(|file| self.write(&file, 0, &mut [IoSlice::new(&bytes)]));
        if let Err(error) = written {
            rest.index = Some(index);
            drop(rest);
            self.report(&error);
            disk::remove(&path);
            self.shrink(segment.index_len.swap(0, Ordering::Relaxed));
        }
    }

    /// The file goes, and with it what the table has in it. Returns how many objects that were.
    pub fn unlink(&mut self, segment: Arc<Segment>) -> u64 {
        let lost = self.core.table.drop_segment(&segment);
        self.order.retain(|_, other| !Arc::ptr_eq(other, &segment));
        let gone = disk::remove(&segment.name().path(&self.core.folder))
            && (segment.alone || disk::remove(&Name::Index(segment.number()).path(&self.core.folder)));
        if gone {
            self.shrink(segment.bytes());
            self.free_ids.push(segment.id);
        } else {
            self.doomed.push(segment);
        }
        lost
    }
}

/// Bytes that the queue counts for an object.
pub fn put_len(label: &[u8], head: &[u8], body: &[Arc<[u8]>]) -> u64 {
    (layout::RECORD + label.len() + head.len() + body.iter().map(|piece| piece.len()).sum::<usize>()) as u64
}
