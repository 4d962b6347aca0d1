//! One file of the store.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::disk::Name;
use crate::layout::Index;
use crate::{Key, ReadError, disk, layout};

/// Where the record of the one object of a segment stands.
#[derive(Clone, Copy)]
pub struct Own {
    pub key: Key,
    pub record_at: u64,
    pub body_len: u64,
}

pub struct Segment {
    /// Names it in the table; never that of another segment of the same process.
    pub id: u32,
    /// Its place in the order of eviction, and its name.
    pub number: AtomicU64,
    pub file: File,
    pub nonce: u64,
    /// Bytes of the file and of the index beside it.
    pub len: AtomicU64,
    pub index_len: AtomicU64,
    /// Bytes of the records that the table points to.
    pub live: AtomicU64,
    /// It is for one object.
    pub alone: bool,
    /// That object, when it is whole.
    pub own: OnceLock<Own>,
    pub rest: Mutex<Rest>,
}

/// What only the writer and those who look through everything need.
#[derive(Default)]
pub struct Rest {
    /// Of a shared segment that has no index on the disk.
    pub index: Option<Index>,
    /// It takes something away that may stand in an older segment.
    pub has_notes: bool,
    /// Objects in segments of their own that a record here has softened.
    pub softened: Vec<Key>,
}

impl Segment {
    pub fn new(id: u32, number: u64, alone: bool, file: File, nonce: u64, len: u64) -> Segment {
        Segment {
            id,
            number: AtomicU64::new(number),
            file,
            nonce,
            len: AtomicU64::new(len),
            index_len: AtomicU64::new(0),
            live: AtomicU64::new(0),
            alone,
            own: OnceLock::new(),
            rest: Mutex::default(),
        }
    }

    pub fn name(&self) -> Name {
        if self.alone { Name::Object(self.number()) } else { Name::Segment(self.number()) }
    }

    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.len.load(Ordering::Relaxed) + self.index_len.load(Ordering::Relaxed)
    }

    pub fn is_dead(&self) -> bool {
        self.live.load(Ordering::Relaxed) == 0
    }

    pub fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the record of an object starts that the table places at `offset`.
    pub fn record_at(&self, offset: u32) -> u64 {
        self.own.get().map_or(u64::from(offset), |own| own.record_at)
    }

    /// Record, label and head at `at`, checked against each other.
    pub fn read_meta(&self, at: u64, len: usize, wait: bool) -> Result<(layout::Record, Vec<u8>), ReadError> {
        let mut bytes = Vec::new();
        disk::read(&self.file, at, &mut [], len, &mut bytes, wait)?;
        match layout::Record::decode(&bytes, self.nonce) {
            Some((record, _)) if record.meta_len() == len => Ok((record, bytes)),
            _ => Err(ReadError::Corrupt),
        }
    }
}
