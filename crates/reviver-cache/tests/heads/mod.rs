//! Heads as clients and upstreams send them, and fields as they are stored.
#![allow(dead_code, reason = "no test needs all")]

use reviver_cache::Meta;
use reviver_http::{HeadLimits, Method, RequestHead, ResponseHead, decode_request, decode_response};

const LIMITS: HeadLimits = HeadLimits { head: 65_536, fields: 200, target: 8_192 };

/// A request line without version, and all header lines.
pub fn request(line: &str, fields: &[&str]) -> RequestHead {
    let text = format!("{line} HTTP/1.1\r\n{}\r\n", stored(fields));
    let mut head = RequestHead::default();
    decode_request(text.as_bytes(), &LIMITS, &mut head).expect("a good request");
    head
}

/// A GET for `http://t/` with these further header lines.
pub fn get(fields: &[&str]) -> RequestHead {
    request("GET /", &[&["Host: t"], fields].concat())
}

/// A response to a GET.
pub fn response(status: u16, fields: &[&str]) -> ResponseHead {
    let text = format!("HTTP/1.1 {status} \r\n{}\r\n", stored(fields));
    let mut head = ResponseHead::default();
    decode_response(text.as_bytes(), Method::Get, &LIMITS, &mut head).expect("a good response");
    head
}

/// Lines with their CRLF.
pub fn stored(fields: &[&str]) -> String {
    fields.iter().map(|field| format!("{field}\r\n")).collect()
}

pub fn meta(status: u16) -> Meta {
    Meta { status, ..Meta::default() }
}

/// 1994-11-06 08:49:37 UTC in milliseconds since the Unix epoch, as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const NOVEMBER: u64 = 784_111_777_000;
