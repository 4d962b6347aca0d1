//! Bytes of one head to a checked [`RequestHead`] or [`ResponseHead`].
//!
//! `httparse` splits the head; what it lets pass that RFC 9112 does not (bare LF, octets beyond ASCII in the
//! target) is checked here, and why it refused is found out by [`diagnose`], off the common path.

use std::mem::MaybeUninit;

use memchr::memchr;

use crate::diagnose::diagnose;
use crate::fields::{Seen, classify, connection};
use crate::framing::{content_length, request_framing, response_framing};
use crate::grammar::list;
use crate::head::{Field, FieldKind, HeadLimits, Method, RequestHead, ResponseHead, Span, Version};
use crate::scan::skip_empty_lines;
use crate::{Framing, ParseError, target};

/// No registered method is half as long.
pub(crate) const MAX_METHOD: usize = 32;

/// Fields of the head under the parser's hands; on the stack, and not written before it does.
type RawFields<'a> = [MaybeUninit<httparse::Header<'a>>; HeadLimits::MAX_FIELDS];

/// Decodes exactly one request head, with its final empty line; up to two empty lines before it are skipped.
/// The head's memory is reused, and its content is unspecified after an error.
///
/// # Errors
/// What RFC 9110 and 9112 forbid and what two parsers could read differently; see [`ParseError::status`].
pub fn decode_request(buf: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<(), ParseError> {
    head.clear();
    let buf = &buf[skip_empty_lines(buf)?..];
    let line = first_line(buf)?;
    let [.., b' ', v0, v1, v2, v3, v4, v5, v6, v7] = *line else {
        return Err(ParseError::BadVersion);
    };
    let version = version([v0, v1, v2, v3, v4, v5, v6, v7])?;
    head.version = version;
    head.bytes.extend_from_slice(buf);
    settle_minor(&mut head.bytes, line.len() - 1, version);

    let mut raw: RawFields<'_> = [const { MaybeUninit::uninit() }; HeadLimits::MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let most = limits.fields.min(HeadLimits::MAX_FIELDS);
    let length = match request.parse_with_uninit_headers(&head.bytes, &mut raw[..most]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err(ParseError::IncompleteHead),
        Err(error) => return Err(diagnose(&head.bytes, error, ParseError::BadRequestLine)),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(ParseError::BadRequestLine);
    };
    if method.len() > MAX_METHOD {
        return Err(ParseError::MethodTooLong);
    }
    if target.len() > limits.target {
        return Err(ParseError::TargetTooLong);
    }
    head.method = Method::from_bytes(method.as_bytes());
    head.method_text = Span::within(&head.bytes, method.as_bytes());
    head.target = Span::within(&head.bytes, target.as_bytes());
    let seen = table(&head.bytes, length, request.headers, &mut head.fields)?;
    settle_request(head, seen)
}

/// Decodes exactly one response head, the answer to a request of that method. As [`decode_request`].
///
/// # Errors
/// As [`decode_request`]; an upstream that causes one has failed (502).
pub fn decode_response(
    buf: &[u8],
    request_method: Method,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<(), ParseError> {
    head.clear();
    let line = first_line(buf)?;
    let Some((version_text, rest)) = line.split_first_chunk::<8>() else {
        return Err(ParseError::BadStatusLine);
    };
    let version = version(*version_text)?;
    head.version = version;
    head.bytes.extend_from_slice(buf);
    settle_minor(&mut head.bytes, version_text.len() - 1, version);

    let mut raw: RawFields<'_> = [const { MaybeUninit::uninit() }; HeadLimits::MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let most = limits.fields.min(HeadLimits::MAX_FIELDS);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        &head.bytes,
        &mut raw[..most],
    );
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err(ParseError::IncompleteHead),
        Err(error) => return Err(diagnose(&head.bytes, error, ParseError::BadStatusLine)),
    };
    // RFC 9110, section 15: a status below 100 is invalid; beyond 599 it is relayed as it is
    head.status = response.code.filter(|&status| status >= 100).ok_or(ParseError::BadStatusLine)?;
    // a space, three digits, and the reason after one more space
    head.reason = if rest.len() > 5 { Span::range(13, line.len()) } else { Span::default() };
    let seen = table(&head.bytes, length, response.headers, &mut head.fields)?;
    settle_response(head, request_method, seen)
}

/// The first line without its CRLF.
fn first_line(buf: &[u8]) -> Result<&[u8], ParseError> {
    let end = memchr(b'\n', buf).ok_or(ParseError::IncompleteHead)?;
    buf[..end].strip_suffix(b"\r").ok_or(ParseError::BareLf)
}

/// RFC 9112, section 2.3. A minor version beyond 1 is one that this proxy does not know and may take for 1.1
/// (RFC 9110, section 2.5).
fn version(text: [u8; 8]) -> Result<Version, ParseError> {
    match text {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'] => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(ParseError::UnsupportedVersion),
        _ => Err(ParseError::BadVersion),
    }
}

/// Writes the minor version that the head is read as, since `httparse` knows only 0 and 1.
fn settle_minor(bytes: &mut [u8], at: usize, version: Version) {
    if version == Version::Http11 {
        bytes[at] = b'1';
    }
}

/// Makes the table of fields.
fn table(
    bytes: &[u8],
    length: usize,
    raw: &[httparse::Header<'_>],
    fields: &mut Vec<Field>,
) -> Result<Seen, ParseError> {
    if length != bytes.len() {
        return Err(ParseError::IncompleteHead);
    }
    let mut seen = Seen::default();
    for header in raw {
        let name = Span::within(bytes, header.name.as_bytes());
        let value = Span::within(bytes, header.value);
        // the line before this one, and below the last line, ended in CRLF: httparse takes a bare LF too
        if bytes[name.start as usize - 2] != b'\r' {
            return Err(ParseError::BareLf);
        }
        let kind = classify(header.name.as_bytes());
        match kind {
            FieldKind::Other => {}
            FieldKind::Host if seen.has(kind) => return Err(ParseError::DuplicateHost),
            FieldKind::ContentLength if !plainly_spaced(bytes, name, value) => {
                return Err(ParseError::BadContentLength);
            }
            FieldKind::TransferEncoding if !plainly_spaced(bytes, name, value) => {
                return Err(ParseError::BadTransferEncoding);
            }
            _ => {}
        }
        seen.add(kind);
        fields.push(Field { name, value, kind });
    }
    if bytes.ends_with(b"\r\n\r\n") { Ok(seen) } else { Err(ParseError::BareLf) }
}

/// Whether only spaces surround the value. A tab is legal there, but has long been read as a part of the value
/// by some, which makes framing ambiguous.
fn plainly_spaced(bytes: &[u8], name: Span, value: Span) -> bool {
    let before = bytes.get(name.end() + 1..value.start as usize).unwrap_or_default();
    let after = bytes[value.end()..].iter().take_while(|&&byte| byte != b'\r');
    before.iter().chain(after).all(|&byte| byte == b' ')
}

/// What the fields of a request say together.
fn settle_request(head: &mut RequestHead, seen: Seen) -> Result<(), ParseError> {
    settle_fields(head, seen)?;
    if seen.has(FieldKind::ContentLength) || seen.has(FieldKind::TransferEncoding) {
        let (codings, lengths) = (head.values(FieldKind::TransferEncoding), head.values(FieldKind::ContentLength));
        head.framing = request_framing(head.method, head.version, codings, lengths)?;
    }
    let persistence = connection(&head.bytes, &mut head.fields, seen)?;
    head.keep_alive = persistence.keep_alive(head.version);
    // RFC 9110, section 7.8: Upgrade in an HTTP/1.0 request is ignored
    head.upgrade = persistence.upgrade && head.version == Version::Http11 && seen.has(FieldKind::Upgrade);
    Ok(())
}

/// What the fields say in every version: all but framing and the connection.
pub(crate) fn settle_fields(head: &mut RequestHead, seen: Seen) -> Result<(), ParseError> {
    let host = if seen.has(FieldKind::Host) { target::host_field(head) } else { None };
    target::read(head, host)?;
    if seen.has(FieldKind::Expect) {
        head.expect_continue = expects_continue(head)?;
    }
    head.te_trailers = seen.has(FieldKind::Te) && takes_trailers(head);
    if seen.has(FieldKind::MaxForwards) && matches!(head.method, Method::Trace | Method::Options) {
        head.max_forwards = Some(max_forwards(head)?);
    }
    Ok(())
}

/// RFC 9110, section 10.1.1: the only expectation there is, ignored in HTTP/1.0.
fn expects_continue(head: &RequestHead) -> Result<bool, ParseError> {
    let mut expected = false;
    for expectation in head.values(FieldKind::Expect).flat_map(list) {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(ParseError::ExpectationFailed);
        }
        expected = head.version > Version::Http10;
    }
    Ok(expected)
}

/// RFC 9110, section 10.1.4.
fn takes_trailers(head: &RequestHead) -> bool {
    let mut codings = head.values(FieldKind::Te).flat_map(list);
    codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// RFC 9110, section 7.6.2; a number beyond 32 bits stands for the largest one.
fn max_forwards(head: &RequestHead) -> Result<u32, ParseError> {
    let mut values = head.values(FieldKind::MaxForwards);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ParseError::BadMaxForwards);
    };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(ParseError::BadMaxForwards);
    }
    Ok(value.iter().fold(0u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0'))))
}

/// What the fields of a response say together.
fn settle_response(head: &mut ResponseHead, request_method: Method, seen: Seen) -> Result<(), ParseError> {
    let declared = seen.has(FieldKind::ContentLength) || seen.has(FieldKind::TransferEncoding);
    let (codings, lengths) = (head.values(FieldKind::TransferEncoding), head.values(FieldKind::ContentLength));
    head.framing = response_framing(request_method, head.status, head.version, codings, lengths)?;
    let persistence = connection(&head.bytes, &mut head.fields, seen)?;
    head.keep_alive = persistence.keep_alive(head.version)
        && head.framing != Framing::UntilClose
        && !(declared && head.status == 204 && claims_content(head));
    Ok(())
}

/// RFC 9112, section 6.1 and RFC 9110, section 8.6 forbid framing fields in a 204. Servers that send them may
/// send content too, so that the connection is not used again.
fn claims_content(head: &ResponseHead) -> bool {
    head.values(FieldKind::TransferEncoding).next().is_some()
        || head.values(FieldKind::ContentLength).any(|value| content_length(value) != Ok(0))
}
