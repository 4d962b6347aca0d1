//! One flow: from a head to its record.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use reviver_balance::{Lease, Side};
use reviver_cache::Why;
use reviver_http::{RequestHead, ResponseHead};
use reviver_plan::{Mirror, Role, Route, Snapshot};
use smallvec::SmallVec;

use crate::balancing::Choosing;
use crate::caching::CacheUse;
use crate::decide::{self, Verdict};
use crate::limiting::Limited;
use crate::upstream_fields::may_switch;
use crate::{
    Answer, ClientTls, Command, Ending, Event, Phase, Reason, Record, Relayed, Rule, Slug, Target, Times, VerdictKind,
    Via,
};

/// Who asks: the address that the connection came from, and the one that is believed to be behind it.
#[derive(Clone, Debug)]
pub struct Client {
    pub peer: SocketAddr,
    /// `peer`, unless a trusted proxy named another.
    pub address: IpAddr,
    /// None: the connection is not encrypted.
    pub tls: Option<Rc<ClientTls>>,
}

/// One line of an explanation.
#[derive(Clone, Debug)]
pub struct Step {
    pub phase: Phase,
    pub verdict: VerdictKind,
    pub reason: Reason,
    pub detail: String,
}

/// What the flow waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Request,
    Authentication,
    Connection,
    Response,
    Lookup,
    /// For a server with room.
    Waiting,
    Answer,
    Relay,
    Over,
}

/// The life of one request. Borrows the snapshot that it began with, and keeps to it.
#[derive(Debug)]
pub struct Flow<'s> {
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) client: Client,
    pub(crate) role: Role,
    pub(crate) state: State,
    /// Facts of the request that later decisions need.
    pub(crate) idempotent: bool,
    tunnel: bool,
    known: bool,
    pub(crate) tried: SmallVec<[u32; 8]>,
    /// The server in use counts this request as long as this is kept.
    pub(crate) lease: Option<Lease<'s>>,
    /// The same of a second try that is under way.
    pub(crate) hedge_lease: Option<Lease<'s>>,
    pub(crate) hedge_began: Option<Instant>,
    pub(crate) choosing: Choosing,
    /// The variant of a split that this request gets whoever asks.
    pub(crate) given: Option<Side>,
    /// What a person that was not known is known by from now on.
    pub(crate) new_person: Option<[u64; 2]>,
    /// What the limit that matters most has said.
    pub(crate) limited: Option<Limited<'s>>,
    /// The name of the first limit that would have refused the request if it were in force.
    pub(crate) dry_limit: Option<&'s str>,
    /// It is a request of the proxy's own.
    pub(crate) internal: bool,
    /// It is a copy, for this pool.
    pub(crate) shadow: Option<u32>,
    /// It is to be copied.
    pub(crate) mirrored: Option<&'s Mirror>,
    /// State of the flow's chance.
    seed: u64,
    /// The connection in use had served another request before.
    pub(crate) reused: bool,
    /// A kept connection was found dead, and a fresh one has been asked for.
    pub(crate) renewed: bool,
    pub(crate) renewals: u8,
    /// The verdict that holds once the client has proved who it is.
    pending: Option<Verdict>,
    /// None where nothing is cached.
    pub(crate) caching: Option<CacheUse<'s>>,
    /// The method is PURGE: whether this client may use it.
    purges: Option<bool>,
    started: Instant,
    pub(crate) mark: Instant,
    pub record: Record,
    trace: Option<Vec<Step>>,
}

impl<'s> Flow<'s> {
    /// `started` is when the first byte of the request came, `started_ms` the same on the wall clock.
    pub fn new(snapshot: &'s Snapshot, listener: u16, client: Client, started: Instant, started_ms: u64) -> Self {
        let (address, port) = (client.address, client.peer.port());
        Self {
            snapshot,
            client,
            role: decide::role(snapshot, listener),
            state: State::Request,
            idempotent: false,
            tunnel: false,
            known: false,
            tried: SmallVec::new(),
            lease: None,
            hedge_lease: None,
            hedge_began: None,
            choosing: Choosing::default(),
            given: None,
            new_person: None,
            limited: None,
            dry_limit: None,
            internal: false,
            shadow: None,
            mirrored: None,
            seed: started_ms ^ u64::from(port),
            reused: false,
            renewed: false,
            renewals: 0,
            pending: None,
            caching: None,
            purges: None,
            started,
            mark: started,
            record: Record {
                started_ms,
                listener,
                client: address,
                client_port: port,
                route: None,
                pool: None,
                server: None,
                upstream: None,
                upstream_via: Via::None,
                status: 0,
                upstream_status: 0,
                reason: Reason::default(),
                ending: Ending::Complete,
                attempts: 0,
                tunnel: false,
                bytes_in: 0,
                bytes_out: 0,
                request_body: 0,
                response_body: 0,
                times: Times::default(),
                cache: None,
                chosen: None,
            },
            trace: None,
        }
    }

    /// The client has proved who it is before its first request (SOCKS5).
    pub fn authenticated(mut self) -> Self {
        self.known = true;
        self
    }

    /// Where chance comes from.
    pub fn seeded(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// A request of the proxy's own, which gets the variant, and the pool, that it was made for.
    pub fn internal(mut self, given: Option<Side>, shadow: Option<u32>) -> Self {
        self.internal = true;
        self.given = given;
        self.shadow = shadow;
        self
    }

    /// A random number (splitmix64).
    pub(crate) fn chance(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Keeps each phase's outcome for [`Self::steps`].
    pub(crate) fn traced(mut self) -> Self {
        self.trace = Some(Vec::new());
        self
    }

    pub(crate) fn steps(&self) -> &[Step] {
        self.trace.as_deref().unwrap_or_default()
    }

    pub(crate) fn note(&mut self, phase: Phase, verdict: VerdictKind, reason: Reason, detail: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(Step { phase, verdict, reason, detail: detail() });
        }
    }

    /// The route that decided, once known.
    pub fn route(&self) -> Option<&'s Route> {
        let index = self.record.route? as usize;
        self.snapshot.plan.reverse.as_ref()?.routes.get(index)
    }

    pub fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// Bound on the request body in bytes that holds for this flow; 0 is none.
    pub fn body_limit(&self) -> u64 {
        match self.route() {
            Some(route) => route.body,
            None => self.snapshot.plan.listeners.get(usize::from(self.record.listener)).map_or(0, |l| l.limits.body),
        }
    }

    /// Tells what happened; answers what is wished. An event that does not fit the state ends the flow with
    /// `internal_error`: it is a fault of the engine and never of the traffic.
    pub fn step(&mut self, event: Event<'_>, now: Instant) -> Command {
        let command = match (self.state, event) {
            (State::Request, Event::Request(head)) => self.on_request(head, now),
            (State::Request, Event::ClientFailed(slug)) => self.reject(Phase::RequestHead, slug.into()),
            (State::Authentication, Event::Authenticated(good)) => self.on_authenticated(good, now),
            (State::Connection, Event::Connected { address, reused }) => self.on_connected(address, reused, now),
            (State::Response, Event::Response { request, head, repeatable }) => {
                self.on_response(request, head, repeatable, now)
            }
            (State::Authentication, Event::Failed { slug, .. }) => self.fail(Reason::new(slug, Rule::ForwardAuth)),
            (State::Connection | State::Response, Event::Failed { slug, sent }) => self.on_failed(slug, sent, now),
            (State::Response, Event::ClientFailed(slug)) => self.fail(slug.into()),
            (State::Connection | State::Response | State::Authentication, Event::ClientGone) => self.client_gone(),
            (State::Answer, Event::Answered { delivered }) => {
                if !delivered {
                    self.record.ending = Ending::ClientAborted;
                }
                self.done()
            }
            (State::Relay, Event::Relayed(outcome)) => self.on_relayed(outcome, now),
            (State::Waiting, Event::Waited(waited)) => self.on_waited(waited, now),
            (State::Lookup, Event::Looked(looked)) => self.on_looked(looked),
            (State::Relay, Event::Unreadable) => self.on_unreadable(),
            (State::Lookup, Event::Purged(count)) => {
                let rule = Rule::Purge;
                self.answer(Phase::CacheLookup, Answer::Purged(count), Reason::new(Slug::Purged, rule))
            }
            (State::Over, _) => Command::Done,
            (_, Event::ClientGone) => self.client_gone(),
            _ => self.fail(Slug::InternalError.into()),
        };
        if matches!(command, Command::Done) {
            self.record.times.total = micros(now - self.started);
        }
        command
    }

    fn on_request(&mut self, head: &RequestHead, now: Instant) -> Command {
        self.record.times.head = micros32(now - self.started);
        self.mark = now;
        self.idempotent = head.method.is_idempotent();
        let client = self.client.address;
        self.note(Phase::ClientConnect, VerdictKind::Continue, Reason::default(), || format!("client {client}"));
        if let Err(reason) = decide::check_head(self.snapshot, head) {
            return self.reject(Phase::RequestHead, reason);
        }
        self.note(Phase::RequestHead, VerdictKind::Continue, Reason::default(), || match head.normal_path() {
            [] => format!("host {}", show(head.host())),
            path => format!("host {}, path {}", show(head.host()), show(path)),
        });
        if self.role == Role::Reverse {
            let listener = self.record.listener;
            let verdict = decide::before_routes(self.snapshot, head, &self.client, listener)
                .unwrap_or_else(|| decide::route(self.snapshot, head, &self.client));
            let verdict = self.settle(verdict, head, now);
            return self.decided(verdict, head);
        }
        if let Err(reason) = decide::check_client(self.snapshot, self.client.address) {
            return self.reject(Phase::RequestHead, reason);
        }
        let verdict = decide::forward(self.snapshot, head, self.body_limit());
        let auth = self.snapshot.plan.forward.as_ref().and_then(|f| f.auth.as_ref());
        if let Some(auth) = auth.filter(|_| !self.known) {
            // A request that is not for a proxy is told so before it is asked for a password.
            if verdict == Verdict::Reject(Slug::NotAProxyRequest.into()) {
                return self.carry_out(verdict);
            }
            let rule = Rule::ForwardAuth;
            if head.values(reviver_http::FieldKind::ProxyAuthorization).next().is_none() {
                return self.reject(Phase::RequestHead, Reason::new(Slug::AuthRequired, rule));
            }
            if decide::credentials(head).is_none() {
                return self.reject(Phase::RequestHead, Reason::new(Slug::AuthFailed, rule));
            }
            self.note(Phase::RequestHead, VerdictKind::Continue, Reason::new(Slug::Forwarded, rule), || {
                format!("credentials are checked for realm {}", auth.realm)
            });
            self.pending = Some(verdict);
            self.prepare(verdict, head);
            self.state = State::Authentication;
            return Command::Authenticate;
        }
        self.decided(verdict, head)
    }

    /// What of the head is needed once the verdict is carried out.
    fn prepare(&mut self, verdict: Verdict, head: &RequestHead) {
        if let Verdict::Pool { pool, .. } = verdict {
            self.choosing = self.prepare_choice(pool, head);
        }
        let rules = match verdict {
            // What a copy gets is not stored.
            _ if self.shadow.is_some() => return,
            Verdict::Pool { route, .. } => self.rules_of(Some(route)),
            Verdict::Forward => self.rules_of(None),
            _ => None,
        };
        self.purges = self.purges(head);
        self.caching = rules.map(|rules| self.prepare_cache(head, rules));
    }

    /// The limits of the route that decides, and one of the pools where it divides its requests.
    fn settle(&mut self, verdict: Verdict, head: &RequestHead, now: Instant) -> Verdict {
        let Some(route) = verdict.route() else { return verdict };
        if let Some(pool) = self.shadow {
            return Verdict::Pool { route, pool };
        }
        if let Some(reason) = self.check_limits(route, head, now) {
            return Verdict::Reject(reason);
        }
        let Verdict::Split { split, .. } = verdict else {
            if let Verdict::Pool { pool, .. } = verdict {
                self.choose_mirror(route, pool);
            }
            return verdict;
        };
        match self.choose_variant(split, head) {
            Some(pool) => {
                self.choose_mirror(route, pool);
                Verdict::Pool { route, pool }
            }
            None => Verdict::Reject(Slug::InternalError.into()),
        }
    }

    fn decided(&mut self, verdict: Verdict, head: &RequestHead) -> Command {
        self.prepare(verdict, head);
        self.carry_out(verdict)
    }

    fn purge(&mut self, allowed: bool) -> Command {
        if !allowed {
            return self.reject(Phase::CacheLookup, Reason::new(Slug::PurgeDenied, Rule::Purge));
        }
        self.state = State::Lookup;
        Command::Purge
    }

    fn on_authenticated(&mut self, good: bool, now: Instant) -> Command {
        self.record.times.decide = micros32(now - self.mark);
        match (good, self.pending.take()) {
            (true, Some(verdict)) => self.carry_out(verdict),
            (true, None) => self.fail(Slug::InternalError.into()),
            (false, _) => self.reject(Phase::RequestHead, Reason::new(Slug::AuthFailed, Rule::ForwardAuth)),
        }
    }

    /// Phase `route`: from a verdict to the first command that follows from it.
    fn carry_out(&mut self, verdict: Verdict) -> Command {
        match verdict {
            Verdict::Reject(reason) => {
                if let Rule::Route(route) | Rule::Limit(route, _) = reason.rule {
                    self.record.route = Some(route);
                }
                self.reject(Phase::Route, reason)
            }
            Verdict::Respond(route) => {
                self.record.route = Some(route);
                self.answer(Phase::Route, Answer::Respond(route), Reason::new(Slug::Responded, Rule::Route(route)))
            }
            Verdict::Redirect(route) => {
                self.record.route = Some(route);
                self.answer(Phase::Route, Answer::Redirect(route), Reason::new(Slug::Redirected, Rule::Route(route)))
            }
            Verdict::Challenge(index) => {
                self.answer(Phase::Route, Answer::Challenge(index), Slug::AcmeChallenge.into())
            }
            Verdict::RedirectHttps(port) => {
                let reason = Reason::new(Slug::HttpsRedirect, Rule::Listener(self.record.listener));
                self.answer(Phase::Route, Answer::RedirectHttps(port), reason)
            }
            Verdict::MaxForwards => self.answer(Phase::Route, Answer::Options, Slug::MaxForwards.into()),
            Verdict::Pool { route, pool } => {
                self.record.route = Some(route);
                self.record.pool = Some(pool);
                self.record.reason = Reason::new(Slug::Forwarded, Rule::Route(route));
                let name = self.snapshot.pool(pool).map_or("", |p| p.name.as_str());
                self.note(Phase::Route, VerdictKind::Continue, self.record.reason, || format!("pool {name}"));
                self.through_cache()
            }
            // It has become a verdict for a pool before.
            Verdict::Split { .. } => self.fail(Slug::InternalError.into()),
            Verdict::Forward | Verdict::ForwardTunnel => {
                self.tunnel = verdict == Verdict::ForwardTunnel;
                self.record.reason = if self.tunnel { Slug::Tunnelled.into() } else { Slug::Forwarded.into() };
                self.note(Phase::Route, VerdictKind::Continue, self.record.reason, String::new);
                self.through_cache()
            }
        }
    }

    fn through_cache(&mut self) -> Command {
        if let Some(allowed) = self.purges.filter(|_| self.caching.is_some()) {
            return self.purge(allowed);
        }
        match self.look_up() {
            Some(Command::Lookup) => {
                self.state = State::Lookup;
                Command::Lookup
            }
            Some(refused) => refused,
            None => self.proceed(),
        }
    }

    pub(crate) fn connect(&mut self, target: Target, fresh: bool, pause: Duration) -> Command {
        self.record.attempts = self.record.attempts.saturating_add(1);
        self.state = State::Connection;
        Command::Connect { target, fresh, pause }
    }

    fn on_connected(&mut self, address: SocketAddr, reused: bool, now: Instant) -> Command {
        if !reused {
            self.record.times.connect = self.record.times.connect.saturating_add(micros32(now - self.mark));
        }
        self.mark = now;
        self.reused = reused;
        self.record.upstream = Some(address);
        self.record.upstream_via = if reused { Via::Reused } else { Via::New };
        if self.tunnel {
            self.record.tunnel = true;
            self.record.status = 200;
            self.state = State::Relay;
            return Command::Tunnel;
        }
        self.state = State::Response;
        Command::Exchange
    }

    /// Phase `upstream_response`.
    fn on_response(&mut self, request: &RequestHead, head: &ResponseHead, repeatable: bool, now: Instant) -> Command {
        if head.is_interim() {
            return Command::Interim;
        }
        if head.status == 101 && !may_switch(request, head) {
            return self.fail(Reason::new(Slug::UpgradeFailed, self.upstream_rule()));
        }
        // To the client of an extended CONNECT any success would mean that the tunnel is open.
        if request.extended_connect && (200..300).contains(&head.status) {
            return self.fail(Reason::new(Slug::UpgradeFailed, self.upstream_rule()));
        }
        self.record.upstream_status = head.status;
        self.record.times.first_byte = Some(micros32(now - self.mark));
        if head.status == 101 {
            self.tunnel = true;
            self.record.tunnel = true;
            // RFC 8441, section 5: to the client of an extended CONNECT success is 200.
            self.record.status = if request.extended_connect { 200 } else { 101 };
            self.state = State::Relay;
            return Command::Tunnel;
        }
        self.observe_response(head.status, micros(now - self.mark), now);
        if repeatable && let Some(command) = self.on_bad_status(head.status, now) {
            return command;
        }
        if self.is_validated(head) {
            self.state = State::Lookup;
            return Command::Freshen;
        }
        if matches!(head.status, 500 | 502 | 503 | 504) && self.serves_on_error() {
            return self.serve(Why::OnError);
        }
        self.record.status = head.status;
        self.state = State::Relay;
        Command::Relay
    }

    pub(crate) fn fail(&mut self, reason: Reason) -> Command {
        self.answer(Phase::Failure, Answer::Error(reason), reason)
    }

    pub(crate) fn reject(&mut self, phase: Phase, reason: Reason) -> Command {
        self.note(phase, VerdictKind::Reject, reason, String::new);
        self.answer_untraced(Answer::Error(reason), reason)
    }

    fn answer(&mut self, phase: Phase, answer: Answer, reason: Reason) -> Command {
        self.note(phase, VerdictKind::Respond, reason, String::new);
        self.answer_untraced(answer, reason)
    }

    fn answer_untraced(&mut self, answer: Answer, reason: Reason) -> Command {
        self.record.reason = reason;
        self.record.status = answer.status(self.snapshot);
        if self.record.status == 0 {
            return self.done();
        }
        self.state = State::Answer;
        Command::Answer(answer)
    }

    fn client_gone(&mut self) -> Command {
        self.record.reason = Slug::ClientAborted.into();
        self.record.status = Slug::ClientAborted.row().status;
        self.record.ending = Ending::ClientAborted;
        self.done()
    }

    fn on_relayed(&mut self, outcome: Relayed, now: Instant) -> Command {
        if let Relayed::UpstreamAborted(slug) | Relayed::NothingSent(slug) = outcome {
            self.observe_failure(slug, now);
        }
        match outcome {
            Relayed::Complete => {}
            Relayed::ClientAborted => {
                self.record.ending = Ending::ClientAborted;
                self.record.reason.slug = Slug::ClientAborted;
            }
            Relayed::UpstreamAborted(slug) => {
                self.record.ending = Ending::UpstreamAborted;
                self.record.reason.slug = slug;
            }
            Relayed::NothingSent(_) if self.serves_on_error() => return self.serve(Why::OnError),
            Relayed::NothingSent(slug) => {
                return self.fail(Reason::new(slug, self.upstream_rule()));
            }
            Relayed::Expired(slug) => {
                self.record.ending = Ending::Expired;
                self.record.reason.slug = slug;
            }
        }
        self.done()
    }

    fn done(&mut self) -> Command {
        self.lease = None;
        self.hedge_lease = None;
        self.state = State::Over;
        Command::Done
    }

    /// The servers that a request to this flow's route could reach, for `explain`.
    pub(crate) fn candidates(&self) -> Vec<&'s str> {
        let pool = self.record.pool.and_then(|pool| self.snapshot.pool(pool));
        pool.map_or_else(Vec::new, |p| p.servers.iter().map(|s| s.address.as_str()).collect())
    }
}

pub(crate) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn micros32(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
