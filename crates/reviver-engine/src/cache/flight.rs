//! Fetches on their way: one for each key, however many wait for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::memory::Keys;
use super::object::Object;

/// What became of a fetch, as far as those who wait are concerned.
#[derive(Clone, Debug)]
pub enum Landing {
    /// Its response may be shared, and arrives or has arrived.
    Shared(Arc<Object>),
    /// It is for the one who asked: each goes on alone.
    Alone,
    /// It came to nothing: another may try.
    Failed,
}

#[derive(Debug, Default)]
struct State {
    landing: Option<Landing>,
    wakers: Vec<Waker>,
}

/// One fetch.
#[derive(Debug, Default)]
pub struct Flight {
    state: Mutex<State>,
}

impl Flight {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn poll(&self, cx: &Context<'_>) -> Poll<Landing> {
        let mut state = self.state();
        match &state.landing {
            Some(landing) => Poll::Ready(landing.clone()),
            None => {
                if !state.wakers.iter().any(|w| w.will_wake(cx.waker())) {
                    state.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn land(&self, landing: Landing) {
        let mut state = self.state();
        if state.landing.is_none() {
            state.landing = Some(landing);
        }
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

const SHARDS: usize = 64;

/// All fetches under way, of all workers.
#[derive(Debug)]
pub struct Flights {
    shards: [Mutex<HashMap<u128, Arc<Flight>, Keys>>; SHARDS],
    /// Of each shard, how many fetches are over.
    landed: [AtomicU64; SHARDS],
}

/// Whether a fetch is this one's to make.
pub enum Boarding {
    Lead(Lead),
    Wait(Arc<Flight>),
}

impl Default for Flights {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), landed: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Flights {
    fn shard(&self, key: u128) -> MutexGuard<'_, HashMap<u128, Arc<Flight>, Keys>> {
        self.shards[(key >> 96) as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes when a fetch of such a key is over: what was not stored before may be stored since.
    pub fn landed(&self, key: u128) -> u64 {
        self.landed[(key >> 96) as usize % SHARDS].load(Ordering::Acquire)
    }

    /// The fetch under way, or the right to make one.
    pub fn board(self: &Arc<Self>, key: u128) -> Boarding {
        match self.shard(key).entry(key) {
            Entry::Occupied(entry) => Boarding::Wait(Arc::clone(entry.get())),
            Entry::Vacant(entry) => {
                let flight = Arc::<Flight>::default();
                entry.insert(Arc::clone(&flight));
                Boarding::Lead(Lead { flights: Arc::clone(self), key, flight, over: false })
            }
        }
    }

    pub fn is_under_way(&self, key: u128) -> bool {
        self.shard(key).contains_key(&key)
    }

    /// Nobody joins the fetch that is under way any more; who waits for it still gets it.
    pub fn detach(&self, key: u128) {
        self.landed[(key >> 96) as usize % SHARDS].fetch_add(1, Ordering::AcqRel);
        self.shard(key).remove(&key);
    }

    pub fn detach_all(&self) {
        for (shard, landed) in self.shards.iter().zip(&self.landed) {
            landed.fetch_add(1, Ordering::AcqRel);
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Another takes over: those who come now find no fetch, and those who wait are told by the old one.
    pub fn take_over(self: &Arc<Self>, key: u128, stalled: &Arc<Flight>) -> Boarding {
        {
            let mut shard = self.shard(key);
            if shard.get(&key).is_some_and(|f| Arc::ptr_eq(f, stalled)) {
                shard.remove(&key);
            }
        }
        self.board(key)
    }
}

/// The right to make a fetch that others wait for. Dropped without a word it has failed.
#[derive(Debug)]
pub struct Lead {
    flights: Arc<Flights>,
    key: u128,
    flight: Arc<Flight>,
    /// It has been told, and is looked for no more.
    over: bool,
}

impl Lead {
    /// Shows the response to those who wait; they read on while it arrives. New ones still find the fetch.
    pub fn share(&self, object: Arc<Object>) {
        self.flight.land(Landing::Shared(object));
    }

    pub fn flight(&self) -> Arc<Flight> {
        Arc::clone(&self.flight)
    }

    pub fn set_free(self) {
        self.end(Landing::Alone);
    }

    /// The response is stored: who comes now finds it there, and who waits is shown it.
    pub fn stored(self, object: Arc<Object>) {
        self.end(Landing::Shared(object));
    }

    fn end(mut self, landing: Landing) {
        self.leave();
        self.flight.land(landing);
        self.over = true;
    }

    /// Who comes now looks into the store.
    pub fn leave(&self) {
        self.flights.landed[(self.key >> 96) as usize % SHARDS].fetch_add(1, Ordering::AcqRel);
        let mut shard = self.flights.shard(self.key);
        if shard.get(&self.key).is_some_and(|f| Arc::ptr_eq(f, &self.flight)) {
            shard.remove(&self.key);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.leave();
        self.flight.land(Landing::Failed);
    }
}
