//! The body of an object that is written while it arrives.

use std::sync::Arc;
use std::task::Waker;

use crate::ReadError;

/// Dropped, or aborted, before `finish`: the object is given up.
pub struct Incoming {}

impl Incoming {
    /// Exactly `BLOCK` bytes, but the last. False: writing has failed, the object is given up.
    pub fn append(&self, _block: Arc<[u8]>) -> bool {
        false
    }

    /// Bytes that can be read back.
    pub fn written(&self) -> u64 {
        0
    }

    /// Woken once, at progress or failure.
    pub fn wake_when_written(&self, waker: &Waker) {
        waker.wake_by_ref();
    }

    /// A block of what was written.
    pub fn read_block(&self, _index: u64, _out: &mut Vec<u8>) -> Result<(), ReadError> {
        Err(ReadError::Corrupt)
    }

    /// The object is whole; a head and a label given here replace those of `begin`.
    pub fn finish(self, _head: Option<Vec<u8>>, _label: Option<Vec<u8>>) {}

    pub fn abort(self) {}
}
