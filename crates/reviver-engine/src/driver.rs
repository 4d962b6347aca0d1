//! Carries out what a flow wishes and tells it what came of it.

use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_flow::{BodyPlan, Client, Command, Credentials, Ending, Event, Flow, Relayed, Sent, Slug, credentials};
use reviver_http::{FieldKind, Framing, ParseError, RequestHead, Scheme, TargetForm};
use reviver_plan::BasicAuth;

use crate::answer;
use crate::auth::Known;
use crate::cached;
use crate::connect::connect;
use crate::connection::Connection;
use crate::core::CoreSnapshot;
use crate::deliver;
use crate::exchange::{Exchange, Trouble};
use crate::hedge;
use crate::log::{Entry, Push};
use crate::metrics::Gauge;
use crate::mirror;
use crate::tunnel;
use crate::upstream::Upstream;
use crate::waiting;
use crate::work::Work;

/// How long a password may take to be checked.
const PASSWORD_PATIENCE: Duration = Duration::from_secs(10);

/// How the client was spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientProtocol {
    Http1,
    Http2,
    Socks5,
}

/// When the first byte of a head came, and when its last had been read.
#[derive(Clone, Copy, Debug)]
pub struct HeadTimes {
    pub started: Instant,
    pub complete: Instant,
}

/// What becomes of the client connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    KeepAlive,
    /// Closed once the client has been read on for a while.
    Drain,
    Close,
    /// Closed in the middle of an answer, which must not look whole.
    Abort,
}

impl Then {
    /// After a response that ends the connection. A client that has asked for that, and of which nothing is
    /// unread, sends no more: nothing can reset the response on its way.
    pub fn after_last(work: &Work) -> Self {
        if !work.request.keep_alive && work.client_in.is_empty() { Self::Close } else { Self::Drain }
    }
}

/// What the driver keeps beside the flow.
#[derive(Default)]
pub struct Carried<'s> {
    pub upstream: Option<Upstream>,
    pub exchange: Option<Exchange<'s>>,
    user: Option<String>,
    detail: &'static str,
    place: Option<waiting::Place>,
    /// Bytes that went to the client outside of pumps.
    pub written: u64,
    /// Body bytes of an answer of the proxy's own, or of a stored response.
    pub own_body: u64,
    /// There is a response head to log.
    pub response: bool,
    pub cache: cached::Carried,
    pub then: Option<Then>,
}

/// The slug that a malformed message is named by; its own, finer slug is the detail.
pub fn parse_slug(error: ParseError) -> Slug {
    match error {
        ParseError::TlsClientHello => Slug::TlsOnPlainPort,
        _ => match error.status() {
            414 => Slug::TargetTooLong,
            417 => Slug::ExpectationFailed,
            431 => Slug::HeadTooLarge,
            501 => Slug::NotImplemented,
            505 => Slug::VersionNotSupported,
            _ => Slug::BadRequest,
        },
    }
}

/// The client that is believed to be behind the connection.
fn client_of(connection: &Connection, snapshot: &CoreSnapshot, head: Option<&RequestHead>) -> Client {
    let peer = connection.peer();
    let trusted = &snapshot.snapshot.trusted;
    let address = match head {
        Some(head) if trusted.contains(peer.ip()) => reviver_policy::client_address(
            peer.ip(),
            head.values(FieldKind::XForwardedFor),
            head.values(FieldKind::Forwarded),
            trusted,
        ),
        _ => peer.ip(),
    };
    Client { peer, address, tls: connection.tls.clone() }
}

/// Carries one request whose head stands in `work`.
pub async fn run(
    connection: &mut Connection,
    work: &mut Work,
    snapshot: &Rc<CoreSnapshot>,
    listener: u16,
    times: HeadTimes,
    protocol: ClientProtocol,
    user: Option<String>,
) -> Then {
    let core = Rc::clone(&connection.core);
    let started = times.started;
    // What the client is spoken to by counts, and not what it says.
    if matches!(work.request.form, TargetForm::Origin | TargetForm::Asterisk) {
        work.request.scheme = if connection.tls.is_some() { Scheme::Https } else { Scheme::Http };
    }
    let client = client_of(connection, snapshot, Some(&work.request));
    let address = client.address;
    let mut flow =
        Flow::new(&snapshot.snapshot, listener, client, started, core.unix_ms_at(started)).seeded(core.chance());
    if let Some(job) = connection.job() {
        flow = flow.internal(job.side(), job.shadow());
    }
    if protocol == ClientProtocol::Socks5 {
        flow = flow.authenticated();
    }
    connection.answering = false;
    connection.half_closed = false;
    connection.interim_ok = protocol == ClientProtocol::Http1;
    work.ended = None;
    work.interim = 0;
    let mut carried = Carried { user, ..Carried::default() };
    // Requests of the cache's own are nobody's flows.
    let counted = connection.job().is_none().then(|| core.metrics.enter(&snapshot.metrics, Gauge::Flows, listener));
    work.replay.clear();
    work.replay_taken = false;
    work.interim_bytes = 0;
    work.replay_trailers = None;
    // The clock is read only where something was waited for.
    let mut now = times.complete;
    let mut command = flow.step(Event::Request(&work.request), now);
    loop {
        command = match command {
            Command::Authenticate => {
                let outcome = Box::pin(authenticate(connection, snapshot, work, address, &mut carried)).await;
                flow.step(outcome, Instant::now())
            }
            Command::Answer(answer) => {
                let unread = match &carried.exchange {
                    Some(exchange) if exchange.body_taken() => Framing::None,
                    // A part of it is gone: where the next request begins is not known any more.
                    Some(_) => Framing::UntilClose,
                    None if !work.replay_taken => work.request.framing,
                    None => Framing::None,
                };
                let written = answer::write(connection, work, &flow, answer, protocol, carried.detail, unread).await;
                carried.written += written.bytes;
                carried.own_body = written.body;
                carried.then = Some(written.then);
                flow.step(Event::Answered { delivered: written.delivered }, Instant::now())
            }
            Command::Wait { pool } => {
                drop_upstream(connection, work, &mut carried);
                let event = Box::pin(waiting::turn(connection, work, snapshot, pool, &mut carried.place)).await;
                let next = flow.step(event, Instant::now());
                if !matches!(next, Command::Wait { .. }) {
                    // It has a server, or waits no more: it keeps nobody waiting while it is told so.
                    carried.place = None;
                }
                next
            }
            Command::Connect { target, fresh, pause } => {
                drop_upstream(connection, work, &mut carried);
                if let Some(mirror) = flow.mirror().filter(|_| flow.record.attempts == 1) {
                    Box::pin(mirror::copy(connection, work, snapshot, &flow, mirror)).await;
                }
                if !pause.is_zero() && !Box::pin(waiting::pause(connection, work, pause)).await {
                    command = flow.step(Event::ClientGone, Instant::now());
                    continue;
                }
                match connect(connection, work, snapshot, &flow, target, fresh).await {
                    Ok(upstream) => {
                        let event = Event::Connected { address: upstream.address, reused: upstream.reused };
                        if !upstream.reused {
                            now = Instant::now();
                        }
                        carried.upstream = Some(upstream);
                        flow.step(event, now)
                    }
                    Err(Trouble::Upstream { slug, sent, detail }) => {
                        carried.detail = detail;
                        flow.step(Event::Failed { slug, sent }, Instant::now())
                    }
                    Err(_) => flow.step(Event::ClientGone, Instant::now()),
                }
            }
            Command::Exchange | Command::Interim => {
                let interim = matches!(command, Command::Interim);
                let sent_at = now;
                if !interim {
                    carried.cache.requested = Some(now);
                }
                let Some(upstream) = carried.upstream.as_mut() else {
                    command = flow.step(Event::Failed { slug: Slug::InternalError, sent: Sent::Body }, Instant::now());
                    continue;
                };
                let outcome = match carried.exchange.as_mut() {
                    Some(exchange) if interim => match deliver::pass_interim(connection, work, &flow).await {
                        Ok(bytes) => {
                            carried.written += bytes;
                            exchange.await_response(connection, work, upstream, Instant::now()).await
                        }
                        Err(trouble) => Err(trouble),
                    },
                    _ => match Exchange::begin(connection, work, &flow, snapshot, listener, upstream) {
                        Ok(begun) => {
                            let exchange = carried.exchange.insert(begun);
                            match hedge::delay(&core, snapshot, &flow, work, now) {
                                None => exchange.await_response(connection, work, upstream, now).await,
                                Some(delay) => {
                                    let first = hedge::First { exchange, upstream, begun: now };
                                    let hedged = hedge::either(connection, work, first, &mut flow, snapshot, delay);
                                    Box::pin(hedged).await
                                }
                            }
                        }
                        Err(trouble) => Err(trouble),
                    },
                };
                now = Instant::now();
                match outcome {
                    Ok(()) => {
                        if !work.response.is_interim() && work.response.values(FieldKind::Date).next().is_none() {
                            // RFC 9110, section 6.6.1: who has a clock adds it to what it stores or passes on.
                            work.scratch.clear();
                            core.write_date(now, &mut work.scratch);
                            work.response.push_field(b"Date", &work.scratch);
                        }
                        let repeatable = carried.exchange.as_ref().is_some_and(Exchange::is_repeatable);
                        let (request, head) = (&work.request, &work.response);
                        flow.step(Event::Response { request, head, repeatable }, now)
                    }
                    Err(Trouble::Upstream { slug, sent, detail }) => {
                        carried.detail = detail;
                        let silent = matches!(slug, Slug::ResponseTimeout | Slug::WriteTimeout);
                        if let Some(shared) =
                            carried.upstream.as_ref().and_then(|u| u.http2.as_ref()).filter(|_| silent)
                        {
                            shared.suspect(sent_at);
                        }
                        // Nothing of a broken exchange may be used again.
                        carried.upstream = None;
                        flow.step(Event::Failed { slug, sent }, now)
                    }
                    Err(Trouble::Client { slug, detail }) => {
                        carried.upstream = None;
                        carried.detail = detail;
                        flow.step(Event::ClientFailed(slug), now)
                    }
                    Err(Trouble::ClientGone) => {
                        carried.upstream = None;
                        flow.step(Event::ClientGone, now)
                    }
                }
            }
            Command::Lookup => cached::look_up(connection, work, &mut flow, snapshot, &mut carried).await,
            Command::Purge => cached::purge(connection, work, &mut flow, snapshot).await,
            Command::Serve(why) => {
                let keep = keeps_alive(connection, snapshot, listener);
                cached::serve(connection, work, &mut flow, snapshot, &mut carried, why, keep).await
            }
            Command::Freshen => cached::freshen(connection, work, &mut flow, snapshot, &mut carried, now),
            Command::Relay => {
                let keeps = keeps_alive(connection, snapshot, listener);
                let mut relayed = None;
                if let Some(cache) = &snapshot.cache {
                    relayed =
                        cached::relay(connection, work, &mut flow, snapshot, cache, &mut carried, now, keeps).await;
                }
                if let Some(next) = relayed {
                    now = Instant::now();
                    command = next;
                    continue;
                }
                let (Some(upstream), Some(exchange)) = (carried.upstream.take(), carried.exchange.as_mut()) else {
                    command = flow.step(Event::Relayed(Relayed::ClientAborted), Instant::now());
                    continue;
                };
                let keep = keeps && exchange.upload_over();
                let plan = BodyPlan::new(&work.request, &work.response, keep);
                let (outcome, at) = exchange.relay(connection, work, upstream, &flow, plan, now).await;
                now = at;
                let exchange_over = carried.exchange.as_ref().is_some_and(Exchange::upload_over);
                carried.then = Some(match outcome {
                    Relayed::Complete if plan.keep_alive => Then::KeepAlive,
                    Relayed::Complete if exchange_over => Then::after_last(work),
                    Relayed::Complete => Then::Drain,
                    _ => Then::Close,
                });
                carried.response = !matches!(outcome, Relayed::NothingSent(_));
                flow.step(Event::Relayed(outcome), now)
            }
            Command::Tunnel => {
                let Some(upstream) = carried.upstream.take() else {
                    command = flow.step(Event::Relayed(Relayed::ClientAborted), Instant::now());
                    continue;
                };
                if let Some(exchange) = carried.exchange.take() {
                    carried.response = true;
                    exchange.settle(&mut flow.record);
                    exchange.give_up(connection, work);
                }
                let counted = core.metrics.enter(&snapshot.metrics, Gauge::Tunnels, listener);
                let tunnel = tunnel::run(connection, work, upstream, &flow, snapshot, listener, protocol);
                let moved = Box::pin(tunnel).await;
                drop(counted);
                flow.record.bytes_in += moved.from_client;
                flow.record.bytes_out += moved.opening + moved.to_client;
                flow.record.request_body += moved.from_client;
                flow.record.response_body = moved.to_client;
                carried.then = Some(Then::Close);
                flow.step(Event::Relayed(moved.outcome), Instant::now())
            }
            Command::Done => break,
        };
    }
    if let Some(exchange) = carried.exchange.take() {
        exchange.settle(&mut flow.record);
        exchange.give_up(connection, work);
    }
    flow.record.bytes_in += work.request.size() as u64;
    flow.record.bytes_out += carried.written + work.interim;
    flow.record.response_body += carried.own_body;
    if let Some(job) = connection.job_mut() {
        job.ended(flow.record.ending, flow.record.status == flow.record.upstream_status);
        // It is no client's request.
        return Then::Close;
    }
    let response = carried.response.then_some(&work.response);
    let entry = entry(snapshot, &flow, carried.detail, response, carried.user.as_deref(), protocol);
    record(connection, snapshot, Entry { head: Some(&work.request), ..entry }).await;
    drop(counted);
    match carried.then {
        Some(then) if flow.record.ending == Ending::Complete => then,
        _ => Then::Abort,
    }
}

/// Nothing of an exchange that has failed, or that is given up, is used again.
fn drop_upstream(connection: &mut Connection, work: &mut Work, carried: &mut Carried<'_>) {
    if let Some(old) = carried.exchange.take() {
        old.give_up(connection, work);
    }
    carried.upstream = None;
}

/// Whether the client may send another request after this one.
fn keeps_alive(connection: &Connection, snapshot: &CoreSnapshot, listener: u16) -> bool {
    let most = snapshot.snapshot.listener(listener).map_or(0, |l| l.limits.requests_per_connection);
    !connection.core.is_draining()
        && connection.listener.index.get().is_some()
        && (most == 0 || connection.requests + 1 < most)
}

impl Connection {
    pub fn protocol(&self) -> ClientProtocol {
        if self.stream.is_http2() { ClientProtocol::Http2 } else { ClientProtocol::Http1 }
    }

    /// Whether an answer that the proxy makes may leave the connection open.
    pub fn may_keep_alive(&self) -> bool {
        match self.snapshot() {
            Some((snapshot, listener)) => keeps_alive(self, &snapshot, listener),
            None => false,
        }
    }
}

async fn authenticate(
    connection: &mut Connection,
    snapshot: &CoreSnapshot,
    work: &mut Work,
    client: IpAddr,
    carried: &mut Carried<'_>,
) -> Event<'static> {
    let auth = snapshot.snapshot.plan.forward.as_ref().and_then(|f| f.auth.as_ref());
    let (Some(auth), Some(credentials)) = (auth, credentials(&work.request)) else {
        return Event::Authenticated(false);
    };
    match check_password(connection, work, auth, &credentials, client).await {
        Ok(good) => {
            if good {
                carried.user = String::from_utf8(credentials.user).ok();
            }
            Event::Authenticated(good)
        }
        Err(Trouble::Upstream { slug, sent, .. }) => Event::Failed { slug, sent },
        Err(_) => Event::ClientGone,
    }
}

/// Whether the password is right. A client that leaves meanwhile is not worth the work.
pub async fn check_password(
    connection: &mut Connection,
    work: &mut Work,
    auth: &BasicAuth,
    credentials: &Credentials,
    client: IpAddr,
) -> Result<bool, Trouble> {
    let core = Rc::clone(&connection.core);
    let busy = |slug| Trouble::upstream(slug, Sent::Nothing);
    let now = Instant::now();
    let mut check = match core.auth.check(auth, credentials, client, now) {
        Known::Yes(good) => return Ok(good),
        Known::Busy => None,
        Known::NotYet(check) => Some(check),
    };
    let deadline = now + PASSWORD_PATIENCE;
    connection.wait_until(now, deadline);
    poll_fn(|cx| {
        if check.is_none() {
            match core.auth.check(auth, credentials, client, Instant::now()) {
                Known::Yes(good) => return Poll::Ready(Ok(good)),
                Known::Busy => connection.look_again(),
                Known::NotYet(begun) => check = Some(begun),
            }
        }
        if let Some(Poll::Ready(good)) = check.as_mut().map(|c| c.poll(cx)) {
            return Poll::Ready(Ok(good));
        }
        if connection.poll_gone(cx, work).is_ready() {
            return Poll::Ready(Err(Trouble::ClientGone));
        }
        if connection.poll_deadline(cx, deadline) {
            return Poll::Ready(Err(busy(if core.is_stopping() { Slug::Draining } else { Slug::AuthBusy })));
        }
        Poll::Pending
    })
    .await
}

fn entry<'a>(
    snapshot: &'a CoreSnapshot,
    flow: &'a Flow<'_>,
    detail: &'a str,
    response: Option<&'a reviver_http::ResponseHead>,
    user: Option<&'a str>,
    protocol: ClientProtocol,
) -> Entry<'a> {
    let record = &flow.record;
    let plan = &snapshot.snapshot;
    Entry {
        record,
        listener: plan.listener(record.listener).map_or("", |l| l.name.as_str()),
        route: flow.route().map(|r| r.name.as_str()),
        pool: record.pool.and_then(|p| plan.pool(p)).map(|p| p.name.as_str()),
        variant: flow.variant().map(|(split, variant)| (split.name.as_str(), variant.name.as_str())),
        limit: flow.limit_name(),
        server: record.pool.zip(record.server).and_then(|(p, s)| plan.server(p, s)).map(|s| s.address.as_str()),
        place: flow.place(),
        reason_detail: detail,
        head: None,
        response,
        user,
        socks: protocol == ClientProtocol::Socks5,
        tls: flow.client_tls(),
    }
}

/// Leaves the flow's record: exactly once. Where the log has no room the flow waits for it.
async fn record(connection: &Connection, snapshot: &CoreSnapshot, entry: Entry<'_>) {
    connection.core.metrics.observe(&snapshot.metrics, entry.record);
    loop {
        let push = connection.core.log.borrow_mut().push(&entry);
        match push {
            Push::Written | Push::Dropped => return,
            Push::Full => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Why a head was not taken, and how many bytes of it had come.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    pub slug: Slug,
    pub detail: &'static str,
    pub size: usize,
}

/// A flow whose head could not be taken.
fn headless<'s>(connection: &Connection, snapshot: &'s CoreSnapshot, listener: u16, started: Instant) -> Flow<'s> {
    let client = client_of(connection, snapshot, None);
    Flow::new(&snapshot.snapshot, listener, client, started, connection.core.unix_ms_at(started))
}

/// Answers a request whose head could not be taken, and records it.
pub async fn refuse(
    connection: &mut Connection,
    work: &mut Work,
    snapshot: &Rc<CoreSnapshot>,
    listener: u16,
    started: Instant,
    refusal: Refusal,
) {
    let Refusal { slug, detail, size } = refusal;
    let mut flow = headless(connection, snapshot, listener, started);
    flow.record.bytes_in = size as u64;
    if let Command::Answer(answer) = flow.step(Event::ClientFailed(slug), Instant::now()) {
        let outcome = answer::write_refusal(connection, work, &flow, answer).await;
        flow.record.bytes_out = outcome.bytes;
        flow.record.response_body = outcome.body;
        flow.step(Event::Answered { delivered: outcome.delivered }, Instant::now());
    }
    let protocol = connection.protocol();
    record(connection, snapshot, entry(snapshot, &flow, detail, None, None, protocol)).await;
}

/// Records a client that was turned away before it had made a request.
pub async fn record_refusal(
    connection: &Connection,
    snapshot: &CoreSnapshot,
    listener: u16,
    started: Instant,
    slug: Slug,
    detail: &str,
    protocol: ClientProtocol,
) {
    let mut flow = headless(connection, snapshot, listener, started);
    flow.step(Event::ClientFailed(slug), Instant::now());
    flow.step(Event::Answered { delivered: true }, Instant::now());
    // There was no request to answer.
    flow.record.status = 0;
    record(connection, snapshot, entry(snapshot, &flow, detail, None, None, protocol)).await;
}

/// Records a client that left in the middle of a head.
pub async fn record_broken(
    connection: &Connection,
    snapshot: &Rc<CoreSnapshot>,
    listener: u16,
    started: Instant,
    protocol: ClientProtocol,
) {
    let mut flow = headless(connection, snapshot, listener, started);
    flow.step(Event::ClientGone, Instant::now());
    record(connection, snapshot, entry(snapshot, &flow, "incomplete_head", None, None, protocol)).await;
}

/// Answers for a flow that ended in a panic, where nothing of an answer has been written yet, and records it.
pub async fn answer_panic(connection: &mut Connection, work: &mut Work) {
    let Some((snapshot, listener)) = connection.snapshot() else { return };
    let refusal = Refusal { slug: Slug::InternalError, detail: "panic", size: 0 };
    let now = Instant::now();
    if !connection.answering {
        return refuse(connection, work, &snapshot, listener, now, refusal).await;
    }
    let mut flow = headless(connection, &snapshot, listener, now);
    flow.step(Event::ClientFailed(Slug::InternalError), now);
    flow.step(Event::Answered { delivered: false }, now);
    record(connection, &snapshot, entry(&snapshot, &flow, "panic", None, None, ClientProtocol::Http1)).await;
}
