//! `Cache-Status` (RFC 9211).

use reviver_http::is_token;

use crate::Why;

/// Bytes of a key that are told.
const MAX_KEY: usize = 200;
/// RFC 9651, section 3.3.1.
const MAX_INTEGER: i64 = 999_999_999_999_999;

/// What one cache did with one request.
#[derive(Clone, Copy, Debug)]
pub struct CacheStatus<'a> {
    /// The cache's name: a token.
    pub name: &'a [u8],
    pub hit: bool,
    pub why: Why,
    /// Seconds; where a stored response was served or stored.
    pub ttl: Option<i64>,
    /// What the upstream answered, where it was asked.
    pub forward_status: Option<u16>,
    pub stored: bool,
    pub collapsed: bool,
    pub key: Option<&'a [u8]>,
    /// Why it was not stored.
    pub detail: Option<&'a str>,
}

/// Appends the member, without the field's name. `detail` is the given one, else [`Why`] where `hit` or `fwd` does not
/// tell it.
pub fn write_cache_status(status: &CacheStatus<'_>, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    write_name(status.name, out);
    let (fwd, told) = if status.hit { ("", status.why == Why::Fresh) } else { forwarded(status.why) };
    if status.hit {
        out.extend_from_slice(b"; hit");
    } else {
        out.extend_from_slice(b"; fwd=");
        out.extend_from_slice(fwd.as_bytes());
        // section 2.3 and 2.5: both say something of a forwarded request
        if let Some(status) = status.forward_status {
            out.extend_from_slice(b"; fwd-status=");
            out.extend_from_slice(digits.format(status).as_bytes());
        }
        if status.stored {
            out.extend_from_slice(b"; stored");
        }
    }
    if let Some(ttl) = status.ttl {
        out.extend_from_slice(b"; ttl=");
        out.extend_from_slice(digits.format(ttl.clamp(-MAX_INTEGER, MAX_INTEGER)).as_bytes());
    }
    if status.collapsed {
        out.extend_from_slice(b"; collapsed");
    }
    if let Some(key) = status.key {
        out.extend_from_slice(b"; key=");
        write_string(key, out);
    }
    if let Some(detail) = status.detail.or((!told).then(|| status.why.name())) {
        out.extend_from_slice(b"; detail=");
        write_name(detail.as_bytes(), out);
    }
}

/// Why a request was forwarded, by the names of section 2.2, and whether that tells all of it.
fn forwarded(why: Why) -> (&'static str, bool) {
    match why {
        Why::UriMiss => ("uri-miss", true),
        Why::VaryMiss => ("vary-miss", true),
        Why::NotStorable | Why::Unreadable => ("miss", false),
        Why::Collapsed => ("miss", true),
        Why::Stale | Why::Validated => ("stale", true),
        Why::Fresh | Why::MaxStale | Why::Revalidating | Why::OnError | Why::Purged | Why::NoCache => ("stale", false),
        Why::Request => ("request", true),
        Why::Partial => ("partial", true),
        Why::Method => ("method", true),
        Why::Bypass => ("bypass", true),
        Why::RequestBody | Why::MethodOverride | Why::Precondition | Why::Upgrade => ("bypass", false),
    }
}

/// A token where it is one (RFC 9651, section 3.3.4), else a string.
fn write_name(name: &[u8], out: &mut Vec<u8>) {
    if is_token(name) && name[0].is_ascii_alphabetic() {
        out.extend_from_slice(name);
    } else {
        write_string(name, out);
    }
}

/// A string holds visible ASCII and spaces (RFC 9651, section 3.3.3): other bytes stand there as `%XX`.
fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let shown = &text[..text.len().min(MAX_KEY)];
    // looks at all bytes without a branch: most keys are plain, and each hit tells one
    if shown.iter().fold(true, |plain, byte| plain & is_plain(*byte)) {
        out.extend_from_slice(shown);
    } else {
        write_escaped(shown, out);
    }
    out.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')
}

fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let end = out.len() + MAX_KEY;
    for &byte in text {
        let escaped: &[u8] = match byte {
            b'"' | b'\\' => &[b'\\', byte],
            b' '..=b'~' => &[byte],
            _ => &[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]],
        };
        if out.len() + escaped.len() > end {
            break;
        }
        out.extend_from_slice(escaped);
    }
}
