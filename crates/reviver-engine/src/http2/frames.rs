//! The transport below a client's HTTP/2 connection, with an eye on the frames that pass.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use h2::Reason;
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
    /// Why the library has ended the connection.
    why: Option<Slug>,
    /// The client's settings have come.
    settled: bool,
    /// The highest stream that the client has opened.
    opened: u32,
    /// Streams that were opened and have not been handed out.
    unseen: VecDeque<u32>,
    pub turned: Vec<Turned>,
    /// Why the connection is to be ended, and by which code.
    pub fault: Option<(Slug, Reason)>,
    /// The code of a GOAWAY that tells of an error.
    pub said: Option<u32>,
    /// Since when a head is incomplete.
    pub head_since: Option<Instant>,
}

impl Watch {
    pub fn new(limits: &Limits, now: Instant) -> Self {
        let limits = FloodLimits {
            resets: limits.stream_resets,
            errors: limits.stream_errors,
            control: limits.control_frames,
            continuations: limits.continuations,
        };
        Self {
            guard: FloodGuard::new(limits),
            received: FrameScan::after_preface(),
            sent: FrameScan::default(),
            started: now,
            why: None,
            settled: false,
            opened: 0,
            unseen: VecDeque::new(),
            turned: Vec::new(),
            fault: None,
            said: None,
            head_since: None,
        }
    }

    fn on_received(&mut self, bytes: &[u8]) {
        let Self { guard, received, started, opened, unseen, fault, settled, .. } = self;
        let mut now = None;
        received.feed(bytes, |frame| {
            let now = *now.get_or_insert_with(Instant::now);
            if let Some(exceeded) = guard.received(&frame, (now - *started).as_millis() as u64) {
                fault.get_or_insert((slug_of(exceeded), Reason::ENHANCE_YOUR_CALM));
            }
            // RFC 9113, section 3.4.
            if !std::mem::replace(settled, true) && (frame.kind != FrameKind::Settings || frame.is_ack()) {
                fault.get_or_insert((Slug::Http2Error, Reason::PROTOCOL_ERROR));
            }
            // The library ends the connection by another code.
            if !frame.fits_its_kind() {
                fault.get_or_insert((Slug::Http2Error, Reason::FRAME_SIZE_ERROR));
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
        let Self { guard, sent, started, unseen, turned, fault, said, why: reason, .. } = self;
        sent.feed(bytes, |frame| {
            // Only resets are counted by time.
            let now = if frame.kind == FrameKind::RstStream { started.elapsed().as_millis() as u64 } else { 0 };
            if let Some(exceeded) = guard.sent(&frame, now) {
                fault.get_or_insert((slug_of(exceeded), Reason::ENHANCE_YOUR_CALM));
            }
            if frame.kind == FrameKind::GoAway {
                *said = frame.code.filter(|code| *code != 0).or(*said);
                *reason = why(bytes).or(*reason);
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
        let counted = || slug_of(self.guard.closest());
        self.fault.map(|(slug, _)| slug).or(self.why).unwrap_or_else(counted)
    }
}

/// What the library says behind the code of a GOAWAY.
fn why(bytes: &[u8]) -> Option<Slug> {
    let reasons: [(&[u8], Slug); 5] = [
        (b"header_list_way_too_large", Slug::HeadTooLarge),
        (b"too_many_continuations", Slug::Continuations),
        (b"too_many_internal_resets", Slug::StreamErrors),
        (b"too_many_resets", Slug::StreamResets),
        (b"too_many_data_frames", Slug::ControlFrames),
    ];
    reasons.into_iter().find(|(text, _)| memchr::memmem::find(bytes, text).is_some()).map(|(_, slug)| slug)
}

/// What an answer of the library's own says of the stream that it has refused.
fn refusal(frame: &Frame) -> Option<Turned> {
    match (frame.kind, frame.code) {
        (FrameKind::RstStream, Some(REFUSED_STREAM)) => Some(Turned { slug: Slug::TooManyStreams, detail: "" }),
        (FrameKind::RstStream, _) => Some(Turned { slug: Slug::Http2Error, detail: "malformed" }),
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

/// Heads that a server may send for each request: the library keeps interim ones until they are asked for.
const HEADS: u64 = 64;
/// For all requests of a connection together; what was not used does not add up.
const MOST_HEADS: u64 = 100 * HEADS;
/// Bytes that wait for the end of a turn; more are written at once.
const GATHERED: usize = 64 * 1024;

/// The transport below a connection, shared by the library and by the task that drives it.
///
/// The library writes, and flushes, frame by frame. Here frames are gathered, and leave together when the task has
/// done what there was to do: see [`Transport::poll_send`].
pub struct Transport {
    stream: Stream,
    /// Bytes that were read before it was known what they begin.
    before: Vec<u8>,
    gathered: Vec<u8>,
    sent: usize,
    /// None towards a server.
    watch: Option<Watch>,
    /// When bytes last came.
    pub heard: Instant,
    /// Heads that a server may still send, trailers and interim ones included.
    heads: u64,
    scan: FrameScan,
}

/// The library's end of it.
pub struct End(Rc<RefCell<Transport>>);

impl Transport {
    pub fn new(stream: Stream, before: Vec<u8>, watch: Option<Watch>) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            stream,
            before,
            gathered: Vec::new(),
            sent: 0,
            watch,
            heard: Instant::now(),
            heads: HEADS,
            scan: FrameScan::default(),
        }))
    }

    pub fn end(this: &Rc<RefCell<Self>>) -> End {
        End(Rc::clone(this))
    }

    /// A request has been sent to the server.
    pub fn expect_heads(&mut self) {
        self.heads = (self.heads + HEADS).min(MOST_HEADS);
    }

    pub fn watch(&mut self) -> Option<&mut Watch> {
        self.watch.as_mut()
    }

    /// Writes what was gathered. To be called at the end of each turn.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.gathered.len() {
            match ready!(self.stream.poll_write(cx, &self.gathered[self.sent..], false))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.gathered.clear();
        self.sent = 0;
        // A burst's space must not stay with an idle connection.
        if self.gathered.capacity() > GATHERED / 2 {
            self.gathered = Vec::new();
        }
        self.stream.poll_flush(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Once there is a fault nothing more is read.
        if self.watch.as_ref().is_some_and(|watch| watch.fault.is_some()) {
            return Poll::Pending;
        }
        let start = buf.filled().len();
        if self.before.is_empty() {
            match &mut self.stream {
                Stream::Tcp(stream) => ready!(Pin::new(stream).poll_read(cx, buf))?,
                Stream::Tls(stream) => ready!(Pin::new(stream).poll_read(cx, buf))?,
                Stream::Http2(_) | Stream::Taken | Stream::Nobody(_) => return Poll::Ready(Ok(())),
            }
        } else {
            let count = self.before.len().min(buf.remaining());
            buf.put_slice(&self.before[..count]);
            self.before.drain(..count);
        }
        if self.watch.is_none() && buf.filled().len() > start {
            self.heard = Instant::now();
            let heads = &mut self.heads;
            self.scan.feed(&buf.filled()[start..], |frame| {
                *heads = heads.saturating_sub(u64::from(frame.kind == FrameKind::Headers));
            });
            if self.heads == 0 {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        if let Some(watch) = &mut self.watch {
            watch.on_received(&buf.filled()[start..]);
            if watch.fault.is_some() {
                // What came with it is not looked at: the connection's task looks again, and ends it.
                buf.set_filled(start);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<'b>(
        &mut self,
        cx: &mut Context<'_>,
        slices: impl Iterator<Item = &'b [u8]>,
    ) -> Poll<io::Result<usize>> {
        if self.gathered.len() - self.sent >= GATHERED {
            ready!(self.poll_send(cx))?;
        }
        let start = self.gathered.len();
        slices.for_each(|slice| self.gathered.extend_from_slice(slice));
        if let Some(watch) = &mut self.watch {
            watch.on_sent(&self.gathered[start..]);
        }
        Poll::Ready(Ok(self.gathered.len() - start))
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, std::iter::once(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, slices.iter().map(|slice| &**slice))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The library asks for it after each frame.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.0.borrow_mut();
        ready!(this.poll_send(cx))?;
        this.stream.poll_shutdown(cx)
    }
}
