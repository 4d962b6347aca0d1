//! The engine as the control plane holds it: threads, listening sockets, and the plan in force.

mod balance;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reviver_plan::{Plan, Snapshot};
use serde::Serialize;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::auth::PasswordCheck;
use crate::cache::{Cache, CacheError};
use crate::core::{Core, Prepared, Shared};
use crate::health;
use crate::listener::{self, Bound, Listeners};
use crate::log::{CoreLog, LogHub, SinkStatus};
use crate::metrics::{CoreMetrics, Metrics, Summary};
use crate::tls::Contexts;

/// How long flows that are cut off have to leave their records.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// How long the end waits for the logs to be written.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The plan was refused.
    #[error("{0}")]
    Plan(String),
    #[error("listener {listener}: cannot listen on {address}: {source}")]
    Bind { listener: String, address: SocketAddr, source: io::Error },
    #[error("{0}")]
    Log(#[from] crate::log::LogError),
    #[error("{0}")]
    Cache(#[from] CacheError),
    #[error("there is no pool {0}")]
    NoPool(String),
    #[error("pool {pool} has no server {server}")]
    NoServer { pool: String, server: String },
    #[error("there is no split {0}")]
    NoSplit(String),
    #[error("split {0}: there must be one weight for each variant, and 10000 in sum")]
    Weights(String),
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
    #[error("the engine is stopping")]
    Stopping,
}

/// What is asked of a core.
enum Order {
    Apply { prepared: Prepared, open: Vec<Bound>, close: Vec<SocketAddr>, done: Arc<AtomicUsize> },
    Drain,
    Stop,
}

/// What a core needs to begin.
struct CoreSeed {
    log: CoreLog,
    metrics: CoreMetrics,
    bound: Vec<Bound>,
    orders: UnboundedReceiver<Order>,
}

struct State {
    epoch: u64,
    prepared: Prepared,
    /// Plans that flows may still keep to, by epoch.
    earlier: Vec<(u64, Weak<Snapshot>)>,
    /// Open connections by listening address.
    open: HashMap<SocketAddr, Arc<AtomicUsize>>,
    seeds: Vec<CoreSeed>,
    threads: Vec<JoinHandle<()>>,
    draining: bool,
    warnings: Vec<String>,
    panics_told: usize,
}

/// What the process around the engine provides.
#[derive(Clone)]
pub struct Host {
    pub checker: Arc<dyn PasswordCheck>,
    /// Random, and known to this process only.
    pub secret: [u8; 32],
    /// Gives memory that a thread has freed back to the system.
    pub release_memory: fn(),
}

/// All workers of this process.
pub struct Engine {
    cores: Vec<UnboundedSender<Order>>,
    shared: Arc<Shared>,
    log: LogHub,
    metrics: Metrics,
    host: Host,
    stopped: AtomicBool,
    state: Mutex<State>,
    started: Instant,
}

/// The state of the engine at one moment.
#[derive(Debug, Serialize)]
pub struct Status {
    pub epoch: u64,
    /// Earlier epochs that flows still keep to.
    pub retiring: Vec<u64>,
    pub uptime_seconds: f64,
    pub workers: usize,
    pub draining: bool,
    pub panics: usize,
    pub via: String,
    pub listeners: Vec<ListenerStatus>,
    pub routes: Vec<String>,
    pub pools: Vec<PoolStatus>,
    pub metrics: Summary,
    pub logs: Vec<SinkStatus>,
}

#[derive(Debug, Serialize)]
pub struct ListenerStatus {
    pub name: String,
    pub role: reviver_plan::Role,
    pub bind: Vec<SocketAddr>,
    pub tls: bool,
    pub http2: bool,
    pub connections: usize,
}

#[derive(Debug, Serialize)]
pub struct PoolStatus {
    pub name: String,
    pub servers: Vec<String>,
}

impl Engine {
    /// Builds the first snapshot, opens the logs and binds all listeners. `inherited` are listening sockets
    /// that a service manager opened, by address.
    pub fn new(plan: &str, inherited: HashMap<String, i32>, host: Host) -> Result<Self, EngineError> {
        let prepared = build(plan, None)?;
        let plan = &prepared.snapshot.plan;
        let workers = plan.workers.max(1) as usize;
        let mut open = HashMap::new();
        let mut bound = bind_new(plan, workers, &mut open, &inherited)?;
        let (log, logs) = LogHub::open(&plan.logs, workers)?;
        let (metrics, core_metrics) = Metrics::new(workers);
        let mut cores = Vec::new();
        let mut seeds = Vec::new();
        for (log, metrics) in logs.into_iter().zip(core_metrics) {
            let (sender, orders) = unbounded_channel();
            cores.push(sender);
            seeds.push(CoreSeed { log, metrics, bound: bound.pop().unwrap_or_default(), orders });
        }
        let state = State {
            epoch: 1,
            prepared,
            earlier: Vec::new(),
            open,
            seeds,
            threads: Vec::new(),
            draining: false,
            warnings: Vec::new(),
            panics_told: 0,
        };
        Ok(Self {
            cores,
            shared: Arc::new(Shared::default()),
            log,
            metrics,
            host,
            stopped: AtomicBool::new(false),
            state: Mutex::new(state),
            started: Instant::now(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the workers.
    pub fn start(&self) -> Result<(), EngineError> {
        // Buffers and connections are small and come and go: huge pages would keep megabytes of each heap
        // resident for kilobytes in use.
        // SAFETY: this prctl takes plain numbers and changes how this process's memory is backed, nothing else.
        unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
        let mut state = self.state();
        let workers = self.cores.len();
        let seeds = std::mem::take(&mut state.seeds);
        for (index, seed) in seeds.into_iter().enumerate() {
            let prepared = state.prepared.clone();
            let host = self.host.clone();
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new()
                .name(format!("reviver-{index}"))
                .spawn(move || run_core(index, workers, seed, host, shared, prepared))
                .map_err(EngineError::Worker)?;
            state.threads.push(thread);
        }
        Ok(())
    }

    /// Puts another plan in force: everything that can fail is done first, beside the running plan.
    pub fn apply(&self, plan: &str) -> Result<u64, EngineError> {
        let mut state = self.state();
        if state.draining {
            return Err(EngineError::Stopping);
        }
        let prepared = build(plan, Some(&state.prepared))?;
        let plan = &prepared.snapshot.plan;
        if *plan == state.prepared.snapshot.plan {
            return Ok(state.epoch);
        }
        let workers = self.cores.len();
        let mut open = state.open.clone();
        let current: Vec<SocketAddr> = addresses(&state.prepared.snapshot.plan);
        open.retain(|address, _| current.contains(address));
        let mut bound = bind_new(plan, workers, &mut open, &HashMap::new())?;
        self.log.apply(&plan.logs)?;

        if plan.workers as usize != workers {
            let wanted = plan.workers;
            state.warnings.push(format!("workers: {wanted} takes effect at the next start; {workers} are running"));
        }
        let wanted = addresses(plan);
        let close: Vec<SocketAddr> = current.into_iter().filter(|a| !wanted.contains(a)).collect();
        state.epoch += 1;
        if let (Some(cache), Some(wanted)) = (&prepared.cache, &plan.cache) {
            cache.adopt(wanted);
        }
        let old = std::mem::replace(&mut state.prepared, prepared.clone());
        let old_epoch = state.epoch - 1;
        state.earlier.push((old_epoch, Arc::downgrade(&old.snapshot)));
        drop(old);
        state.open.extend(open);
        let done = Arc::new(AtomicUsize::new(0));
        for core in &self.cores {
            let order = Order::Apply {
                prepared: prepared.clone(),
                open: bound.pop().unwrap_or_default(),
                close: close.clone(),
                done: Arc::clone(&done),
            };
            // A core that is gone takes no orders; its panic has been told.
            let _ = core.send(order);
        }
        // Whoever asked for the change may rely on it when told that it is done.
        let patience = Instant::now() + Duration::from_secs(2);
        while !state.threads.is_empty() && done.load(Ordering::Acquire) < workers && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(state.epoch)
    }

    pub fn status(&self) -> Status {
        let mut state = self.state();
        state.earlier.retain(|(_, snapshot)| snapshot.strong_count() > 0);
        let plan = &state.prepared.snapshot.plan;
        let reverse = plan.reverse.as_ref();
        let listener = |l: &reviver_plan::Listener| ListenerStatus {
            name: l.name.clone(),
            role: l.role,
            bind: l.bind.clone(),
            tls: l.tls.is_some(),
            http2: l.http2,
            connections: l.bind.iter().filter_map(|a| state.open.get(a)).map(|c| c.load(Ordering::Relaxed)).sum(),
        };
        let listeners: Vec<ListenerStatus> = plan.listeners.iter().map(listener).collect();
        let mut metrics = self.metrics.summary();
        metrics.total.open.connections = state.open.values().map(|c| c.load(Ordering::Relaxed) as u64).sum();
        for status in &listeners {
            if let Some(group) = metrics.listeners.get_mut(&status.name) {
                group.open.connections = status.connections as u64;
            }
        }
        let pool = |p: &reviver_plan::Pool| PoolStatus {
            name: p.name.clone(),
            servers: p.servers.iter().map(|s| s.address.clone()).collect(),
        };
        Status {
            epoch: state.epoch,
            retiring: state.earlier.iter().map(|(epoch, _)| *epoch).collect(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            workers: self.cores.len(),
            draining: state.draining,
            panics: self.shared.panics.load(Ordering::Relaxed),
            via: plan.via.clone(),
            listeners,
            routes: reverse.map_or_else(Vec::new, |r| r.routes.iter().map(|r| r.name.clone()).collect()),
            pools: reverse.map_or_else(Vec::new, |r| r.pools.iter().map(pool).collect()),
            metrics,
            logs: self.log.status(),
        }
    }

    fn cache(&self) -> Result<(Arc<Cache>, Arc<Snapshot>), EngineError> {
        let state = self.state();
        let cache = state.prepared.cache.clone().ok_or(CacheError::None)?;
        Ok((cache, Arc::clone(&state.prepared.snapshot)))
    }

    /// Removes stored responses, as the JSON of the request says. Blocks.
    pub fn cache_purge(&self, request: &str) -> Result<serde_json::Value, EngineError> {
        let (cache, snapshot) = self.cache()?;
        Ok(cache.purge_by(&snapshot, request)?)
    }

    /// What the cache holds and did.
    pub fn cache_stats(&self) -> Result<serde_json::Value, EngineError> {
        let (cache, snapshot) = self.cache()?;
        Ok(cache.stats(&self.metrics.summary(), snapshot.caching.forward.is_some()))
    }

    /// What is stored for the request that the JSON describes.
    pub fn cache_get(&self, request: &str) -> Result<serde_json::Value, EngineError> {
        let (cache, snapshot) = self.cache()?;
        Ok(cache.look(&snapshot, request)?)
    }

    pub fn reopen_logs(&self) -> Result<(), EngineError> {
        Ok(self.log.reopen()?)
    }

    /// Operational warnings since the last call.
    pub fn warnings(&self) -> Vec<String> {
        let mut state = self.state();
        let mut warnings = std::mem::take(&mut state.warnings);
        warnings.extend(self.log.take_warnings());
        warnings.extend(state.prepared.cache.iter().flat_map(|cache| cache.take_warnings()));
        let panics = self.shared.panics.load(Ordering::Relaxed);
        if panics > state.panics_told {
            warnings.push(format!("{} requests ended in an internal error", panics - state.panics_told));
            state.panics_told = panics;
        }
        warnings
    }

    /// Refuses new connections and lets flows finish. True when all did within the time. Blocks.
    pub fn drain(&self, patience: Duration) -> bool {
        let open: Vec<_> = {
            let mut state = self.state();
            state.draining = true;
            state.seeds.clear();
            state.open.values().cloned().collect()
        };
        for core in &self.cores {
            let _ = core.send(Order::Drain);
        }
        let end = Instant::now() + patience;
        loop {
            if open.iter().all(|o| o.load(Ordering::Acquire) == 0) || self.stopped.load(Ordering::Acquire) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends what is left, writes the logs out and joins the workers. Blocks.
    pub fn stop(&self) {
        let threads = {
            let mut state = self.state();
            state.draining = true;
            state.seeds.clear();
            std::mem::take(&mut state.threads)
        };
        self.stopped.store(true, Ordering::Release);
        for core in &self.cores {
            let _ = core.send(Order::Stop);
        }
        for thread in threads {
            let _ = thread.join();
        }
        self.log.shutdown(LOG_PATIENCE);
        if let Some(cache) = &self.state().prepared.cache {
            cache.close();
        }
    }
}

fn build(plan: &str, running: Option<&Prepared>) -> Result<Prepared, EngineError> {
    let plan = reviver_plan::parse(plan).map_err(|e| EngineError::Plan(e.to_string()))?;
    let earlier = running.map(|p| &*p.snapshot);
    let snapshot = Snapshot::build_after(plan, earlier).map_err(|e| EngineError::Plan(e.to_string()))?;
    let cache = Cache::prepare(&snapshot.plan, running.and_then(|p| p.cache.as_ref()));
    let cache = cache.map_err(EngineError::Plan)?;
    let old = running.map(|p| (&p.snapshot.plan, &*p.tls));
    let tls = Contexts::build(&snapshot.plan, old).map_err(|e| EngineError::Plan(e.to_string()))?;
    Ok(Prepared { snapshot: Arc::new(snapshot), tls: Arc::new(tls), cache })
}

fn addresses(plan: &Plan) -> Vec<SocketAddr> {
    plan.listeners.iter().flat_map(|l| l.bind.iter().copied()).collect()
}

/// Binds, for each core, the addresses that are not in `open` yet, and adds them to it.
fn bind_new(
    plan: &Plan,
    cores: usize,
    open: &mut HashMap<SocketAddr, Arc<AtomicUsize>>,
    inherited: &HashMap<String, i32>,
) -> Result<Vec<Vec<Bound>>, EngineError> {
    let mut bound: Vec<Vec<Bound>> = (0..cores).map(|_| Vec::new()).collect();
    for l in &plan.listeners {
        for address in l.bind.iter().copied().filter(|a| !open.contains_key(a)).collect::<Vec<_>>() {
            let sockets = match inherited.get(&address.to_string()) {
                Some(descriptor) => listener::inherit(*descriptor, cores),
                None => listener::bind(address, l.backlog, cores),
            };
            let sockets = sockets.map_err(|source| EngineError::Bind { listener: l.name.clone(), address, source })?;
            let count = Arc::new(AtomicUsize::new(0));
            open.insert(address, Arc::clone(&count));
            for (core, socket) in bound.iter_mut().zip(sockets) {
                core.push(Bound { address, socket, open: Arc::clone(&count) });
            }
        }
    }
    Ok(bound)
}

fn run_core(index: usize, workers: usize, seed: CoreSeed, host: Host, shared: Arc<Shared>, prepared: Prepared) {
    // Two threads beside the core's own, for work that blocks: passwords.
    let runtime =
        Builder::new_current_thread().enable_all().max_blocking_threads(2).build_local(LocalOptions::default());
    let Ok(runtime) = runtime else {
        shared.panics.fetch_add(1, Ordering::Relaxed);
        return;
    };
    runtime.block_on(async move {
        let mut orders = seed.orders;
        let core = Core::new(seed.log, seed.metrics, host, shared, prepared);
        tokio::task::spawn_local(std::rc::Rc::clone(&core.timers).run());
        tokio::task::spawn_local(std::rc::Rc::clone(&core).housekeeping());
        tokio::task::spawn_local(health::run(std::rc::Rc::clone(&core), index, workers));
        if index == 0 {
            tokio::task::spawn_local(std::rc::Rc::clone(&core).judge_pools());
        }
        open_all(&core, seed.bound);
        while let Some(order) = orders.recv().await {
            match order {
                Order::Apply { prepared, open, close, done } => {
                    core.apply(prepared);
                    core.listeners.close(&close);
                    if !close.is_empty() {
                        // Idle connections of a listener that is gone notice it when they are woken.
                        core.timers.wake_all();
                    }
                    open_all(&core, open);
                    done.fetch_add(1, Ordering::Release);
                }
                Order::Drain => core.drain(),
                Order::Stop => return core.stop(STOP_PATIENCE).await,
            }
        }
    });
}

fn open_all(core: &std::rc::Rc<Core>, bound: Vec<Bound>) {
    for one in bound {
        // The socket listens already; only a runtime without descriptors could refuse it.
        if Listeners::start(core, one).is_err() {
            core.shared.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}
