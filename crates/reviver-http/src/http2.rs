//! HTTP/2 heads (RFC 9113, section 8): field lists, as the `h2` crate gives them, to the same checked
//! [`RequestHead`] and [`ResponseHead`] that HTTP/1.1 is decoded to.
//!
//! Rule 1: the fields are written out as HTTP/1 lines in the head's own bytes, so that what passes is copied in
//! runs whatever version it came by. Rule 2: what must not cross into HTTP/1.1 (section 10.3) is an error here
//! and never on its way out.

use crate::fields::{Seen, classify};
use crate::framing::content_length;
use crate::grammar::{is_field_value, is_tchar, is_token, parse_authority};
use crate::head::{Field, FieldKind, HeadLimits, Method, RequestHead, ResponseHead, Scheme, Span, TargetForm, Version};
use crate::{Framing, ParseError, decode};

/// The pseudo-header fields of a request (section 8.3.1, and RFC 8441, section 4).
#[derive(Clone, Copy, Debug, Default)]
pub struct PseudoFields<'a> {
    pub method: &'a [u8],
    pub scheme: Option<&'a [u8]>,
    pub authority: Option<&'a [u8]>,
    /// With the query.
    pub path: Option<&'a [u8]>,
    pub protocol: Option<&'a [u8]>,
}

/// Whom a request is for: a proxy gets whole URIs (RFC 9113, section 8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    Gateway,
    Proxy,
}

/// Checks a request and fills `head` with it. `ended`: no content follows. An extended CONNECT (RFC 8441) becomes
/// the GET with `Upgrade` that it stands for, and is marked as [`RequestHead::extended_connect`].
///
/// # Errors
/// What RFC 9113 calls malformed, and what is no valid HTTP/1.1 request once it is written as one.
pub fn read_http2_request<'f>(
    pseudo: &PseudoFields<'_>,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ended: bool,
    recipient: Recipient,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<(), ParseError> {
    head.clear();
    head.version = Version::Http2;
    head.keep_alive = true;
    let extended = pseudo.protocol.is_some();
    let connect = pseudo.method == b"CONNECT";
    if !is_token(pseudo.method) {
        return Err(ParseError::BadMethod);
    }
    if pseudo.method.len() > decode::MAX_METHOD {
        return Err(ParseError::MethodTooLong);
    }
    // Section 8.5: CONNECT has neither scheme nor path; section 8.3.1: all others, and RFC 8441, have both.
    let located = pseudo.scheme.is_some() && pseudo.path.is_some_and(|path| !path.is_empty());
    let unlocated = pseudo.scheme.is_none() && pseudo.path.is_none();
    if (extended && !connect) || if connect && !extended { !unlocated } else { !located } {
        return Err(ParseError::BadPseudoField);
    }
    if connect && pseudo.authority.is_none() {
        return Err(ParseError::MissingHost);
    }
    // A whole URI here would name another host than `:authority` does.
    if !matches!(pseudo.path, None | Some([b'/', ..] | b"*")) {
        return Err(ParseError::BadTarget);
    }
    if pseudo.protocol.is_some_and(|protocol| !is_token(protocol)) {
        return Err(ParseError::BadPseudoField);
    }
    // RFC 8441, section 4: only what can be translated.
    if pseudo.protocol.is_some_and(|protocol| !protocol.eq_ignore_ascii_case(b"websocket")) {
        return Err(ParseError::UnknownProtocol);
    }
    let method: &[u8] = if extended { b"GET" } else { pseudo.method };
    head.method = Method::from_bytes(method);
    head.extended_connect = extended;
    head.scheme = match pseudo.scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Scheme::Http,
        Some(_) => return Err(ParseError::UnknownScheme),
        None => Scheme::Http,
    };
    head.method_text = head.append(&[method]);
    head.append(&[b" "]);
    head.target = match (connect && !extended, pseudo.path) {
        (false, Some(path)) => head.append(&[path]),
        _ => head.append(&[pseudo.authority.unwrap_or_default()]),
    };
    if head.target.len as usize > limits.target {
        return Err(ParseError::TargetTooLong);
    }
    head.append(&[b" HTTP/2\r\n"]);
    let mut seen = Seen::default();
    if let Some(authority) = pseudo.authority {
        push(&mut head.bytes, &mut head.fields, &mut seen, limits, FieldKind::Host, b"host", authority)?;
    }
    if let Some(protocol) = pseudo.protocol {
        push(&mut head.bytes, &mut head.fields, &mut seen, limits, FieldKind::Upgrade, b"upgrade", protocol)?;
    }
    read_request_fields(pseudo, fields, limits, head, &mut seen)?;
    head.append(&[b"\r\n"]);
    decode::settle_fields(head, seen)?;
    if head.form == TargetForm::Origin && recipient == Recipient::Proxy && !extended {
        head.form = TargetForm::Absolute;
    }
    head.upgrade = extended;
    head.framing = match (declared_length(head.values(FieldKind::ContentLength))?, ended) {
        (Some(_), _) if extended => return Err(ParseError::UnexpectedContent),
        (None, _) if extended => Framing::None,
        (Some(length), true) if length > 0 => return Err(ParseError::BadContentLength),
        // Whether it is empty shows at its end, and no earlier.
        (Some(0), false) => Framing::Chunked,
        (Some(length), _) => Framing::Length(length),
        // RFC 9110, section 8.6: these methods expect content, so that its lack is said.
        (None, true) if matches!(head.method, Method::Post | Method::Put | Method::Patch) => Framing::Length(0),
        (None, true) => Framing::None,
        // A tunnel's bytes are no content.
        (None, false) if connect => Framing::None,
        (None, false) => Framing::Chunked,
    };
    match head.method {
        Method::Trace if !matches!(head.framing, Framing::None | Framing::Length(0)) => {
            Err(ParseError::UnexpectedContent)
        }
        Method::Connect if matches!(head.framing, Framing::Length(_)) => Err(ParseError::UnexpectedContent),
        _ => Ok(()),
    }
}

fn read_request_fields<'f>(
    pseudo: &PseudoFields<'_>,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    limits: &HeadLimits,
    head: &mut RequestHead,
    seen: &mut Seen,
) -> Result<(), ParseError> {
    // Section 8.2.3: a cookie may have been split for better compression.
    let mut cookies: Option<Vec<u8>> = None;
    let mut hosts = 0;
    for (name, value) in fields {
        let kind = classify(name);
        match kind {
            FieldKind::Cookie => {
                check_field(name, value)?;
                let cookies = cookies.get_or_insert_default();
                if !cookies.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(value);
                if cookies.len() > limits.head {
                    return Err(ParseError::HeadTooLarge);
                }
                continue;
            }
            // Section 8.3.1: it must not name another than `:authority` does.
            FieldKind::Host if pseudo.authority.is_some() => {
                check_field(name, value)?;
                hosts += 1;
                if hosts > 1 || !same_authority(pseudo.authority.unwrap_or_default(), value) {
                    return Err(ParseError::DuplicateHost);
                }
                continue;
            }
            FieldKind::Host if seen.has(FieldKind::Host) => return Err(ParseError::DuplicateHost),
            FieldKind::Te if !value.eq_ignore_ascii_case(b"trailers") => return Err(ParseError::ConnectionField),
            FieldKind::Te => {}
            kind if is_connection_specific(kind) => return Err(ParseError::ConnectionField),
            _ => {}
        }
        push(&mut head.bytes, &mut head.fields, seen, limits, kind, name, value)?;
    }
    match cookies {
        Some(cookies) => push(&mut head.bytes, &mut head.fields, seen, limits, FieldKind::Cookie, b"cookie", &cookies),
        None => Ok(()),
    }
}

/// Checks a response and fills `head` with it. `ended`: no content follows.
///
/// # Errors
/// As [`read_http2_request`]; the upstream that sent it has failed (502).
pub fn read_http2_response<'f>(
    status: u16,
    request_method: Method,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ended: bool,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<(), ParseError> {
    // Section 8.6: there is no 101 in HTTP/2.
    if !(100..=999).contains(&status) || status == 101 {
        return Err(ParseError::BadStatusLine);
    }
    read_response_fields(status, fields, limits, head, is_connection_specific)?;
    let length = declared_length(head.values(FieldKind::ContentLength))?;
    let bodiless = request_method == Method::Head || matches!(status, 100..=199 | 204 | 304);
    head.framing = match length {
        _ if bodiless => Framing::None,
        Some(length) => Framing::Length(length),
        None if ended => Framing::Length(0),
        None => Framing::Chunked,
    };
    Ok(())
}

/// Fills `head` with the 101 that an accepted extended CONNECT stands for (RFC 8441, section 5); its `Upgrade` is
/// among the fields.
///
/// # Errors
/// As [`read_http2_response`].
pub fn read_http2_switch<'f>(
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<(), ParseError> {
    read_response_fields(101, fields, limits, head, |kind| kind != FieldKind::Upgrade && is_connection_specific(kind))
}

fn read_response_fields<'f>(
    status: u16,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    limits: &HeadLimits,
    head: &mut ResponseHead,
    is_refused: impl Fn(FieldKind) -> bool,
) -> Result<(), ParseError> {
    head.clear();
    head.version = Version::Http2;
    head.status = status;
    head.keep_alive = true;
    let mut digits = itoa::Buffer::new();
    head.bytes.extend_from_slice(b"HTTP/2 ");
    head.bytes.extend_from_slice(digits.format(status).as_bytes());
    head.bytes.extend_from_slice(b"\r\n");
    let mut seen = Seen::default();
    for (name, value) in fields {
        let kind = classify(name);
        if is_refused(kind) {
            return Err(ParseError::ConnectionField);
        }
        if kind == FieldKind::Host && seen.has(kind) {
            return Err(ParseError::DuplicateHost);
        }
        push(&mut head.bytes, &mut head.fields, &mut seen, limits, kind, name, value)?;
    }
    head.bytes.extend_from_slice(b"\r\n");
    Ok(())
}

/// Whether a field may stand in a trailer section that came by HTTP/2.
pub fn is_http2_trailer(name: &[u8], value: &[u8]) -> bool {
    check_field(name, value).is_ok() && !is_connection_specific(classify(name))
}

fn push(
    bytes: &mut Vec<u8>,
    fields: &mut Vec<Field>,
    seen: &mut Seen,
    limits: &HeadLimits,
    kind: FieldKind,
    name: &[u8],
    value: &[u8],
) -> Result<(), ParseError> {
    check_field(name, value)?;
    if fields.len() >= limits.fields.min(HeadLimits::MAX_FIELDS) {
        return Err(ParseError::TooManyFields);
    }
    // Counted as section 6.5.2 counts SETTINGS_MAX_HEADER_LIST_SIZE.
    if bytes.len() + name.len() + value.len() + 4 > limits.head {
        return Err(ParseError::HeadTooLarge);
    }
    let start = bytes.len();
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(b": ");
    let value_start = bytes.len();
    bytes.extend_from_slice(value);
    let end = bytes.len();
    bytes.extend_from_slice(b"\r\n");
    seen.add(kind);
    fields.push(Field { name: Span::range(start, start + name.len()), value: Span::range(value_start, end), kind });
    Ok(())
}

/// Section 8.2.1.
fn check_field(name: &[u8], value: &[u8]) -> Result<(), ParseError> {
    if name.is_empty() || !name.iter().all(|&byte| is_tchar(byte) && !byte.is_ascii_uppercase()) {
        return Err(ParseError::BadFieldName);
    }
    let is_space = |byte: Option<&u8>| byte.is_some_and(|&b| b == b' ' || b == b'\t');
    if !is_field_value(value) || is_space(value.first()) || is_space(value.last()) {
        return Err(ParseError::BadFieldValue);
    }
    Ok(())
}

/// Section 8.2.2.
fn is_connection_specific(kind: FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Connection
            | FieldKind::KeepAlive
            | FieldKind::ProxyConnection
            | FieldKind::TransferEncoding
            | FieldKind::Upgrade
    )
}

fn same_authority(a: &[u8], b: &[u8]) -> bool {
    match (parse_authority(a), parse_authority(b)) {
        (Ok(a), Ok(b)) => a.host.eq_ignore_ascii_case(b.host) && a.port == b.port,
        _ => false,
    }
}

fn declared_length<'a>(mut lengths: impl Iterator<Item = &'a [u8]>) -> Result<Option<u64>, ParseError> {
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(length), None) => content_length(length).map(Some),
        (Some(_), Some(_)) => Err(ParseError::BadContentLength),
    }
}
