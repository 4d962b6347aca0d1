//! Validators of stored responses (RFC 9110, section 8.8).

use std::time::UNIX_EPOCH;

use crate::lines;

/// RFC 9110, section 8.8.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    /// As it stands.
    pub text: &'a [u8],
    pub weak: bool,
    /// Quotes included.
    pub opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// The tag at the start, and what stands behind it.
    pub fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match bytes {
            [b'W', b'/', rest @ ..] => (true, rest),
            _ => (false, bytes),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let length = inner.iter().position(|byte| !matches!(byte, 0x21 | 0x23..=0x7e | 0x80..))?;
        if inner[length] != b'"' {
            return None;
        }
        let (opaque, rest) = quoted.split_at(length + 2);
        Some((Self { text: &bytes[..bytes.len() - rest.len()], weak, opaque }, rest))
    }

    /// Of a value that is nothing else.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        Self::split(value).filter(|(_, rest)| rest.is_empty()).map(|(tag, _)| tag)
    }

    /// That of a stored response, where it has one and one only.
    pub fn stored(fields: &'a [u8]) -> Option<Self> {
        only(values(fields, b"etag")).and_then(Self::parse)
    }

    /// Section 8.8.3.2, strong comparison.
    pub fn is_strongly(self, other: Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }
}

/// `Last-Modified` of a stored response, as it stands and in milliseconds since the Unix epoch.
pub(crate) fn modified(fields: &[u8]) -> Option<(&[u8], u64)> {
    let text = only(values(fields, b"last-modified"))?;
    Some((text, date_ms(text)?))
}

fn values<'a>(fields: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    lines(fields).filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
}

/// The value, unless there are several that differ: which one holds is not known.
pub(crate) fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

/// An `HTTP-date` in milliseconds since the Unix epoch (section 5.6.7).
pub(crate) fn date_ms(value: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    u64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
