//! A pool: chooses and counts.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use crate::assess::Assessed;
use crate::budget::Budget;
use crate::clock::micros;
use crate::endpoint::{DOWN, DRAINED, EJECTED, UNSTARTED, WARMING, word};
use crate::lock;
use crate::queue::Queue;
use crate::select::{Bound, View};
use crate::selector::Selector;
use crate::shared::Shared;
use crate::{Algorithm, Change, ChangeKind, Endpoint, EndpointStatus, Member, PoolSpec, Priority, Ticket};

/// Who asks for a server.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub now: Instant,
    /// Of what the pool hashes on; 0 where it does not.
    pub hash: u64,
    /// Servers that this request has tried in vain.
    pub tried: &'a [u32],
    /// The server that a cookie binds the client to: taken even while it is drained.
    pub pinned: Option<u32>,
    /// It has waited for its turn: those who wait do not go first.
    pub queued: bool,
    pub priority: Priority,
    /// The try that this one is instead of: where it counts in the pool, its place is handed on.
    pub instead: Option<&'a Lease<'a>>,
}

/// What comes of it.
#[derive(Debug)]
pub enum Choice<'p> {
    Server(Lease<'p>),
    /// The pool, or every server that could be taken, carries as much as it may, or others wait already.
    Full,
    /// The same, and it must not wait: its priority is low, or the pool is full and has no queue.
    Shed,
    /// There is none left that could be taken.
    None,
}

/// How a try on a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered; so long after the request was sent, in microseconds.
    Success(u64),
    /// It answered with a status that counts as an error.
    Error(u64),
    /// The connection failed or was lost, or took too long.
    Failure,
}

/// One more request that a server carries, until this is dropped.
#[derive(Debug)]
pub struct Lease<'p> {
    pool: &'p Pool,
    index: u32,
    /// It counts among what the pool carries too.
    counted: Cell<bool>,
}

/// The servers of one pool, shared by all workers.
#[derive(Debug, Default)]
pub struct Pool {
    pub(crate) spec: PoolSpec,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) selector: Arc<Selector>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) assessed: Assessed,
    /// How many wait who know of the same servers: those who come later stand behind them, and not behind others who
    /// cannot use what a reload has brought.
    waiters: Arc<AtomicU32>,
}

impl Pool {
    /// The index of a server is its place among the members. What `earlier` knows of the same addresses is kept, and
    /// who waits there waits here too.
    pub fn new(spec: PoolSpec, earlier: Option<&Self>) -> Self {
        let mut known: HashMap<&str, Vec<&Arc<Endpoint>>> = HashMap::new();
        for (member, endpoint) in earlier.iter().flat_map(|e| e.spec.members.iter().zip(&e.endpoints)).rev() {
            known.entry(&member.address).or_default().push(endpoint);
        }
        let mut kept = |member: &Member| known.get_mut(member.address.as_str())?.pop().map(Arc::clone);
        let fresh = || {
            let endpoint = Arc::<Endpoint>::default();
            if earlier.is_some() && !spec.slow_start.is_zero() {
                endpoint.warm(UNSTARTED);
            }
            endpoint
        };
        let endpoints = spec.members.iter().map(|m| kept(m).unwrap_or_else(fresh)).collect();
        let selector = earlier.filter(|e| e.selector.serves(&spec, &e.spec)).map(|e| Arc::clone(&e.selector));
        let selector = selector.unwrap_or_else(|| Arc::new(Selector::new(&spec)));
        let shared = earlier.map(|e| Arc::clone(&e.shared)).unwrap_or_default();
        let waiters = earlier.filter(|e| e.spec.members == spec.members).map(|e| Arc::clone(&e.waiters));
        let waiters = waiters.unwrap_or_default();
        let pool = Self { spec, endpoints, selector, shared, assessed: Assessed::default(), waiters };
        pool.take_over();
        pool
    }

    /// What the earlier pool has left behind and this one does not look at is undone; limits hold from now on.
    fn take_over(&self) {
        for (member, endpoint) in self.spec.members.iter().zip(&self.endpoints) {
            endpoint.standing.limit.store(member.max_connections, Ordering::Relaxed);
            if self.spec.health.is_none() {
                *lock(&endpoint.health) = Default::default();
                if endpoint.clear(DOWN) {
                    self.tell(member, ChangeKind::Up, "it is no longer checked");
                }
            }
            if self.spec.outlier.is_none() {
                endpoint.standing.ejections.store(0, Ordering::Relaxed);
                if endpoint.clear(EJECTED) {
                    self.tell(member, ChangeKind::Returned, "its answers are no longer judged");
                }
            }
            if self.spec.slow_start.is_zero() {
                endpoint.clear(WARMING);
            }
        }
        self.shared.limits.adopt(&self.spec);
        self.shared.stir();
    }

    pub fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    /// The server to try next. What is chosen counts as carrying one more request until the lease is dropped.
    pub fn choose(&self, ask: &Ask<'_>) -> Choice<'_> {
        if ask.tried.is_empty() && !ask.queued && Budget::is_bounded(self.spec.retries_per_second) {
            self.shared.budget.request(self.micros(ask.now));
        }
        let mode = self.mode();
        let mut view = View {
            spec: &self.spec,
            endpoints: &self.endpoints,
            ask,
            clock: &self.shared.clock,
            chance: &self.shared.chance,
            blocked: mode.blocked,
            drawn: Cell::new(None),
            bound: None,
        };
        let pinned = ask.pinned.filter(|&server| self.may_be_pinned(server, &view));
        if self.is_next(ask)
            && let Some(lease) = self.pick(&mut view, pinned)
        {
            return Choice::Server(lease);
        }
        if pinned.is_some() || self.selector.members().any(|server| view.is_open(server)) {
            return self.full(ask);
        }
        self.ejected(&mut view)
    }

    /// Whether it need not stand behind those who wait: nobody does, it is its turn, or it has its place in the pool,
    /// or a share of its own.
    fn is_next(&self, ask: &Ask<'_>) -> bool {
        let goes_first = || self.is_limited() && (ask.priority == Priority::High || self.is_counted(ask));
        ask.queued || self.waiters.load(Ordering::SeqCst) == 0 || goes_first()
    }

    fn full(&self, ask: &Ask<'_>) -> Choice<'_> {
        let must_not_wait = ask.priority == Priority::Low || self.spec.queue_max == 0 && !self.has_room(ask);
        if must_not_wait { Choice::Shed } else { Choice::Full }
    }

    fn may_be_pinned(&self, server: u32, view: &View<'_>) -> bool {
        let Some(endpoint) = self.endpoints.get(server as usize) else { return false };
        let is_out = endpoint.state() & view.blocked & !DRAINED != 0;
        !is_out && self.spec.members[server as usize].weight > 0 && !view.ask.tried.contains(&server)
    }

    // for each request; the other caller is cold
    #[inline(always)]
    fn pick(&self, view: &mut View<'_>, pinned: Option<u32>) -> Option<Lease<'_>> {
        let mut pinned = pinned.filter(|&server| self.endpoints[server as usize].with_room().is_some());
        loop {
            // another worker may have taken the last room; then the next round finds none
            if !self.has_room(view.ask) {
                return None;
            }
            let server = match pinned.take() {
                Some(server) => server,
                None => self.selector.pick(view, |tier| self.bound(tier))?,
            };
            if let Some(lease) = self.lease(server, view.ask) {
                return Some(lease);
            }
        }
    }

    /// Servers that are out for a time are better than none.
    #[cold]
    fn ejected(&self, view: &mut View<'_>) -> Choice<'_> {
        if view.blocked & EJECTED == 0 {
            return Choice::None;
        }
        view.blocked &= !EJECTED;
        if !self.selector.members().any(|server| view.is_open(server)) {
            return Choice::None;
        }
        match self.is_next(view.ask).then(|| self.pick(view, None)).flatten() {
            Some(lease) => Choice::Server(lease),
            None => self.full(view.ask),
        }
    }

    /// None: another has taken the last room.
    #[inline]
    fn lease(&self, index: u32, ask: &Ask<'_>) -> Option<Lease<'_>> {
        if self.is_limited() || self.is_bounded() {
            return self.counted_lease(index, ask);
        }
        let taken = self.endpoints[index as usize].take();
        taken.then(|| Lease { pool: self, index, counted: Cell::new(false) })
    }

    #[inline(never)]
    fn counted_lease(&self, index: u32, ask: &Ask<'_>) -> Option<Lease<'_>> {
        let (limits, endpoint) = (&self.shared.limits, &self.endpoints[index as usize]);
        let is_counted = self.is_counted(ask);
        let enters = self.is_limited() && !is_counted;
        if enters && !limits.enter(&self.spec, ask.priority) {
            return None;
        }
        if !endpoint.take() {
            if enters {
                // for a moment there was less room than there is
                limits.leave();
                self.shared.queue.call();
            }
            return None;
        }
        if is_counted {
            ask.instead.inspect(|earlier| earlier.counted.set(false));
        } else if !enters {
            limits.count();
        }
        Some(Lease { pool: self, index, counted: Cell::new(true) })
    }

    /// Whether the pool as a whole has a bound.
    fn is_limited(&self) -> bool {
        self.spec.max_requests > 0 || self.spec.adaptive.is_some()
    }

    /// Whether the place of an earlier try is handed on to it.
    fn is_counted(&self, ask: &Ask<'_>) -> bool {
        ask.instead.is_some_and(|earlier| earlier.counted.get() && std::ptr::eq(earlier.pool, self))
    }

    fn has_room(&self, ask: &Ask<'_>) -> bool {
        !self.is_limited() || self.is_counted(ask) || self.shared.limits.has_room(&self.spec, ask.priority)
    }

    fn is_bounded(&self) -> bool {
        self.spec.algorithm == Algorithm::Hash && self.spec.hash_bound > 0
    }

    /// So many times the fair share of a server of the tier, the request to come included.
    fn bound(&self, tier: usize) -> Option<Bound> {
        if !self.is_bounded() {
            return None;
        }
        let total = f64::from(self.shared.limits.carried()) + 1.0;
        let weights = self.assessed.weight(tier)?;
        Some(Bound { for_weight: f64::from(self.spec.hash_bound) / 100.0 * total / weights })
    }

    /// Whether one more request may be tried again now; counts it where it may.
    pub fn may_retry(&self, now: Instant) -> bool {
        let spec = &self.spec;
        !Budget::is_bounded(spec.retries_per_second)
            || self.shared.budget.may_retry(self.micros(now), spec.retry_percent, spec.retries_per_second)
    }

    /// A place in the queue; none: it is full.
    pub fn wait(&self) -> Option<Ticket> {
        self.shared.queue.wait(self.spec.queue_max, &self.waiters)
    }

    /// Ready when it is this one's turn to ask again, `queued`. It keeps its place until the ticket is dropped.
    pub fn poll_turn(&self, ticket: &mut Ticket, cx: &mut Context<'_>) -> Poll<()> {
        Queue::poll(ticket, cx, || self.may_have_room())
    }

    /// The pool and some server have room, or there is none that room could be waited for.
    fn may_have_room(&self) -> bool {
        let blocked = self.mode().blocked;
        let endpoints = || self.selector.members().map(|server| &self.endpoints[server as usize]);
        let mut open = endpoints().filter(|e| e.state() & blocked == 0).peekable();
        let has_room = !self.is_limited() || self.shared.limits.has_room(&self.spec, Priority::Normal);
        open.peek().is_none() || has_room && open.any(|e| e.with_room().is_some())
    }

    /// What the pool carries, and its bound at the moment; none: it has none.
    pub fn limit_status(&self) -> Option<(u32, u32)> {
        let limits = &self.shared.limits;
        self.is_limited().then(|| (limits.carried(), limits.bound(&self.spec)))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.shared.queue.waiting() as usize
    }

    /// What has changed since the last call.
    pub fn take_changes(&self) -> Vec<Change> {
        self.shared.take_changes()
    }

    pub fn status(&self, now: Instant) -> Vec<EndpointStatus> {
        let now = self.micros(now);
        self.spec.members.iter().zip(&self.endpoints).map(|(m, e)| self.status_of(m, e, now)).collect()
    }

    fn status_of(&self, member: &Member, endpoint: &Endpoint, now: u64) -> EndpointStatus {
        let state = endpoint.state();
        let is_ejected = state & EJECTED != 0;
        let until = endpoint.standing.ejected_until.load(Ordering::Relaxed);
        let eject = self.spec.outlier.as_ref().map_or(u64::MAX, |o| micros(o.eject));
        let health = lock(&endpoint.health);
        EndpointStatus {
            address: member.address.clone(),
            state: word(state),
            weight: member.weight,
            backup: member.backup,
            max_connections: member.max_connections,
            in_flight: endpoint.in_flight(),
            requests: read(&endpoint.load.requests),
            errors: read(&endpoint.answers.errors),
            latency_ms: endpoint.answers.latency.value().map(|us| f64::from(us) / 1000.0),
            check: health.failure.clone(),
            checked_ms_ago: health.at.map(|at| now.saturating_sub(at) / 1000),
            ejected_ms: is_ejected.then(|| until.saturating_sub(now) / 1000),
            ejections: endpoint.ejections(now, eject),
        }
    }

    pub(crate) fn micros(&self, now: Instant) -> u64 {
        self.shared.clock.micros(now)
    }

    pub(crate) fn tell(&self, member: &Member, kind: ChangeKind, detail: &str) {
        self.shared.tell(Some(&member.address), kind, detail.to_owned());
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Lease<'_> {
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Tells how the try ended, at most once.
    pub fn observe(&self, outcome: Outcome, now: Instant) {
        self.pool.observe(self.index, outcome, now);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.counted.get() {
            self.pool.shared.limits.leave();
        }
        self.pool.endpoints[self.index as usize].release();
        self.pool.shared.queue.call();
    }
}
