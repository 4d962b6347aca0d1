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
use reviver_http::Recipient;
use reviver_plan::{Limits, Listener, Role};

use super::client::Count;
use super::frames::{Turned, Watch, Watched};
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
enum End {
    /// No more streams; those that are open go on.
    Drained,
    Abuse(Slug),
    Stopping,
}

/// Serves a connection whose first bytes, `before`, have been read.
pub async fn serve(connection: &mut Connection, before: Vec<u8>) {
    let Some((snapshot, index)) = connection.snapshot() else { return };
    let Some(listener) = snapshot.snapshot.listener(index) else { return };
    let now = Instant::now();
    let watch = Watch::new(&listener.limits, now);
    let stream = std::mem::replace(&mut connection.stream, Stream::Taken);
    let io = Watched::new(stream, before, Rc::clone(&watch));
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
        Some(Ok(h2)) => run(connection, h2, &session, &watch).await,
        Some(Err(error)) if !error.is_io() => report(connection, Slug::Http2Error, reason_name(&error), now).await,
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
        .max_pending_accept_reset_streams(bound(limits.stream_resets))
        .max_local_error_reset_streams(Some(bound(limits.stream_errors)))
        .enable_connect_protocol();
    builder
}

async fn run(
    connection: &mut Connection,
    mut h2: H2<Watched, Bytes>,
    session: &Rc<Session>,
    watch: &Rc<RefCell<Watch>>,
) {
    let begun = Instant::now();
    let mut ending: Option<End> = None;
    let mut idle_since = Some(begun);
    let error = poll_fn(|cx| {
        loop {
            match h2.poll_accept(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error)),
                Poll::Ready(Some(Ok((request, answer)))) => {
                    idle_since = None;
                    watch.borrow_mut().seen(answer.stream_id().as_u32());
                    connection.requests = connection.requests.saturating_add(1);
                    spawn(connection, session, request, answer);
                    continue;
                }
                Poll::Pending => {}
            }
            tell_turned(connection, watch);
            let wanted = wanted_end(cx, connection, session, &watch.borrow(), &mut idle_since);
            match wanted.filter(|end| ending != Some(*end) && !matches!(ending, Some(End::Abuse(_) | End::Stopping))) {
                None => break,
                Some(end) => {
                    ending = Some(end);
                    match end {
                        End::Drained => h2.graceful_shutdown(),
                        End::Abuse(_) => h2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
                        End::Stopping => h2.abrupt_shutdown(Reason::NO_ERROR),
                    }
                    if end != End::Drained {
                        connection.timer.set(Instant::now(), FAREWELL);
                    }
                }
            }
        }
        let hurried = matches!(ending, Some(End::Abuse(_) | End::Stopping));
        if hurried && connection.timer.poll_expired(cx) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;
    tell_turned(connection, watch);
    match (ending, error) {
        (Some(End::Abuse(slug)), _) => report(connection, slug, "ENHANCE_YOUR_CALM", begun).await,
        (_, Some(error)) if error.is_io() || error.is_remote() => {}
        (_, Some(error)) if error.reason() == Some(Reason::ENHANCE_YOUR_CALM) => {
            let slug = watch.borrow().likeliest();
            report(connection, slug, "ENHANCE_YOUR_CALM", begun).await;
        }
        (_, Some(error)) if error.reason() != Some(Reason::NO_ERROR) => {
            report(connection, Slug::Http2Error, reason_name(&error), begun).await;
        }
        _ => {}
    }
}

/// Whether the connection is to be ended now. Arms the timer for the next look.
fn wanted_end(
    cx: &mut Context<'_>,
    connection: &Connection,
    session: &Session,
    watch: &Watch,
    idle_since: &mut Option<Instant>,
) -> Option<End> {
    if connection.core.is_stopping() {
        return Some(End::Stopping);
    }
    if let Some(slug) = watch.flood {
        return Some(End::Abuse(slug));
    }
    let Some((snapshot, index)) = connection.snapshot() else { return Some(End::Drained) };
    let Some(listener) = snapshot.snapshot.listener(index) else { return Some(End::Drained) };
    let limits = &listener.limits;
    if limits.stalls > 0 && session.stalls.get().0 > limits.stalls {
        return Some(End::Abuse(Slug::StalledStreams));
    }
    let spent = limits.requests_per_connection != 0 && connection.requests >= limits.requests_per_connection;
    if connection.core.is_draining() || spent {
        connection.timer.set(Instant::now(), FAR);
        connection.timer.poll_expired(cx);
        return Some(End::Drained);
    }
    let now = Instant::now();
    let deadline = match (watch.head_since, session.open.get()) {
        (Some(since), _) => Some((since, listener.timeouts.head_ms, End::Abuse(Slug::HeadTimeout))),
        (None, 0) => {
            let since = *idle_since.get_or_insert(now);
            Some((since, idle_ms(connection, listener), End::Drained))
        }
        (None, _) => {
            *idle_since = None;
            None
        }
    };
    let Some((since, wait, end)) = deadline else {
        // The task is woken when the proxy drains, as all are that wait for a time.
        connection.timer.set(now, FAR);
        connection.timer.poll_expired(cx);
        return None;
    };
    let left = (since + Duration::from_millis(wait)).saturating_duration_since(now);
    if left.is_zero() {
        return Some(end);
    }
    connection.timer.set(now, left);
    connection.timer.poll_expired(cx);
    None
}

fn idle_ms(connection: &Connection, listener: &Listener) -> u64 {
    if connection.requests == 0 { listener.timeouts.head_ms } else { listener.timeouts.keep_alive_ms }
}

/// Begins the flow of a stream.
fn spawn(connection: &Connection, session: &Rc<Session>, request: Request<RecvStream>, answer: SendResponse<Bytes>) {
    let counted = Count::new(&session.open);
    let flow = serve_stream(connection.for_stream(), Rc::clone(session), request, answer, counted);
    tokio::task::spawn_local(flow);
}

async fn serve_stream(
    mut connection: Connection,
    session: Rc<Session>,
    request: Request<RecvStream>,
    answer: SendResponse<Bytes>,
    counted: Count,
) {
    let core = Rc::clone(&connection.core);
    let (parts, received) = request.into_parts();
    let ended = received.is_end_stream();
    let request = Request::from_parts(parts, ());
    connection.stream = Stream::Http2(Box::new(Http2Stream::of_client(received, answer, counted)));
    let mut work = core.works.take_or(Work::new);
    let then = {
        let carried = pin!(carry(&mut connection, &mut work, &request, ended));
        caught(carried).await
    };
    if then.is_none() {
        core.shared.panics.fetch_add(1, Ordering::Relaxed);
        driver::answer_panic(&mut connection, &mut work).await;
    }
    if work.stalled {
        session.stall();
    }
    if let Some(stream) = connection.stream.http2() {
        // What was not ended in order must not look as if it were.
        stream.reset(if then == Some(Then::KeepAlive) { Reason::NO_ERROR } else { Reason::INTERNAL_ERROR });
    }
    if let Some(work) = work.recycled() {
        core.works.give(work);
    }
}

async fn carry(connection: &mut Connection, work: &mut Work, request: &Request<()>, ended: bool) -> Then {
    let Some((snapshot, index)) = connection.snapshot() else { return Then::Close };
    let Some(listener) = snapshot.snapshot.listener(index) else { return Then::Close };
    let started = Instant::now();
    let recipient = if listener.role == Role::Forward { Recipient::Proxy } else { Recipient::Gateway };
    match read_request(request, ended, recipient, &head_limits(&listener.limits), &mut work.request) {
        Ok(()) => {
            let times = HeadTimes { started, complete: started };
            driver::run(connection, work, &snapshot, index, times, ClientProtocol::Http2, None).await
        }
        Err(error) => {
            let refusal =
                Refusal { slug: driver::parse_slug(error), detail: error.slug(), size: work.request.size() };
            driver::refuse(connection, work, &snapshot, index, started, refusal).await;
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

/// Records the streams that the library has refused.
fn tell_turned(connection: &Connection, watch: &RefCell<Watch>) {
    let turned = std::mem::take(&mut watch.borrow_mut().turned);
    if turned.is_empty() {
        return;
    }
    let connection = connection.for_stream();
    tokio::task::spawn_local(async move {
        for Turned { slug, detail } in turned {
            report(&connection, slug, detail, Instant::now()).await;
        }
    });
}

/// Records what became of a connection, or of a stream that never was a flow.
async fn report(connection: &Connection, slug: Slug, detail: &'static str, since: Instant) {
    let Some((snapshot, index)) = connection.snapshot() else { return };
    driver::record_refusal(connection, &snapshot, index, since, slug, detail, ClientProtocol::Http2).await;
}

fn reason_name(error: &h2::Error) -> &'static str {
    match error.reason() {
        Some(Reason::NO_ERROR) => "NO_ERROR",
        Some(Reason::INTERNAL_ERROR) => "INTERNAL_ERROR",
        Some(Reason::FLOW_CONTROL_ERROR) => "FLOW_CONTROL_ERROR",
        Some(Reason::SETTINGS_TIMEOUT) => "SETTINGS_TIMEOUT",
        Some(Reason::STREAM_CLOSED) => "STREAM_CLOSED",
        Some(Reason::FRAME_SIZE_ERROR) => "FRAME_SIZE_ERROR",
        Some(Reason::REFUSED_STREAM) => "REFUSED_STREAM",
        Some(Reason::CANCEL) => "CANCEL",
        Some(Reason::COMPRESSION_ERROR) => "COMPRESSION_ERROR",
        Some(Reason::CONNECT_ERROR) => "CONNECT_ERROR",
        Some(Reason::ENHANCE_YOUR_CALM) => "ENHANCE_YOUR_CALM",
        Some(Reason::INADEQUATE_SECURITY) => "INADEQUATE_SECURITY",
        Some(Reason::HTTP_1_1_REQUIRED) => "HTTP_1_1_REQUIRED",
        _ => "PROTOCOL_ERROR",
    }
}
