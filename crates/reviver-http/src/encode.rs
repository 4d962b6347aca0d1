//! Heads and chunk frames as bytes.

use crate::Field;

/// Where the fields of a rewritten head go: bytes for HTTP/1, a header list for HTTP/2.
pub trait FieldSink {
    fn field(&mut self, name: &[u8], value: &[u8]);

    /// Whole lines, CRLF included, as they stood in a head that was checked.
    fn lines(&mut self, lines: &[u8]);
}

/// What becomes of a field on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate<'a> {
    Pass,
    Drop,
    /// Another value in its place.
    Replace(&'a [u8]),
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

    #[inline]
    fn lines(&mut self, lines: &[u8]) {
        self.0.extend_from_slice(lines);
    }
}

/// Writes the fields of a head as `fate` decides. Neighbours that pass are copied as one run.
pub(crate) fn pass_fields<'f>(
    bytes: &[u8],
    fields: &[Field],
    sink: &mut impl FieldSink,
    mut fate: impl FnMut(&Field) -> Fate<'f>,
) {
    let mut run = 0..0;
    for field in fields {
        let fate = fate(field);
        if fate == Fate::Pass {
            // neighbours in the table are neighbours in the head
            let start = if run.is_empty() { field.name.start as usize } else { run.start };
            run = start..line_end(bytes, field);
            continue;
        }
        sink.lines(&bytes[std::mem::take(&mut run)]);
        if let Fate::Replace(value) = fate {
            sink.field(field.name.of(bytes), value);
        }
    }
    sink.lines(&bytes[run]);
}

/// The end of a field's line: behind its value stand only white space and CRLF.
fn line_end(bytes: &[u8], field: &Field) -> usize {
    let end = field.value.end();
    end + bytes[end..].iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1)
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

/// The line before the data of a chunk (RFC 9112, section 7.1). After the data comes `\r\n`. A length of 0 is
/// the end of the content and is for [`write_last_chunk`].
pub fn write_chunk_head(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "a chunk without data ends the content");
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut line = [0; 18];
    let mut at = 16;
    let mut rest = len;
    line[16..].copy_from_slice(b"\r\n");
    while rest > 0 {
        at -= 1;
        line[at] = DIGITS[rest & 15];
        rest >>= 4;
    }
    out.extend_from_slice(&line[at..]);
}

/// The end of chunked content: the last chunk, the trailers and the empty line.
pub fn write_last_chunk<'a>(out: &mut Vec<u8>, trailers: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    out.extend_from_slice(b"0\r\n");
    let mut sink = H1Sink(out);
    for (name, value) in trailers {
        sink.field(name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Reason phrase of a status code as IANA has registered it; empty for all others.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        104 => "Upload Resumption Supported",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}
