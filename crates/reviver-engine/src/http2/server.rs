//! A client's HTTP/2 connection: one task that moves frames, and one for each stream.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, Connection as H2, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use reviver_flow::Slug;
use reviver_http::{ParseError, Recipient};
use reviver_plan::{Limits, Listener, Role};

use super::client::Count;
use super::frames::{End, Transport, Turned, Watch};
use super::heads::read_request;
use super::{Http2Stream, SEND_BUFFER};
use crate::connection::{Connection, caught, head_limits};
use crate::driver::{self, ClientProtocol, HeadTimes, Refusal, Then};
use crate::stream::Stream;
use crate::work::Work;

/// The library refuses larger heads by itself; up to there the answer is the proxy's own.
const HEAD_SLACK: u32 = 64 * 1024;
/// Connection windows hold this many full stream windows.
const WINDOWS: u32 = 4;
/// How long a connection that was given up may take to hear why.
const FAREWELL: Duration = Duration::from_secs(1);
const FAR: Duration = Duration::from_secs(3600);
/// Over such a time stalls are counted.
const STALL_WINDOW: Duration = Duration::from_secs(10);

/// What the streams of one connection share.
#[derive(Debug)]
struct Session {
    open: Rc<Cell<usize>>,
    /// Streams whose client took nothing for too long, since when.
    stalls: Cell<(u32, Instant)>,
}

/// Why a connection is ended by the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// No more streams; those that are open go on.
    Drained,
    Fault(Slug, Reason),
    Stopping,
}

/// Serves a connection whose first bytes, `before`, have been read.
pub async fn serve(connection: &mut Connection, before: Vec<u8>) {
    let Some((snapshot, index)) = connection.snapshot() else { return };
    let Some(listener) = snapshot.snapshot.listener(index) else { return };
    let now = Instant::now();
    let watch = Watch::new(&listener.limits, now);
    let stream = std::mem::replace(&mut connection.stream, Stream::Taken);
    let transport = Transport::new(stream, before, Some(watch));
    let io = Transport::end(&transport);
    let session = Rc::new(Session { open: Rc::default(), stalls: Cell::new((0, now)) });
    let handshake = builder(&listener.limits, head_limits(&listener.limits).head).handshake::<_, Bytes>(io);
    connection.timer.set(now, Duration::from_millis(listener.timeouts.head_ms));
    let begun = {
        let mut handshake = pin!(handshake);
        poll_fn(|cx| match handshake.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if connection.timer.poll_expired(cx) || connection.core.is_stopping() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    };
    match begun {
        Some(Ok(h2)) => run(connection, h2, &session, &transport).await,
        Some(Err(error)) if !error.is_io() => {
            report(connection, Slug::Http2Error, reason_name(error.reason().unwrap_or(Reason::PROTOCOL_ERROR)), now)
                .await
        }
        Some(Err(_)) => {}
        None => report(connection, Slug::HeadTimeout, "", now).await,
    }
}

fn builder(limits: &Limits, head: usize) -> Builder {
    let mut builder = h2::server::Builder::new();
    let bound = |limit: u32| if limit == 0 { usize::MAX } else { limit as usize };
    builder
        .max_concurrent_streams(limits.streams)
        .initial_window_size(limits.stream_window)
        .initial_connection_window_size(limits.stream_window.saturating_mul(WINDOWS).min((1 << 31) - 1))
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX).saturating_add(HEAD_SLACK))
        .max_send_buffer_size(SEND_BUFFER)
        // The library's own counters stand behind those that have a name.
        .max_pending_accept_reset_streams(bound(limits.stream_resets))
        .max_local_error_reset_streams(Some(bound(limits.stream_errors).saturating_mul(2)))
        .enable_connect_protocol();
    builder
}

async fn run(
    connection: &mut Connection,
    mut h2: H2<End, Bytes>,
    session: &Rc<Session>,
    transport: &Rc<RefCell<Transport>>,
) {
    let begun = Instant::now();
    let mut ending: Option<Ending> = None;
    let mut ended_at: Option<Instant> = None;
    let mut idle_since = Some(begun);
    let error = poll_fn(|cx| {
        loop {
            match h2.poll_accept(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error)),
                Poll::Ready(Some(Ok((request, mut answer)))) => {
                    idle_since = None;
                    if let Some(watch) = transport.borrow_mut().watch() {
                        watch.seen(answer.stream_id().as_u32());
                    }
                    if is_refused(connection, ending, ended_at) {
                        // A client may repeat it on another connection (RFC 9113, section 8.7).
                        answer.send_reset(Reason::REFUSED_STREAM);
                        let turned = Turned { slug: Slug::Draining, detail: "refused" };
                        transport.borrow_mut().watch().into_iter().for_each(|watch| watch.turned.push(turned));
                        continue;
                    }
                    connection.requests = connection.requests.saturating_add(1);
                    spawn(connection, session, request, answer);
                    continue;
                }
                Poll::Pending => {}
            }
            // Frames leave together once all streams have had their turn.
            if let Poll::Ready(Err(_)) = transport.borrow_mut().poll_send(cx) {
                return Poll::Ready(None);
            }
            let watched = tell_turned(connection, transport);
            if matches!(ending, Some(Ending::Fault(..) | Ending::Stopping)) {
                break;
            }
            let draining = ending.is_some();
            match wanted_end(cx, connection, session, watched, &mut idle_since, draining) {
                None => break,
                Some(end) => {
                    ending = Some(end);
                    ended_at = Some(Instant::now());
                    idle_since = None;
                    match end {
                        Ending::Drained => h2.graceful_shutdown(),
                        Ending::Fault(_, reason) => h2.abrupt_shutdown(reason),
                        Ending::Stopping => h2.abrupt_shutdown(Reason::NO_ERROR),
                    }
                    if end != Ending::Drained {
                        connection.timer.set(Instant::now(), FAREWELL);
                    }
                }
            }
        }
        // Who does not take the farewell does not get it.
        let hurried = matches!(ending, Some(Ending::Fault(..) | Ending::Stopping));
        if hurried && connection.timer.poll_expired(cx) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;
    tell_turned(connection, transport);
    farewell(connection, transport).await;
    let fault = match ending {
        Some(Ending::Fault(slug, reason)) => Some((slug, reason)),
        _ => found_fault(error.as_ref(), transport),
    };
    if let Some((slug, reason)) = fault {
        report(connection, slug, reason_name(reason), begun).await;
    }
}

/// What the client has done wrong, where the library has ended the connection by itself. A client that is gone before
/// it is told has done it all the same.
fn found_fault(error: Option<&h2::Error>, transport: &RefCell<Transport>) -> Option<(Slug, Reason)> {
    let mut transport = transport.borrow_mut();
    let watch = transport.watch()?;
    if watch.fault.is_some() {
        return watch.fault;
    }
    let own = error.filter(|e| !e.is_io() && !e.is_remote()).and_then(h2::Error::reason);
    match own.or(watch.said.map(Reason::from)).filter(|reason| *reason != Reason::NO_ERROR)? {
        Reason::ENHANCE_YOUR_CALM => Some((watch.likeliest(), Reason::ENHANCE_YOUR_CALM)),
        reason => Some((Slug::Http2Error, reason)),
    }
}

/// Whether a stream comes too late: clients that do not hear of the end must not go on for ever.
fn is_refused(connection: &Connection, ending: Option<Ending>, ended_at: Option<Instant>) -> bool {
    let Some((snapshot, index)) = connection.snapshot() else { return true };
    let most = snapshot.snapshot.listener(index).map_or(0, |l| l.limits.requests_per_connection);
    let spent = most != 0 && connection.requests >= most;
    let late = ended_at.is_some_and(|at| at.elapsed() > FAREWELL);
    spent || !connection.meets_demands(&snapshot, index) || (ending.is_some() && late)
}

/// Whether the connection is to be ended now. Arms the timer for the next look.
fn wanted_end(
    cx: &mut Context<'_>,
    connection: &Connection,
    session: &Session,
    (fault, head_since): (Option<(Slug, Reason)>, Option<Instant>),
    idle_since: &mut Option<Instant>,
    draining: bool,
) -> Option<Ending> {
    if connection.core.is_stopping() {
        return Some(Ending::Stopping);
    }
    if let Some((slug, reason)) = fault {
        return Some(Ending::Fault(slug, reason));
    }
    if draining {
        return drained(cx, connection, session, idle_since);
    }
    let Some((snapshot, index)) = connection.snapshot() else { return Some(Ending::Drained) };
    let Some(listener) = snapshot.snapshot.listener(index) else { return Some(Ending::Drained) };
    let limits = &listener.limits;
    if limits.stalls > 0 && session.stalls.get().0 > limits.stalls {
        return Some(Ending::Fault(Slug::StalledStreams, Reason::ENHANCE_YOUR_CALM));
    }
    let spent = limits.requests_per_connection != 0 && connection.requests >= limits.requests_per_connection;
    if connection.core.is_draining() || spent || !connection.meets_demands(&snapshot, index) {
        return Some(Ending::Drained);
    }
    let deadline = match (head_since, session.open.get()) {
        (Some(since), _) => {
            Some((since, listener.timeouts.head_ms, Ending::Fault(Slug::HeadTimeout, Reason::ENHANCE_YOUR_CALM)))
        }
        (None, 0) => {
            let since = *idle_since.get_or_insert_with(Instant::now);
            Some((since, idle_ms(connection, listener), Ending::Drained))
        }
        (None, _) => {
            *idle_since = None;
            None
        }
    };
    let Some((since, wait, end)) = deadline else {
        // The task is woken when the proxy drains, as all are that wait for a time.
        connection.timer.set_roughly(FAR);
        connection.timer.poll_expired(cx);
        return None;
    };
    let now = Instant::now();
    let left = (since + Duration::from_millis(wait)).saturating_duration_since(now);
    if left.is_zero() {
        return Some(end);
    }
    connection.timer.set(now, left);
    connection.timer.poll_expired(cx);
    None
}

/// Whether a connection that takes no more streams has had the time to end by itself.
fn drained(
    cx: &mut Context<'_>,
    connection: &Connection,
    session: &Session,
    idle_since: &mut Option<Instant>,
) -> Option<Ending> {
    let now = Instant::now();
    let wait = match session.open.get() {
        0 => (*idle_since.get_or_insert(now) + FAREWELL).saturating_duration_since(now),
        _ => {
            *idle_since = None;
            FAR
        }
    };
    if wait.is_zero() {
        return Some(Ending::Stopping);
    }
    connection.timer.set(now, wait);
    connection.timer.poll_expired(cx);
    None
}

fn idle_ms(connection: &Connection, listener: &Listener) -> u64 {
    if connection.requests == 0 { listener.timeouts.head_ms } else { listener.timeouts.keep_alive_ms }
}

/// Begins the flow of a stream. The head is read here, so that the task holds no more than it needs.
fn spawn(connection: &Connection, session: &Rc<Session>, request: Request<RecvStream>, answer: SendResponse<Bytes>) {
    let mut work = connection.core.works.take_or(Work::new);
    let ended = request.body().is_end_stream();
    let head = match connection.snapshot() {
        None => None,
        Some((snapshot, index)) => snapshot.snapshot.listener(index).map(|listener| {
            let recipient = if listener.role == Role::Forward { Recipient::Proxy } else { Recipient::Gateway };
            read_request(&request, ended, recipient, &head_limits(&listener.limits), &mut work.request)
        }),
    };
    let stream = Http2Stream::of_client(request.into_body(), answer, Count::new(&session.open));
    let mut connection = connection.for_stream();
    connection.stream = Stream::Http2(Box::new(stream));
    // The runtime moves a task's future several times before it rests: a pointer is quicker.
    tokio::task::spawn_local(Box::pin(serve_stream(connection, Rc::clone(session), work, head)));
}

async fn serve_stream(
    mut connection: Connection,
    session: Rc<Session>,
    mut work: Box<Work>,
    head: Option<Result<(), ParseError>>,
) {
    let then = {
        let carried = pin!(carry(&mut connection, &mut work, head));
        caught(carried).await
    };
    if then.is_none() {
        connection.core.shared.panics.fetch_add(1, Ordering::Relaxed);
        Box::pin(driver::answer_panic(&mut connection, &mut work)).await;
    }
    if work.stalled {
        session.stall();
    }
    if let Some(stream) = connection.stream.http2() {
        // What was not ended in order must not look as if it were.
        stream.reset(if then == Some(Then::KeepAlive) { Reason::NO_ERROR } else { Reason::INTERNAL_ERROR });
    }
    if let Some(work) = work.recycled() {
        connection.core.works.give(work);
    }
}

async fn carry(connection: &mut Connection, work: &mut Work, head: Option<Result<(), ParseError>>) -> Then {
    let (Some(head), Some((snapshot, index))) = (head, connection.snapshot()) else { return Then::Close };
    let started = Instant::now();
    match head {
        Ok(()) => {
            let times = HeadTimes { started, complete: started };
            driver::run(connection, work, &snapshot, index, times, ClientProtocol::Http2, None).await
        }
        Err(error) => {
            let refusal = Refusal { slug: driver::parse_slug(error), detail: error.slug(), size: work.request.size() };
            Box::pin(driver::refuse(connection, work, &snapshot, index, started, refusal)).await;
            Then::Drain
        }
    }
}

impl Session {
    fn stall(&self) {
        let (count, since) = self.stalls.get();
        let fresh = since.elapsed() > STALL_WINDOW;
        self.stalls.set(if fresh { (1, Instant::now()) } else { (count + 1, since) });
    }
}

/// Writes what is left to be written, for a short time.
async fn farewell(connection: &Connection, transport: &RefCell<Transport>) {
    connection.timer.set(Instant::now(), FAREWELL);
    poll_fn(|cx| match transport.borrow_mut().poll_send(cx) {
        Poll::Pending if !connection.timer.poll_expired(cx) => Poll::Pending,
        _ => Poll::Ready(()),
    })
    .await
}

/// Records the streams that the library has refused; tells of the fault and the open head that were seen.
fn tell_turned(connection: &Connection, transport: &RefCell<Transport>) -> (Option<(Slug, Reason)>, Option<Instant>) {
    let mut transport = transport.borrow_mut();
    let Some(watch) = transport.watch() else { return (None, None) };
    let seen = (watch.fault, watch.head_since);
    let turned = std::mem::take(&mut watch.turned);
    if turned.is_empty() {
        return seen;
    }
    let connection = connection.for_stream();
    tokio::task::spawn_local(async move {
        for Turned { slug, detail } in turned {
            report(&connection, slug, detail, Instant::now()).await;
        }
    });
    seen
}

/// Records what became of a connection, or of a stream that never was a flow.
async fn report(connection: &Connection, slug: Slug, detail: &'static str, since: Instant) {
    let Some((snapshot, index)) = connection.snapshot() else { return };
    driver::record_refusal(connection, &snapshot, index, since, slug, detail, ClientProtocol::Http2).await;
}

fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::NO_ERROR => "NO_ERROR",
        Reason::INTERNAL_ERROR => "INTERNAL_ERROR",
        Reason::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
        Reason::SETTINGS_TIMEOUT => "SETTINGS_TIMEOUT",
        Reason::STREAM_CLOSED => "STREAM_CLOSED",
        Reason::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
        Reason::REFUSED_STREAM => "REFUSED_STREAM",
        Reason::CANCEL => "CANCEL",
        Reason::COMPRESSION_ERROR => "COMPRESSION_ERROR",
        Reason::CONNECT_ERROR => "CONNECT_ERROR",
        Reason::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
        Reason::INADEQUATE_SECURITY => "INADEQUATE_SECURITY",
        Reason::HTTP_1_1_REQUIRED => "HTTP_1_1_REQUIRED",
        _ => "PROTOCOL_ERROR",
    }
}
