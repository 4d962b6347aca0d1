//! Heads and chunk frames as bytes.

use crate::Version;

/// Where the fields of a rewritten head go: bytes for HTTP/1, a header list for HTTP/2.
pub trait FieldSink {
    fn field(&mut self, name: &[u8], value: &[u8]);
}

/// Writes fields as HTTP/1 lines to the end of a buffer.
pub struct H1Sink<'a>(pub &'a mut Vec<u8>);

impl FieldSink for H1Sink<'_> {
    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        let out = &mut *self.0;
        out.reserve(name.len() + value.len() + 4);
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

pub fn write_request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// The proxy always answers as HTTP/1.1 (RFC 9110, section 2.5), whatever the request's minor version.
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(digits.format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}
