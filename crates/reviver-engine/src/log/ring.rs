//! The producing end: what a core holds of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;

use arc_swap::{ArcSwap, Cache};

use super::wire::{self, Selection};
use super::{Entry, Push};

/// A core's end of its ring. Owned by the core's thread.
pub struct CoreLog {
    ring: rtrb::Producer<u8>,
    selection: Cache<Arc<ArcSwap<Selection>>, Arc<Selection>>,
    writer: Thread,
    scratch: Vec<u8>,
    /// Bytes pushed since the writer was last woken from here.
    unannounced: usize,
    dropped: Arc<AtomicU64>,
}

impl CoreLog {
    pub(super) fn new(
        ring: rtrb::Producer<u8>,
        selection: Arc<ArcSwap<Selection>>,
        writer: Thread,
        dropped: Arc<AtomicU64>,
    ) -> Self {
        let scratch = Vec::with_capacity(wire::MAX_RECORD);
        Self { ring, selection: Cache::new(selection), writer, scratch, unannounced: 0, dropped }
    }

    /// Copies the entry into the ring. Never blocks; see [`Push::Full`].
    ///
    /// The writer looks at the rings by itself; it is woken from here only each time that half a ring has
    /// been filled, and when there is no room.
    pub fn push(&mut self, entry: &Entry<'_>) -> Push {
        let selection = self.selection.load();
        if !selection.active {
            return Push::Written;
        }
        let droppable = selection.droppable;
        self.scratch.clear();
        wire::encode(entry, selection, &mut self.scratch);
        if self.ring.push_entire_slice(&self.scratch).is_ok() {
            self.unannounced += self.scratch.len();
            if self.unannounced >= self.ring.buffer().capacity() / 2 {
                self.unannounced = 0;
                self.writer.unpark();
            }
            return Push::Written;
        }
        self.unannounced = 0;
        self.writer.unpark();
        // without a writer there will never be room: waiting would hold the flow for ever
        if droppable || self.ring.is_abandoned() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Push::Dropped;
        }
        Push::Full
    }
}

impl std::fmt::Debug for CoreLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreLog").field("free", &self.ring.slots()).finish_non_exhaustive()
    }
}
