//! Threads that wait for the disk in place of callers.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::core::Core;
use crate::found::Found;
use crate::{Part, ReadError};

pub const THREADS: usize = 4;

type Done = Box<dyn FnOnce(Result<Vec<u8>, ReadError>) + Send>;

#[derive(Default)]
pub struct Readers {
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<(Found, Part, Done)>,
    closed: bool,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, found: Found, what: Part, done: Done) {
        let mut inner = self.lock();
        if inner.closed {
            drop(inner);
            return done(Err(io::Error::other("the store is closed").into()));
        }
        inner.jobs.push_back((found, what, done));
        drop(inner);
        self.wake.notify_one();
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Until closed and empty.
    pub fn run(&self, core: &Arc<Core>) {
        loop {
            let mut inner = self
                .wake
                .wait_while(self.lock(), |inner| inner.jobs.is_empty() && !inner.closed)
                .unwrap_or_else(PoisonError::into_inner);
            let Some((found, what, done)) = inner.jobs.pop_front() else {
                return;
            };
            drop(inner);
            let mut out = Vec::new();
            let read = match what {
                Part::Head => found.read_meta(true).map(|(_, head)| head),
                Part::Block(index) => found.read_block(index, &mut out, true).map(|()| out),
            };
            done(core.judge(&found, read));
        }
    }
}
