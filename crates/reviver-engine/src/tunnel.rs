//! Tunnels: CONNECT, SOCKS5 and Upgrade. Bytes both ways, half-close included, until both sides are done.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::Reason;
use http::HeaderMap;
use reviver_flow::{Flow, Relayed, Slug};
use reviver_http::{Framing, HeadLimits, socks};

use crate::buffers::Buf;
use crate::connection::Connection;
use crate::core::CoreSnapshot;
use crate::deliver::write_head;
use crate::driver::ClientProtocol;
use crate::http2::{respond, response_for_client};
use crate::pump::{Pump, PumpError};
use crate::stream::{Pipe, Stream};
use crate::upstream::Upstream;
use crate::work::Work;

/// What a tunnel came to.
pub struct Moved {
    pub outcome: Relayed,
    /// Bytes of the head that opened it.
    pub opening: u64,
    pub from_client: u64,
    pub to_client: u64,
}

/// One direction of a tunnel.
struct Direction {
    pump: Pump<'static>,
    /// The source has ended and the sink was told so.
    over: bool,
    flushed: bool,
}

enum Side {
    Source,
    Sink,
}

impl Direction {
    fn new(out: Vec<u8>) -> Self {
        let limits = HeadLimits { head: 0, fields: 0, target: 0 };
        let pump = Pump::new(out, Framing::UntilClose, Framing::UntilClose, 0, &limits).lenient();
        Self { pump, over: false, flushed: false }
    }

    /// Moves bytes; passes the end of the source on as the end of the sink.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        input: &mut Buf,
        to: &mut Stream,
        pipes: &crate::buffers::Pool<Pipe>,
    ) -> Result<(), Side> {
        if !self.over && !self.flushed {
            match self.pump.poll(cx, from, input, to, pipes) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) => self.flushed = true,
                Poll::Ready(Err(PumpError::Sink)) => return Err(Side::Sink),
                Poll::Ready(Err(_)) => return Err(Side::Source),
            }
        }
        if !self.over && to.poll_shutdown(cx).is_ready() {
            self.over = true;
        }
        Ok(())
    }
}

/// Tells the client that the tunnel is open, and moves bytes until it is over.
pub async fn run(
    connection: &mut Connection,
    work: &mut Work,
    mut upstream: Upstream,
    flow: &Flow<'_>,
    snapshot: &CoreSnapshot,
    listener: u16,
    protocol: ClientProtocol,
) -> Moved {
    connection.answering = true;
    let mut opening = std::mem::take(&mut work.to_client);
    opening.clear();
    let mut opened = true;
    match (protocol, flow.record.status) {
        (ClientProtocol::Http2, _) => {
            let response = match work.request.extended_connect {
                true => response_for_client(flow, &work.request, &work.response, None),
                false => respond(200, HeaderMap::new()),
            };
            opened = connection.stream.http2().is_some_and(|stream| stream.respond(response, false).is_ok());
        }
        (ClientProtocol::Socks5, _) => socks::write_reply(&mut opening, socks::Reply::Succeeded, None),
        (ClientProtocol::Http1, 101) => write_head(&mut opening, work, flow, None),
        (ClientProtocol::Http1, _) => opening.extend_from_slice(b"HTTP/1.1 200 Connection established\r\n\r\n"),
    }
    let idle = snapshot.snapshot.listener(listener).map_or(600_000, |l| l.timeouts.tunnel_ms);
    let idle = Duration::from_millis(idle);
    let opening_length = opening.len() as u64;
    let mut down = Direction::new(opening);
    let mut up = Direction::new(std::mem::take(&mut work.to_upstream));
    up.pump.discard();
    let mut moved = u64::MAX;
    let outcome = poll_fn(|cx| {
        if !opened {
            return Poll::Ready(Relayed::ClientAborted);
        }
        let pipes = &connection.core.pipes;
        match up.poll(cx, &mut connection.stream, &mut work.client_in, &mut upstream.stream, pipes) {
            Ok(()) => {}
            Err(Side::Source) => return Poll::Ready(Relayed::ClientAborted),
            // It takes no more, but what it has sent is still delivered.
            Err(Side::Sink) => up.over = true,
        }
        match down.poll(cx, &mut upstream.stream, &mut work.upstream_in, &mut connection.stream, pipes) {
            Ok(()) => {}
            Err(Side::Source) => return Poll::Ready(Relayed::UpstreamAborted(Slug::ConnectionTerminated)),
            Err(Side::Sink) => return Poll::Ready(Relayed::ClientAborted),
        }
        if up.over && down.over {
            return Poll::Ready(Relayed::Complete);
        }
        // The client's half may be over, and its stream be given up all the same.
        if up.over && connection.stream.http2().is_some_and(|stream| stream.poll_reset(cx).is_ready()) {
            return Poll::Ready(Relayed::ClientAborted);
        }
        let progress = up.pump.sent + down.pump.sent + u64::from(up.over) + u64::from(down.over);
        if moved != progress {
            moved = progress;
            connection.timer.set(Instant::now(), idle);
        }
        if connection.core.is_stopping() {
            return Poll::Ready(Relayed::Expired(Slug::Draining));
        }
        if connection.timer.poll_expired(cx) {
            return Poll::Ready(Relayed::Expired(Slug::TunnelIdle));
        }
        Poll::Pending
    })
    .await;
    // RFC 9113, section 8.5.
    if let (Relayed::UpstreamAborted(_), Some(stream)) = (outcome, connection.stream.http2()) {
        stream.reset(Reason::CONNECT_ERROR);
    }
    let (from_client, to_client) = (up.pump.body, down.pump.sent.saturating_sub(opening_length));
    let pipes = &connection.core.pipes;
    work.to_upstream = up.pump.into_space(pipes);
    work.to_client = down.pump.into_space(pipes);
    work.upstream_in.clear();
    Moved { outcome, opening: opening_length, from_client, to_client }
}
