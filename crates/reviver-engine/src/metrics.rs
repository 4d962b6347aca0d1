//! Counters and latencies by listener, route and server.
//!
//! Rule 1: each core has its own, written by its thread alone (a plain load and store) and read by whoever
//! asks; what is shown is their sum. Rule 2: a name keeps its counts across reloads: an epoch only maps the
//! indices of its plan to them. What a plan no longer names is forgotten, except in the totals.

mod variants;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use histogram::{AtomicHistogram, Config, Histogram};
use reviver_flow::{Fault, Record, SLUGS, Slug, Via};
use reviver_plan::Plan;
use serde::Serialize;

use crate::cache::{CacheCounters, CacheSummary};
use variants::Variant;

/// Buckets within 6 % of a value, up to 67 seconds in microseconds: 2.9 KiB. What takes longer is counted
/// in the last bucket; the maximum is kept besides.
const GROUPING_POWER: u8 = 4;
const MAX_POWER: u8 = 26;

/// How many of something there are at the moment, on one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
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

/// A quantile, and when it was looked up.
type Found = (Instant, Option<Duration>);

/// Where the indices of one plan count, on one core.
#[derive(Debug)]
pub struct MetricMap {
    listeners: Vec<Arc<Group>>,
    routes: Vec<Arc<Group>>,
    /// By pool and server.
    servers: Vec<Vec<Arc<Group>>>,
    /// By split and variant; the last of each is its baseline.
    variants: Vec<Vec<Arc<Variant>>>,
    /// By pool and quantile: what was found last, and when.
    usual: RefCell<BTreeMap<(u32, u32), Found>>,
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
        Summary { total: total.summary(), listeners, routes, servers, variants: self.variants() }
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
        let mut variants = groups(&mut names.variants, variants::names(plan)).into_iter();
        let splits = plan.reverse.as_ref().map_or(&[][..], |r| &r.splits);
        let variants = splits.iter().map(|s| variants.by_ref().take(s.variants.len() + 1).collect()).collect();
        MetricMap { listeners, routes, servers, variants, usual: RefCell::default() }
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
        Self::observe_variant(map, record);
        let server = record.pool.zip(record.server);
        if let Some(group) = server.and_then(|(pool, server)| map.servers.get(pool as usize)?.get(server as usize)) {
            group.observe(record, record.upstream_status, record.times.first_byte.map(u64::from));
        }
    }

    /// The quantile (in hundredths of a percent) of the time that a pool's servers took to the first byte of a response,
    /// on this core; none while too few have answered. Looked up at most once a second.
    pub fn usual(&self, map: &MetricMap, pool: u32, quantile: u32, now: Instant) -> Option<Duration> {
        const ENOUGH: u64 = 100;
        let mut usual = map.usual.borrow_mut();
        if let Some((at, found)) = usual.get(&(pool, quantile))
            && now.saturating_duration_since(*at) < Duration::from_secs(1)
        {
            return *found;
        }
        let mut latency = Histogram::with_config(&CONFIG);
        for group in map.servers.get(pool as usize).into_iter().flatten() {
            // the same configuration everywhere, and counts far from overflowing
            let _ = latency.checked_add_assign(&group.latency.load());
        }
        let enough = latency.as_slice().iter().sum::<u64>() >= ENOUGH;
        let bucket = latency.quantile_bucket(f64::from(quantile) / 10_000.0).ok().flatten();
        let found = bucket.filter(|_| enough).map(|bucket| Duration::from_micros(bucket.end()));
        usual.insert((pool, quantile), (now, found));
        found
    }

    /// Counts what a variant has answered.
    fn observe_variant(map: &MetricMap, record: &Record) {
        let Some(chosen) = record.chosen else { return };
        let Some(variants) = map.variants.get(chosen.split as usize) else { return };
        if let Some(variant) = variants.get(chosen.side.variant as usize) {
            variant.observe(record);
        }
        if chosen.side.baseline
            && let Some(baseline) = variants.last()
        {
            baseline.observe(record);
        }
    }

    /// One more of something on a listener, until what is returned is dropped.
    #[must_use = "it is counted only as long as this is kept"]
    pub fn enter<'m>(&'m self, map: &'m MetricMap, gauge: Gauge, listener: u16) -> Entered<'m> {
        let entered =
            Entered { total: &self.total, listener: map.listeners.get(usize::from(listener)).map(Arc::as_ref), gauge };
        entered.step(1);
        entered
    }
}

/// Something that is counted as long as this is kept; to be dropped on the thread that made it.
#[derive(Debug)]
pub struct Entered<'m> {
    total: &'m Group,
    listener: Option<&'m Group>,
    gauge: Gauge,
}

impl Entered<'_> {
    fn step(&self, by: u64) {
        add(&self.total.open[self.gauge as usize], by);
        if let Some(group) = self.listener {
            add(&group.open[self.gauge as usize], by);
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.step(u64::MAX);
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
    variants: BTreeMap<String, Arc<Variant>>,
}

/// The groups of `names` in order; what is not among them goes.
fn groups<T: Default>(known: &mut BTreeMap<String, Arc<T>>, names: impl Iterator<Item = String>) -> Vec<Arc<T>> {
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
    open: [AtomicU64; 2],
    cache: CacheCounters,
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
            cache: CacheCounters::default(),
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
        if let Some(cached) = &record.cache {
            self.cache.observe(cached);
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
    /// By `split/variant`; what the cache answered is left out.
    pub variants: BTreeMap<String, GroupSummary>,
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
    /// What the cache did; shown by its own statistics.
    #[serde(skip)]
    pub cache: CacheSummary,
    /// Whole flows, tunnels left out; for a server, from the request sent to the first byte of its answer.
    pub latency_ms: Latency,
}

/// What there is at the moment; zero for routes and servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Open {
    /// Filled in by the engine, which holds connections to their limit anyway.
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
        sum.cache.add(&group.cache);
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use reviver_flow::{Ending, Reason, Times};
    use reviver_testkit as plans;
    use serde_json::json;

    use super::*;

    /// A plan with routes of these names, all to one pool with two servers.
    fn plan(listener: &str, routes: &[&str]) -> Plan {
        let mut halves = plans::reverse(&["a:1", "b:2"]);
        let routes = routes.iter().map(|name| plans::route(name, json!({"pool": 0}), json!({}))).collect::<Vec<_>>();
        halves["reverse"]["routes"] = json!(routes);
        halves["reverse"]["pools"][0]["name"] = json!("pool");
        let mut plan = plans::plan(halves);
        listener.clone_into(&mut plan.listeners[0].name);
        plan
    }

    fn record(route: u32, server: u32, status: u16, total: u64) -> Record {
        Record {
            started_ms: 0,
            listener: 0,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            client_port: 1,
            route: Some(route),
            pool: Some(0),
            server: Some(server),
            upstream: None,
            upstream_via: Via::Reused,
            status,
            upstream_status: status,
            reason: Slug::Forwarded.into(),
            ending: Ending::Complete,
            attempts: 1,
            tunnel: false,
            bytes_in: 10,
            bytes_out: 100,
            request_body: 0,
            response_body: 0,
            cache: None,
            chosen: None,
            times: Times { first_byte: Some(500), total, ..Times::default() },
        }
    }

    #[test]
    fn cores_are_summed_by_listener_route_and_server() {
        let (metrics, cores) = Metrics::new(2);
        let plan = plan("web", &["api", "shop"]);
        let maps: Vec<_> = cores.iter().map(|core| core.map(&plan)).collect();
        cores[0].observe(&maps[0], &record(0, 0, 200, 1000));
        cores[1].observe(&maps[1], &record(0, 1, 404, 1000));
        let mut failed = record(1, 1, 502, 1000);
        (failed.attempts, failed.upstream_status, failed.times.first_byte) = (3, 0, None);
        failed.reason = Reason::from(Slug::ConnectionRefused);
        failed.upstream_via = Via::New;
        cores[1].observe(&maps[1], &failed);
        let summary = metrics.summary();
        assert_eq!((summary.total.requests, summary.total.retries), (3, 2));
        assert_eq!((summary.total.bytes_in, summary.total.bytes_out), (30, 300));
        assert_eq!((summary.total.connections_new, summary.total.connections_reused), (1, 2));
        assert_eq!(summary.listeners["web"].status, BTreeMap::from([("2xx", 1), ("4xx", 1), ("5xx", 1)]));
        assert_eq!((summary.routes["api"].requests, summary.routes["shop"].requests), (2, 1));
        assert_eq!(summary.routes["shop"].failures, BTreeMap::from([("connection_refused", 1)]));
        assert_eq!(summary.routes["api"].failures, BTreeMap::new());
        assert_eq!(summary.servers["pool/a:1"].requests, 1);
        let b = &summary.servers["pool/b:2"];
        assert_eq!(b.status, BTreeMap::from([("4xx", 1), ("none", 1)]));
        assert_eq!((b.latency_ms.count, b.latency_ms.max), (1, 0.5));
        assert!(serde_json::to_value(&summary).unwrap()["routes"]["api"]["latency_ms"]["p99"].is_number());
    }

    #[test]
    fn a_reload_keeps_what_is_still_named_and_flows_in_flight_count_where_they_began() {
        let (metrics, cores) = Metrics::new(1);
        let core = &cores[0];
        let old = core.map(&plan("web", &["api", "shop"]));
        core.observe(&old, &record(0, 0, 200, 1));
        core.observe(&old, &record(1, 0, 200, 1));
        let new = core.map(&plan("web", &["first", "api"]));
        core.observe(&new, &record(1, 0, 200, 1));
        core.observe(&old, &record(0, 0, 200, 1));
        let summary = metrics.summary();
        assert_eq!(summary.routes.keys().collect::<Vec<_>>(), ["api", "first"]);
        assert_eq!((summary.routes["api"].requests, summary.routes["first"].requests), (3, 0));
        assert_eq!((summary.total.requests, summary.listeners["web"].requests), (4, 4));
    }

    #[test]
    fn what_a_plan_does_not_have_counts_in_the_totals_only() {
        let (metrics, cores) = Metrics::new(1);
        let map = cores[0].map(&plan("web", &["api"]));
        let mut strange = record(7, 9, 0, 1);
        strange.listener = 5;
        cores[0].observe(&map, &strange);
        let summary = metrics.summary();
        assert_eq!(summary.total.status, BTreeMap::from([("none", 1)]));
        assert_eq!((summary.listeners["web"].requests, summary.routes["api"].requests), (0, 0));
    }

    #[test]
    fn gauges_go_up_and_down() {
        let (metrics, cores) = Metrics::new(1);
        let core = &cores[0];
        let map = core.map(&plan("web", &[]));
        let one = core.enter(&map, Gauge::Flows, 0);
        let _two = core.enter(&map, Gauge::Flows, 0);
        let tunnel = core.enter(&map, Gauge::Tunnels, 0);
        drop(one);
        // what was counted under a plan that is gone is still taken back
        let other = core.map(&plan("other", &[]));
        let _tunnel = core.enter(&other, Gauge::Tunnels, 0);
        drop(tunnel);
        let summary = metrics.summary();
        assert_eq!(summary.total.open, Open { connections: 0, flows: 1, tunnels: 1 });
        assert_eq!(summary.listeners["other"].open, Open { connections: 0, flows: 0, tunnels: 1 });
    }

    #[test]
    fn quantiles_are_within_six_percent_and_the_maximum_is_exact() {
        let (metrics, cores) = Metrics::new(2);
        let plan = plan("web", &["api"]);
        let maps: Vec<_> = cores.iter().map(|core| core.map(&plan)).collect();
        for micros in 1..=10_000 {
            let core = micros as usize % 2;
            cores[core].observe(&maps[core], &record(0, 0, 200, micros * 10));
        }
        let mut tunnel = record(0, 0, 200, 3_600_000_000);
        tunnel.tunnel = true;
        cores[0].observe(&maps[0], &tunnel);
        let latency = metrics.summary().routes["api"].latency_ms;
        for (got, want) in [(latency.p50, 50.0), (latency.p90, 90.0), (latency.p99, 99.0)] {
            assert!((got - want).abs() / want < 0.06, "{got} is not near {want}");
        }
        assert_eq!((latency.count, latency.max), (10_000, 100.0));
        assert!((latency.mean - 50.005).abs() < 1e-9, "{}", latency.mean);
        cores[0].observe(&maps[0], &record(0, 0, 200, 100_000_000));
        assert_eq!(metrics.summary().routes["api"].latency_ms.max, 100_000.0);
    }

    #[test]
    fn a_histogram_is_small() {
        assert!(CONFIG.total_buckets() * size_of::<AtomicU64>() <= 3 << 10);
    }
}
