//! One request sent to one upstream connection, and its response brought back.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::Reason;
use reviver_flow::{BodyPlan, Flow, Record, Relayed, Sent, Slug};
use reviver_http::{
    FieldKind, FieldSink, Framing, H1Sink, HeadLimits, HeadScan, Method, decode_response, write_request_line,
};

use crate::buffers::BUFFER_SIZE;
use crate::connection::{Connection, head_limits};
use crate::core::CoreSnapshot;
use crate::deliver::write_head;
use crate::http2::{
    Answered, Failure, head_size, read_response, request_for_upstream, response_for_client, websocket_accept,
};
use crate::pump::{Pump, PumpError, Waiting};
use crate::stream::Stream;
use crate::tls;
use crate::upstream::Upstream;
use crate::work::Work;

/// What went wrong before a response was there.
#[derive(Debug)]
pub enum Trouble {
    Upstream { slug: Slug, sent: Sent, detail: &'static str },
    Client { slug: Slug, detail: &'static str },
    ClientGone,
}

impl Trouble {
    pub fn upstream(slug: Slug, sent: Sent) -> Self {
        Self::Upstream { slug, sent, detail: "" }
    }
}

/// Heads of upstreams may be larger than what clients may send: they are trusted more.
const RESPONSE_LIMITS: HeadLimits = HeadLimits { head: 128 * 1024, fields: HeadLimits::MAX_FIELDS, target: 0 };

pub struct Exchange<'s> {
    upload: Option<Pump<'s>>,
    download: Option<Pump<'s>>,
    upload_over: bool,
    /// The upstream takes no more of the request; what it has answered is still read.
    upload_broken: bool,
    /// The body, if any, can be sent once more.
    replayable: bool,
    method: Method,
    /// The client waits for the upstream's word before it sends its body.
    expects: bool,
    /// The head has been sent apart from the body.
    head_sent: bool,
    /// Bytes of heads that no pump has written.
    heads: u64,
    /// What a server must answer to the handshake that was made for a client of HTTP/2 (RFC 6455, section 4.1).
    accept: Option<String>,
    first_byte: Duration,
    idle: Duration,
    client_idle: Duration,
}

impl<'s> Exchange<'s> {
    /// Makes the request's bytes ready to go: its head, and as much of its body as has come.
    pub fn begin(
        connection: &mut Connection,
        work: &mut Work,
        flow: &Flow<'s>,
        snapshot: &CoreSnapshot,
        listener: u16,
        upstream: &mut Upstream,
    ) -> Result<Self, Trouble> {
        let mut out = std::mem::take(&mut work.to_upstream);
        let head = &work.request;
        out.clear();
        // What an earlier upstream sent is nothing to this one.
        work.upstream_in.clear();
        let mut target = std::mem::take(&mut work.target);
        target.clear();
        flow.write_target(head, &mut target, &mut work.scratch);
        let mut accept = None;
        let head_sent = upstream.http2.is_some();
        if let Some(shared) = upstream.http2.as_mut() {
            let websocket = upstream.websocket;
            let request = request_for_upstream(flow, head, &target, shared.secure, websocket, head.framing);
            let request = request.ok_or(Trouble::Client { slug: Slug::BadRequest, detail: "no_http2_form" })?;
            let ended = !websocket && matches!(head.framing, Framing::None | Framing::Length(0));
            let stream = shared
                .send(request, ended)
                .map_err(|failure| Trouble::upstream(Slug::ConnectionTerminated, failure.sent(Sent::Nothing)))?;
            upstream.stream = Stream::Http2(Box::new(stream));
        } else {
            write_request_line(&mut out, flow.upstream_method(head).1, &target);
            flow.write_request_fields(head, head.framing, &mut H1Sink(&mut out));
            if head.extended_connect && flow.offers_websocket(head) {
                let key = websocket_key();
                H1Sink(&mut out).field(b"Sec-WebSocket-Key", key.as_bytes());
                accept = Some(websocket_accept(key.as_bytes()));
            }
            out.extend_from_slice(b"\r\n");
        }
        work.target = target;

        let listener = snapshot.snapshot.listener(listener);
        let limits = listener.map_or(RESPONSE_LIMITS, |l| head_limits(&l.limits));
        let head_length = out.len();
        let mut replayable = true;
        let upload = if !work.replay_taken {
            let from = raw_if(connection.stream.is_http2(), head.framing);
            let to = raw_if(head_sent, head.framing);
            let mut pump = Pump::new(out, from, to, flow.body_limit(), &limits).with_trailers(flow.request_trailers());
            // A framing error shows again when the pump is polled, and is told then.
            let taken = pump.take_for(&mut work.client_in, head_sent).is_ok();
            if pump.source_finished() && taken {
                work.replay.extend_from_slice(&pump.pending()[head_length..]);
                work.replay_taken = true;
                work.replay_http2 = head_sent;
                work.replay_trailers = pump.trailers_behind();
                work.replay_sizes = (pump.body, pump.received);
            } else {
                replayable = !taken && pump.body == 0;
            }
            pump
        } else if work.replay_http2 != head_sent && head.framing == Framing::Chunked {
            // It is framed for another version.
            return Err(Trouble::upstream(Slug::ConnectionTerminated, Sent::Body));
        } else {
            out.extend_from_slice(&work.replay);
            let mut pump = Pump::new(out, Framing::None, Framing::None, 0, &limits);
            pump.set_trailers_behind(work.replay_trailers.clone());
            (pump.body, pump.received) = work.replay_sizes;
            pump
        };
        let millis = |ms: Option<u64>| Duration::from_millis(ms.unwrap_or(60_000));
        let (first_byte, idle) = match flow.route() {
            Some(route) => (flow.first_byte_ms(), Some(route.idle_ms)),
            None => (listener.map(|l| l.timeouts.first_byte_ms), listener.map(|l| l.timeouts.idle_ms)),
        };
        connection.timer.clear();
        Ok(Self {
            upload: Some(upload),
            download: None,
            // The stream of a tunnel does not end with the request.
            upload_over: head_sent && upstream.websocket,
            upload_broken: false,
            replayable,
            method: flow.upstream_method(head).0,
            expects: head.expect_continue,
            head_sent,
            heads: 0,
            accept,
            first_byte: millis(first_byte),
            idle: millis(idle),
            client_idle: millis(listener.map(|l| l.timeouts.body_ms)),
        })
    }

    pub fn upload_over(&self) -> bool {
        self.upload_over && !self.upload_broken
    }

    /// How long the upstream may bring none of a body.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// The whole request body has been read from the client.
    pub fn body_taken(&self) -> bool {
        self.upload.as_ref().is_none_or(Pump::source_finished)
    }

    /// Whether the whole request could be sent once more.
    pub fn is_repeatable(&self) -> bool {
        self.replayable && self.upload_over
    }

    fn sent(&self) -> Sent {
        let Some(upload) = &self.upload else { return Sent::Body };
        // A body of which nothing was taken yet is still whole at the client.
        match self.replayable || upload.received == 0 {
            true if upload.sent == 0 && !self.head_sent => Sent::Nothing,
            true => Sent::Request,
            false => Sent::Body,
        }
    }

    fn upstream_trouble(&self, slug: Slug) -> Trouble {
        Trouble::upstream(slug, self.sent())
    }

    /// Sends the request and reads until a response head, interim or final, stands in `work.response`.
    pub async fn await_response(
        &mut self,
        connection: &mut Connection,
        work: &mut Work,
        upstream: &mut Upstream,
        begun: Instant,
    ) -> Result<(), Trouble> {
        let mut scan = HeadScan::for_responses(RESPONSE_LIMITS);
        let mut deadline: Option<Instant> = None;
        let mut moved = None;
        poll_fn(|cx| {
            loop {
                self.poll_upload(cx, connection, work, upstream)?;
                // Also while an upstream keeps sending interim responses.
                // Over HTTP/2 looking reads nothing, so that a body may still be on its way.
                let watched = self.body_taken() || connection.stream.is_http2();
                if watched && connection.poll_gone(cx, work).is_ready() {
                    return Poll::Ready(Err(Trouble::ClientGone));
                }
                if let Some(stream) = upstream.stream.http2() {
                    match stream.poll_response(cx) {
                        Poll::Ready(answered) => return Poll::Ready(self.answered(work, answered, upstream.websocket)),
                        Poll::Pending => return self.poll_waiting(cx, connection, &mut moved, &mut deadline, begun),
                    }
                }
                if !work.upstream_in.is_empty() {
                    match scan.scan(work.upstream_in.bytes()) {
                        Ok(Some(length)) => return Poll::Ready(self.decode(work, length)),
                        Ok(None) => {}
                        Err(error) => return Poll::Ready(Err(self.invalid(error))),
                    }
                    if work.upstream_in.is_full() {
                        work.upstream_in.grow(RESPONSE_LIMITS.head + BUFFER_SIZE);
                    }
                }
                match upstream.stream.poll_read(cx, &mut work.upstream_in) {
                    Poll::Ready(Ok(count)) if count > 0 => continue,
                    Poll::Ready(ended) => {
                        // With TLS 1.3 a server says after the handshake that it takes no such certificate.
                        if let Some(detail) = ended.err().as_ref().and_then(tls::alert_of) {
                            let sent = self.sent();
                            return Poll::Ready(Err(Trouble::Upstream { slug: Slug::TlsError, sent, detail }));
                        }
                        let slug = if scan.started() { Slug::ResponseIncomplete } else { Slug::ConnectionTerminated };
                        return Poll::Ready(Err(self.upstream_trouble(slug)));
                    }
                    Poll::Pending => {}
                }
                return self.poll_waiting(cx, connection, &mut moved, &mut deadline, begun);
            }
        })
        .await
    }

    /// Whether what is waited for has taken too long.
    fn poll_waiting(
        &self,
        cx: &Context<'_>,
        connection: &Connection,
        moved: &mut Option<(u64, Option<Waiting>)>,
        deadline: &mut Option<Instant>,
        begun: Instant,
    ) -> Poll<Result<(), Trouble>> {
        // A new wait begins with progress, and when it is another party's turn.
        let upload = self.upload.as_ref().filter(|_| !self.upload_over);
        let progress = (self.upload.as_ref().map_or(0, |u| u.sent + u.received), upload.map(Pump::waiting));
        if *moved != Some(progress) {
            *moved = Some(progress);
            let now = if deadline.is_none() { begun } else { Instant::now() };
            let wait = if self.upload_over { self.first_byte } else { self.upload_wait() };
            *deadline = Some(now + wait);
            connection.wait_until(now, now + wait);
        }
        match deadline.is_some_and(|d| connection.poll_deadline(cx, d)) {
            true => Poll::Ready(Err(self.expired(connection.core.is_stopping()))),
            false => Poll::Pending,
        }
    }

    /// A response head, or the lack of one, that came by HTTP/2.
    fn answered(
        &mut self,
        work: &mut Work,
        answered: Result<Answered, Failure>,
        websocket: bool,
    ) -> Result<(), Trouble> {
        self.expects = false;
        let (response, ended) = match answered {
            Ok(Answered::Interim(response)) => (response, None),
            Ok(Answered::Final(response, ended)) => (response, Some(ended)),
            Err(failure) => {
                return Err(Trouble::upstream(slug_of(failure.reason), failure.sent(self.sent())));
            }
        };
        let accepted = websocket && ended.is_some() && response.status().is_success();
        let ended = ended.unwrap_or(true);
        read_response(&response, ended, &work.request, accepted, &RESPONSE_LIMITS, &mut work.response)
            .map_err(|error| self.invalid(error))
    }

    fn awaits_word(&self) -> bool {
        self.expects && self.upload.as_ref().is_some_and(|u| u.received == 0)
    }

    fn upload_wait(&self) -> Duration {
        match self.upload.as_ref().map(Pump::waiting) {
            Some(Waiting::Source) if self.awaits_word() => self.first_byte,
            Some(Waiting::Source) => self.client_idle,
            _ => self.idle,
        }
    }

    fn expired(&self, stopping: bool) -> Trouble {
        if stopping {
            return Trouble::upstream(Slug::Draining, Sent::Body);
        }
        if self.upload_over {
            return self.upstream_trouble(Slug::ResponseTimeout);
        }
        match self.upload.as_ref().map(Pump::waiting) {
            Some(Waiting::Source) if self.awaits_word() => self.upstream_trouble(Slug::ResponseTimeout),
            Some(Waiting::Source) => Trouble::Client { slug: Slug::BodyTimeout, detail: "" },
            _ => self.upstream_trouble(Slug::WriteTimeout),
        }
    }

    fn invalid(&self, error: reviver_http::ParseError) -> Trouble {
        let slug = if error.status() == 431 { Slug::ResponseHeadTooLarge } else { Slug::ResponseInvalid };
        Trouble::upstream(slug, Sent::Body)
    }

    fn decode(&mut self, work: &mut Work, length: usize) -> Result<(), Trouble> {
        self.expects = false;
        let bytes = &work.upstream_in.bytes()[..length];
        let decoded = decode_response(bytes, self.method, &RESPONSE_LIMITS, &mut work.response);
        work.upstream_in.consume(length);
        decoded.map_err(|error| self.invalid(error))?;
        let response = &work.response;
        match self.accept.as_ref().filter(|_| response.status == 101) {
            Some(wanted) if !response.values(FieldKind::SecWebSocketAccept).eq([wanted.as_bytes()]) => {
                Err(Trouble::upstream(Slug::UpgradeFailed, Sent::Body))
            }
            _ => Ok(()),
        }
    }

    /// Moves what can be moved of the request. An upstream that takes no more may still have answered, so its
    /// failure shows when it is read.
    fn poll_upload(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        work: &mut Work,
        upstream: &mut Upstream,
    ) -> Result<(), Trouble> {
        let Some(upload) = self.upload.as_mut().filter(|_| !self.upload_over) else { return Ok(()) };
        let pipes = &connection.core.pipes;
        match upload.poll(cx, &mut connection.stream, &mut work.client_in, &mut upstream.stream, pipes) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => {
                self.upload_over = true;
                Ok(())
            }
            Poll::Ready(Err(PumpError::Sink)) => {
                self.upload_over = true;
                self.upload_broken = true;
                Ok(())
            }
            Poll::Ready(Err(PumpError::Source)) => Err(Trouble::ClientGone),
            Poll::Ready(Err(PumpError::Framing(error))) => {
                Err(Trouble::Client { slug: crate::driver::parse_slug(error), detail: error.slug() })
            }
            Poll::Ready(Err(PumpError::TooLarge)) => Err(Trouble::Client { slug: Slug::BodyTooLarge, detail: "" }),
        }
    }

    /// Writes the response head and moves what is left of both bodies. The upstream connection is kept when
    /// nothing of this exchange is left on it.
    pub async fn relay(
        &mut self,
        connection: &mut Connection,
        work: &mut Work,
        mut upstream: Upstream,
        flow: &Flow<'s>,
        plan: BodyPlan,
        begun: Instant,
    ) -> (Relayed, Instant) {
        let mut out = std::mem::take(&mut work.to_client);
        out.clear();
        connection.answering = true;
        let http2 = connection.stream.http2();
        let head_sent = http2.is_some();
        match http2 {
            None => write_head(&mut out, work, flow, Some(plan)),
            Some(stream) => {
                let response = response_for_client(flow, &work.request, &work.response, Some(plan));
                self.heads += head_size(&response);
                let ended = matches!(plan.framing, Framing::None | Framing::Length(0));
                if stream.respond(response, ended).is_err() {
                    work.to_client = out;
                    return (Relayed::ClientAborted, Instant::now());
                }
            }
        }
        let from = raw_if(upstream.stream.is_http2(), work.response.framing);
        let to = raw_if(head_sent, plan.framing);
        let pump = Pump::new(out, from, to, 0, &RESPONSE_LIMITS).with_trailers(flow.response_trailers());
        let download = self.download.insert(pump);
        let mut deadline: Option<Instant> = None;
        let mut moved = None;
        let outcome = poll_fn(|cx| {
            if let Some(upload) = self.upload.as_mut().filter(|_| !self.upload_over) {
                let pipes = &connection.core.pipes;
                let input = &mut work.client_in;
                match upload.poll(cx, &mut connection.stream, input, &mut upstream.stream, pipes) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => self.upload_over = true,
                    Poll::Ready(Err(PumpError::Sink)) => {
                        self.upload_over = true;
                        self.upload_broken = true;
                    }
                    // The response has begun: an error can only be told by ending the connection.
                    Poll::Ready(Err(_)) => return Poll::Ready(Relayed::ClientAborted),
                }
            }
            let pipes = &connection.core.pipes;
            let input = &mut work.upstream_in;
            match download.poll(cx, &mut upstream.stream, input, &mut connection.stream, pipes) {
                Poll::Ready(Ok(())) => return Poll::Ready(Relayed::Complete),
                Poll::Ready(Err(PumpError::Sink)) => return Poll::Ready(Relayed::ClientAborted),
                Poll::Ready(Err(PumpError::Source | PumpError::TooLarge)) => {
                    return Poll::Ready(Relayed::UpstreamAborted(Slug::ResponseIncomplete));
                }
                Poll::Ready(Err(PumpError::Framing(_))) => {
                    return Poll::Ready(Relayed::UpstreamAborted(Slug::ResponseInvalid));
                }
                Poll::Pending => {}
            }
            let waits_for_upstream = download.waiting() == Waiting::Source;
            let taken = self.upload.as_ref().is_none_or(Pump::source_finished);
            let watched = connection.stream.is_http2() || (waits_for_upstream && taken);
            if watched && connection.poll_gone(cx, work).is_ready() {
                return Poll::Ready(Relayed::ClientAborted);
            }
            // A new wait begins with progress, and when it is the other party's turn.
            let bytes = download.sent + download.received + self.upload.as_ref().map_or(0, |u| u.sent);
            let progress = (bytes, waits_for_upstream);
            if moved != Some(progress) {
                moved = Some(progress);
                let now = if deadline.is_none() { begun } else { Instant::now() };
                let wait = if waits_for_upstream { self.idle } else { self.client_idle };
                deadline = Some(now + wait);
                connection.wait_until(now, now + wait);
            }
            if deadline.is_some_and(|d| connection.poll_deadline(cx, d)) {
                return Poll::Ready(match waits_for_upstream {
                    _ if connection.core.is_stopping() => Relayed::Expired(Slug::Draining),
                    true => Relayed::Expired(Slug::ReadTimeout),
                    false => Relayed::Expired(Slug::SlowClient),
                });
            }
            Poll::Pending
        })
        .await;
        work.stalled = outcome == Relayed::Expired(Slug::SlowClient);
        let nothing_sent = !head_sent && self.download.as_ref().is_some_and(|d| d.sent == 0);
        let outcome = match outcome {
            Relayed::UpstreamAborted(slug) | Relayed::Expired(slug @ Slug::ReadTimeout) if nothing_sent => {
                Relayed::NothingSent(slug)
            }
            outcome => outcome,
        };
        let now = Instant::now();
        let clean = outcome == Relayed::Complete && work.upstream_in.is_empty() && self.upload_over();
        work.upstream_in.clear();
        if clean
            && work.response.keep_alive
            && from != Framing::UntilClose
            && let Some(home) = upstream.home.take()
        {
            home.give(upstream, now);
        }
        (outcome, now)
    }

    /// Writes the sizes of this exchange into the record.
    pub fn settle(&self, record: &mut Record) {
        if let Some(upload) = &self.upload {
            record.request_body = upload.body;
            record.bytes_in += upload.received;
        }
        if let Some(download) = &self.download {
            record.response_body = download.body;
            record.bytes_out += download.sent;
        }
        record.bytes_out += self.heads;
    }

    /// Gives back all space.
    pub fn give_up(mut self, connection: &Connection, work: &mut Work) {
        let pipes = &connection.core.pipes;
        if let Some(upload) = self.upload.take() {
            work.to_upstream = upload.into_space(pipes);
        }
        if let Some(download) = self.download.take() {
            work.to_client = download.into_space(pipes);
        }
    }
}

/// Over HTTP/2 content is not framed: its end is that of the stream.
fn raw_if(http2: bool, framing: Framing) -> Framing {
    if http2 && framing != Framing::None { Framing::UntilClose } else { framing }
}

fn websocket_key() -> String {
    use base64::Engine as _;
    let mut nonce = [0; 16];
    // Without random numbers the key is known, which harms no one but caches that take a handshake for a page.
    let _ = getrandom::fill(&mut nonce);
    base64::engine::general_purpose::STANDARD.encode(nonce)
}

fn slug_of(reason: Option<Reason>) -> Slug {
    match reason {
        Some(
            Reason::PROTOCOL_ERROR
            | Reason::COMPRESSION_ERROR
            | Reason::FRAME_SIZE_ERROR
            | Reason::FLOW_CONTROL_ERROR
            | Reason::HTTP_1_1_REQUIRED,
        ) => Slug::ResponseInvalid,
        _ => Slug::ConnectionTerminated,
    }
}
