//! Counters and latencies by listener, route and server.
//!
//! Rule 1: each core has its own, written by its thread alone (a plain load and store) and read by whoever
//! asks; what is shown is their sum. Rule 2: a name keeps its counts across reloads: an epoch only maps the
//! indices of its plan to them. What a plan no longer names is forgotten, except in the totals.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use histogram::{AtomicHistogram, Config, Histogram};
use reviver_flow::{Fault, Record, SLUGS, Slug, Via};
use reviver_plan::Plan;
use serde::Serialize;

/// Buckets within 6 % of a value, up to 67 seconds in microseconds: 2.9 KiB. What takes longer is counted
/// in the last bucket; the maximum is kept besides.
const GROUPING_POWER: u8 = 4;
const MAX_POWER: u8 = 26;

/// How many of something there are at the moment, on one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Client connections.
    Connections,
    /// Requests that are not over.
    Flows,
    /// Tunnels that are open.
    Tunnels,
}

/// The counters of all cores, to be read.
#[derive(Debug)]
pub struct Metrics {
    cores: Vec<Arc<Mutex<Names>>>,
}

/// The counters of one core, to be written by its thread.
#[derive(Debug)]
pub struct CoreMetrics {
    names: Arc<Mutex<Names>>,
    total: Arc<Group>,
}

/// Where the indices of one plan count, on one core.
#[derive(Debug)]
pub struct MetricMap {
    listeners: Vec<Arc<Group>>,
    routes: Vec<Arc<Group>>,
    /// By pool and server.
    servers: Vec<Vec<Arc<Group>>>,
}

impl Metrics {
    /// Counters at zero for so many cores.
    pub fn new(cores: usize) -> (Self, Vec<CoreMetrics>) {
        let owned: Vec<CoreMetrics> = (0..cores)
            .map(|_| {
                let names = Names::default();
                let total = Arc::clone(&names.total);
                CoreMetrics { names: Arc::new(Mutex::new(names)), total }
            })
            .collect();
        (Self { cores: owned.iter().map(|core| Arc::clone(&core.names)).collect() }, owned)
    }

    /// The sum over all cores. Takes a moment; not for a request's way.
    pub fn summary(&self) -> Summary {
        let mut total = Sum::default();
        let mut tables: [BTreeMap<String, Sum>; 3] = Default::default();
        for core in &self.cores {
            let names = core.lock().unwrap_or_else(PoisonError::into_inner);
            total.add(&names.total);
            for (sums, groups) in tables.iter_mut().zip([&names.listeners, &names.routes, &names.servers]) {
                for (name, group) in groups {
                    sums.entry(name.clone()).or_default().add(group);
                }
            }
        }
        let [listeners, routes, servers] =
            tables.map(|sums| sums.into_iter().map(|(name, sum)| (name, sum.summary())).collect());
        Summary { total: total.summary(), listeners, routes, servers }
    }
}

impl CoreMetrics {
    /// Maps a plan's indices; to be kept beside the plan's snapshot for all flows that begin under it.
    pub fn map(&self, plan: &Plan) -> MetricMap {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let (routes, pools) = plan.reverse.as_ref().map_or((&[][..], &[][..]), |r| (&r.routes, &r.pools));
        let listeners = groups(&mut names.listeners, plan.listeners.iter().map(|l| l.name.clone()));
        let routes = groups(&mut names.routes, routes.iter().map(|r| r.name.clone()));
        let addresses = pools.iter().flat_map(|p| p.servers.iter().map(|s| format!("{}/{}", p.name, s.address)));
        let mut servers = groups(&mut names.servers, addresses).into_iter();
        let servers = pools.iter().map(|p| servers.by_ref().take(p.servers.len()).collect()).collect();
        MetricMap { listeners, routes, servers }
    }

    /// Counts a flow that is over, under the map of the plan that it began with.
    pub fn observe(&self, map: &MetricMap, record: &Record) {
        let taken = (!record.tunnel).then_some(record.times.total);
        self.total.observe(record, record.status, taken);
        if let Some(group) = map.listeners.get(usize::from(record.listener)) {
            group.observe(record, record.status, taken);
        }
        if let Some(group) = record.route.and_then(|index| map.routes.get(index as usize)) {
            group.observe(record, record.status, taken);
        }
        let server = record.pool.zip(record.server);
        if let Some(group) = server.and_then(|(pool, server)| map.servers.get(pool as usize)?.get(server as usize)) {
            group.observe(record, record.upstream_status, record.times.first_byte.map(u64::from));
        }
    }

    /// One more of something on a listener. Each needs its [`Self::leave`], under the same map.
    pub fn enter(&self, map: &MetricMap, gauge: Gauge, listener: u16) {
        self.step(map, gauge, listener, 1);
    }

    /// One less.
    pub fn leave(&self, map: &MetricMap, gauge: Gauge, listener: u16) {
        self.step(map, gauge, listener, u64::MAX);
    }

    fn step(&self, map: &MetricMap, gauge: Gauge, listener: u16, by: u64) {
        add(&self.total.open[gauge as usize], by);
        if let Some(group) = map.listeners.get(usize::from(listener)) {
            add(&group.open[gauge as usize], by);
        }
    }
}

/// Only the owner writes, so that no update is lost; wraps, so that adding `u64::MAX` takes one away.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

/// Groups by name, of the plan in force.
#[derive(Debug, Default)]
struct Names {
    total: Arc<Group>,
    listeners: BTreeMap<String, Arc<Group>>,
    routes: BTreeMap<String, Arc<Group>>,
    servers: BTreeMap<String, Arc<Group>>,
}

/// The groups of `names` in order; what is not among them goes.
fn groups(known: &mut BTreeMap<String, Arc<Group>>, names: impl Iterator<Item = String>) -> Vec<Arc<Group>> {
    let old = std::mem::take(known);
    names
        .map(|name| {
            let group = old.get(&name).map(Arc::clone);
            Arc::clone(known.entry(name).or_insert_with(|| group.unwrap_or_default()))
        })
        .collect()
}

#[derive(Debug)]
struct Group {
    requests: AtomicU64,
    /// By first digit; 0 where no status was sent.
    classes: [AtomicU64; 6],
    reasons: [AtomicU64; SLUGS.len()],
    retries: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    tunnels: AtomicU64,
    connections_new: AtomicU64,
    connections_reused: AtomicU64,
    open: [AtomicU64; 3],
    /// Microseconds.
    latency: AtomicHistogram,
    latency_sum: AtomicU64,
    latency_max: AtomicU64,
}

/// Wrong powers do not compile.
const CONFIG: Config = match Config::new(GROUPING_POWER, MAX_POWER) {
    Ok(config) => config,
    Err(_) => panic!("no histogram has these powers"),
};

impl Default for Group {
    fn default() -> Self {
        Self {
            requests: AtomicU64::default(),
            classes: Default::default(),
            reasons: [const { AtomicU64::new(0) }; SLUGS.len()],
            retries: AtomicU64::default(),
            bytes_in: AtomicU64::default(),
            bytes_out: AtomicU64::default(),
            tunnels: AtomicU64::default(),
            connections_new: AtomicU64::default(),
            connections_reused: AtomicU64::default(),
            open: Default::default(),
            latency: AtomicHistogram::with_config(&CONFIG),
            latency_sum: AtomicU64::default(),
            latency_max: AtomicU64::default(),
        }
    }
}

impl Group {
    fn observe(&self, record: &Record, status: u16, taken: Option<u64>) {
        add(&self.requests, 1);
        let class = usize::from(status / 100);
        add(&self.classes[if class < self.classes.len() { class } else { 0 }], 1);
        add(&self.reasons[record.reason.slug as usize], 1);
        add(&self.retries, u64::from(record.attempts.saturating_sub(1)));
        add(&self.bytes_in, record.bytes_in);
        add(&self.bytes_out, record.bytes_out);
        if record.tunnel {
            add(&self.tunnels, 1);
        }
        match record.upstream_via {
            Via::None => {}
            Via::New => add(&self.connections_new, 1),
            Via::Reused => add(&self.connections_reused, 1),
        }
        if let Some(taken) = taken {
            // the bound makes sure that there is a bucket
            let _ = self.latency.increment(taken.min((1 << MAX_POWER) - 1));
            add(&self.latency_sum, taken);
            if taken > self.latency_max.load(Relaxed) {
                self.latency_max.store(taken, Relaxed);
            }
        }
    }
}

/// What the proxy did since it was started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub total: GroupSummary,
    /// By name.
    pub listeners: BTreeMap<String, GroupSummary>,
    pub routes: BTreeMap<String, GroupSummary>,
    /// By `pool/address`.
    pub servers: BTreeMap<String, GroupSummary>,
}

/// What one listener, route or server did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GroupSummary {
    /// Flows that are over.
    pub requests: u64,
    /// By class: `1xx` to `5xx`, and `none` where no status was sent. For a server, what it answered.
    pub status: BTreeMap<&'static str, u64>,
    /// Flows that failed or were refused, by the slug of the reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// Attempts after the first.
    pub retries: u64,
    /// From and to clients.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Tunnels that are over.
    pub tunnels: u64,
    /// Flows that opened an upstream connection, and that used a kept one.
    pub connections_new: u64,
    pub connections_reused: u64,
    pub open: Open,
    /// Whole flows, tunnels left out; for a server, from the request sent to the first byte of its answer.
    pub latency_ms: Latency,
}

/// What there is at the moment; zero for routes and servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Open {
    pub connections: u64,
    pub flows: u64,
    pub tunnels: u64,
}

/// Milliseconds; quantiles within 6 %. Zero where nothing was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

struct Sum {
    group: GroupSummary,
    latency: Histogram,
    latency_sum: u64,
    latency_max: u64,
}

impl Default for Sum {
    fn default() -> Self {
        let latency = Histogram::with_config(&CONFIG);
        Self { group: GroupSummary::default(), latency, latency_sum: 0, latency_max: 0 }
    }
}

impl Sum {
    fn add(&mut self, group: &Group) {
        let sum = &mut self.group;
        for (total, counter) in [
            (&mut sum.requests, &group.requests),
            (&mut sum.retries, &group.retries),
            (&mut sum.bytes_in, &group.bytes_in),
            (&mut sum.bytes_out, &group.bytes_out),
            (&mut sum.tunnels, &group.tunnels),
            (&mut sum.connections_new, &group.connections_new),
            (&mut sum.connections_reused, &group.connections_reused),
            (&mut sum.open.connections, &group.open[Gauge::Connections as usize]),
            (&mut sum.open.flows, &group.open[Gauge::Flows as usize]),
            (&mut sum.open.tunnels, &group.open[Gauge::Tunnels as usize]),
            (&mut self.latency_sum, &group.latency_sum),
        ] {
            // what one core has begun another may have ended: only the sum of gauges is exact
            *total = total.wrapping_add(counter.load(Relaxed));
        }
        self.latency_max = self.latency_max.max(group.latency_max.load(Relaxed));
        let classes = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(&group.classes);
        for (name, counter) in classes.map(|(name, counter)| (name, counter.load(Relaxed))).filter(|(_, n)| *n > 0) {
            *sum.status.entry(name).or_default() += counter;
        }
        for slug in Slug::ALL.iter().filter(|slug| slug.row().fault != Fault::None) {
            let count = group.reasons[*slug as usize].load(Relaxed);
            if count > 0 {
                *sum.failures.entry(slug.name()).or_default() += count;
            }
        }
        // the same configuration everywhere, and counts far from overflowing
        let _ = self.latency.checked_add_assign(&group.latency.load());
    }

    fn summary(self) -> GroupSummary {
        let count: u64 = self.latency.as_slice().iter().sum();
        if count == 0 {
            return self.group;
        }
        let ms = |micros: f64| micros / 1000.0;
        let quantile = |q: f64| {
            let bucket = self.latency.quantile_bucket(q).ok().flatten();
            // the middle of the bucket, but nothing that was never seen
            bucket.map_or(0.0, |b| ms(((b.start() + b.end()) as f64 / 2.0).min(self.latency_max as f64)))
        };
        let latency_ms = Latency {
            count,
            mean: ms(self.latency_sum as f64 / count as f64),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: ms(self.latency_max as f64),
        };
        GroupSummary { latency_ms, ..self.group }
    }
}
