//! Phases `upstream_select` and `failure`: which server, what is held against it, and whether another is tried.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reviver_balance::{Ask, Choice, Outcome, Priority};
use reviver_cache::Why;
use reviver_http::RequestHead;
use reviver_plan::{HashOn, Hedge, Pool, Retry};
use reviver_policy::{client_key, cookie_values};
use xxhash_rust::xxh3::xxh3_64;

use crate::flow::State;
use crate::{Command, Fault, Flow, Phase, Reason, Rule, Sent, Slug, Target, VerdictKind, Via, Waited};

/// What of a request its server is chosen by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choosing {
    /// 0 where the pool does not hash.
    hash: u64,
    /// The server that the client's cookie binds it to.
    pub pinned: Option<u32>,
}

/// What came of the wish for a server.
enum Picked {
    Server(Command),
    /// There is none with room.
    Full,
    /// The same, and none is waited for.
    Shed,
    None,
}

impl<'s> Flow<'s> {
    /// What will be needed of the head when a server of this pool is chosen.
    pub(crate) fn prepare_choice(&self, index: u32, head: &RequestHead) -> Choosing {
        let Some(pool) = self.snapshot.pool(index) else { return Choosing::default() };
        let hash = if pool.balance.hashes() { self.hash_of(pool, head) } else { 0 };
        let pinned = pool.sticky.as_ref().and_then(|sticky| {
            let table = self.snapshot.stickies.get(index as usize)?.as_ref()?;
            // Of several cookies of the name, as of paths, the first that is one of ours.
            cookie_values(head, sticky.cookie.as_bytes()).find_map(|value| table.server(value))
        });
        Choosing { hash, pinned }
    }

    fn hash_of(&self, pool: &Pool, head: &RequestHead) -> u64 {
        let by_client = || xxh3_64(&client_key(self.client.address).to_le_bytes());
        match &pool.hash_on {
            HashOn::Client => by_client(),
            HashOn::Path => xxh3_64(head.normal_path()),
            HashOn::Header(name) => head.values_of(name.as_bytes()).next().map_or_else(by_client, xxh3_64),
            HashOn::Cookie(name) => cookie_values(head, name.as_bytes()).next().map_or_else(by_client, xxh3_64),
        }
    }

    /// To the upstream.
    pub(crate) fn proceed(&mut self) -> Command {
        let Some(pool) = self.record.pool else {
            return self.connect(Target::Destination, false, Duration::ZERO);
        };
        let picked = self.pick(pool, false, Duration::ZERO);
        self.go_on(picked, pool)
    }

    fn go_on(&mut self, picked: Picked, pool: u32) -> Command {
        match picked {
            Picked::Server(command) => command,
            Picked::Full => self.wait(pool),
            Picked::Shed => self.no_server_left(Slug::Overloaded, pool),
            Picked::None => self.no_server_left(Slug::NoServer, pool),
        }
    }

    fn wait(&mut self, pool: u32) -> Command {
        self.state = State::Waiting;
        Command::Wait { pool }
    }

    /// It has been waited for a server with room.
    pub(crate) fn on_waited(&mut self, waited: Waited, now: Instant) -> Command {
        let Some(pool) = self.record.pool else { return self.fail(Slug::InternalError.into()) };
        match waited {
            Waited::Turn => {
                self.record.times.decide =
                    self.record.times.decide.saturating_add(crate::flow::micros32(now - self.mark));
                self.mark = now;
                let picked = self.pick(pool, true, Duration::ZERO);
                self.go_on(picked, pool)
            }
            Waited::Full => self.no_server_left(Slug::QueueFull, pool),
            Waited::Expired => self.no_server_left(Slug::QueueTimeout, pool),
            Waited::Stopping => self.no_server_left(Slug::Draining, pool),
        }
    }

    fn no_server_left(&mut self, slug: Slug, pool: u32) -> Command {
        self.lease = None;
        if self.serves_on_error() {
            return self.serve(Why::OnError);
        }
        self.reject(Phase::UpstreamSelect, Reason::new(slug, Rule::Pool(pool)))
    }

    /// A server of the pool that was not tried yet, which is connected to after `pause`.
    fn pick(&mut self, index: u32, queued: bool, pause: Duration) -> Picked {
        let Some(pool) = self.snapshot.pools.get(index as usize) else { return Picked::None };
        let Choosing { hash, pinned } = self.choosing;
        let (priority, instead) = (self.priority(), self.lease.as_ref());
        let ask = Ask { now: self.mark, hash, tried: &self.tried, pinned, queued, priority, instead };
        let lease = match pool.choose(&ask) {
            Choice::Server(lease) => lease,
            Choice::Full => return Picked::Full,
            Choice::Shed => return Picked::Shed,
            Choice::None => return Picked::None,
        };
        let server = lease.index();
        self.lease = Some(lease);
        self.tried.push(server);
        self.record.server = Some(server);
        let address = self.snapshot.server(index, server).map_or("", |s| s.address.as_str());
        self.note(
            Phase::UpstreamSelect,
            VerdictKind::Continue,
            Reason::new(Slug::Forwarded, Rule::Pool(index)),
            || format!("server {address}"),
        );
        Picked::Server(self.connect(Target::Server { pool: index, server }, false, pause))
    }

    /// Copies are refused first.
    fn priority(&self) -> Priority {
        match self.route().map(|r| r.priority) {
            _ if self.shadow.is_some() => Priority::Low,
            Some(reviver_plan::Priority::Low) => Priority::Low,
            Some(reviver_plan::Priority::High) => Priority::High,
            _ => Priority::Normal,
        }
    }

    /// What is held against the server in use.
    pub(crate) fn observe(&self, outcome: Outcome, now: Instant) {
        if let Some(lease) = &self.lease {
            lease.observe(outcome, now);
        }
    }

    /// The same for a failure, where it is the server's.
    pub(crate) fn observe_failure(&self, slug: Slug, now: Instant) {
        if slug.row().fault == Fault::Upstream {
            self.observe(Outcome::Failure, now);
        }
    }

    /// A response head has come so many microseconds after the request was sent.
    pub(crate) fn observe_response(&self, status: u16, micros: u64, now: Instant) {
        let outlier = self.record.pool.and_then(|p| self.snapshot.pool(p)).and_then(|p| p.outlier.as_ref());
        let bad = outlier.is_some_and(|o| o.statuses.iter().any(|&(first, last)| (first..=last).contains(&status)));
        self.observe(if bad { Outcome::Error(micros) } else { Outcome::Success(micros) }, now);
    }

    fn retry(&self) -> Option<&'s Retry> {
        self.route().map(|r| &r.retry)
    }

    /// How long the first byte of the response may take, in milliseconds, where a route says so.
    pub fn first_byte_ms(&self) -> Option<u64> {
        let route = self.route()?;
        let tried = route.retry.try_ms;
        let shorter = tried != 0 && self.idempotent && self.attempts_left();
        Some(if shorter { tried.min(route.first_byte_ms) } else { route.first_byte_ms })
    }

    /// Whether the request may be sent once more after an upstream has seen so much of it. A server that got
    /// the head may have acted on it, so only idempotent requests are repeated (RFC 9110, section 9.2.2), and
    /// a body that has left is gone.
    fn may_repeat(&self, sent: Sent) -> bool {
        match sent {
            Sent::Nothing => true,
            Sent::Request => self.idempotent,
            Sent::Body => false,
        }
    }

    /// Whose fault, and whether it is tried again.
    pub(crate) fn on_failed(&mut self, slug: Slug, sent: Sent, now: Instant) -> Command {
        // A kept connection may have been closed by the server at the moment of use. That says nothing of the
        // server: the same one is asked once more, on a fresh connection.
        let lost = matches!(slug, Slug::ConnectionTerminated | Slug::ConnectionRefused);
        if self.reused && lost && !self.renewed && self.may_repeat(sent) {
            self.renewed = true;
            self.renewals = self.renewals.saturating_add(1);
            self.reused = false;
            self.mark = now;
            self.note(Phase::Failure, VerdictKind::Retry, slug.into(), || "kept connection was closed".to_owned());
            let target = match (self.record.pool, self.record.server) {
                (Some(pool), Some(server)) => Target::Server { pool, server },
                _ => Target::Destination,
            };
            return self.connect(target, true, Duration::ZERO);
        }
        self.observe_failure(slug, now);
        // Not a byte of a response that broke off in its head has been passed on.
        let lost = lost || slug == Slug::ResponseIncomplete;
        let wanted = self.retry().is_some_and(|r| match sent {
            Sent::Nothing => r.on_connect,
            _ => (lost && r.on_reset) || (slug == Slug::ResponseTimeout && r.try_ms != 0),
        });
        if wanted
            && self.may_repeat(sent)
            && let Some(command) = self.try_another(slug, now)
        {
            return command;
        }
        self.lease = None;
        if self.serves_on_error() && slug != Slug::PrivateDestination {
            self.note(Phase::Failure, VerdictKind::Respond, slug.into(), || "what is stored is served".to_owned());
            return self.serve(Why::OnError);
        }
        let private = slug == Slug::PrivateDestination;
        let rule = if private { Rule::ForwardPrivateDestinations } else { self.upstream_rule() };
        self.fail(Reason::new(slug, rule))
    }

    /// Whether a response of this status is given up for another server's.
    pub(crate) fn on_bad_status(&mut self, status: u16, now: Instant) -> Option<Command> {
        let wanted = self.retry().is_some_and(|r| r.on_status.contains(&status));
        if !wanted || !self.may_repeat(Sent::Request) {
            return None;
        }
        // There is a response already: no other is waited for.
        match self.pick_another(now)? {
            Picked::Server(command) => {
                self.note_retry(Slug::Forwarded);
                Some(command)
            }
            Picked::Full | Picked::Shed | Picked::None => None,
        }
    }

    fn try_another(&mut self, slug: Slug, now: Instant) -> Option<Command> {
        let pool = self.record.pool?;
        let command = match self.pick_another(now)? {
            Picked::Server(command) => command,
            Picked::Full => {
                self.lease = None;
                self.wait(pool)
            }
            Picked::Shed => return Some(self.no_server_left(Slug::Overloaded, pool)),
            Picked::None => return None,
        };
        self.note_retry(slug);
        Some(command)
    }

    /// What the route says of a second try beside the first, where this request may have one: it can be sent twice, and
    /// nothing else was tried.
    pub fn hedge(&self) -> Option<&'s Hedge> {
        let route = self.route().filter(|_| self.idempotent && !self.internal && self.record.attempts == 1)?;
        route.hedge.as_ref()
    }

    /// The other server; none: there is none, or as much has been tried again as may be.
    pub fn begin_hedge(&mut self, now: Instant) -> Option<Target> {
        let pool = self.record.pool?;
        let balancer = self.snapshot.pools.get(pool as usize)?;
        if !balancer.may_retry(now) {
            return None;
        }
        let Choosing { hash, .. } = self.choosing;
        // It is the first that there is no room for.
        let priority = Priority::Low;
        let ask = Ask { now, hash, tried: &self.tried, pinned: None, queued: false, priority, instead: None };
        let Choice::Server(lease) = balancer.choose(&ask) else { return None };
        let server = lease.index();
        self.hedge_lease = Some(lease);
        self.hedge_began = Some(now);
        self.record.attempts = self.record.attempts.saturating_add(1);
        Some(Target::Server { pool, server })
    }

    /// The second try has answered first: it is the one that counts.
    pub fn hedge_won(&mut self, address: SocketAddr, reused: bool, now: Instant) {
        // The first takes so long at least.
        self.observe(Outcome::Success(crate::flow::micros(now - self.mark)), now);
        self.mark = self.hedge_began.unwrap_or(self.mark);
        self.lease = self.hedge_lease.take();
        if let Some(lease) = &self.lease {
            self.tried.push(lease.index());
            self.record.server = Some(lease.index());
        }
        self.record.upstream = Some(address);
        self.record.upstream_via = if reused { Via::Reused } else { Via::New };
    }

    /// The first has answered first.
    pub fn hedge_lost(&mut self) {
        self.hedge_lease = None;
    }

    fn note_retry(&mut self, slug: Slug) {
        self.note(Phase::Failure, VerdictKind::Retry, slug.into(), || "another server is tried".to_owned());
    }

    /// A kept connection that was found closed is no fault of a server, and no attempt.
    fn attempts(&self) -> u32 {
        u32::from(self.record.attempts.saturating_sub(self.renewals))
    }

    fn attempts_left(&self) -> bool {
        // A copy is sent once.
        self.shadow.is_none() && self.retry().is_some_and(|r| self.attempts() < r.attempts)
    }

    /// None: it may not be tried again.
    fn pick_another(&mut self, now: Instant) -> Option<Picked> {
        let pool = self.record.pool?;
        if !self.attempts_left() || !self.snapshot.pools.get(pool as usize)?.may_retry(now) {
            return None;
        }
        let pause = self.pause();
        self.renewed = false;
        self.mark = now;
        Some(self.pick(pool, false, pause))
    }

    /// Exponential back-off, shortened at random by up to half so that those who failed together do not come back
    /// together.
    fn pause(&mut self) -> Duration {
        let Some(retry) = self.retry().filter(|r| r.backoff_ms > 0) else { return Duration::ZERO };
        let doublings = self.attempts().saturating_sub(1).min(20);
        let whole = (retry.backoff_ms << doublings).min(retry.max_backoff_ms.max(retry.backoff_ms)) * 1000;
        Duration::from_micros(whole - self.chance() % (whole / 2 + 1))
    }

    /// What chose the upstream that a failure is laid to.
    pub(crate) fn upstream_rule(&self) -> Rule {
        self.record.pool.map_or(Rule::None, Rule::Pool)
    }
}
