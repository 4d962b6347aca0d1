//! The lexical rules shared by heads, chunks and SOCKS: tokens, authorities, percent-encoding, paths.
//!
//! Hosts are held to what can be resolved (letters, digits, `-`, `.`, `_`, or an address), which is less than
//! the `reg-name` of RFC 3986: sub-delims and percent-encoding in a host have no use in `http` and are read
//! differently by different parsers.

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::str::FromStr;

use memchr::{memchr, memrchr};

use crate::ParseError;

const TOKEN: u8 = 1;
const HOST: u8 = 2;
const UPPER: u8 = 4;
const HEX: u8 = 8;
const UNRESERVED: u8 = 16;
const VALUE: u8 = 32;

/// One byte of flags per octet.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        let mut class = 0;
        // RFC 9110, section 5.6.2: tchar
        if byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            )
        {
            class |= TOKEN;
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            class |= HOST;
        }
        if byte.is_ascii_uppercase() {
            class |= UPPER;
        }
        if byte.is_ascii_hexdigit() {
            class |= HEX;
        }
        // RFC 3986, section 2.3
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            class |= UNRESERVED;
        }
        // RFC 9110, section 5.5: VCHAR, obs-text, SP and HTAB
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            class |= VALUE;
        }
        table[index] = class;
        index += 1;
    }
    table
};

#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2).
#[inline]
pub(crate) fn is_tchar(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// Whether these bytes are a token: at least one, each a `tchar` (RFC 9110, section 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is(byte, TOKEN))
}

/// Whether these bytes may stand in a field value (RFC 9110, section 5.5).
pub(crate) fn is_field_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| is(byte, VALUE))
}

/// Value of a hexadecimal digit.
#[inline]
pub(crate) fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Without spaces and tabs at either end (OWS; RFC 9110, section 5.6.3).
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Elements of a comma-separated list, trimmed; empty ones are skipped (RFC 9110, section 5.6.1.2).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// `host[:port]`, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// As it was written, but without brackets and trailing dot. Empty only where the whole was.
    pub host: &'a [u8],
    /// 1 to 65535.
    pub port: Option<u16>,
    /// The host stood in brackets and is an IPv6 address.
    pub ipv6: bool,
    /// The host has upper-case letters.
    pub(crate) upper: bool,
}

/// Takes `host[:port]` apart (RFC 3986, section 3.2).
///
/// # Errors
/// [`ParseError::UserInfo`], [`ParseError::BadPort`] (also for an empty or zero port),
/// [`ParseError::BadHost`] (also for zone identifiers and future IP literals), [`ParseError::BadAuthority`].
pub fn parse_authority(bytes: &[u8]) -> Result<Authority<'_>, ParseError> {
    if let [b'[', rest @ ..] = bytes {
        let end = memchr(b']', rest).ok_or(ParseError::BadAuthority)?;
        let (host, after) = (&rest[..end], &rest[end + 1..]);
        let text = std::str::from_utf8(host).map_err(|_| ParseError::BadHost)?;
        Ipv6Addr::from_str(text).map_err(|_| ParseError::BadHost)?;
        let port = match after {
            [] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ if memchr(b'@', after).is_some() => return Err(ParseError::UserInfo),
            _ => return Err(ParseError::BadAuthority),
        };
        let upper = host.iter().any(|&byte| is(byte, UPPER));
        return Ok(Authority { host, port, ipv6: true, upper });
    }
    let mut all = HOST;
    let mut any = 0;
    let mut end = bytes.len();
    for (index, &byte) in bytes.iter().enumerate() {
        if byte == b':' {
            end = index;
            break;
        }
        let class = CLASS[usize::from(byte)];
        all &= class;
        any |= class;
    }
    if all == 0 || end < bytes.len() {
        // an `@` anywhere is a user name (and perhaps a password) before it
        if memchr(b'@', bytes).is_some() {
            return Err(ParseError::UserInfo);
        }
        if all == 0 {
            return Err(ParseError::BadHost);
        }
    }
    let port = if end < bytes.len() { Some(parse_port(&bytes[end + 1..])?) } else { None };
    let host = host_name(&bytes[..end])?;
    if host.is_empty() && port.is_some() {
        return Err(ParseError::BadHost);
    }
    Ok(Authority { host, port, ipv6: false, upper: any & UPPER != 0 })
}

/// A name without its trailing dot. The bytes are already known to be host bytes.
fn host_name(name: &[u8]) -> Result<&[u8], ParseError> {
    let name = match name {
        [] => return Ok(name),
        [rest @ .., b'.'] => rest,
        _ => name,
    };
    // RFC 1035, section 2.3.4
    let empty_label = matches!(name, [] | [b'.', ..] | [.., b'.']) || name.windows(2).any(|pair| pair == b"..");
    if name.len() > 253 || empty_label { Err(ParseError::BadHost) } else { Ok(name) }
}

/// Whether a name may be asked for: what [`parse_authority`] accepts as a host that is not bracketed.
pub(crate) fn is_host_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| is(byte, HOST)) && host_name(name).is_ok()
}

fn parse_port(digits: &[u8]) -> Result<u16, ParseError> {
    // none at all come to 0
    if digits.len() > 5 {
        return Err(ParseError::BadPort);
    }
    let mut port = 0u32;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return Err(ParseError::BadPort);
        }
        port = port * 10 + u32::from(byte - b'0');
    }
    u16::try_from(port).ok().filter(|&port| port != 0).ok_or(ParseError::BadPort)
}

/// Decodes percent-encoding; a percent sign without two hexadecimal digits stays as it is. `+` is not a space.
pub fn percent_decode(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'%', bytes) else {
        return Cow::Borrowed(bytes);
    };
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let [byte, tail @ ..] = rest {
        match (byte, escape(tail)) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                rest = &tail[2..];
            }
            _ => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    Cow::Owned(out)
}

/// The octet that two hexadecimal digits at the start stand for.
fn escape(digits: &[u8]) -> Option<u8> {
    match digits {
        [high, low, ..] => Some(hex_value(*high)? << 4 | hex_value(*low)?),
        _ => None,
    }
}

/// Appends the path to `out` as rules compare it (RFC 3986, section 6.2.2): unreserved characters decoded,
/// encoded slashes too, other escapes in upper case, dot segments removed, slashes merged: servers and file
/// systems do all of that, and a rule must see what they see.
///
/// # Errors
/// [`ParseError::BadEscape`] for a malformed escape, an encoded NUL, or an encoded backslash beside `..`; [`ParseError::PathAboveRoot`]. `out` may
/// then hold a part of the path.
pub fn normalise_path(path: &[u8], out: &mut Vec<u8>) -> Result<(), ParseError> {
    let start = out.len();
    out.extend_from_slice(path);
    normalise_tail(out, start)
}

/// [`normalise_path`] in place on `out[start..]`.
pub(crate) fn normalise_tail(out: &mut Vec<u8>, start: usize) -> Result<(), ParseError> {
    let (mut read, mut write) = (start, start);
    while read < out.len() {
        if out[read] != b'%' {
            out[write] = out[read];
            read += 1;
            write += 1;
            continue;
        }
        match escape(&out[read + 1..]) {
            None | Some(0) => return Err(ParseError::BadEscape),
            Some(decoded) if is(decoded, UNRESERVED) || decoded == b'/' => {
                out[write] = decoded;
                write += 1;
            }
            Some(_) => {
                let (high, low) = (out[read + 1].to_ascii_uppercase(), out[read + 2].to_ascii_uppercase());
                out[write..write + 3].copy_from_slice(&[b'%', high, low]);
                write += 3;
            }
        }
        read += 3;
    }
    out.truncate(write);
    let climbs = |pattern| memchr::memmem::find(&out[start..], pattern).is_some();
    if climbs(b"..%5C") || climbs(b"%5C..") {
        return Err(ParseError::BadEscape);
    }
    remove_dot_segments(out, start)
}

/// RFC 3986, section 5.2.4, in place on `out[start..]`, which starts with `/`; empty segments go too.
fn remove_dot_segments(out: &mut Vec<u8>, start: usize) -> Result<(), ParseError> {
    let mut read = start;
    let mut write = start;
    while read < out.len() {
        // `read` is at a slash (or, for a path that does not start with one, at its first byte)
        let end = memchr(b'/', &out[read + 1..]).map_or(out.len(), |at| read + 1 + at);
        let last = end == out.len();
        match &out[read..end] {
            b"/" if !last => {}
            b"/." => {
                if last {
                    out[write] = b'/';
                    write += 1;
                }
            }
            b"/.." => {
                let up = memrchr(b'/', &out[start..write]).ok_or(ParseError::PathAboveRoot)?;
                write = start + up;
                if last {
                    out[write] = b'/';
                    write += 1;
                }
            }
            _ => {
                out.copy_within(read..end, write);
                write += end - read;
            }
        }
        read = end;
    }
    out.truncate(write);
    Ok(())
}
