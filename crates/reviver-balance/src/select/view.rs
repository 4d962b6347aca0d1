//! What one request sees of a pool's servers.

use std::cell::Cell;
use std::sync::Arc;

use crate::chance::{Cursor, mix, unit};
use crate::clock::{Clock, micros};
use crate::endpoint::WARMING;
use crate::{Ask, Endpoint, PoolSpec};

/// Reads states as they are at the moment: what is admitted may be full when it is taken.
pub(crate) struct View<'a> {
    pub spec: &'a PoolSpec,
    pub endpoints: &'a [Arc<Endpoint>],
    pub ask: &'a Ask<'a>,
    pub clock: &'a Clock,
    pub chance: &'a Cursor,
    /// States that keep a server from being taken.
    pub blocked: u32,
    /// Drawn when it is needed first.
    pub drawn: Cell<Option<f64>>,
    /// What a server may carry by its share, see [`Bound`].
    pub bound: Option<Bound>,
}

/// A server that can be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub in_flight: u32,
    pub is_warming: bool,
}

/// Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2016): none carries more than so many
/// times its fair share of all requests, and what would be too much goes to the next by the hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// Requests that a server may carry for each unit of its weight.
    pub for_weight: f64,
}

/// Below this many requests no server is over its bound: a few clients stay where they are.
const BOUND_FLOOR: f64 = 4.0;

impl View<'_> {
    pub fn now(&self) -> u64 {
        self.clock.micros(self.ask.now)
    }

    /// Whether it could be taken if it had room.
    pub fn is_open(&self, server: u32) -> bool {
        self.is_free(server, self.endpoints[server as usize].state())
    }

    fn is_free(&self, server: u32, state: u32) -> bool {
        state & self.blocked == 0 && (self.ask.tried.is_empty() || !self.ask.tried.contains(&server))
    }

    /// None: it cannot be taken now.
    pub fn look(&self, server: u32) -> Option<Seen> {
        let endpoint = &self.endpoints[server as usize];
        let state = endpoint.state();
        if !self.is_free(server, state) {
            return None;
        }
        endpoint.with_room().map(|in_flight| Seen { in_flight, is_warming: state & WARMING != 0 })
    }

    pub fn admits(&self, server: u32) -> bool {
        self.look(server).is_some()
    }

    /// The same; a server that is warming only as often as its share has grown. `draw` is of 0 to 1.
    pub fn takes(&self, server: u32, draw: impl FnOnce() -> f64) -> bool {
        self.look(server).is_some_and(|seen| !seen.is_warming || draw() < self.warmth(server))
    }

    fn warmth(&self, server: u32) -> f64 {
        self.endpoints[server as usize].warmth(self.now(), micros(self.spec.slow_start))
    }

    /// A number of 0 to 1, the same for the whole request.
    pub fn draw(&self) -> f64 {
        let drawn = self.drawn.get().unwrap_or_else(|| unit(mix(self.chance.advance())));
        self.drawn.set(Some(drawn));
        drawn
    }

    /// The part of its weight that counts now. One that is warming and idle counts in full as often as its share has
    /// grown, so that it gets its part of little traffic too.
    pub fn part(&self, server: u32, seen: Seen) -> f64 {
        if !seen.is_warming {
            return 1.0;
        }
        let warmth = self.warmth(server);
        if seen.in_flight == 0 && self.draw() < warmth { 1.0 } else { warmth }
    }

    pub fn is_within_bound(&self, server: u32, weight: u32) -> bool {
        let Some(bound) = self.bound else { return true };
        let capacity = (bound.for_weight * f64::from(weight)).ceil().max(BOUND_FLOOR);
        f64::from(self.endpoints[server as usize].in_flight()) < capacity
    }
}
