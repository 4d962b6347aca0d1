//! What stands before the first request of a connection: a PROXY header, and the TLS handshake.

use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_flow::Slug;
use reviver_http::proxy_protocol::{MAX_PROXY_HEADER, ProxyHeader, ProxyHeaderError, Step, decode_proxy_header};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::connection::Connection;
use crate::driver::{self, ClientProtocol, Refusal};
use crate::stream::Stream;
use crate::tls;
use crate::work::Work;

/// What the client speaks from here on.
pub enum Greeted {
    Http1,
    Http2,
    /// Nothing more: the connection is to be closed.
    Over,
}

/// First byte of a TLS connection: a handshake record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

pub fn is_due(connection: &Connection) -> bool {
    let Some((snapshot, index)) = connection.snapshot() else { return false };
    snapshot.snapshot.listener(index).is_some_and(|listener| listener.tls.is_some() || listener.proxy_protocol)
}

/// Reads what is due within the handshake's time.
pub async fn greet(connection: &mut Connection) -> Greeted {
    let Some((snapshot, index)) = connection.snapshot() else { return Greeted::Over };
    let Some(listener) = snapshot.snapshot.listener(index) else { return Greeted::Over };
    let started = Instant::now();
    connection.timer.set(started, Duration::from_millis(listener.timeouts.handshake_ms));
    let Stream::Tcp(mut stream) = std::mem::replace(&mut connection.stream, Stream::Taken) else {
        return Greeted::Over;
    };
    if listener.proxy_protocol && snapshot.snapshot.trusted.contains(connection.peer().ip()) {
        match in_time(connection, proxy_header(&mut stream)).await {
            Some(Ok(ProxyHeader::Addresses { source, .. })) => connection.set_peer(source),
            Some(Ok(ProxyHeader::Local)) => {}
            Some(Err(detail)) => return refuse(connection, started, Slug::ProxyHeader, detail).await,
            None => return refuse(connection, started, Slug::ProxyHeader, "timeout").await,
        }
    }
    let Some(context) = snapshot.tls.listeners.get(usize::from(index)).and_then(Option::as_ref) else {
        connection.stream = Stream::Tcp(stream);
        return Greeted::Http1;
    };
    let first = match in_time(connection, first_byte(&stream)).await {
        Some(Ok(first)) => first,
        Some(Err(_)) => return Greeted::Over,
        None => return refuse(connection, started, Slug::TlsHandshakeFailed, "timeout").await,
    };
    if first.is_ascii_uppercase() {
        connection.stream = Stream::Tcp(stream);
        return plain(connection, started).await;
    }
    if first != HANDSHAKE {
        return refuse(connection, started, Slug::TlsHandshakeFailed, "unexpected_message").await;
    }
    match in_time(connection, tls::accept(context, stream)).await {
        Some(Ok(Some(accepted))) => {
            connection.stream = Stream::Tls(accepted.stream);
            connection.tls = Some(Rc::new(accepted.tls));
            if accepted.http2 { Greeted::Http2 } else { Greeted::Http1 }
        }
        Some(Ok(None)) => Greeted::Over,
        Some(Err(refused)) => refuse(connection, started, refused.slug, refused.detail).await,
        None => refuse(connection, started, Slug::TlsHandshakeFailed, "timeout").await,
    }
}

/// None when the time is up or the proxy stops.
async fn in_time<T>(connection: &Connection, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if connection.timer.poll_expired(cx) || connection.core.is_stopping() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// The connection leaves one record and hears nothing.
async fn refuse(connection: &Connection, started: Instant, slug: Slug, detail: &'static str) -> Greeted {
    if let Some((snapshot, index)) = connection.snapshot() {
        driver::record_refusal(connection, &snapshot, index, started, slug, detail, ClientProtocol::Http1).await;
    }
    Greeted::Over
}

/// A request without TLS is told so in its own language.
async fn plain(connection: &mut Connection, started: Instant) -> Greeted {
    if let Some((snapshot, index)) = connection.snapshot() {
        let core = Rc::clone(&connection.core);
        let mut work = core.works.take_or(Work::new);
        let refusal = Refusal { slug: Slug::PlainOnTlsPort, detail: "", size: 0 };
        driver::refuse(connection, &mut work, &snapshot, index, started, refusal).await;
        crate::connection::drain(connection, &mut work).await;
        if let Some(work) = work.recycled() {
            core.works.give(work);
        }
    }
    Greeted::Over
}

async fn first_byte(stream: &TcpStream) -> io::Result<u8> {
    let mut first = [0; 1];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0]),
    }
}

/// Reads a PROXY header and not a byte more: what follows may be TLS.
async fn proxy_header(stream: &mut TcpStream) -> Result<ProxyHeader, &'static str> {
    let mut bytes = vec![0; MAX_PROXY_HEADER];
    let mut taken = 0;
    loop {
        let seen = stream.peek(&mut bytes[taken..]).await.map_err(|_| "connection_lost")?;
        if seen == 0 {
            return Err("closed");
        }
        // While the header is incomplete all that has come belongs to it.
        let (end, header) = match decode_proxy_header(&bytes[..taken + seen]) {
            Ok(Step::Done(header, length)) => (length, Some(header)),
            Ok(Step::Incomplete) => (taken + seen, None),
            Err(error) => return Err(detail_of(error)),
        };
        stream.read_exact(&mut bytes[taken..end]).await.map_err(|_| "connection_lost")?;
        taken = end;
        match header {
            Some(header) => return Ok(header),
            None if taken == bytes.len() => return Err("too_long"),
            None => {}
        }
    }
}

fn detail_of(error: ProxyHeaderError) -> &'static str {
    match error {
        ProxyHeaderError::Signature => "no_header",
        ProxyHeaderError::Line => "bad_line",
        ProxyHeaderError::TooLong => "too_long",
        ProxyHeaderError::Command => "unknown_command",
        ProxyHeaderError::Family => "unknown_family",
        ProxyHeaderError::Addresses => "bad_addresses",
        ProxyHeaderError::Extensions => "bad_extensions",
        ProxyHeaderError::Checksum => "bad_checksum",
    }
}
