//! What waits for the writer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Key;
use crate::incoming::Stream;

/// How long small things are gathered.
const GATHER: Duration = Duration::from_millis(10);
/// So many bytes are worth a write of their own.
const WORTH: u64 = 4 * 1024 * 1024;

pub enum Op {
    Put {
        key: Key,
        sequence: u64,
        label: Vec<u8>,
        head: Vec<u8>,
        body: Vec<Arc<[u8]>>,
    },
    /// `body`: the sequence of the object whose head this is.
    Head {
        key: Key,
        sequence: u64,
        label: Vec<u8>,
        head: Vec<u8>,
        body: u64,
    },
    Remove {
        key: Key,
        sequence: u64,
    },
    Soften {
        key: Key,
        sequence: u64,
    },
    Clear {
        sequence: u64,
    },
    /// Blocks of a stream that are to be written.
    Append(Arc<Stream>),
    Finish(Arc<Stream>),
    Abort(Arc<Stream>),
}

pub struct Queue {
    inner: Mutex<Inner>,
    /// For the writer.
    wake: Condvar,
    /// For those who wait for the writer.
    done: Condvar,
    /// Bytes of objects that wait, those of streams too.
    bytes: AtomicU64,
    sequence: AtomicU64,
    bound: u64,
}

#[derive(Default)]
struct Inner {
    ops: VecDeque<Op>,
    pushed: u64,
    done: u64,
    urgent: bool,
    closed: bool,
}

pub struct Taken {
    pub ops: VecDeque<Op>,
    pub closed: bool,
}

impl Queue {
    /// `sequence`: the highest that was given out.
    pub fn new(sequence: u64, bound: u64) -> Queue {
        Queue {
            inner: Mutex::default(),
            wake: Condvar::new(),
            done: Condvar::new(),
            bytes: AtomicU64::new(0),
            sequence: AtomicU64::new(sequence),
            bound,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The highest sequence that was given out.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    pub fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Takes room for bytes; `share`: streams that have begun may use twice the bound.
    pub fn reserve(&self, bytes: u64, share: u64) -> bool {
        let fits = |queued: u64| queued.checked_add(bytes).filter(|sum| *sum <= self.bound * share);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    pub fn release(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// `make` is called with a new sequence. False: the store is closed.
    pub fn push(&self, urgent: bool, make: impl FnOnce(u64) -> Op) -> bool {
        let mut inner = self.lock();
        if inner.closed {
            return false;
        }
        let op = make(self.next_sequence());
        let idle = inner.ops.is_empty();
        inner.ops.push_back(op);
        inner.pushed += 1;
        let worth = urgent || self.bytes() >= WORTH;
        let wakes = idle || worth && !inner.urgent;
        inner.urgent |= worth;
        drop(inner);
        if wakes {
            self.wake.notify_one();
        }
        true
    }

    /// For the writer: waits for something to do, no longer than `patience`.
    pub fn take(&self, patience: Option<Duration>) -> Taken {
        let mut inner = self.lock();
        if inner.ops.is_empty() && !inner.urgent && !inner.closed {
            inner = match patience {
                None => self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => self.wake.wait_timeout(inner, patience).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        if !inner.ops.is_empty() && !inner.urgent && !inner.closed {
            inner = self
                .wake
                .wait_timeout_while(inner, GATHER, |inner| !inner.urgent && !inner.closed)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        inner.urgent = false;
        Taken { ops: std::mem::take(&mut inner.ops), closed: inner.closed }
    }

    /// For the writer: so many of what was taken are written or given up.
    pub fn finished(&self, count: usize) {
        self.lock().done += count as u64;
        self.done.notify_all();
    }

    pub fn sync(&self) {
        let mut inner = self.lock();
        let target = inner.pushed;
        if inner.done < target {
            inner.urgent = true;
            self.wake.notify_one();
        }
        while inner.done < target {
            inner = self.done.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }
}
