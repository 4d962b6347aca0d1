//! Servers that take as long as their load makes them, and requests that come by chance.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use reviver_balance::{Ask, Choice, Lease, Outcome, Pool, Priority};

use crate::common::{ask, at};

/// Together they carry so many requests in `base` seconds; what is more shares what they can do.
#[derive(Clone, Copy, Debug)]
pub struct Servers {
    pub knee: f64,
    pub base: f64,
}

impl Servers {
    /// Requests in a second.
    pub fn capacity(self) -> f64 {
        self.knee / self.base
    }
}

/// What became of the requests of a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub served: f64,
    pub refused: f64,
    /// The sum of latencies in seconds.
    pub latency: f64,
}

pub struct Simulation<'p> {
    pool: &'p Pool,
    /// In microseconds.
    now: u64,
    seed: u64,
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    carried: Vec<Option<(Lease<'p>, u64)>>,
    free: Vec<usize>,
}

impl<'p> Simulation<'p> {
    pub fn new(pool: &'p Pool, seed: u64) -> Self {
        Self { pool, now: 0, seed, ends: BinaryHeap::new(), carried: Vec::new(), free: Vec::new() }
    }

    /// Knuth's generator, as an exponentially distributed number with the mean 1.
    fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        -(((self.seed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64).ln()
    }

    /// For so many seconds so many requests in each.
    pub fn run(&mut self, seconds: f64, rate: f64, servers: Servers) -> Counted {
        let until = self.now + (seconds * 1e6) as u64;
        let mut counted = Counted::default();
        loop {
            let next = self.now + (self.chance() / rate * 1e6) as u64;
            self.end(next.min(until), &mut counted);
            self.now = next.min(until);
            if next >= until {
                return counted;
            }
            self.begin(servers, &mut counted);
        }
    }

    fn begin(&mut self, servers: Servers, counted: &mut Counted) {
        let ask = Ask { now: at(Duration::from_micros(self.now)), priority: Priority::Normal, ..ask() };
        let Choice::Server(lease) = self.pool.choose(&ask) else {
            counted.refused += 1.0;
            return;
        };
        let load = (self.ends.len() + 1) as f64;
        let mean = servers.base * (load / servers.knee).max(1.0);
        let took = (mean * (0.5 + 0.5 * self.chance()) * 1e6) as u64;
        let place = self.free.pop().unwrap_or_else(|| {
            self.carried.push(None);
            self.carried.len() - 1
        });
        self.carried[place] = Some((lease, took));
        self.ends.push(Reverse((self.now + took, place)));
    }

    fn end(&mut self, until: u64, counted: &mut Counted) {
        while let Some(&Reverse((end, place))) = self.ends.peek().filter(|next| next.0.0 <= until) {
            self.ends.pop();
            self.free.push(place);
            let (lease, took) = self.carried[place].take().expect("a lease");
            lease.observe(Outcome::Success(took), at(Duration::from_micros(end)));
            counted.served += 1.0;
            counted.latency += took as f64 / 1e6;
        }
    }
}
