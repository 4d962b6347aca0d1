//! Squid's native access log:
//! `%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt`.

use std::io::Write;

use reviver_flow::{CacheVerdict, Ending, Fault, Slug, Via};
use reviver_http::TargetForm;

use super::super::wire::Line;
use super::apache::status;
use super::values::{self, number};
use super::{Format, escape};

pub(super) fn write(format: &Format, line: &Line<'_>, out: &mut Vec<u8>) {
    let elapsed = line.total / 1000;
    // Squid's time is that of the end
    let ended = line.started_ms.saturating_add(elapsed);
    let (kind, suffix) = result(line);
    // writing to a vector does not fail
    let _ = write!(
        out,
        "{}.{:03} {:6} {} {kind}{suffix}/{:03} ",
        ended / 1000,
        ended % 1000,
        elapsed,
        line.client,
        if line.ending == Ending::ClientAborted && line.status == 0 { 0 } else { status(line) },
    );
    number(line.bytes_out, out);
    out.push(b' ');
    escape::percent(if line.has_head { line.method } else { b"NONE" }, out);
    out.push(b' ');
    let mut url = Vec::new();
    url_of(format, line, &mut url);
    escape::percent(&url, out);
    out.push(b' ');
    escape::percent(line.user.filter(|u| !u.is_empty()).unwrap_or(b"-"), out);
    match line.upstream {
        Some(address) => {
            out.extend_from_slice(if line.pool.is_some() { b" ROUNDROBIN_PARENT/" } else { b" HIER_DIRECT/" });
            values::ip(address.ip(), out);
            out.push(b' ');
        }
        None => out.extend_from_slice(b" HIER_NONE/- "),
    }
    let media = line.content_type.and_then(|t| t.split(|b| *b == b';').next()).map(<[u8]>::trim_ascii);
    escape::percent(media.filter(|m| !m.is_empty()).unwrap_or(b"-"), out);
}

/// What Squid calls the result, as near as its vocabulary comes.
fn result(line: &Line<'_>) -> (&'static str, &'static str) {
    let suffix = match line.ending {
        Ending::ClientAborted => "_ABORTED",
        Ending::Expired => "_TIMEDOUT",
        Ending::Complete | Ending::UpstreamAborted => "",
    };
    let denied = matches!(
        line.slug,
        Slug::ClientNotAllowed
            | Slug::AuthRequired
            | Slug::AuthFailed
            | Slug::ConnectPort
            | Slug::PrivateDestination
            | Slug::MethodNotAllowed
            | Slug::LoopDetected
    );
    let kind = if denied {
        "TCP_DENIED"
    } else if line.tunnel {
        "TCP_TUNNEL"
    } else if line.cache == Some(CacheVerdict::Revalidated) {
        "TCP_REFRESH_UNMODIFIED"
    } else if line.cache == Some(CacheVerdict::Stale) {
        "TCP_STALE_HIT"
    } else if line.via != Via::None || line.slug.row().fault == Fault::Upstream {
        "TCP_MISS"
    } else if !line.has_head || line.slug == Slug::Purged || line.slug.row().fault == Fault::Client {
        "NONE_NONE"
    } else {
        // made here, without asking anyone
        "TCP_MEM_HIT"
    };
    (kind, suffix)
}

fn url_of(format: &Format, line: &Line<'_>, out: &mut Vec<u8>) {
    if !line.has_head {
        return out.extend_from_slice(b"error:invalid-request");
    }
    match line.form {
        TargetForm::Authority => return values::authority(line, out),
        TargetForm::Asterisk if line.host.is_empty() => return out.push(b'*'),
        TargetForm::Origin if line.host.is_empty() => {}
        _ => values::url_origin(line, out),
    }
    values::path_and_query(format, line, out);
}
