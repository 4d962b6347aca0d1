//! Apache's `common` and `combined` (mod_log_config), strictly, so that tools made for them read these.
//!
//! `%h %l %u %t "%r" %>s %b` and for combined `"%{Referer}i" "%{User-agent}i"`.

use super::super::clock::Clock;
use super::super::wire::Line;
use super::values::{self, number};
use super::{Format, escape};

pub(super) fn common(format: &Format, line: &Line<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    values::ip(line.client, out);
    out.extend_from_slice(b" - ");
    match line.user {
        // Apache's own way to tell an empty name from none
        Some(b"") => out.extend_from_slice(b"\"\""),
        Some(user) => escape::apache_word(user, out),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" [");
    clock.apache(line.started_ms, out);
    out.extend_from_slice(b"] \"");
    request_line(format, line, out);
    out.extend_from_slice(b"\" ");
    match status(line) {
        0 => out.push(b'-'),
        status => number(status.into(), out),
    }
    out.push(b' ');
    match line.response_body {
        0 => out.push(b'-'),
        bytes => number(bytes, out),
    }
}

pub(super) fn combined(format: &Format, line: &Line<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    common(format, line, clock, out);
    let mut referer = Vec::new();
    if let Some(url) = line.referer {
        format.redact.url(url, &mut referer);
    }
    for value in [line.referer.map(|_| referer.as_slice()), line.user_agent] {
        out.extend_from_slice(b" \"");
        escape::apache(value.unwrap_or(b"-"), out);
        out.push(b'"');
    }
}

/// The status sent, or where none was the one that says why: 499 for a client that went away.
pub(super) fn status(line: &Line<'_>) -> u16 {
    if line.status == 0 { line.slug.row().status } else { line.status }
}

fn request_line(format: &Format, line: &Line<'_>, out: &mut Vec<u8>) {
    if !line.has_head {
        return out.push(b'-');
    }
    let mut target = Vec::new();
    values::target(format, line, &mut target);
    escape::apache(line.method, out);
    out.push(b' ');
    escape::apache_word(&target, out);
    out.push(b' ');
    out.extend_from_slice(values::protocol(line).unwrap_or("-").as_bytes());
}
