//! Writes the answers that the proxy makes itself.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_flow::{Answer, Flow, Page, Slug};
use reviver_http::{FieldSink, Framing, H1Sink, Method, RequestHead, Version, socks, write_status_line};

use crate::connection::{Connection, head_limits};
use crate::deliver::write_all;
use crate::driver::{ClientProtocol, Then};
use crate::http2::{HeaderSink, head_size, respond};
use crate::pump::Pump;
use crate::work::Work;

/// An unread request body up to this size is read over, so that the connection can go on.
const READ_OVER: u64 = 256 * 1024;

pub struct Written {
    pub bytes: u64,
    /// Of these, the body.
    pub body: u64,
    pub delivered: bool,
    pub then: Then,
}

/// Answers a request whose head was taken; `unread` is what of its body has not been read.
pub async fn write(
    connection: &mut Connection,
    work: &mut Work,
    flow: &Flow<'_>,
    answer: Answer,
    protocol: ClientProtocol,
    detail: &str,
    unread: Framing,
) -> Written {
    if protocol == ClientProtocol::Socks5 {
        let mut out = Vec::new();
        socks::write_reply(&mut out, socks_reply(answer), None);
        let delivered = write_all(connection, &out).await;
        return Written { bytes: out.len() as u64, body: 0, delivered, then: Then::Drain };
    }
    let head = &work.request;
    let framing_known = match answer {
        Answer::Error(reason) => !spoils_framing(reason.slug, detail),
        _ => true,
    };
    if connection.stream.is_http2() {
        // What is left of the request is given up with its stream.
        let page = flow.page(answer, Some(head));
        return deliver_http2(connection, &page, Some(head.method)).await;
    }
    // A body that waits for `100 Continue` may or may not come: the connection cannot go on.
    let body_stays = unread != Framing::None && (head.expect_continue || !small(unread));
    let keep = head.keep_alive && framing_known && !body_stays && connection.may_keep_alive();
    let mut written = deliver(connection, work, &flow.page(answer, Some(head)), true, keep).await;
    written.then = match (keep && written.delivered, unread) {
        (false, Framing::None) if framing_known => Then::after_last(work),
        (false, _) => Then::Drain,
        (true, Framing::None) => Then::KeepAlive,
        (true, _) if read_over(connection, work, flow).await => Then::KeepAlive,
        (true, _) => Then::Drain,
    };
    written
}

/// Answers a request whose head could not be taken; the connection ends.
pub async fn write_refusal(connection: &mut Connection, work: &mut Work, flow: &Flow<'_>, answer: Answer) -> Written {
    let page = flow.page(answer, None);
    if connection.stream.is_http2() {
        return deliver_http2(connection, &page, None).await;
    }
    deliver(connection, work, &page, false, false).await
}

/// Writes an answer as the whole of a stream.
async fn deliver_http2(connection: &mut Connection, page: &Page<'_>, method: Option<Method>) -> Written {
    let mut sink = HeaderSink::default();
    let mut date = Vec::new();
    connection.core.write_date(Instant::now(), &mut date);
    sink.field(b"date", &date);
    page.write_fields(&mut sink);
    write_length(page, &mut sink);
    let bodied = Flow::page_has_body(page.status, method) && !page.body.is_empty();
    let response = respond(page.status, sink.fields);
    let mut bytes = head_size(&response);
    connection.answering = true;
    let mut delivered = connection.stream.http2().is_some_and(|s| s.respond(response, !bodied).is_ok());
    if bodied && delivered {
        bytes += page.body.len() as u64;
        delivered = write_all(connection, &page.body).await && connection.stream.finish(None).is_ok();
    }
    let body = if bodied { page.body.len() as u64 } else { 0 };
    Written { bytes, body, delivered, then: Then::KeepAlive }
}

/// A 204 has no length; a HEAD tells the one that GET would have (RFC 9110, section 8.6).
fn write_length(page: &Page<'_>, sink: &mut impl FieldSink) {
    let own_length = page.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if page.status >= 200 && page.status != 204 && page.status != 304 && !own_length {
        sink.field(b"Content-Length", itoa::Buffer::new().format(page.body.len()).as_bytes());
    }
}

/// Writes an answer whole; `headed` says that it answers the head that stands in `work`.
async fn deliver(connection: &mut Connection, work: &mut Work, page: &Page<'_>, headed: bool, keep: bool) -> Written {
    let mut out = std::mem::take(&mut work.to_client);
    out.clear();
    let body = render(&mut out, connection, page, headed.then_some(&work.request), keep);
    let delivered = write_all(connection, &out).await;
    let bytes = out.len() as u64;
    out.clear();
    work.to_client = out;
    Written { bytes, body, delivered, then: Then::Drain }
}

/// After these it is not known where the next request begins, or the body is not worth reading.
fn spoils_framing(slug: Slug, detail: &str) -> bool {
    !detail.is_empty()
        || matches!(
            slug,
            Slug::BadRequest
                | Slug::BodyTimeout
                | Slug::BodyTooLarge
                | Slug::HeadTimeout
                | Slug::ClientNotAllowed
                | Slug::InternalError
        )
}

fn small(framing: Framing) -> bool {
    match framing {
        Framing::Length(length) => length <= READ_OVER,
        Framing::UntilClose => false,
        Framing::None | Framing::Chunked => true,
    }
}

/// Appends the whole answer; gives the length of its body.
fn render(out: &mut Vec<u8>, connection: &Connection, page: &Page<'_>, head: Option<&RequestHead>, keep: bool) -> u64 {
    let bodied = Flow::page_has_body(page.status, head.map(|h| h.method));
    write_status_line(out, page.status, page.reason.as_bytes());
    out.extend_from_slice(b"Date: ");
    connection.core.write_date(Instant::now(), out);
    out.extend_from_slice(b"\r\n");
    let sink = &mut H1Sink(out);
    page.write_fields(sink);
    write_length(page, sink);
    let version = head.map_or(Version::Http11, |h| h.version);
    match (version, keep) {
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    if !bodied {
        return 0;
    }
    out.extend_from_slice(&page.body);
    page.body.len() as u64
}

/// Reads over what is left of a request body. False where the connection cannot go on.
async fn read_over(connection: &mut Connection, work: &mut Work, flow: &Flow<'_>) -> bool {
    let Some((snapshot, index)) = connection.snapshot() else { return false };
    let Some(listener) = snapshot.snapshot.listener(index) else { return false };
    let limits = head_limits(&listener.limits);
    let limit = match flow.body_limit() {
        0 => READ_OVER,
        limit => limit.min(READ_OVER),
    };
    let mut pump = Pump::new(Vec::new(), work.request.framing, Framing::None, limit, &limits);
    connection.timer.set(Instant::now(), Duration::from_millis(listener.timeouts.body_ms));
    poll_fn(|cx| {
        loop {
            if pump.take(&mut work.client_in).is_err() {
                return Poll::Ready(false);
            }
            pump.discard();
            if pump.source_finished() {
                return Poll::Ready(true);
            }
            if !work.client_in.is_empty() {
                continue;
            }
            match connection.stream.poll_read(cx, &mut work.client_in) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending if connection.timer.poll_expired(cx) || connection.core.is_stopping() => {
                    return Poll::Ready(false);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// RFC 1928, section 6.
fn socks_reply(answer: Answer) -> socks::Reply {
    let Answer::Error(reason) = answer else { return socks::Reply::GeneralFailure };
    match reason.slug {
        Slug::ClientNotAllowed
        | Slug::ConnectPort
        | Slug::PrivateDestination
        | Slug::LoopDetected
        | Slug::AuthRequired
        | Slug::AuthFailed => socks::Reply::NotAllowed,
        Slug::DnsError | Slug::DnsTimeout => socks::Reply::HostUnreachable,
        Slug::ConnectionRefused => socks::Reply::ConnectionRefused,
        Slug::Unroutable => socks::Reply::NetworkUnreachable,
        Slug::ConnectionTimeout => socks::Reply::TtlExpired,
        _ => socks::Reply::GeneralFailure,
    }
}
