//! The store: what callers hold.

use std::sync::Arc;

use crate::{Incoming, Key, OpenError, Options, Part, ReadError, State, Stats, Verdict};

/// An object, and where it stands. What it names can be read also when the object is gone from the store meanwhile.
#[derive(Clone)]
pub struct Found {
    pub head_len: u32,
    pub body_len: u64,
    /// `soften` was said since the object was put.
    pub softened: bool,
}

pub struct Store {
    limit: u64,
}

impl Store {
    /// Reads the folder's index. `warn` gets a text for people when a state changes or something was lost.
    pub fn open(options: Options, _warn: Box<dyn Fn(String) + Send + Sync>) -> Result<Arc<Store>, OpenError> {
        Ok(Arc::new(Store { limit: options.size }))
    }

    /// From memory alone; counts as a use.
    pub fn find(&self, _key: Key) -> Option<Found> {
        None
    }

    /// Does not count as a use.
    pub fn contains(&self, _key: Key) -> bool {
        false
    }

    /// `wait`: false takes it only from the page cache.
    pub fn read_head(&self, _found: &Found, _wait: bool) -> Result<Vec<u8>, ReadError> {
        Err(ReadError::Corrupt)
    }

    /// Appends a whole block to `out`: `BLOCK` bytes, the last one what remains.
    pub fn read_block(&self, _found: &Found, _index: u64, _out: &mut Vec<u8>, _wait: bool) -> Result<(), ReadError> {
        Err(ReadError::Corrupt)
    }

    /// Waits on a thread of the store; `done` is called there.
    pub fn read_later(
        self: &Arc<Self>,
        _found: Found,
        _what: Part,
        done: Box<dyn FnOnce(Result<Vec<u8>, ReadError>) + Send>,
    ) {
        done(Err(ReadError::Corrupt));
    }

    /// Body in pieces of any size. Found when written. False: not taken, since the queue is full or writing fails.
    pub fn put(&self, _key: Key, _label: Vec<u8>, _head: Vec<u8>, _body: Vec<Arc<[u8]>>) -> bool {
        false
    }

    /// An object that is large or of unknown length, written while it arrives.
    pub fn begin(self: &Arc<Self>, _key: Key, _label: Vec<u8>, _head: Vec<u8>) -> Option<Incoming> {
        None
    }

    /// A new label and head for the body that is there; softened no more. False: there is none.
    pub fn replace_head(&self, _key: Key, _label: Vec<u8>, _head: Vec<u8>) -> bool {
        false
    }

    pub fn soften(&self, _key: Key) {}

    /// Whether there was one.
    pub fn remove(&self, _key: Key) -> bool {
        false
    }

    /// Shows every object with its label. Returns how many were removed or softened. Reads from the disk.
    pub fn scan(&self, _visit: &mut dyn FnMut(Key, &[u8], &Found) -> Verdict) -> u64 {
        0
    }

    /// Removes everything; returns how many there were.
    pub fn clear(&self) -> u64 {
        0
    }

    pub fn stats(&self) -> Stats {
        Stats {
            objects: 0,
            bytes: 0,
            limit: self.limit,
            segments: 0,
            state: State::Ok,
            queued: 0,
            dropped: 0,
            evicted: 0,
        }
    }

    /// Waits until what was put before is written or given up.
    pub fn sync(&self) {}

    /// Seals, writes the index and joins the threads; done on drop too. What is put afterwards is not taken.
    pub fn close(&self) {}
}
