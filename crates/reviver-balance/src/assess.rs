//! What the states of all servers come to, and what changes them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::endpoint::{DOWN, DRAINED, EJECTED, WARMING};
use crate::health::Turn;
use crate::{ChangeKind, Endpoint, HealthSpec, Pool, clock, lock};

const OUT: u32 = DOWN | EJECTED;

/// Derived from states, and computed again when one has changed.
#[derive(Debug, Default)]
pub(crate) struct Assessed {
    /// The epoch in the upper half, of which 0 is none, and 1 in panic.
    packed: AtomicU64,
    /// For each tier, as `f64`: the weights of all that may be taken.
    weights: [AtomicU64; 2],
}

/// How servers are chosen now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// So few are up that all are used as if they were.
    pub panic: bool,
    /// States that keep a server from being taken.
    pub blocked: u32,
}

impl Mode {
    fn new(panic: bool) -> Self {
        Self { panic, blocked: if panic { DRAINED } else { OUT | DRAINED } }
    }
}

impl Assessed {
    /// None: no server of the tier may be taken.
    pub fn weight(&self, tier: usize) -> Option<f64> {
        Some(f64::from_bits(self.weights[tier].load(Ordering::Relaxed))).filter(|&weight| weight > 0.0)
    }
}

impl Pool {
    pub(crate) fn mode(&self) -> Mode {
        // before the states are read: what changes meanwhile has another epoch
        let epoch = u64::from(self.shared.epoch.load(Ordering::SeqCst));
        let packed = self.assessed.packed.load(Ordering::Acquire);
        if packed >> 32 == epoch {
            return Mode::new(packed & 1 != 0);
        }
        let mode = self.assess();
        self.assessed.packed.store((epoch << 32) | u64::from(mode.panic), Ordering::Release);
        mode
    }

    /// Whether so few servers are up that all are used as if they were.
    pub fn in_panic(&self) -> bool {
        self.mode().panic
    }

    fn assess(&self) -> Mode {
        let states = || self.selector.members().map(|server| self.endpoints[server as usize].state());
        let (all, up) = (states().count() as u64, states().filter(|state| state & OUT == 0).count() as u64);
        let mode = Mode::new(up * 10_000 < u64::from(self.spec.panic) * all);
        for (tier, weights) in self.selector.tiers().zip(&self.assessed.weights) {
            let open =
                tier.members().filter(|&(server, _)| self.endpoints[server as usize].state() & mode.blocked == 0);
            let sum: f64 = open.map(|(_, weight)| f64::from(weight)).sum();
            weights.store(sum.to_bits(), Ordering::Relaxed);
        }
        mode
    }

    /// Tells people what has become of the pool as a whole.
    fn tell_pool(&self) {
        let mut told = lock(&self.shared.judging);
        let mode = self.mode();
        let (mut all, mut up, mut open, mut draining) = (0, 0, 0, 0);
        for server in self.selector.members() {
            let state = self.endpoints[server as usize].state();
            all += 1;
            up += u32::from(state & OUT == 0);
            draining += u32::from(state & DRAINED != 0);
            // ejected ones are taken where there is no other
            open += u32::from(state & mode.blocked & !EJECTED == 0);
        }
        let count = match draining {
            0 => format!("{up} of {all} servers up"),
            _ => format!("{up} of {all} servers up, {draining} draining"),
        };
        if std::mem::replace(&mut told.panic, mode.panic) != mode.panic {
            let (kind, detail) = match mode.panic {
                true => (ChangeKind::Panic, format!("{count}: all are used")),
                false => (ChangeKind::Calm, count.clone()),
            };
            self.shared.tell(None, kind, detail);
        }
        let out = all > 0 && open == 0;
        if std::mem::replace(&mut told.out, out) != out {
            self.shared.tell(None, if out { ChangeKind::Out } else { ChangeKind::Back }, count);
        }
    }

    /// What a health check of a server has shown. The first check decides alone; after it `rise` and `fall` do.
    pub fn checked(&self, server: u32, outcome: Result<(), &str>, now: Instant) {
        let Some(endpoint) = self.endpoints.get(server as usize) else { return };
        let (member, micros) = (&self.spec.members[server as usize], self.micros(now));
        let rules = self.spec.health.unwrap_or(HealthSpec { rise: 1, fall: 1 });
        {
            // a change and its telling in one, so that people read them in their order
            let _one_at_a_time = lock(&self.shared.judging);
            let turn = lock(&endpoint.health).note(outcome, micros, rules, endpoint.state() & DOWN != 0);
            match turn {
                Some(Turn::Down(why)) if endpoint.set(DOWN) => self.tell(member, ChangeKind::Down, &why),
                Some(Turn::Up(why)) if endpoint.clear(DOWN) => {
                    self.begin_slowly(endpoint, micros);
                    self.tell(member, ChangeKind::Up, &why);
                }
                _ => return,
            }
        }
        self.shared.stir();
        self.tell_pool();
    }

    /// Whether checks say that the server is down, which makes them more frequent.
    pub fn is_down(&self, server: u32) -> bool {
        self.endpoints.get(server as usize).is_some_and(|e| e.state() & DOWN != 0)
    }

    /// Whether a server is down or ejected.
    pub fn is_out(&self, server: u32) -> bool {
        self.endpoints.get(server as usize).is_some_and(|e| e.state() & OUT != 0)
    }

    /// Takes a server out for new clients, or brings it back. False: there is no such server.
    pub fn set_drained(&self, address: &str, drained: bool, now: Instant) -> bool {
        let micros = self.micros(now);
        let named = || self.spec.members.iter().zip(&self.endpoints).filter(|(m, _)| m.address == address);
        let one_at_a_time = lock(&self.shared.judging);
        for (member, endpoint) in named() {
            if drained && endpoint.set(DRAINED) {
                self.tell(member, ChangeKind::Draining, "no new clients");
            } else if !drained && endpoint.clear(DRAINED) {
                self.begin_slowly(endpoint, micros);
                self.tell(member, ChangeKind::Restored, "new clients again");
            }
        }
        drop(one_at_a_time);
        self.shared.stir();
        self.tell_pool();
        named().next().is_some()
    }

    /// Addresses of drained servers.
    pub fn drained(&self) -> Vec<String> {
        let drained = self.spec.members.iter().zip(&self.endpoints).filter(|(_, e)| e.state() & DRAINED != 0);
        drained.map(|(member, _)| member.address.clone()).collect()
    }

    pub(crate) fn begin_slowly(&self, endpoint: &Endpoint, now: u64) {
        if !self.spec.slow_start.is_zero() {
            endpoint.warm(now);
        }
    }

    /// What is due by the clock: ejections that end, servers that are warm, comparisons. A few times a second, by one
    /// thread.
    pub fn tick(&self, now: Instant) {
        let now = self.micros(now);
        for endpoint in &self.endpoints {
            if endpoint.state() & WARMING != 0 && endpoint.warmth(now, clock::micros(self.spec.slow_start)) >= 1.0 {
                endpoint.clear(WARMING);
            }
        }
        if let Some(outlier) = &self.spec.outlier {
            self.end_ejections(now);
            self.compare(outlier, now);
        }
        // two that assess at the same time may have left the weights of the earlier epoch
        self.assess();
        self.tell_pool();
    }
}
