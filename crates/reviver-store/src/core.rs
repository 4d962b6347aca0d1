//! What callers, the writer and the readers share.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::found::Found;
use crate::health::Health;
use crate::queue::{Op, Queue};
use crate::table::Table;
use crate::{Key, ReadError};

/// What tests change.
#[derive(Clone)]
pub struct Tuning {
    /// How long writes rest after one has failed.
    pub retry: Duration,
    /// Bytes that may wait for the writer.
    pub queue: u64,
    pub segment: u64,
    /// Writes fail by this error number, unless 0.
    #[cfg(test)]
    pub fault: std::sync::Arc<std::sync::atomic::AtomicI32>,
}

impl Tuning {
    pub fn new(size: u64) -> Tuning {
        const MIB: u64 = 1024 * 1024;
        // of a large store few files are open, of a small one little goes at a time
        let segment = (size / 32).clamp(MIB, 64 * MIB).max(size / 512).min(256 * MIB).min(size / 4);
        Tuning {
            retry: Duration::from_secs(10),
            queue: 32 * MIB,
            segment,
            #[cfg(test)]
            fault: Default::default(),
        }
    }
}

pub struct Core {
    pub folder: PathBuf,
    pub limit: u64,
    pub tuning: Tuning,
    pub table: Table,
    pub queue: Queue,
    pub health: Health,
    /// Of all files. Only the writer changes it.
    pub bytes: AtomicU64,
    pub dropped: AtomicU64,
    pub evicted: AtomicU64,
    pub warn: Box<dyn Fn(String) + Send + Sync>,
}

impl Core {
    /// Larger objects are not taken.
    pub fn max_object(&self) -> u64 {
        self.limit / 2
    }

    /// Records from this length on get a segment of their own.
    pub fn own_from(&self) -> u64 {
        self.tuning.segment / 4
    }

    pub fn failed(&self, error: &io::Error) {
        if let Some(news) = self.health.failed(error) {
            self.tell(&news);
        }
    }

    pub fn works(&self) {
        if let Some(news) = self.health.works() {
            self.tell(&news);
        }
    }

    pub fn tell(&self, what: &str) {
        (self.warn)(format!("{}: {what}", self.folder.display()));
    }

    pub fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Also what is on its way. With `only`, where it still is that object.
    pub fn remove(&self, key: Key, only: Option<&Found>) -> bool {
        let mut shard = self.table.shard(key);
        if !shard.is_meant(key, only) {
            return false;
        }
        // first in the table: when the writer sees the note, the segment may be dead already
        let sequence = self.queue.next_sequence();
        let there = shard.remove(key, sequence);
        self.queue.push(false, |_| Op::Remove { key, sequence });
        there
    }

    pub fn soften(&self, key: Key, only: Option<&Found>) -> bool {
        let mut shard = self.table.shard(key);
        if !shard.is_meant(key, only) {
            return false;
        }
        let sequence = self.queue.next_sequence();
        let there = shard.soften(key, sequence);
        self.queue.push(false, |_| Op::Soften { key, sequence });
        there
    }

    /// What cannot be read right is not found any more.
    pub fn judge<T>(&self, found: &Found, read: Result<T, ReadError>) -> Result<T, ReadError> {
        if matches!(read, Err(ReadError::Corrupt)) {
            self.remove(found.slot.key(), Some(found));
        }
        read
    }
}
