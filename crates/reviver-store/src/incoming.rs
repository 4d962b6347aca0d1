//! The body of an object that is written while it arrives.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::core::Core;
use crate::layout::{self, OWN_BODY};
use crate::queue::Op;
use crate::segment::Segment;
use crate::{BLOCK, Key, ReadError, disk};

/// Bodies up to this size get no file of their own, unless memory is scarce.
const EARLY: u64 = 4 * BLOCK as u64;

/// Shared by the one who brings it, those who read it meanwhile, and the writer.
pub struct Stream {
    pub key: Key,
    pub sequence: u64,
    failed: AtomicBool,
    written: AtomicU64,
    parts: Mutex<Parts>,
}

#[derive(Default)]
pub struct Parts {
    pub label: Vec<u8>,
    pub head: Vec<u8>,
    /// Bytes that were brought.
    pub appended: u64,
    /// The last block was short, or `finish` was said.
    ended: bool,
    /// The first blocks, until they are on the disk.
    pub early: Vec<Arc<[u8]>>,
    /// What the writer is to write.
    pub waiting: Vec<Arc<[u8]>>,
    spilled: bool,
    scheduled: bool,
    /// `finish` or `abort` was said.
    over: bool,
    /// Bytes that it holds in the queue.
    pub reserved: u64,
    /// Checksums of what is on the disk.
    pub sums: Vec<u8>,
    pub segment: Option<Arc<Segment>>,
    wakers: Vec<Waker>,
}

impl Stream {
    pub fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        let wakers = std::mem::take(&mut self.parts().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For the writer: what is to be written now, and where in the body.
    pub fn take_waiting(&self) -> (u64, Vec<Arc<[u8]>>) {
        let mut parts = self.parts();
        parts.scheduled = false;
        (parts.sums.len() as u64 / 4 * BLOCK as u64, std::mem::take(&mut parts.waiting))
    }

    /// For the writer: so much more is on the disk. Returns the bytes that are not held any more.
    pub fn progress(&self, bytes: u64, sums: &[u8]) -> u64 {
        let mut parts = self.parts();
        parts.sums.extend_from_slice(sums);
        let on_disk = (parts.sums.len() as u64 / 4 * BLOCK as u64).min(parts.appended);
        parts.early.clear();
        parts.reserved -= bytes;
        self.written.fetch_max(on_disk, Ordering::AcqRel);
        let wakers = std::mem::take(&mut parts.wakers);
        drop(parts);
        wakers.into_iter().for_each(Waker::wake);
        bytes
    }
}

/// Given up when it is dropped before `finish`.
pub struct Incoming {
    core: Arc<Core>,
    stream: Arc<Stream>,
}

impl Incoming {
    pub(crate) fn new(core: &Arc<Core>, key: Key, label: Vec<u8>, head: Vec<u8>) -> Incoming {
        let mut shard = core.table.shard(key);
        let stream = Stream {
            key,
            sequence: core.queue.next_sequence(),
            failed: AtomicBool::new(false),
            written: AtomicU64::new(0),
            parts: Mutex::new(Parts { label, head, ..Parts::default() }),
        };
        shard.expect(key);
        drop(shard);
        Incoming { core: Arc::clone(core), stream: Arc::new(stream) }
    }

    /// Exactly `BLOCK` bytes, but the last. False: writing has failed, or cannot keep up; the object is given up.
    pub fn append(&self, block: Arc<[u8]>) -> bool {
        let (core, stream) = (&self.core, &self.stream);
        let (len, mut parts) = (block.len() as u64, stream.parts());
        if stream.has_failed() {
            return false;
        }
        let fits = !parts.ended && block.len() <= BLOCK && parts.appended + len <= core.max_object();
        if !fits || !core.queue.reserve(len, 2) {
            drop(parts);
            core.drop_one();
            stream.fail();
            return false;
        }
        parts.appended += len;
        parts.reserved += len;
        parts.ended = block.len() < BLOCK;
        let early = parts.appended <= EARLY && core.queue.bytes() <= core.tuning.queue / 2;
        if !parts.spilled && early {
            parts.early.push(block);
            stream.written.store(parts.appended, Ordering::Release);
            let wakers = std::mem::take(&mut parts.wakers);
            drop(parts);
            wakers.into_iter().for_each(Waker::wake);
            return true;
        }
        if !parts.spilled {
            parts.spilled = true;
            parts.waiting = parts.early.clone();
        }
        parts.waiting.push(block);
        if std::mem::replace(&mut parts.scheduled, true) {
            return true;
        }
        drop(parts);
        core.queue.push(true, |_| Op::Append(Arc::clone(stream)))
    }

    /// Bytes that can be read back.
    pub fn written(&self) -> u64 {
        self.stream.written.load(Ordering::Acquire)
    }

    /// Whether the object is given up.
    pub fn has_failed(&self) -> bool {
        self.stream.has_failed()
    }

    /// Woken once, at progress or failure; look at `written` and `has_failed` after this.
    pub fn wake_when_written(&self, waker: &Waker) {
        let mut parts = self.stream.parts();
        if !parts.wakers.iter().any(|other| other.will_wake(waker)) {
            parts.wakers.push(waker.clone());
        }
    }

    /// Appends a block of what was written to `out`; of what was not, `WouldBlock`.
    pub fn read_block(&self, index: u64, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let start = index.saturating_mul(BLOCK as u64);
        let parts = self.stream.parts();
        let written = self.written();
        if start >= written {
            return Err(ReadError::WouldBlock);
        }
        if let Some(block) = parts.early.get(index as usize) {
            out.extend_from_slice(block);
            return Ok(());
        }
        let sum = parts.sums.get(index as usize * 4..).and_then(|sums| sums.first_chunk().copied());
        let (Some(segment), Some(sum)) = (parts.segment.clone(), sum) else {
            return Err(ReadError::Corrupt);
        };
        drop(parts);
        let (before, len) = (out.len(), (written - start).min(BLOCK as u64) as usize);
        disk::read(&segment.file, OWN_BODY + start, &mut [], len, out, true)?;
        if crc32c::crc32c_append(layout::seed(self.stream.sequence, index), &out[before..]) != u32::from_le_bytes(sum) {
            out.truncate(before);
            return Err(ReadError::Corrupt);
        }
        Ok(())
    }

    /// The object is whole; a head and a label given here replace those of `begin`. What was written stays readable
    /// as long as this is held.
    pub fn finish(&self, head: Option<Vec<u8>>, label: Option<Vec<u8>>) {
        let mut parts = self.stream.parts();
        parts.head = head.unwrap_or(std::mem::take(&mut parts.head));
        parts.label = label.unwrap_or(std::mem::take(&mut parts.label));
        drop(parts);
        self.end(Op::Finish);
    }

    pub fn abort(&self) {
        self.stream.fail();
        self.end(Op::Abort);
    }

    /// Once.
    fn end(&self, op: fn(Arc<Stream>) -> Op) {
        let mut parts = self.stream.parts();
        if std::mem::replace(&mut parts.over, true) {
            return;
        }
        parts.ended = true;
        drop(parts);
        if !self.core.queue.push(true, |_| op(Arc::clone(&self.stream))) {
            self.stream.fail();
            self.core.table.give_up(self.stream.key);
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.end(Op::Abort);
    }
}
