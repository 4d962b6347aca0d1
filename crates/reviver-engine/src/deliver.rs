//! What goes to a client outside of a relay: heads, interim responses, short answers.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_flow::{BodyPlan, Flow, Sent, Slug};
use reviver_http::{H1Sink, Version, reason_phrase, write_status_line};

use crate::connection::Connection;
use crate::exchange::Trouble;
use crate::http2::{head_size, response_for_client};
use crate::work::Work;

/// Bytes of interim responses in one flow: they have no flow control of their own.
const MOST_INTERIM: u64 = 64 * 1024;

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
    if work.interim_bytes > MOST_INTERIM {
        return Err(Trouble::upstream(Slug::ResponseInvalid, Sent::Body));
    }
    if let Some(stream) = connection.stream.http2() {
        let response = response_for_client(flow, &work.request, &work.response, None);
        let size = head_size(&response);
        work.interim_bytes += size;
        return stream.inform(response).map(|()| size).map_err(|_| Trouble::ClientGone);
    }
    let mut out = std::mem::take(&mut work.to_client);
    out.clear();
    write_head(&mut out, work, flow, None);
    let delivered = write_all(connection, &out).await;
    let length = out.len() as u64;
    work.interim_bytes += length;
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
            match connection.stream.poll_write(cx, &bytes[written..], false) {
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
        connection.stream.poll_flush(cx).map(|flushed| flushed.is_ok())
    })
    .await
}
