//! Request targets and hosts (RFC 9112, section 3.2).

use memchr::memchr;

use crate::grammar::{normalise_tail, parse_authority};
use crate::head::{FieldKind, RequestHead, Scheme, Span, TargetForm};
use crate::{Method, ParseError, Version};

/// What a byte of the target needs.
const PLAIN: u8 = 0;
/// It must not be there: controls, space, DEL, octets beyond ASCII, and the fragment, which is never sent
/// (RFC 9110, section 4.2.5).
const REFUSED: u8 = 1;
/// Perhaps an escape or a dot segment: the path needs a second look.
const LOOK: u8 = 2;
/// Not a path character of RFC 3986, and a `/` to some (the URL Standard of the WHATWG).
const BACKSLASH: u8 = 4;

static CLASS: [u8; 256] = {
    let mut table = [PLAIN; 256];
    let mut index = 0;
    while index < 256 {
        if index < 0x21 || index > 0x7e || index == b'#' as usize {
            table[index] = REFUSED;
        }
        index += 1;
    }
    table[b'%' as usize] = LOOK;
    table[b'.' as usize] = LOOK;
    table[b'\\' as usize] = BACKSLASH;
    table
};

fn classes(bytes: &[u8]) -> u8 {
    bytes.iter().fold(PLAIN, |all, &byte| all | CLASS[usize::from(byte)])
}

/// Takes apart the target, whose span is set, and settles the host with what `Host` (its value, where there is
/// one) says.
pub(crate) fn read(head: &mut RequestHead, host_field: Option<Span>) -> Result<(), ParseError> {
    let target = head.target;
    match (head.method, target.of(&head.bytes)) {
        // section 3.2.3: CONNECT takes nothing else, and nothing else takes it
        (Method::Connect, _) => {
            if classes(target.of(&head.bytes)) & REFUSED != 0 {
                return Err(ParseError::BadTargetByte);
            }
            head.form = TargetForm::Authority;
            head.path = Span::default();
            set_authority(head, target)?;
            if head.host.is_empty() {
                return Err(ParseError::BadHost);
            }
            if head.port.is_none() {
                return Err(ParseError::BadPort);
            }
        }
        (_, [b'/', ..]) => {
            head.form = TargetForm::Origin;
            set_path(head, target.start as usize, target.end())?;
        }
        // section 3.2.4
        (Method::Options, b"*") => {
            head.form = TargetForm::Asterisk;
            head.path = target;
        }
        _ => absolute(head, target)?,
    }
    host(head, host_field)
}

/// Section 3.2.2.
fn absolute(head: &mut RequestHead, target: Span) -> Result<(), ParseError> {
    let text = target.of(&head.bytes);
    if classes(text) & REFUSED != 0 {
        return Err(ParseError::BadTargetByte);
    }
    let colon = memchr(b':', text).ok_or(ParseError::BadTarget)?;
    let scheme = &text[..colon];
    let Some(rest) = text[colon..].strip_prefix(b"://") else {
        return Err(ParseError::BadTarget);
    };
    head.scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case(b"http") => Scheme::Http,
        _ if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
        [first, others @ ..]
            if first.is_ascii_alphabetic()
                && others.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) =>
        {
            return Err(ParseError::UnknownScheme);
        }
        _ => return Err(ParseError::BadTarget),
    };
    head.form = TargetForm::Absolute;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let path_starts = rest.get(end).copied();
    let start = target.end() - rest.len();
    set_authority(head, Span::range(start, start + end))?;
    // RFC 9110, section 4.2.1: an empty host is invalid
    if head.host.is_empty() {
        return Err(ParseError::BadHost);
    }
    match path_starts {
        Some(b'/') => set_path(head, start + end, target.end())?,
        // section 3.2.4: OPTIONS without a path is about the server, all others ask for `/`
        Some(_) => {
            head.query = Some(Span::range(start + end + 1, target.end()));
            head.path = head.append(&[b"/"]);
        }
        None if head.method == Method::Options => head.path = head.append(&[b"*"]),
        None => head.path = head.append(&[b"/"]),
    }
    Ok(())
}

/// Path and query, which lie in `bytes[start..end]`.
fn set_path(head: &mut RequestHead, start: usize, end: usize) -> Result<(), ParseError> {
    let text = &head.bytes[start..end];
    let mut path_end = end;
    let mut found = PLAIN;
    let mut before = 0;
    for (index, &byte) in text.iter().enumerate() {
        if byte == b'?' {
            path_end = start + index;
            break;
        }
        found |= CLASS[usize::from(byte)];
        if byte == b'/' && before == b'/' {
            found |= LOOK;
        }
        before = byte;
    }
    if (found | classes(&head.bytes[path_end..end])) & REFUSED != 0 {
        return Err(ParseError::BadTargetByte);
    }
    if found & BACKSLASH != 0 {
        return Err(ParseError::BadTargetByte);
    }
    head.path = Span::range(start, path_end);
    if path_end < end {
        head.query = Some(Span::range(path_end + 1, end));
    }
    if found & LOOK != 0 {
        normalise(head)?;
    }
    Ok(())
}

fn normalise(head: &mut RequestHead) -> Result<(), ParseError> {
    let path = head.path.of(&head.bytes);
    let find = |what| memchr::memmem::find(path, what);
    if memchr(b'%', path).is_none() && find(b"/.").is_none() && find(b"//").is_none() {
        return Ok(());
    }
    let tail = head.bytes.len();
    head.bytes.extend_from_within(head.path.start as usize..head.path.end());
    normalise_tail(&mut head.bytes, tail)?;
    let normal = Span::range(tail, head.bytes.len());
    if normal.of(&head.bytes) == head.path() {
        head.bytes.truncate(tail);
    } else {
        head.normal_path = Some(normal);
    }
    Ok(())
}

fn set_authority(head: &mut RequestHead, span: Span) -> Result<(), ParseError> {
    let authority = parse_authority(span.of(&head.bytes))?;
    let (port, upper) = (authority.port, authority.upper);
    let host = Span::within(&head.bytes, authority.host);
    head.authority = span;
    head.port = port;
    head.host = host;
    if upper {
        let tail = head.bytes.len();
        head.bytes.extend_from_within(host.start as usize..host.end());
        head.host = Span::range(tail, head.bytes.len());
        head.host.in_mut(&mut head.bytes).make_ascii_lowercase();
    }
    Ok(())
}

/// The `Host` field. It must be valid whatever the target says (RFC 9112, section 3.2), but the host of the
/// target wins (section 3.2.2). It may be empty only where the target names the host, and for HTTP/1.0.
fn host(head: &mut RequestHead, field: Option<Span>) -> Result<(), ParseError> {
    let in_target = matches!(head.form, TargetForm::Absolute | TargetForm::Authority);
    match field {
        None if head.version == Version::Http10 => Ok(()),
        None => Err(ParseError::MissingHost),
        Some(span) if in_target => parse_authority(span.of(&head.bytes)).map(|_| ()),
        Some(span) if span.is_empty() && head.version > Version::Http10 => Err(ParseError::BadHost),
        Some(span) => set_authority(head, span),
    }
}

/// The first `Host` field.
pub(crate) fn host_field(head: &RequestHead) -> Option<Span> {
    head.fields.iter().find(|field| field.kind == FieldKind::Host).map(|field| field.value)
}
