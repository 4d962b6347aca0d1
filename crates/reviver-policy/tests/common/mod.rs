//! Request heads as clients send them.

use std::net::IpAddr;

use reviver_http::{HeadLimits, RequestHead, decode_request};

const LIMITS: HeadLimits = HeadLimits { head: 65_536, fields: 100, target: 8_192 };

/// A request line without version, and further header lines.
pub fn request(line: &str, host: &str, fields: &[&str]) -> RequestHead {
    let mut text = format!("{line} HTTP/1.1\r\nHost: {host}\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut head = RequestHead::default();
    decode_request(text.as_bytes(), &LIMITS, &mut head).expect("a good request");
    head
}

pub fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
