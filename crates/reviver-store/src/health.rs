//! Whether writing works, and when it is tried again.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{State, disk};

const STATES: [State; 4] = [State::Ok, State::Full, State::ReadOnly, State::Failed];

pub struct Health {
    state: AtomicU8,
    /// Milliseconds since `start`.
    retry_at: AtomicU64,
    start: Instant,
    every: Duration,
}

impl Health {
    /// `every`: how long writes rest after one has failed.
    pub fn new(every: Duration) -> Health {
        Health { state: AtomicU8::new(0), retry_at: AtomicU64::new(0), start: Instant::now(), every }
    }

    pub fn state(&self) -> State {
        STATES[usize::from(self.state.load(Ordering::Relaxed))]
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Until the next try; zero: now.
    pub fn rest(&self) -> Duration {
        match self.state() {
            State::Ok => Duration::ZERO,
            _ => Duration::from_millis(self.retry_at.load(Ordering::Relaxed).saturating_sub(self.now())),
        }
    }

    pub fn accepts(&self) -> bool {
        self.rest().is_zero()
    }

    pub fn retry_now(&self) {
        self.retry_at.store(0, Ordering::Relaxed);
    }

    /// What is to be told, when that is news.
    pub fn failed(&self, error: &io::Error) -> Option<String> {
        let (state, what) = match error {
            error if disk::is_full(error) => (State::Full, "is full"),
            error if disk::is_read_only(error) => (State::ReadOnly, "cannot be written to"),
            _ => (State::Failed, "fails"),
        };
        let resting = Duration::from_millis(self.now()) + self.every;
        self.retry_at.store(resting.as_millis() as u64, Ordering::Relaxed);
        (self.set(state) != state).then(|| format!("the disk {what}: {error}; nothing is stored on it for now"))
    }

    pub fn works(&self) -> Option<String> {
        (self.set(State::Ok) != State::Ok).then(|| "the disk works again".to_owned())
    }

    fn set(&self, state: State) -> State {
        let place = STATES.iter().position(|other| *other == state).unwrap_or_default();
        STATES[usize::from(self.state.swap(place as u8, Ordering::Relaxed))]
    }
}
