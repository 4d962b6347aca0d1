//! Moves one body from one stream to another, framing rebuilt on the way.

use std::io;
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use reviver_flow::TrailerPolicy;
use reviver_http::{
    Chunk, ChunkDecoder, FieldSink, Framing, HeadLimits, ParseError, write_chunk_head, write_last_chunk,
};

use crate::buffers::{Buf, Pool};
use crate::http2::{HeaderSink, Http2Stream, trailers_of};
use crate::stream::{Pipe, Stream};

/// Bodies with more than this left are spliced where both ends are plain TCP.
const SPLICE_FROM: u64 = 48 * 1024;
/// Bytes that one flow moves before others have their turn.
const TURN: u64 = 1 << 20;
/// As many bytes as these are written from where they were read, without a copy in between.
const PASS_FROM: usize = 4096;
/// Bodies that cannot be spliced get a larger buffer once they have shown that they are large.
const GROW_FROM: u64 = 64 * 1024;
const GROWN: usize = 64 * 1024;
/// Framed bytes are written when this many are ready, or when no more come.
const OUT_SIZE: usize = 16 * 1024;

/// What is left of the body at its source.
#[derive(Debug)]
enum Source {
    Length(u64),
    Chunked(Box<ChunkDecoder>),
    UntilClose,
    Finished,
}

/// Whom the pump waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Source,
    Sink,
}

#[derive(Debug)]
pub enum PumpError {
    /// The source ended or failed in the middle of the body.
    Source,
    /// The sink takes no more.
    Sink,
    /// The source's framing is broken.
    Framing(ParseError),
    /// The body is larger than the limit.
    TooLarge,
}

/// One direction of an exchange.
#[derive(Debug)]
pub struct Pump<'s> {
    source: Source,
    trailers: TrailerPolicy<'s>,
    /// Trailers that are sent behind the body, where the sink has a place for them.
    behind: Option<Box<HeaderMap>>,
    chunked_out: bool,
    /// An end without a farewell is an end: tunnels do not know where a message ends.
    lenient: bool,
    /// Bytes ready to be written: a head, and framed parts of the body.
    out: Vec<u8>,
    written: usize,
    pipe: Option<Pipe>,
    waiting: Waiting,
    limit: u64,
    /// Bytes and fields of trailers that came by HTTP/2.
    most_trailers: (usize, usize),
    /// Bytes of the body proper that were taken from the source.
    pub body: u64,
    /// Bytes of everything that was written.
    pub sent: u64,
    /// Bytes of the body as it came, framing included.
    pub received: u64,
}

impl<'s> Pump<'s> {
    /// `out` is reused space; bytes in it (a head) go first. A `limit` of 0 is none.
    pub fn new(out: Vec<u8>, from: Framing, to: Framing, limit: u64, limits: &HeadLimits) -> Self {
        let source = match from {
            Framing::None | Framing::Length(0) => Source::Finished,
            Framing::Length(length) => Source::Length(length),
            Framing::Chunked => Source::Chunked(Box::new(ChunkDecoder::new(limits))),
            Framing::UntilClose => Source::UntilClose,
        };
        Self {
            source,
            trailers: TrailerPolicy::ALL,
            behind: None,
            lenient: false,
            chunked_out: to == Framing::Chunked,
            out,
            written: 0,
            pipe: None,
            waiting: Waiting::Source,
            most_trailers: (limits.head, limits.fields),
            limit,
            body: 0,
            sent: 0,
            received: 0,
        }
    }

    /// Says which trailers pass; all do otherwise.
    pub fn with_trailers(mut self, trailers: TrailerPolicy<'s>) -> Self {
        self.trailers = trailers;
        self
    }

    /// Trailers that are still to be sent.
    pub fn trailers_behind(&self) -> Option<Box<HeaderMap>> {
        self.behind.clone()
    }

    pub fn set_trailers_behind(&mut self, trailers: Option<Box<HeaderMap>>) {
        self.behind = trailers;
    }

    /// For tunnels.
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// The whole body has been taken from the source.
    pub fn source_finished(&self) -> bool {
        matches!(self.source, Source::Finished)
    }

    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// What waits to be written.
    pub fn pending(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// Forgets what waits to be written.
    pub fn discard(&mut self) {
        self.out.clear();
        self.written = 0;
    }

    /// Gives back the space and the pipe.
    pub fn into_space(mut self, pipes: &Pool<Pipe>) -> Vec<u8> {
        // A pipe with another flow's bytes in it must never be used again.
        if let Some(pipe) = self.pipe.take().filter(Pipe::is_empty) {
            pipes.give(pipe);
        }
        self.out.clear();
        self.out
    }

    /// Moves what can be moved now. Ready when the whole body has been written.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        input: &mut Buf,
        to: &mut Stream,
        pipes: &Pool<Pipe>,
    ) -> Poll<Result<(), PumpError>> {
        if self.limit != 0 && self.body > self.limit {
            return Poll::Ready(Err(PumpError::TooLarge));
        }
        let turn = self.body.saturating_add(TURN);
        loop {
            if self.body >= turn {
                // Others have their turn before this flow goes on.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.passes_through(input) {
                self.waiting = Waiting::Sink;
                ready!(self.poll_pass(cx, input, to))?;
                continue;
            }
            if !input.is_empty() && !self.source_finished() {
                self.take_for(input, to.is_http2())?;
            }
            if self.written < self.out.len() {
                self.waiting = Waiting::Sink;
                ready!(self.poll_flush(cx, to))?;
                continue;
            }
            if let Some(pipe) = self.pipe.as_mut().filter(|p| !p.is_empty()) {
                self.waiting = Waiting::Sink;
                if let Some(to) = to.plain() {
                    ready!(pipe.poll_drain(cx, to)).map_err(|_| PumpError::Sink)?;
                }
                continue;
            }
            if self.source_finished() {
                return Poll::Ready(to.finish(self.behind.take()).map_err(|_| PumpError::Sink));
            }
            if !input.is_empty() {
                continue;
            }
            self.waiting = Waiting::Source;
            if self.splices(from, to, pipes) {
                ready!(self.poll_splice(cx, from))?;
                continue;
            }
            if self.body >= GROW_FROM {
                input.grow(GROWN);
            }
            match ready!(from.poll_read(cx, input)) {
                Ok(0) => {
                    self.behind = from.http2().and_then(Http2Stream::take_trailers);
                    self.source_ended(to.is_http2())?;
                }
                Ok(_) => {}
                Err(e) if self.lenient && e.kind() == io::ErrorKind::UnexpectedEof => self.source_ended(false)?,
                Err(_) => return Poll::Ready(Err(PumpError::Source)),
            }
        }
    }

    /// Whether what stands in the input can be written as it is.
    fn passes_through(&self, input: &Buf) -> bool {
        let raw = matches!(self.source, Source::Length(_))
            || (matches!(self.source, Source::UntilClose) && !self.chunked_out);
        raw && self.out.is_empty() && input.len() >= PASS_FROM
    }

    fn poll_pass(&mut self, cx: &mut Context<'_>, input: &mut Buf, to: &mut Stream) -> Poll<Result<(), PumpError>> {
        let (most, whole) = match self.source {
            Source::Length(left) => {
                let most = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                (most, most as u64 == left)
            }
            _ => (input.len(), false),
        };
        if self.limit != 0 && self.body + most as u64 > self.limit {
            return Poll::Ready(Err(PumpError::TooLarge));
        }
        let count = match ready!(to.poll_write(cx, &input.bytes()[..most], whole)) {
            Ok(0) | Err(_) => return Poll::Ready(Err(PumpError::Sink)),
            Ok(count) => count,
        };
        input.consume(count);
        let count = count as u64;
        self.body += count;
        self.received += count;
        self.sent += count;
        if let Source::Length(left) = &mut self.source {
            *left -= count;
            if *left == 0 {
                self.source = Source::Finished;
            }
        }
        to.poll_flush(cx).map_err(|_| PumpError::Sink)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<Result<(), PumpError>> {
        // The end of the body can be told with its last bytes.
        let last = self.source_finished() && self.behind.is_none();
        while self.written < self.out.len() {
            match ready!(to.poll_write(cx, &self.out[self.written..], last)) {
                Ok(0) => return Poll::Ready(Err(PumpError::Sink)),
                Ok(count) => {
                    self.written += count;
                    self.sent += count as u64;
                }
                Err(_) => return Poll::Ready(Err(PumpError::Sink)),
            }
        }
        ready!(to.poll_flush(cx)).map_err(|_| PumpError::Sink)?;
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Takes bytes of the body from the input and frames them for a sink that speaks HTTP/1.
    pub fn take(&mut self, input: &mut Buf) -> Result<(), PumpError> {
        self.take_for(input, false)
    }

    pub fn take_for(&mut self, input: &mut Buf, http2: bool) -> Result<(), PumpError> {
        let before = input.len();
        let result = self.take_some(input, http2);
        self.received += (before - input.len()) as u64;
        result
    }

    fn take_some(&mut self, input: &mut Buf, http2: bool) -> Result<(), PumpError> {
        while !input.is_empty() && self.out.len() < OUT_SIZE {
            let bytes = input.bytes();
            match &mut self.source {
                Source::Finished => return Ok(()),
                Source::Length(left) => {
                    let count = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    let finished = *left == 0;
                    self.out.extend_from_slice(&bytes[..count]);
                    self.body += count as u64;
                    input.consume(count);
                    if finished {
                        self.source = Source::Finished;
                    }
                }
                Source::UntilClose => {
                    let count = bytes.len();
                    frame(&mut self.out, bytes, self.chunked_out);
                    self.body += count as u64;
                    input.consume(count);
                }
                Source::Chunked(decoder) => match decoder.next(bytes).map_err(PumpError::Framing)? {
                    Chunk::Data { skip, len } => {
                        frame(&mut self.out, &bytes[skip..skip + len], self.chunked_out);
                        self.body += len as u64;
                        input.consume(skip + len);
                    }
                    Chunk::More { consumed } => input.consume(consumed),
                    Chunk::End { consumed } => {
                        if http2 {
                            let trailers = decoder.trailers().filter(|(name, _)| self.trailers.passes(name));
                            self.behind = field_section(trailers);
                        } else if self.chunked_out {
                            let trailers = decoder.trailers().filter(|(name, _)| self.trailers.passes(name));
                            write_last_chunk(&mut self.out, trailers);
                        }
                        input.consume(consumed);
                        self.source = Source::Finished;
                    }
                },
            }
            if self.limit != 0 && self.body > self.limit {
                return Err(PumpError::TooLarge);
            }
        }
        Ok(())
    }

    /// The source has told its end. Trailers that came by HTTP/2 stand in `behind` and are written out, or stay there
    /// for a sink that speaks it too.
    fn source_ended(&mut self, http2: bool) -> Result<(), PumpError> {
        if !matches!(self.source, Source::UntilClose) {
            return Err(PumpError::Source);
        }
        let size =
            self.behind.iter().flat_map(|t| t.iter()).map(|(n, v)| n.as_str().len() + v.len() + 4).sum::<usize>();
        let count = self.behind.as_ref().map_or(0, |trailers| trailers.len());
        if size > self.most_trailers.0 || count > self.most_trailers.1 {
            return Err(PumpError::Framing(ParseError::TrailersTooLarge));
        }
        let trailers = self.behind.take().map(|trailers| trailers_of(&trailers, self.trailers));
        if http2 {
            self.behind = trailers.filter(|t| !t.is_empty()).map(Box::new);
        } else if self.chunked_out {
            let trailers = trailers.iter().flatten().map(|(n, v)| (n.as_str().as_bytes(), v.as_bytes()));
            write_last_chunk(&mut self.out, trailers);
        }
        self.source = Source::Finished;
        Ok(())
    }

    /// The source has ended, for a body that is taken by [`Self::take`].
    pub fn end_of_source(&mut self) -> Result<(), PumpError> {
        self.source_ended(false)
    }

    fn splices(&mut self, from: &Stream, to: &Stream, pipes: &Pool<Pipe>) -> bool {
        let worth = match self.source {
            Source::Length(left) => left >= SPLICE_FROM || self.pipe.is_some(),
            Source::UntilClose => !self.chunked_out && self.body >= SPLICE_FROM,
            Source::Chunked(_) | Source::Finished => false,
        };
        if !worth || from.plain().is_none() || to.plain().is_none() {
            return false;
        }
        if self.pipe.is_none() {
            let Ok(pipe) = Pipe::new_or_kept(pipes) else { return false };
            self.pipe = Some(pipe);
        }
        true
    }

    fn poll_splice(&mut self, cx: &mut Context<'_>, from: &Stream) -> Poll<Result<(), PumpError>> {
        let (Some(pipe), Some(from)) = (self.pipe.as_mut(), from.plain()) else { return Poll::Ready(Ok(())) };
        let limit = match self.source {
            Source::Length(left) => left,
            _ => u64::MAX,
        };
        let count = match ready!(pipe.poll_fill(cx, from, limit)) {
            Ok(0) => return Poll::Ready(self.source_ended(false)),
            Ok(count) => count as u64,
            Err(_) => return Poll::Ready(Err(PumpError::Source)),
        };
        self.body += count;
        self.received += count;
        self.sent += count;
        if let Source::Length(left) = &mut self.source {
            *left -= count;
            if *left == 0 {
                self.source = Source::Finished;
            }
        }
        if self.limit != 0 && self.body > self.limit {
            return Poll::Ready(Err(PumpError::TooLarge));
        }
        Poll::Ready(Ok(()))
    }
}

/// None where there is no field.
fn field_section<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Box<HeaderMap>> {
    let mut sink = HeaderSink::default();
    fields.for_each(|(name, value)| sink.field(name, value));
    (!sink.fields.is_empty()).then(|| Box::new(sink.fields))
}

impl Pipe {
    fn new_or_kept(pipes: &Pool<Pipe>) -> io::Result<Self> {
        pipes.take_kept().map_or_else(Pipe::new, Ok)
    }
}

fn frame(out: &mut Vec<u8>, bytes: &[u8], chunked: bool) {
    if chunked {
        if bytes.is_empty() {
            return;
        }
        write_chunk_head(out, bytes.len());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(bytes);
    }
}
