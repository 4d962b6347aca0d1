//! A request of HTTP, and what is expected of the response.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use http::Response;
use reviver_http::{Chunk, ChunkDecoder, Framing, HeadLimits, HeadScan, Method, ResponseHead, decode_response};

use super::expect::BODY;
use super::target::{Request, Target, Wire};
use super::{Fault, http2};
use crate::buffers::{BUFFER_SIZE, Buf};
use crate::stream::Stream;
use crate::tls;

const LIMITS: HeadLimits = HeadLimits { head: 64 * 1024, fields: HeadLimits::MAX_FIELDS, target: 0 };
/// What is left of an answer, once it is judged, may take so long, and no longer than the check: else the connection is
/// not kept.
const REST: Duration = Duration::from_millis(100);

/// Space for one answer.
pub struct Scratch {
    input: Buf,
    head: ResponseHead,
    chunks: ChunkDecoder,
    body: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            input: Buf::with_size(BUFFER_SIZE),
            head: ResponseHead::default(),
            chunks: ChunkDecoder::new(&LIMITS),
            body: Vec::new(),
        }
    }
}

impl Scratch {
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub fn clear(&mut self) {
        self.input.clear();
        self.chunks.reset();
        self.body.clear();
    }
}

/// Gives the verdict, and whether the connection can be used once more.
pub async fn ask(
    target: &Target,
    request: &Request,
    secure: bool,
    wire: &mut Wire,
    scratch: &mut Scratch,
    until: Instant,
) -> Result<(Result<(), String>, bool), Fault> {
    match wire {
        Wire::Http1(stream) => over_http1(target, request, stream, scratch, until).await,
        Wire::Http2(connections) => {
            let mut sent = http2::request(target, secure, request.target.clone())?;
            *sent.method_mut() = request.method.clone();
            *sent.headers_mut() = request.fields.clone();
            let (mut stream, response, ended) = http2::ask(connections, sent, None).await?;
            let verdict = request.expect.head(response.status().as_u16(), || fields(&response));
            let framing = if ended { Framing::None } else { Framing::UntilClose };
            // What is left goes with its stream.
            Ok((judge(request, verdict, &mut stream, scratch, framing, until).await.0, true))
        }
    }
}

fn fields<T>(response: &Response<T>) -> impl Iterator<Item = (&[u8], &[u8])> {
    response.headers().iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
}

async fn over_http1(
    target: &Target,
    request: &Request,
    stream: &mut Stream,
    scratch: &mut Scratch,
    until: Instant,
) -> Result<(Result<(), String>, bool), Fault> {
    send(stream, &target.head).await.map_err(|_| Fault::Unheard)?;
    let method = Method::from_bytes(request.method.as_str().as_bytes());
    loop {
        response_head(stream, method, scratch).await?;
        // What else may follow is switched to a protocol that was not asked for.
        if !scratch.head.is_interim() {
            break;
        }
    }
    let head = &scratch.head;
    let fields = || head.fields().iter().map(|field| (head.name(field), head.value(field)));
    let verdict = request.expect.head(head.status, fields);
    let framing = head.framing;
    let keep = head.keep_alive && framing != Framing::UntilClose && head.status != 101;
    let (verdict, whole) = judge(request, verdict, stream, scratch, framing, until).await;
    Ok((verdict, whole && keep && scratch.input.is_empty()))
}

async fn send(stream: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            match ready!(stream.poll_write(cx, bytes, false))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => bytes = &bytes[count..],
            }
        }
        stream.poll_flush(cx)
    })
    .await
}

async fn response_head(stream: &mut Stream, method: Method, scratch: &mut Scratch) -> Result<(), Fault> {
    let malformed = |error: reviver_http::ParseError| format!("the answer is no HTTP ({})", error.slug());
    let Scratch { input, head, .. } = scratch;
    let mut scan = HeadScan::for_responses(LIMITS);
    let length = loop {
        if let Some(length) = scan.scan(input.bytes()).map_err(malformed)? {
            break length;
        }
        if input.is_full() {
            input.grow(LIMITS.head + BUFFER_SIZE);
        }
        match poll_fn(|cx| stream.poll_read(cx, input)).await {
            Ok(count) if count > 0 => {}
            ended => {
                // With TLS 1.3 a server says after the handshake that it takes no such certificate.
                if let Some(detail) = ended.err().as_ref().and_then(tls::alert_of) {
                    return Err(Fault::Said(format!("TLS: {}", detail.replace('_', " "))));
                }
                return Err(match scan.started() {
                    true => Fault::Said("the answer breaks off in its head".to_owned()),
                    false => Fault::Unheard,
                });
            }
        }
    };
    let decoded = decode_response(&input.bytes()[..length], method, &LIMITS, head);
    input.consume(length);
    Ok(decoded.map_err(malformed)?)
}

/// Looks at the body where it matters, and takes it from the connection in any case.
async fn judge(
    request: &Request,
    verdict: Result<(), String>,
    stream: &mut Stream,
    scratch: &mut Scratch,
    framing: Framing,
    until: Instant,
) -> (Result<(), String>, bool) {
    if verdict.is_err() || !request.expect.wants_body() {
        // What the head has decided stands, whatever comes of the rest.
        let until = until.min(Instant::now() + REST);
        let rest = tokio::time::timeout_at(until.into(), body(stream, scratch, framing));
        return (verdict, matches!(rest.await, Ok(Ok(true))));
    }
    match body(stream, scratch, framing).await {
        Ok(whole) => (request.expect.body(&scratch.body), whole),
        Err(text) => (Err(text), false),
    }
}

/// Reads content until it ends (true) or as much as is looked at has come.
pub async fn body(stream: &mut Stream, scratch: &mut Scratch, framing: Framing) -> Result<bool, String> {
    let Scratch { input, chunks, body, .. } = scratch;
    let mut left = match framing {
        Framing::None => 0,
        Framing::Length(length) => length,
        Framing::Chunked | Framing::UntilClose => u64::MAX,
    };
    loop {
        while !input.is_empty() && left > 0 && body.len() < BODY {
            let bytes = input.bytes();
            let (skip, count) = match framing {
                Framing::Chunked => match chunks.next(bytes) {
                    Ok(Chunk::Data { skip, len }) => (skip, len),
                    Ok(Chunk::More { consumed }) => (consumed, 0),
                    Ok(Chunk::End { consumed }) => {
                        left = 0;
                        (consumed, 0)
                    }
                    Err(error) => return Err(format!("the body is malformed ({})", error.slug())),
                },
                _ => (0, bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))),
            };
            let room = BODY - body.len();
            body.extend_from_slice(&bytes[skip..][..count.min(room)]);
            input.consume(skip + count);
            if let Framing::Length(_) = framing {
                left -= count as u64;
            }
        }
        if left == 0 {
            return Ok(true);
        }
        if body.len() == BODY {
            return Ok(false);
        }
        match poll_fn(|cx| stream.poll_read(cx, input)).await {
            Ok(count) if count > 0 => {}
            Ok(_) if framing == Framing::UntilClose => return Ok(true),
            _ => return Err("the answer breaks off in its body".to_owned()),
        }
    }
}
