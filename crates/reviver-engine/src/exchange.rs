//! One request sent to one upstream connection, and its response brought back.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use reviver_flow::{BodyPlan, Flow, Record, Relayed, Sent, Slug};
use reviver_http::{
    Framing, H1Sink, HeadLimits, HeadScan, Method, Version, decode_response, reason_phrase, write_request_line,
    write_status_line,
};

use crate::buffers::BUFFER_SIZE;
use crate::connection::{Connection, head_limits};
use crate::core::CoreSnapshot;
use crate::pump::{Pump, PumpError, Waiting};
use crate::upstream::Upstream;
use crate::work::Work;

/// What went wrong before a response was there.
#[derive(Debug)]
pub enum Trouble {
    Upstream { slug: Slug, sent: Sent },
    Client { slug: Slug, detail: &'static str },
    ClientGone,
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
    ) -> Self {
        let mut out = std::mem::take(&mut work.to_upstream);
        let head = &work.request;
        out.clear();
        // What an earlier upstream sent is nothing to this one.
        work.upstream_in.clear();
        let mut target = std::mem::take(&mut work.target);
        target.clear();
        flow.write_target(head, &mut target, &mut work.scratch);
        write_request_line(&mut out, head.method_text(), &target);
        work.target = target;
        flow.write_request_fields(head, head.framing, &mut H1Sink(&mut out));
        out.extend_from_slice(b"\r\n");

        let listener = snapshot.snapshot.listener(listener);
        let limits = listener.map_or(RESPONSE_LIMITS, |l| head_limits(&l.limits));
        let head_length = out.len();
        let mut replayable = true;
        let upload = if work.replay.is_empty() {
            let mut pump = Pump::new(out, head.framing, head.framing, flow.body_limit(), &limits)
                .with_trailers(flow.request_trailers());
            // A framing error shows again when the pump is polled, and is told then.
            let taken = pump.take(&mut work.client_in).is_ok();
            if pump.source_finished() && taken {
                work.replay.extend_from_slice(&pump.pending()[head_length..]);
                work.replay_sizes = (pump.body, pump.received);
            } else {
                replayable = !taken && pump.body == 0;
            }
            pump
        } else {
            out.extend_from_slice(&work.replay);
            let mut pump = Pump::new(out, Framing::None, Framing::None, 0, &limits);
            (pump.body, pump.received) = work.replay_sizes;
            pump
        };
        let millis = |ms: Option<u64>| Duration::from_millis(ms.unwrap_or(60_000));
        let (first_byte, idle) = match flow.route() {
            Some(route) => (Some(route.first_byte_ms), Some(route.idle_ms)),
            None => (listener.map(|l| l.timeouts.first_byte_ms), listener.map(|l| l.timeouts.idle_ms)),
        };
        connection.timer.clear();
        Self {
            upload: Some(upload),
            download: None,
            upload_over: false,
            upload_broken: false,
            replayable,
            method: head.method,
            expects: head.expect_continue,
            first_byte: millis(first_byte),
            idle: millis(idle),
            client_idle: millis(listener.map(|l| l.timeouts.body_ms)),
        }
    }

    pub fn upload_over(&self) -> bool {
        self.upload_over && !self.upload_broken
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
            true if upload.sent == 0 => Sent::Nothing,
            true => Sent::Request,
            false => Sent::Body,
        }
    }

    fn upstream_trouble(&self, slug: Slug) -> Trouble {
        Trouble::Upstream { slug, sent: self.sent() }
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
                if self.body_taken() && connection.poll_gone(cx, work).is_ready() {
                    return Poll::Ready(Err(Trouble::ClientGone));
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
                    Poll::Ready(_) => {
                        let slug = if scan.started() { Slug::ResponseIncomplete } else { Slug::ConnectionTerminated };
                        return Poll::Ready(Err(self.upstream_trouble(slug)));
                    }
                    Poll::Pending => {}
                }
                // A new wait begins with progress, and when it is another party's turn.
                let upload = self.upload.as_ref().filter(|_| !self.upload_over);
                let progress = (self.upload.as_ref().map_or(0, |u| u.sent + u.received), upload.map(Pump::waiting));
                if moved != Some(progress) {
                    moved = Some(progress);
                    let now = if deadline.is_none() { begun } else { Instant::now() };
                    let wait = if self.upload_over { self.first_byte } else { self.upload_wait() };
                    deadline = Some(now + wait);
                    connection.wait_until(now, now + wait);
                }
                if deadline.is_some_and(|d| connection.poll_deadline(cx, d)) {
                    return Poll::Ready(Err(self.expired(connection.core.is_stopping())));
                }
                return Poll::Pending;
            }
        })
        .await
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
            return Trouble::Upstream { slug: Slug::Draining, sent: Sent::Body };
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
        Trouble::Upstream { slug, sent: Sent::Body }
    }

    fn decode(&mut self, work: &mut Work, length: usize) -> Result<(), Trouble> {
        self.expects = false;
        let bytes = &work.upstream_in.bytes()[..length];
        let decoded = decode_response(bytes, self.method, &RESPONSE_LIMITS, &mut work.response);
        work.upstream_in.consume(length);
        decoded.map_err(|error| self.invalid(error))
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
        write_head(&mut out, work, flow, Some(plan));
        connection.answering = true;
        let from = work.response.framing;
        let pump = Pump::new(out, from, plan.framing, 0, &RESPONSE_LIMITS).with_trailers(flow.response_trailers());
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
            if waits_for_upstream
                && self.upload.as_ref().is_none_or(Pump::source_finished)
                && connection.poll_gone(cx, work).is_ready()
            {
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
        let nothing_sent = self.download.as_ref().is_some_and(|d| d.sent == 0);
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

/// A response head as bytes; `plan` is none for interim responses and 101.
pub fn write_head(out: &mut Vec<u8>, work: &Work, flow: &Flow<'_>, plan: Option<BodyPlan>) {
    let response = &work.response;
    let reason = match response.reason() {
        [] => reason_phrase(response.status).as_bytes(),
        reason => reason,
    };
    write_status_line(out, response.status, reason);
    flow.write_response_fields(&work.request, response, plan, &mut H1Sink(out));
    out.extend_from_slice(b"\r\n");
}

/// Passes a 1xx response on, to clients whose version knows them (RFC 9110, section 15.2).
pub async fn pass_interim(connection: &mut Connection, work: &mut Work, flow: &Flow<'_>) -> Result<u64, Trouble> {
    if work.request.version < Version::Http11 {
        return Ok(0);
    }
    let mut out = std::mem::take(&mut work.to_client);
    out.clear();
    write_head(&mut out, work, flow, None);
    let delivered = write_all(connection, &out).await;
    let length = out.len() as u64;
    out.clear();
    work.to_client = out;
    if delivered { Ok(length) } else { Err(Trouble::ClientGone) }
}

/// Writes bytes to the client, each part within the client's time. False when it is gone.
pub async fn write_all(connection: &mut Connection, bytes: &[u8]) -> bool {
    let patience =
        connection.snapshot().and_then(|(s, i)| s.snapshot.listener(i).map(|l| l.timeouts.body_ms)).unwrap_or(10_000);
    connection.answering = true;
    let mut written = 0;
    let mut armed = false;
    poll_fn(|cx| {
        while written < bytes.len() {
            match connection.stream.poll_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    written += count;
                    armed = false;
                }
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => {
                    if !armed {
                        armed = true;
                        connection.timer.set(Instant::now(), Duration::from_millis(patience));
                    }
                    if connection.timer.poll_expired(cx) || connection.core.is_stopping() {
                        return Poll::Ready(false);
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(true)
    })
    .await
}
