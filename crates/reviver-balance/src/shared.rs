//! What the pools of one name have in common over reloads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::budget::Budget;
use crate::chance::Cursor;
use crate::clock::Clock;
use crate::limits::Limits;
use crate::lock;
use crate::queue::Queue;

/// Changes that nobody has asked for; older ones are forgotten.
const MAX_CHANGES: usize = 10_000;

/// What has become of a server, for people: told once for each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// None: of the whole pool.
    pub server: Option<String>,
    pub kind: ChangeKind,
    /// Why, in words.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Up,
    Down,
    Ejected,
    Returned,
    Draining,
    Restored,
    /// No server is left.
    Out,
    /// There is one again.
    Back,
    Panic,
    Calm,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub clock: Clock,
    pub queue: Arc<Queue>,
    pub budget: Budget,
    /// Of all servers together.
    pub limits: Limits,
    /// Where chance comes from.
    pub chance: Cursor,
    /// Changes of servers' states so far.
    pub epoch: AtomicU32,
    /// One judges at a time: how many are ejected must hold in sum.
    pub judging: Mutex<Told>,
    /// When servers are compared next; 0: the first interval has not begun.
    pub compare_at: AtomicU64,
    changes: Mutex<VecDeque<Change>>,
}

/// What people know of the whole pool.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub out: bool,
    pub panic: bool,
}

impl Shared {
    pub fn tell(&self, server: Option<&str>, kind: ChangeKind, detail: String) {
        let mut changes = lock(&self.changes);
        if changes.len() >= MAX_CHANGES {
            changes.pop_front();
        }
        changes.push_back(Change { server: server.map(str::to_owned), kind, detail });
    }

    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.changes)).into()
    }

    /// A server's state has changed: what was derived from states is stale, and who waits looks again.
    pub fn stir(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.queue.call();
    }
}
