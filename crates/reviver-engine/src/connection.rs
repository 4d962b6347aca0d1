//! A client connection: idle (small, no buffers) and busy (with [`Work`]) by turns.

use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use reviver_flow::{ClientTls, Slug};
use reviver_http::{HeadLimits, HeadScan, ParseError, Version, decode_request};
use reviver_plan::{Limits, Listener, Role};

use crate::cache::Job;
use crate::core::{Core, CoreSnapshot};
use crate::driver::{self, ClientProtocol, Refusal};
use crate::greeting::{self, Greeted};
use crate::http2;
use crate::listener::ListenerState;
use crate::socks;
use crate::stream::Stream;
use crate::timers::{Ticks, Timer};
use crate::work::Work;

/// A connection stays busy for so long after a request: clients that send one request after another are
/// spared the way to idle and back.
const LINGER: Duration = Duration::from_millis(100);
/// How long a draining proxy waits for a request on a connection that it has just used.
const LAST_REQUEST: Duration = Duration::from_millis(250);
/// How long, and for how many bytes, a connection that was closed on this side is read on, so that a client
/// that is still sending gets to see the answer (RFC 9112, section 9.6).
const DRAIN_TIME: Duration = Duration::from_secs(2);
const DRAIN_BYTES: usize = 1 << 20;
/// Tells a half-closed client that it is still served.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// How often a half-closed client's connection is looked at.
const PROBE_EVERY: Duration = Duration::from_millis(250);

pub struct Connection {
    pub core: Rc<Core>,
    pub listener: Rc<ListenerState>,
    pub stream: Stream,
    /// IPv4 addresses are mapped, which takes half the space of a `SocketAddr`.
    peer_ip: Ipv6Addr,
    peer_port: u16,
    pub timer: Timer,
    /// Requests that it has carried.
    pub requests: u32,
    /// The client has ended its writing side, or has sent more ahead than is kept: its end shows by probes only.
    pub half_closed: bool,
    /// The client speaks HTTP: an interim response may be sent.
    pub interim_ok: bool,
    /// Something of the answer to the present request may have been written.
    pub answering: bool,
    /// It is a connection of its own, and no stream of one.
    counted: bool,
    /// None: not encrypted.
    pub tls: Option<Rc<ClientTls>>,
    /// Since when it has been waiting for a request.
    idle_since: Option<Ticks>,
}

/// What follows when no request is being carried.
enum Next {
    Idle,
    Close,
    Abort,
    /// The client may still be sending: it is read on for a while.
    Drain,
    /// The client speaks HTTP/2, and has sent these bytes of it.
    Http2(Vec<u8>),
}

/// What came instead of a request head, or with it.
enum Head {
    Ready,
    Socks,
    Http2,
    Idle,
    Closed,
    /// The client sent only a part and left.
    Broken,
    Refused(Refusal),
}

impl Connection {
    /// The caller has counted it in `listener.open`.
    pub fn new(core: Rc<Core>, listener: Rc<ListenerState>, stream: Stream, peer: SocketAddr) -> Self {
        core.live.set(core.live.get() + 1);
        let timer = core.timers.timer();
        let peer_ip = mapped(peer.ip());
        Self {
            core,
            listener,
            stream,
            peer_ip,
            peer_port: peer.port(),
            timer,
            requests: 0,
            half_closed: false,
            answering: false,
            interim_ok: false,
            counted: true,
            tls: None,
            idle_since: None,
        }
    }

    /// The same client for one stream of its connection.
    pub fn for_stream(&self) -> Self {
        self.again(Stream::Taken)
    }

    /// On behalf of the same client, for a request of the proxy's own.
    pub fn for_job(&self, job: Job) -> Self {
        self.again(Stream::Nobody(Box::new(job)))
    }

    /// What the proxy makes its own request for; none where there is a client.
    pub fn job(&self) -> Option<&Job> {
        match &self.stream {
            Stream::Nobody(job) => Some(job),
            _ => None,
        }
    }

    pub fn job_mut(&mut self) -> Option<&mut Job> {
        match &mut self.stream {
            Stream::Nobody(job) => Some(job),
            _ => None,
        }
    }

    /// The same to be carried out; it is done then.
    pub fn take_job(&mut self) -> Option<Job> {
        match &mut self.stream {
            Stream::Nobody(job) => Some(std::mem::replace(&mut **job, Job::Done)),
            _ => None,
        }
    }

    fn again(&self, stream: Stream) -> Self {
        self.core.live.set(self.core.live.get() + 1);
        Self {
            core: Rc::clone(&self.core),
            listener: Rc::clone(&self.listener),
            stream,
            peer_ip: self.peer_ip,
            peer_port: self.peer_port,
            timer: self.core.timers.timer(),
            requests: 0,
            half_closed: false,
            answering: false,
            interim_ok: false,
            counted: false,
            tls: self.tls.clone(),
            idle_since: None,
        }
    }

    /// Takes another address for the client's own, as a trusted proxy has said.
    pub fn set_peer(&mut self, peer: SocketAddr) {
        self.peer_ip = mapped(peer.ip());
        self.peer_port = peer.port();
    }

    /// Where the connection comes from.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.peer_ip.to_canonical(), self.peer_port)
    }

    /// Where the client connected to; for a stream of a connection, as far as the listener knows.
    pub fn local(&self) -> SocketAddr {
        self.stream.local().unwrap_or(self.listener.address)
    }

    /// The plan in force and the listener's index in it; none once the listener was removed.
    pub fn snapshot(&self) -> Option<(Rc<CoreSnapshot>, u16)> {
        Some((self.core.current(), self.listener.index.get()?))
    }

    /// Whether what the listener demands of clients now is what it demanded when this one was let in.
    pub fn meets_demands(&self, snapshot: &CoreSnapshot, listener: u16) -> bool {
        let now = snapshot.tls.listeners.get(usize::from(listener)).and_then(Option::as_ref).map(|c| c.demand);
        self.tls.as_ref().map(|tls| tls.demand) == now
    }

    /// Watches the client while another party is waited for. Ready when it is gone; bytes of further
    /// requests are kept. A client that only ended its writing side still gets its answer: see
    /// [`Self::poll_half_closed`].
    pub fn poll_gone(&mut self, cx: &mut Context<'_>, work: &mut Work) -> Poll<()> {
        if let Some(stream) = self.stream.http2() {
            return stream.poll_reset(cx);
        }
        while !self.half_closed {
            // A client that has sent more ahead than is kept shows its end by a reset only.
            let full = work.client_in.is_full();
            match if full { Poll::Ready(Ok(0)) } else { self.stream.poll_read(cx, &mut work.client_in) } {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    let now = Instant::now();
                    self.half_closed = true;
                    work.ended = (!full).then_some(now);
                    self.stream.probe();
                    self.timer.set(now, PROBE_EVERY);
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
        }
        self.poll_half_closed(cx, work)
    }

    /// A closed connection looks like a half-closed one until something is sent. An interim response is
    /// allowed at any time (RFC 9110, section 15.2): a client that still listens skips it, and one that is
    /// gone resets the connection.
    fn poll_half_closed(&mut self, cx: &mut Context<'_>, work: &mut Work) -> Poll<()> {
        let waited = work.ended.is_some_and(|since| since.elapsed() >= PROBE_EVERY);
        if waited && !self.answering && work.request.version == Version::Http11 && self.interim_ok {
            work.ended = None;
            match self.stream.poll_write(cx, CONTINUE, false) {
                Poll::Ready(Ok(count)) => work.interim += count as u64,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        if self.stream.is_dead() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether what is waited for has taken too long, or the proxy stops.
    pub fn poll_deadline(&self, cx: &Context<'_>, deadline: Instant) -> bool {
        while self.timer.poll_expired(cx) {
            let now = Instant::now();
            if now >= deadline || self.core.is_stopping() {
                return true;
            }
            self.wait_until(now, deadline);
        }
        self.core.is_stopping()
    }

    /// Has the task polled again soon.
    pub fn look_again(&self) {
        self.timer.set(Instant::now(), PROBE_EVERY);
    }

    /// Moves the deadline of what is waited for; a half-closed client is looked at in between.
    pub fn wait_until(&self, now: Instant, deadline: Instant) {
        let left = deadline.saturating_duration_since(now).max(Duration::from_millis(1));
        self.timer.set(now, if self.half_closed { left.min(PROBE_EVERY) } else { left });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.core.live.set(self.core.live.get() - 1);
        if self.counted {
            self.listener.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Serves a connection to its end.
// An `async fn` would keep its argument twice in the future, and the future is what an idle connection costs.
#[allow(clippy::manual_async_fn)]
pub fn serve(mut connection: Connection) -> impl Future<Output = ()> {
    async move {
        // The state of a request is boxed: it takes no memory while the connection is idle.
        let mut at_once = false;
        if greeting::is_due(&connection) {
            match Box::pin(greeting::greet(&mut connection)).await {
                // The first request may have come with the end of the handshake.
                Greeted::Http1 => at_once = true,
                Greeted::Http2 => return Box::pin(http2::serve(&mut connection, Vec::new())).await,
                Greeted::Over => return,
            }
        }
        while begin_wait(&mut connection)
            && (std::mem::take(&mut at_once) || std::future::poll_fn(|cx| poll_request(&mut connection, cx)).await)
            && Box::pin(serve_busy(&mut connection)).await
        {}
    }
}

/// Carries requests until the connection is idle (true) or over (false).
async fn serve_busy(connection: &mut Connection) -> bool {
    let core = Rc::clone(&connection.core);
    let mut work = core.works.take_or(Work::new);
    let next = {
        let carried = std::pin::pin!(carry(connection, &mut work));
        caught(carried).await
    };
    let idle = match next {
        Some(Next::Idle) => true,
        Some(Next::Close) => {
            farewell(connection).await;
            false
        }
        Some(Next::Abort) => false,
        Some(Next::Http2(before)) => {
            if let Some(work) = work.recycled() {
                core.works.give(work);
            }
            http2::serve(connection, before).await;
            return false;
        }
        Some(Next::Drain) => {
            drain(connection, &mut work).await;
            false
        }
        None => {
            core.shared.panics.fetch_add(1, Ordering::Relaxed);
            driver::answer_panic(connection, &mut work).await;
            false
        }
    };
    if let Some(work) = work.recycled() {
        core.works.give(work);
    }
    idle
}

/// Runs a future to its end or to its panic: a panic in one flow must not end another.
pub async fn caught<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|cx| match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Arms the timer for an idle connection. False when the connection is to be closed.
fn begin_wait(connection: &mut Connection) -> bool {
    let Some((snapshot, index)) = connection.snapshot() else { return false };
    let Some(listener) = snapshot.snapshot.listener(index) else { return false };
    let timeouts = &listener.timeouts;
    let wait = if connection.requests == 0 { timeouts.head_ms } else { timeouts.keep_alive_ms };
    // What wakes the connection without being a request does not begin the wait anew.
    let now = Instant::now();
    let since = *connection.idle_since.get_or_insert_with(|| connection.core.timers.now(now));
    connection.timer.set_from(now, since, Duration::from_millis(wait));
    true
}

/// Waits without buffers. False when the connection is to be closed.
fn poll_request(connection: &mut Connection, cx: &mut Context<'_>) -> Poll<bool> {
    if let Poll::Ready(result) = connection.stream.poll_readable(cx) {
        return Poll::Ready(result.is_ok());
    }
    let ends = connection.core.is_draining() || connection.listener.index.get().is_none();
    if connection.timer.poll_expired(cx) || ends {
        return Poll::Ready(false);
    }
    Poll::Pending
}

/// Carries requests until none has come for a moment.
async fn carry(connection: &mut Connection, work: &mut Work) -> Next {
    loop {
        let Some((snapshot, index)) = connection.snapshot() else { return Next::Close };
        let Some(listener) = snapshot.snapshot.listener(index) else { return Next::Close };
        let role = listener.role;
        let mut started = None;
        let head = read_head(connection, work, role, listener, &mut started).await;
        let started = started.unwrap_or_else(Instant::now);
        let complete = if head.1 { Instant::now() } else { started };
        let times = driver::HeadTimes { started, complete };
        // What was in force when the wait began may not be any more: the request keeps to the plan of now.
        let Some((snapshot, index)) = connection.snapshot() else { return Next::Close };
        if !connection.meets_demands(&snapshot, index) {
            return Next::Close;
        }
        let goes_on = match head.0 {
            Head::Ready => driver::run(connection, work, &snapshot, index, times, ClientProtocol::Http1, None).await,
            Head::Socks => {
                return match socks::serve(connection, work, &snapshot, index, started).await {
                    true => Next::Drain,
                    false => Next::Close,
                };
            }
            Head::Http2 => {
                let before = work.client_in.bytes().to_vec();
                work.client_in.clear();
                return Next::Http2(before);
            }
            Head::Idle => return Next::Idle,
            Head::Closed => return Next::Close,
            Head::Broken => {
                driver::record_broken(connection, &snapshot, index, started, ClientProtocol::Http1).await;
                return Next::Close;
            }
            Head::Refused(refusal) => {
                driver::refuse(connection, work, &snapshot, index, started, refusal).await;
                return Next::Drain;
            }
        };
        connection.requests = connection.requests.saturating_add(1);
        connection.idle_since = None;
        match goes_on {
            driver::Then::KeepAlive => {}
            driver::Then::Drain => return Next::Drain,
            driver::Then::Close => return Next::Close,
            driver::Then::Abort => return Next::Abort,
        }
    }
}

pub fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits {
        head: limits.head as usize,
        fields: (limits.fields as usize).min(HeadLimits::MAX_FIELDS),
        target: limits.target as usize,
    }
}

/// Reads and checks a request head. `started` is set when its first byte was there; the flag tells whether time
/// has passed since.
async fn read_head(
    connection: &mut Connection,
    work: &mut Work,
    role: Role,
    listener: &Listener,
    started: &mut Option<Instant>,
) -> (Head, bool) {
    let (limits, timeouts) = (head_limits(&listener.limits), &listener.timeouts);
    let knows_http2 = listener.http2 && connection.tls.is_none();
    let mut scan = HeadScan::new(limits);
    let fresh = connection.requests == 0;
    let mut waiting = false;
    let mut drained = None;
    // More than one read was needed since the first byte.
    let mut waited = false;
    if !work.client_in.is_empty() {
        *started = Some(Instant::now());
    }
    let head = std::future::poll_fn(|cx| {
        loop {
            if fresh && role == Role::Forward && work.client_in.bytes().first() == Some(&socks::VERSION) {
                return Poll::Ready(Head::Socks);
            }
            // RFC 9113, section 3.3: with prior knowledge; over TLS the version is agreed on by ALPN.
            if fresh && knows_http2 && work.client_in.bytes().starts_with(&http2::PREFACE[..16]) {
                return Poll::Ready(Head::Http2);
            }
            match scan.scan(work.client_in.bytes()) {
                Ok(Some(length)) => {
                    let decoded = decode_request(&work.client_in.bytes()[..length], &limits, &mut work.request);
                    work.client_in.consume(length);
                    return Poll::Ready(match decoded {
                        Ok(()) => Head::Ready,
                        Err(error) => refused(error, length),
                    });
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(refused(error, work.client_in.len())),
            }
            if work.client_in.is_full() {
                work.client_in.grow(limits.head + 16);
            }
            match connection.stream.poll_read(cx, &mut work.client_in) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    if started.is_none() {
                        *started = Some(Instant::now());
                        waiting = false;
                    }
                    continue;
                }
                Poll::Ready(_) => {
                    return Poll::Ready(if scan.started() { Head::Broken } else { Head::Closed });
                }
                Poll::Pending => {}
            }
            // A request may be on its way already: it is served, and told that it was the last.
            if connection.core.is_draining() && !scan.started() {
                let until = *drained.get_or_insert_with(|| Instant::now() + LAST_REQUEST);
                if Instant::now() >= until {
                    return Poll::Ready(Head::Closed);
                }
                connection.timer.set(Instant::now(), LAST_REQUEST);
                connection.timer.poll_expired(cx);
                return Poll::Pending;
            }
            if connection.core.is_stopping() {
                return Poll::Ready(Head::Refused(refusal(Slug::Draining, work)));
            }
            if !waiting {
                waiting = true;
                match *started {
                    Some(_) if scan.started() => {
                        connection.timer.set(Instant::now(), Duration::from_millis(timeouts.head_ms))
                    }
                    _ => connection.timer.set_roughly(LINGER),
                }
            }
            waited |= started.is_some();
            if connection.timer.poll_expired(cx) {
                // Empty lines are no beginning of a request (RFC 9112, section 2.2).
                return Poll::Ready(match scan.started() {
                    true => Head::Refused(refusal(Slug::HeadTimeout, work)),
                    false => Head::Idle,
                });
            }
            return Poll::Pending;
        }
    })
    .await;
    (head, waited)
}

fn refused(error: ParseError, size: usize) -> Head {
    Head::Refused(Refusal { slug: driver::parse_slug(error), detail: error.slug(), size })
}

fn refusal(slug: Slug, work: &Work) -> Refusal {
    Refusal { slug, detail: "", size: work.client_in.len() }
}

/// Over TLS the end is told, so that the peer can tell it from one that was cut off (RFC 8446, section 6.1).
async fn farewell(connection: &mut Connection) {
    if connection.tls.is_none() {
        return;
    }
    connection.timer.set(Instant::now(), DRAIN_TIME);
    std::future::poll_fn(|cx| match connection.stream.poll_shutdown(cx) {
        Poll::Pending if !connection.timer.poll_expired(cx) && !connection.core.is_stopping() => Poll::Pending,
        _ => Poll::Ready(()),
    })
    .await
}

/// Ends the writing side and reads on, so that no reset destroys the answer on its way.
pub async fn drain(connection: &mut Connection, work: &mut Work) {
    work.client_in.clear();
    let mut left = DRAIN_BYTES;
    connection.timer.set(Instant::now(), DRAIN_TIME);
    let mut shut = false;
    std::future::poll_fn(|cx| {
        loop {
            if !shut {
                match connection.stream.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            if connection.timer.poll_expired(cx) || connection.core.is_stopping() {
                return Poll::Ready(());
            }
            match connection.stream.poll_read(cx, &mut work.client_in) {
                Poll::Ready(Ok(count)) if count > 0 && count <= left => {
                    left -= count;
                    work.client_in.clear();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        // Beside it stand the runtime's task and socket: together they must stay under 1 KiB.
        let size = size_of_future(serve);
        assert!(size <= 128, "{size} bytes");
    }
}
