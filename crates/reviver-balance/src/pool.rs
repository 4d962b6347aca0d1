//! A pool: chooses, counts and judges.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::selector::Selector;
use crate::{Endpoint, EndpointStatus, PoolSpec, Ticket};

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
}

/// What comes of it.
#[derive(Debug)]
pub enum Choice<'p> {
    Server(Lease<'p>),
    /// Every server that could be taken carries as much as it may, or others wait already.
    Full,
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
}

/// What has become of a server, for people: told once for each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// None: of the whole pool.
    pub server: Option<String>,
    pub kind: ChangeKind,
    /// Why, in words.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Up,
    Down,
    Ejected,
    Returned,
    Draining,
    Restored,
    /// No server is left.
    Out,
    /// There is one again.
    Back,
    Panic,
    Calm,
}

/// The servers of one pool, shared by all workers.
#[derive(Debug, Default)]
pub struct Pool {
    spec: PoolSpec,
    endpoints: Vec<Arc<Endpoint>>,
    selector: Selector,
}

impl Pool {
    /// The index of a server is its place among the members. What `earlier` knows of the same addresses is kept.
    pub fn new(spec: PoolSpec, earlier: Option<&Self>) -> Self {
        let kept = |address: &str| {
            let earlier = earlier?;
            let index = earlier.spec.members.iter().position(|m| m.address == address)?;
            earlier.endpoints.get(index).cloned()
        };
        let endpoints = spec.members.iter().map(|m| kept(&m.address).unwrap_or_default()).collect();
        let selector = Selector::new(spec.members.iter().map(|m| (m.weight, m.backup)));
        Self { spec, endpoints, selector }
    }

    pub fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    /// The server to try next. What is chosen counts as carrying one more request until the lease is dropped.
    pub fn choose(&self, ask: &Ask<'_>) -> Choice<'_> {
        match self.selector.next(ask.tried) {
            Some(index) => Choice::Server(Lease { pool: self, index }),
            None => Choice::None,
        }
    }

    /// Whether one more request may be tried again now; counts it where it may.
    pub fn may_retry(&self, now: Instant) -> bool {
        let _ = now;
        true
    }

    /// A place in the queue; none: it is full.
    pub fn wait(&self) -> Option<Ticket> {
        None
    }

    /// Ready when it is this one's turn to ask again, `queued`. It keeps its place until the ticket is dropped.
    pub fn poll_turn(&self, ticket: &mut Ticket, cx: &mut Context<'_>) -> Poll<()> {
        let _ = (ticket, cx);
        Poll::Ready(())
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        0
    }

    /// What is due by the clock: ejections that end, servers that are warm, comparisons. A few times a second, by one
    /// thread.
    pub fn tick(&self, now: Instant) {
        let _ = now;
    }

    /// What a health check of a server has shown. The first check decides alone; after it `rise` and `fall` do.
    pub fn checked(&self, server: u32, outcome: Result<(), &str>, now: Instant) {
        let _ = (server, outcome, now);
    }

    /// Whether checks say that the server is down, which makes them more frequent.
    pub fn is_down(&self, server: u32) -> bool {
        let _ = server;
        false
    }

    /// Takes a server out for new clients, or brings it back. False: there is no such server.
    pub fn set_drained(&self, address: &str, drained: bool, now: Instant) -> bool {
        let _ = (drained, now);
        self.spec.members.iter().any(|m| m.address == address)
    }

    /// Addresses of drained servers.
    pub fn drained(&self) -> Vec<String> {
        Vec::new()
    }

    /// What has changed since the last call.
    pub fn take_changes(&self) -> Vec<Change> {
        Vec::new()
    }

    pub fn status(&self, now: Instant) -> Vec<EndpointStatus> {
        let _ = (now, &self.endpoints);
        Vec::new()
    }
}

impl Lease<'_> {
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Tells how the try ended, at most once.
    pub fn observe(&self, outcome: Outcome, now: Instant) {
        let _ = (self.pool, outcome, now);
    }
}
