//! The values of a record by name: one table for JSON keys and template names.

use std::io::Write;

use reviver_flow::{CacheVerdict, Ending, Via};
use reviver_http::{Scheme, TargetForm, Version};

use super::super::wire::{Line, Side};
use super::Format;

/// A value before it is escaped.
pub(super) enum Value<'a> {
    Null,
    Text(&'a [u8]),
    /// A text of our own, which no format has to escape.
    Word(&'static str),
    /// A query and a URL: masked when written.
    Query(&'a [u8]),
    Url(&'a [u8]),
    Ip(std::net::IpAddr),
    Socket(std::net::SocketAddr),
    Number(u64),
    Bool(bool),
    /// Microseconds, written as milliseconds with three decimals.
    Micros(u64),
    /// Milliseconds since the Unix epoch.
    Time(u64),
    Fields(Side),
}

/// What is shown the values of a record in order.
pub(super) trait Visitor {
    fn value(&mut self, key: &'static [u8], value: Value<'_>);
}

macro_rules! keys {
    ($($variant:ident $name:literal;)+) => {
        /// A value's name, in the order in which JSON has them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::log) enum Key {
            $($variant,)+
        }

        impl Key {
            pub(in crate::log) const ALL: &[Key] = &[$(Key::$variant,)+];

            pub(in crate::log) fn name(self) -> &'static str {
                match self {
                    $(Key::$variant => $name,)+
                }
            }

            /// Shows each value with its key as JSON has it between two values. One call a key, and no loop:
            /// so a key is a constant where it is copied, and of a value only what it can be is looked at.
            #[inline(always)]
            pub(super) fn each<'a>(line: &Line<'a>, visitor: &mut impl Visitor) {
                $(visitor.value(concat!(",\"", $name, "\":").as_bytes(), Key::$variant.value(line));)+
            }
        }
    };
}

keys! {
    Time "time";
    Listener "listener";
    Client "client";
    ClientPort "client_port";
    User "user";
    Method "method";
    Scheme "scheme";
    Host "host";
    Port "port";
    Path "path";
    Query "query";
    Protocol "protocol";
    Tls "tls";
    Sni "sni";
    ClientCertificate "client_certificate";
    Route "route";
    Split "split";
    Variant "variant";
    Pool "pool";
    Server "server";
    Upstream "upstream";
    UpstreamConnection "upstream_connection";
    Status "status";
    UpstreamStatus "upstream_status";
    Reason "reason";
    Detail "detail";
    At "at";
    Limit "limit";
    Cache "cache";
    CacheReason "cache_reason";
    CacheAge "cache_age";
    Ending "ending";
    Attempts "attempts";
    Tunnel "tunnel";
    BytesIn "bytes_in";
    BytesOut "bytes_out";
    RequestBody "request_body";
    ResponseBody "response_body";
    DurationMs "duration_ms";
    HeadMs "head_ms";
    DecideMs "decide_ms";
    ConnectMs "connect_ms";
    FirstByteMs "first_byte_ms";
    UserAgent "user_agent";
    Referer "referer";
    RequestHeaders "request_headers";
    ResponseHeaders "response_headers";
}

impl Key {
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.name() == name)
    }

    #[inline(always)]
    pub(super) fn value<'a>(self, line: &Line<'a>) -> Value<'a> {
        let text = |text: Option<&'a [u8]>| text.map_or(Value::Null, Value::Text);
        let word = |word: Option<&'static str>| word.map_or(Value::Null, Value::Word);
        let filled = |text: &'a [u8]| if text.is_empty() { Value::Null } else { Value::Text(text) };
        let status = |status: u16| if status == 0 { Value::Null } else { Value::Number(status.into()) };
        match self {
            Key::Time => Value::Time(line.started_ms),
            Key::Listener => Value::Text(line.listener),
            Key::Client => Value::Ip(line.client),
            Key::ClientPort => Value::Number(line.client_port.into()),
            Key::User => text(line.user),
            Key::Method => filled(line.method),
            Key::Scheme => word(scheme(line)),
            Key::Host => filled(line.host),
            Key::Port => line.port.map_or(Value::Null, |port| Value::Number(port.into())),
            Key::Path => filled(line.path),
            Key::Query => line.query.map_or(Value::Null, Value::Query),
            Key::Protocol => word(protocol(line)),
            Key::Tls => text(line.tls),
            Key::Sni => text(line.sni),
            Key::ClientCertificate => text(line.client_certificate),
            Key::Route => text(line.route),
            Key::Pool => text(line.pool),
            Key::Split => text(line.split),
            Key::Variant => text(line.variant),
            Key::Limit => text(line.limit),
            Key::Server => text(line.server),
            Key::Upstream => line.upstream.map_or(Value::Null, Value::Socket),
            Key::UpstreamConnection => match line.via {
                Via::None => Value::Null,
                Via::New => Value::Word("new"),
                Via::Reused => Value::Word("reused"),
            },
            Key::Status => status(line.status),
            Key::UpstreamStatus => status(line.upstream_status),
            Key::Reason => Value::Word(line.slug.name()),
            Key::Detail => text(line.detail),
            Key::At => text(line.place),
            Key::Cache => word(line.cache.map(CacheVerdict::name)),
            Key::CacheReason => word(line.cache.map(|_| line.cache_reason)),
            Key::CacheAge => line.cache_age.map_or(Value::Null, |age| Value::Number(age.into())),
            Key::Ending => Value::Word(match line.ending {
                Ending::Complete => "complete",
                Ending::ClientAborted => "client_aborted",
                Ending::UpstreamAborted => "upstream_aborted",
                Ending::Expired => "expired",
            }),
            Key::Attempts => Value::Number(line.attempts.into()),
            Key::Tunnel => Value::Bool(line.tunnel),
            Key::BytesIn => Value::Number(line.bytes_in),
            Key::BytesOut => Value::Number(line.bytes_out),
            Key::RequestBody => Value::Number(line.request_body),
            Key::ResponseBody => Value::Number(line.response_body),
            Key::DurationMs => Value::Micros(line.total),
            Key::HeadMs => Value::Micros(line.head_time.into()),
            Key::DecideMs => Value::Micros(line.decide.into()),
            Key::ConnectMs if line.via == Via::None && line.connect == 0 => Value::Null,
            Key::ConnectMs => Value::Micros(line.connect.into()),
            Key::FirstByteMs => line.first_byte.map_or(Value::Null, |t| Value::Micros(t.into())),
            Key::UserAgent => text(line.user_agent),
            Key::Referer => line.referer.map_or(Value::Null, Value::Url),
            Key::RequestHeaders => Value::Fields(Side::Request),
            Key::ResponseHeaders => Value::Fields(Side::Response),
        }
    }
}

/// None where no head was read, and for CONNECT, which has no scheme.
pub(super) fn scheme(line: &Line<'_>) -> Option<&'static str> {
    (line.has_head && line.form != TargetForm::Authority).then_some(match line.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    })
}

pub(super) fn protocol(line: &Line<'_>) -> Option<&'static str> {
    if line.socks {
        return Some("SOCKS5");
    }
    line.has_head.then_some(match line.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2.0",
    })
}

/// Appends `host` or `host:port`, IPv6 addresses in brackets.
pub(super) fn authority(line: &Line<'_>, out: &mut Vec<u8>) {
    if line.host.contains(&b':') {
        out.push(b'[');
        out.extend_from_slice(line.host);
        out.push(b']');
    } else {
        out.extend_from_slice(line.host);
    }
    if let Some(port) = line.port {
        out.push(b':');
        number(port.into(), out);
    }
}

/// Appends the request target as the client gave it, its query masked; not escaped.
pub(super) fn target(format: &Format, line: &Line<'_>, out: &mut Vec<u8>) {
    match line.form {
        TargetForm::Authority => return authority(line, out),
        TargetForm::Absolute => url_origin(line, out),
        TargetForm::Origin | TargetForm::Asterisk => {}
    }
    path_and_query(format, line, out);
}

/// Appends `scheme://authority`.
pub(super) fn url_origin(line: &Line<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(scheme(line).unwrap_or("http").as_bytes());
    out.extend_from_slice(b"://");
    authority(line, out);
}

pub(super) fn path_and_query(format: &Format, line: &Line<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(line.path);
    if let Some(query) = line.query {
        out.push(b'?');
        format.redact.query(query, out);
    }
}

pub(super) fn number(number: u64, out: &mut Vec<u8>) {
    if number < 10 {
        return out.push(b'0' + number as u8);
    }
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends microseconds as milliseconds: `1.234`.
pub(super) fn millis(micros: u64, out: &mut Vec<u8>) {
    number(micros / 1000, out);
    let [a, b, c] = super::super::clock::digits3(micros % 1000);
    out.extend_from_slice(&[b'.', a, b, c]);
}

/// Appends an address; the common IPv4 without the formatting machinery.
pub(super) fn ip(address: std::net::IpAddr, out: &mut Vec<u8>) {
    let std::net::IpAddr::V4(v4) = address else {
        // writing to a vector does not fail
        return drop(write!(out, "{address}"));
    };
    let mut text = [b'.'; 16];
    let mut end = 0;
    for octet in v4.octets() {
        let zeros = if octet < 10 { 2 } else { usize::from(octet < 100) };
        for digit in &super::super::clock::digits3(octet.into())[zeros..] {
            text[end] = *digit;
            end += 1;
        }
        // the point stands there already
        end += 1;
    }
    out.extend_from_slice(&text[..end - 1]);
}

/// Appends `address:port`, IPv6 addresses in brackets.
pub(super) fn socket(address: std::net::SocketAddr, out: &mut Vec<u8>) {
    if address.is_ipv6() {
        return drop(write!(out, "{address}"));
    }
    ip(address.ip(), out);
    out.push(b':');
    number(address.port().into(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_each_value_in_order() {
        let page = include_str!("../../../../../docs/logs.md");
        let table = page.split_once("| key |").unwrap().1.split("\n\n").next().unwrap();
        let rows = table.lines().skip(2).filter_map(|row| row.strip_prefix("| `")?.split_once('`'));
        let documented: Vec<&str> = rows.map(|(name, _)| name).collect();
        assert_eq!(documented, Key::ALL.iter().map(|key| key.name()).collect::<Vec<_>>());
    }
}
