//! HTTP/2 connections to one server: shared by all flows of a core.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use reviver_flow::Slug;
use tokio::sync::Notify;

use super::frames::Transport;
use super::stream::{Failure, open};
use super::{Http2Stream, SEND_BUFFER};
use crate::stream::Stream;

/// Bytes of a response that a server may send ahead on one stream.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The streams bound what a connection holds: a window of its own would let a few slow clients stop all others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Streams at the same time on a connection, also where the server takes more.
const MOST_STREAMS: usize = 100;
/// How long a connection that no one needs any more may take to end.
const FAREWELL: Duration = Duration::from_secs(2);
/// Response heads; larger ones are refused by the library.
const HEAD: u32 = 192 * 1024;

/// Counts a stream for as long as it lives.
#[derive(Debug)]
pub struct Count(Rc<Cell<usize>>);

impl Count {
    pub fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A connection that requests can be sent on.
#[derive(Clone)]
pub struct Established {
    requests: SendRequest<Bytes>,
    pub address: SocketAddr,
    /// Of the connection itself, for the scheme of requests.
    pub secure: bool,
    alive: Rc<Cell<bool>>,
    streams: Rc<Cell<usize>>,
    used: Rc<Cell<Instant>>,
    transport: Rc<RefCell<Transport>>,
    _driver: Rc<Driver>,
}

/// Ends a connection's task with the last that knows of the connection, once its frames are on their way.
struct Driver(Rc<Notify>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl std::fmt::Debug for Established {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Established({})", self.address)
    }
}

impl Established {
    /// Begins HTTP/2 on a fresh connection, and moves its frames in a task of its own.
    pub async fn begin(stream: Stream, address: SocketAddr) -> Result<Self, Slug> {
        let secure = matches!(stream, Stream::Tls(_));
        let transport = Transport::new(stream, Vec::new(), None);
        let io = Transport::end(&transport);
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(0)
            .max_header_list_size(HEAD)
            .max_send_buffer_size(SEND_BUFFER);
        let (requests, connection) = builder.handshake(io).await.map_err(|_| Slug::ConnectionTerminated)?;
        let alive = Rc::new(Cell::new(true));
        let living = Rc::clone(&alive);
        // The server's settings say how many streams it takes, and whether extended CONNECT.
        let mut settings = Some(requests.clone());
        let settled = Rc::new(Notify::new());
        let settling = Rc::clone(&settled);
        let abandoned = Rc::new(Notify::new());
        let driver = Rc::new(Driver(Rc::clone(&abandoned)));
        let moved = Rc::clone(&transport);
        tokio::task::spawn_local(async move {
            // Each stream is told by itself what has become of it.
            let mut connection = pin!(connection);
            let mut abandoned = pin!(abandoned.notified());
            let mut farewell: Option<Pin<Box<tokio::time::Sleep>>> = None;
            std::future::poll_fn(|cx| {
                let over = connection.as_mut().poll(cx).is_ready();
                // This handle would keep the connection open.
                if over || settings.as_ref().is_some_and(|s| s.current_max_send_streams() > 0) {
                    settings = None;
                    settling.notify_one();
                }
                if farewell.is_none() && abandoned.as_mut().poll(cx).is_ready() {
                    settings = None;
                    farewell = Some(Box::pin(tokio::time::sleep(FAREWELL)));
                    cx.waker().wake_by_ref();
                }
                let late = farewell.as_mut().is_some_and(|time| time.as_mut().poll(cx).is_ready());
                let failed = matches!(moved.borrow_mut().poll_send(cx), Poll::Ready(Err(_)));
                if over || failed || late { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            living.set(false);
            settling.notify_one();
        });
        while requests.current_max_send_streams() == 0 {
            settled.notified().await;
            if !alive.get() {
                return Err(Slug::ResponseInvalid);
            }
        }
        let (streams, used) = (Rc::default(), Rc::new(Cell::new(Instant::now())));
        Ok(Self { requests, address, secure, alive, streams, used, transport, _driver: driver })
    }

    /// Whether one more stream can be opened at once.
    fn has_room(&mut self) -> bool {
        let ready = self.requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        match ready {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => self.alive.set(false),
            Poll::Pending => return false,
        }
        self.alive.get() && self.streams.get() < self.requests.current_max_send_streams().min(MOST_STREAMS)
    }

    /// Whether the server takes extended CONNECT (RFC 8441).
    pub fn takes_websockets(&self) -> bool {
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// A request got no answer: where nothing at all has come since then, no other waits for this connection.
    pub fn suspect(&self, since: Instant) {
        if self.transport.borrow().heard < since {
            self.alive.set(false);
        }
    }

    /// Sends a request head. `ended`: without content.
    pub fn send(&mut self, request: Request<()>, ended: bool) -> Result<Http2Stream, Failure> {
        self.used.set(Instant::now());
        self.transport.borrow_mut().expect_heads();
        match open(&mut self.requests, request, ended, Count::new(&self.streams)) {
            Ok(stream) => Ok(stream),
            Err(failure) => {
                self.alive.set(false);
                Err(failure)
            }
        }
    }
}

/// What a core knows of one server's HTTP/2.
#[derive(Default)]
pub struct Connections {
    open: RefCell<Vec<Established>>,
    /// Whether ALPN has agreed on HTTP/2 of late.
    spoken: Cell<bool>,
    /// A flow is opening a connection; others wait for it, since it has room for them.
    opening: Cell<bool>,
    opened: Notify,
}

/// The right to open a connection.
pub struct Opening(Rc<Connections>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.opened.notify_waiters();
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connections({})", self.open.borrow().len())
    }
}

impl Connections {
    /// A connection with room.
    pub fn take(&self) -> Option<Established> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| connection.alive.get());
        open.iter_mut().find_map(|connection| connection.has_room().then(|| connection.clone()))
    }

    /// Whether the server is expected to speak HTTP/2.
    pub fn is_expected(&self) -> bool {
        self.spoken.get()
    }

    /// Takes the right to open one; waits while another flow does, and gives none then: a look may find room.
    pub async fn opening(self: &Rc<Self>) -> Option<Opening> {
        if self.opening.replace(true) {
            self.opened.notified().await;
            return None;
        }
        Some(Opening(Rc::clone(self)))
    }

    pub fn add(&self, connection: Established) {
        self.spoken.set(true);
        self.open.borrow_mut().push(connection);
    }

    /// ALPN agreed on another version.
    pub fn not_spoken(&self) {
        self.spoken.set(false);
    }

    /// Closes what was idle for too long; tells whether anything is left.
    pub fn sweep(&self, now: Instant, keep: Duration) -> bool {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| {
            if connection.streams.get() > 0 {
                connection.used.set(now);
            }
            connection.alive.get() && now.saturating_duration_since(connection.used.get()) < keep
        });
        !open.is_empty()
    }
}
