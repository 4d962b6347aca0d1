//! One core: a thread with its own runtime, listeners, upstream connections and timers.
//!
//! Rule: nothing here is shared with another core but what [`Shared`] holds, and no request takes a lock.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime};

use reviver_plan::Snapshot;
use tokio::sync::Notify;

use crate::auth::Authenticator;
use crate::buffers::Pool;
use crate::cache::Cache;
use crate::clients::Clients;
use crate::compare::Mirrors;
use crate::engine::Host;
use crate::listener::Listeners;
use crate::log::CoreLog;
use crate::metrics::{CoreMetrics, MetricMap};
use crate::resolve::Resolver;
use crate::stream::Pipe;
use crate::timers::Timers;
use crate::tls::Contexts;
use crate::upstream::{IdlePool, Upstreams};
use crate::work::Work;

const JUDGED_EVERY: Duration = Duration::from_millis(100);

/// What all cores see.
#[derive(Debug, Default)]
pub struct Shared {
    /// Flows that ended in a panic.
    pub panics: AtomicUsize,
    pub mirrors: Mirrors,
    pub clients: Clients,
}

/// A plan with all that was built from it beside the running one.
#[derive(Clone)]
pub struct Prepared {
    pub snapshot: Arc<Snapshot>,
    pub tls: Arc<Contexts>,
    pub cache: Option<Arc<Cache>>,
}

/// A plan in force on one core.
pub struct CoreSnapshot {
    pub snapshot: Arc<Snapshot>,
    pub tls: Arc<Contexts>,
    pub cache: Option<Arc<Cache>>,
    /// Kept connections by pool and server.
    pub servers: Vec<Vec<ServerSlot>>,
    pub resolver: Rc<Resolver>,
    pub metrics: MetricMap,
    /// Ports on which this process serves forward traffic: a forward request to one of them is a loop.
    pub own_ports: Vec<u16>,
}

/// A server as this core reaches it.
pub struct ServerSlot {
    /// Known at once where the configuration names an address.
    pub address: Option<SocketAddr>,
    pub idle: Rc<IdlePool>,
}

pub struct Core {
    pub timers: Rc<Timers>,
    pub upstreams: Upstreams,
    pub works: Pool<Box<Work>>,
    pub pipes: Pool<Pipe>,
    /// Blocks of bodies on their way from disk.
    pub blocks: Pool<Vec<u8>>,
    pub log: RefCell<CoreLog>,
    pub metrics: CoreMetrics,
    pub auth: Authenticator,
    release_memory: fn(),
    pub listeners: Listeners,
    pub shared: Arc<Shared>,
    /// Wakes the health checks: there is another plan, or an outcome.
    pub health: Rc<Notify>,
    current: RefCell<Rc<CoreSnapshot>>,
    /// No new requests are taken on any connection.
    draining: Cell<bool>,
    /// What is under way ends now.
    stopping: Cell<bool>,
    /// Copies of requests that are under way.
    pub mirrored: Cell<usize>,
    /// Open client connections of this core.
    pub live: Cell<usize>,
    clock: Cell<(Instant, u64)>,
    /// Where flows have their chance from.
    chance: Cell<u64>,
    date: RefCell<(u64, String)>,
}

impl Core {
    pub fn new(log: CoreLog, metrics: CoreMetrics, host: Host, shared: Arc<Shared>, prepared: Prepared) -> Rc<Self> {
        let now = Instant::now();
        let upstreams = Upstreams::default();
        let resolver = Rc::new(Resolver::new(&prepared.snapshot.plan.resolver));
        let current = RefCell::new(Rc::new(CoreSnapshot::new(prepared, &upstreams, resolver, &metrics)));
        Rc::new(Self {
            timers: Timers::new(now),
            upstreams,
            works: Pool::default(),
            pipes: Pool::default(),
            blocks: Pool::default(),
            log: RefCell::new(log),
            metrics,
            auth: Authenticator::new(host.checker, host.secret),
            release_memory: host.release_memory,
            listeners: Listeners::default(),
            shared,
            health: Rc::default(),
            current,
            draining: Cell::new(false),
            stopping: Cell::new(false),
            mirrored: Cell::new(0),
            live: Cell::new(0),
            clock: Cell::new((now, unix_ms())),
            chance: Cell::new(first_chance(&host.secret)),
            date: RefCell::new((0, String::new())),
        })
    }

    /// The plan that a flow which begins now keeps to.
    pub fn current(&self) -> Rc<CoreSnapshot> {
        Rc::clone(&self.current.borrow())
    }

    /// Puts another plan in force; flows that have begun keep theirs.
    pub fn apply(&self, prepared: Prepared) {
        let old = self.current();
        let snapshot = &prepared.snapshot;
        let resolver = if old.snapshot.plan.resolver == snapshot.plan.resolver {
            Rc::clone(&old.resolver)
        } else {
            Rc::new(Resolver::new(&snapshot.plan.resolver))
        };
        if old.snapshot.plan.forward != snapshot.plan.forward {
            self.upstreams.forget_destinations();
        }
        self.listeners.renumber(snapshot);
        *self.current.borrow_mut() = Rc::new(CoreSnapshot::new(prepared, &self.upstreams, resolver, &self.metrics));
        self.health.notify_one();
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Idle client connections close; others after the request that they carry.
    pub fn drain(&self) {
        self.draining.set(true);
        self.listeners.close_all();
        self.timers.wake_all();
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Ends every flow, each with its record, and waits for that as long as `patience`.
    pub async fn stop(&self, patience: Duration) {
        self.stopping.set(true);
        self.drain();
        let end = Instant::now() + patience;
        while self.live.get() > 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Milliseconds since the Unix epoch at an instant, from the clock read at the last tick.
    pub fn unix_ms_at(&self, instant: Instant) -> u64 {
        let (base, ms) = self.clock.get();
        match instant.checked_duration_since(base) {
            Some(later) => ms + later.as_millis() as u64,
            None => ms.saturating_sub((base - instant).as_millis() as u64),
        }
    }

    /// Another number for each flow.
    pub fn chance(&self) -> u64 {
        let next = self.chance.get().wrapping_add(0xD1B5_4A32_D192_ED03);
        self.chance.set(next);
        next
    }

    /// `Date` of the current second (RFC 9110, section 6.6.1).
    pub fn write_date(&self, now: Instant, out: &mut Vec<u8>) {
        let second = self.unix_ms_at(now) / 1000;
        let mut date = self.date.borrow_mut();
        if date.0 != second {
            let when =
                i64::try_from(second).ok().and_then(|s| jiff::Timestamp::from_second(s).ok()).unwrap_or_default();
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            *date = (second, printer.timestamp_to_rfc9110_string(&when).unwrap_or_default());
        }
        out.extend_from_slice(date.1.as_bytes());
    }

    /// A few times a second: what of pools is due by the clock. One core does it for all. Never returns.
    pub async fn judge_pools(self: Rc<Self>) {
        loop {
            tokio::time::sleep(JUDGED_EVERY).await;
            let (current, now) = (self.current(), Instant::now());
            for pool in &current.snapshot.pools {
                pool.tick(now);
            }
        }
    }

    /// Once a second: closes what was kept too long and reads the wall clock. Never returns.
    pub async fn housekeeping(self: Rc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = Instant::now();
            self.clock.set((now, unix_ms()));
            self.upstreams.sweep(now);
            if self.works.trim() + self.pipes.trim() + self.blocks.trim() > 0 {
                (self.release_memory)();
            }
        }
    }
}

impl CoreSnapshot {
    fn new(prepared: Prepared, upstreams: &Upstreams, resolver: Rc<Resolver>, metrics: &CoreMetrics) -> Self {
        let Prepared { snapshot, tls, cache } = prepared;
        let servers = snapshot.plan.reverse.iter().flat_map(|r| &r.pools).map(|pool| {
            let slot = |server: &reviver_plan::Server| ServerSlot {
                address: server.address.parse().ok(),
                idle: upstreams.server(pool, &server.address),
            };
            pool.servers.iter().map(slot).collect()
        });
        let servers = servers.collect();
        let own_ports = snapshot
            .plan
            .listeners
            .iter()
            .filter(|l| l.role == reviver_plan::Role::Forward)
            .flat_map(|l| l.bind.iter().map(SocketAddr::port))
            .collect();
        Self { metrics: metrics.map(&snapshot.plan), snapshot, tls, cache, servers, resolver, own_ports }
    }
}

/// Different on each core and in each process, and of no use to who would guess the secret.
fn first_chance(secret: &[u8; 32]) -> u64 {
    let mut text = secret.to_vec();
    text.extend_from_slice(format!("{:?}", std::thread::current().id()).as_bytes());
    xxhash_rust::xxh3::xxh3_64(&text)
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
