//! The transport below a client's HTTP/2 connection, with an eye on the frames that pass.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use reviver_flow::Slug;
use reviver_http::frames::{Flood, FloodGuard, FloodLimits, Frame, FrameKind, FrameScan};
use reviver_plan::Limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Stream;

/// RFC 9113, section 7.
const REFUSED_STREAM: u32 = 0x7;
/// Opened streams that are remembered until the library hands them out. It hands out or refuses each at once.
const UNSEEN: usize = 4096;

/// A stream that was refused before it became a flow.
#[derive(Clone, Copy, Debug)]
pub struct Turned {
    pub slug: Slug,
    pub detail: &'static str,
}

/// What is known from the frames of one connection.
#[derive(Debug)]
pub struct Watch {
    guard: FloodGuard,
    received: FrameScan,
    sent: FrameScan,
    started: Instant,
    /// The highest stream that the client has opened.
    opened: u32,
    /// Streams that were opened and have not been handed out.
    unseen: VecDeque<u32>,
    pub turned: Vec<Turned>,
    pub flood: Option<Slug>,
    /// Since when a head is incomplete.
    pub head_since: Option<Instant>,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Watch {
    pub fn new(limits: &Limits, now: Instant) -> Rc<RefCell<Self>> {
        let limits = FloodLimits {
            resets: limits.stream_resets,
            errors: limits.stream_errors,
            control: limits.control_frames,
            continuations: limits.continuations,
        };
        Rc::new(RefCell::new(Self {
            guard: FloodGuard::new(limits),
            received: FrameScan::after_preface(),
            sent: FrameScan::default(),
            started: now,
            opened: 0,
            unseen: VecDeque::new(),
            turned: Vec::new(),
            flood: None,
            head_since: None,
            bytes_in: 0,
            bytes_out: 0,
        }))
    }

    fn on_received(&mut self, bytes: &[u8]) {
        self.bytes_in += bytes.len() as u64;
        let Self { guard, received, started, opened, unseen, flood, .. } = self;
        let mut now = None;
        received.feed(bytes, |frame| {
            let now = *now.get_or_insert_with(Instant::now);
            if let Some(exceeded) = guard.received(&frame, (now - *started).as_millis() as u64) {
                flood.get_or_insert(slug_of(exceeded));
            }
            if frame.kind == FrameKind::Headers && frame.stream > *opened {
                *opened = frame.stream;
                if unseen.len() < UNSEEN {
                    unseen.push_back(frame.stream);
                }
            }
        });
        self.head_since = match (self.guard.head_open(), self.head_since) {
            (false, _) => None,
            (true, Some(since)) => Some(since),
            (true, None) => Some(Instant::now()),
        };
    }

    fn on_sent(&mut self, bytes: &[u8]) {
        self.bytes_out += bytes.len() as u64;
        let Self { guard, sent, started, unseen, turned, flood, .. } = self;
        sent.feed(bytes, |frame| {
            if frame.kind == FrameKind::RstStream
                && let Some(exceeded) = guard.sent(&frame, started.elapsed().as_millis() as u64)
            {
                flood.get_or_insert(slug_of(exceeded));
            } else {
                guard.sent(&frame, 0);
            }
            if let Some(reason) = refusal(&frame)
                && let Some(at) = unseen.iter().position(|stream| *stream == frame.stream)
            {
                unseen.remove(at);
                turned.push(reason);
            }
        });
    }

    /// The stream has become a flow.
    pub fn seen(&mut self, stream: u32) {
        while self.unseen.front().is_some_and(|first| *first <= stream) {
            self.unseen.pop_front();
        }
    }

    /// Which flood ended a connection that the library ended by itself.
    pub fn likeliest(&self) -> Slug {
        self.flood.unwrap_or(Slug::StreamResets)
    }
}

/// What an answer of the library's own says of the stream that it has refused.
fn refusal(frame: &Frame) -> Option<Turned> {
    match (frame.kind, frame.code) {
        (FrameKind::RstStream, Some(REFUSED_STREAM)) => Some(Turned { slug: Slug::TooManyStreams, detail: "" }),
        (FrameKind::RstStream, _) => Some(Turned { slug: Slug::BadRequest, detail: "malformed_http2" }),
        // Only ever a 431.
        (FrameKind::Headers, _) => Some(Turned { slug: Slug::HeadTooLarge, detail: "head_too_large" }),
        _ => None,
    }
}

fn slug_of(flood: Flood) -> Slug {
    match flood {
        Flood::Resets => Slug::StreamResets,
        Flood::Errors => Slug::StreamErrors,
        Flood::Control => Slug::ControlFrames,
        Flood::Continuations => Slug::Continuations,
    }
}

/// The transport. Once a flood is seen nothing more is read.
pub struct Watched {
    stream: Stream,
    /// Bytes that were read before it was known what they begin.
    before: Vec<u8>,
    watch: Rc<RefCell<Watch>>,
}

impl Watched {
    pub fn new(stream: Stream, before: Vec<u8>, watch: Rc<RefCell<Watch>>) -> Self {
        Self { stream, before, watch }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watch.borrow().flood.is_some() {
            return Poll::Pending;
        }
        let start = buf.filled().len();
        if this.before.is_empty() {
            match &mut this.stream {
                Stream::Tcp(stream) => ready!(Pin::new(stream).poll_read(cx, buf))?,
                Stream::Tls(stream) => ready!(Pin::new(stream).poll_read(cx, buf))?,
                Stream::Http2(_) | Stream::Taken => return Poll::Ready(Ok(())),
            }
        } else {
            let count = this.before.len().min(buf.remaining());
            buf.put_slice(&this.before[..count]);
            this.before.drain(..count);
        }
        let mut watch = this.watch.borrow_mut();
        watch.on_received(&buf.filled()[start..]);
        if watch.flood.is_some() {
            // The connection's task looks again, and ends it.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(this.stream.poll_write(cx, bytes, false))?;
        this.watch.borrow_mut().on_sent(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = match &mut this.stream {
            Stream::Tcp(stream) => ready!(Pin::new(stream).poll_write_vectored(cx, slices))?,
            Stream::Tls(stream) => ready!(Pin::new(stream).poll_write_vectored(cx, slices))?,
            Stream::Http2(_) | Stream::Taken => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        let mut watch = this.watch.borrow_mut();
        let mut left = count;
        for slice in slices {
            let part = left.min(slice.len());
            watch.on_sent(&slice[..part]);
            left -= part;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_shutdown(cx)
    }
}

