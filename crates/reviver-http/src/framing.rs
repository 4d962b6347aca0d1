//! Where a message's content ends (RFC 9112, section 6).
//!
//! Rule: framing has one reading or is an error. Thus lists and repetitions of `Content-Length` are refused
//! even where all members are equal (section 6.3, rule 5 would allow them), and so is every transfer coding
//! that the proxy does not undo itself.

use crate::grammar::trim;
use crate::{Method, ParseError, Version};

/// How the end of the content is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no content.
    #[default]
    None,
    /// So many bytes; 0 where the message says so itself.
    Length(u64),
    Chunked,
    /// All until the connection ends; only in responses.
    UntilClose,
}

/// Framing of a request, from the values of its `Transfer-Encoding` and `Content-Length` fields.
/// Steps are numbered as in RFC 9112, section 6.3.
///
/// # Errors
/// [`ParseError::ConflictingFraming`], [`ParseError::TransferEncodingInHttp10`],
/// [`ParseError::BadTransferEncoding`], [`ParseError::UnknownCoding`], [`ParseError::BadContentLength`], and
/// [`ParseError::UnexpectedContent`] for CONNECT and TRACE (RFC 9110, sections 9.3.6 and 9.3.8).
pub fn request_framing<'a>(
    method: Method,
    version: Version,
    codings: impl Iterator<Item = &'a [u8]>,
    lengths: impl Iterator<Item = &'a [u8]>,
) -> Result<Framing, ParseError> {
    // 3, 4 and 5; 6: a request without either has no content (7)
    let framing = declared(version, codings, lengths)?.unwrap_or(Framing::None);
    let empty = matches!(framing, Framing::None | Framing::Length(0));
    match method {
        Method::Connect | Method::Trace if !empty => Err(ParseError::UnexpectedContent),
        Method::Connect | Method::Trace => Ok(Framing::None),
        _ => Ok(framing),
    }
}

/// Framing of the response to a request of that method. Steps are numbered as in RFC 9112, section 6.3.
///
/// # Errors
/// As [`request_framing`], without [`ParseError::UnexpectedContent`].
pub fn response_framing<'a>(
    request_method: Method,
    status: u16,
    version: Version,
    codings: impl Iterator<Item = &'a [u8]>,
    lengths: impl Iterator<Item = &'a [u8]>,
) -> Result<Framing, ParseError> {
    // also where no content follows: what is said of its length is passed on
    let declared = declared(version, codings, lengths);
    // 1
    if request_method == Method::Head || matches!(status, 100..=199 | 204 | 304) {
        return declared.map(|_| Framing::None);
    }
    // 2
    if request_method == Method::Connect && (200..300).contains(&status) {
        return declared.map(|_| Framing::None);
    }
    // 3 to 6; 8
    Ok(declared?.unwrap_or(Framing::UntilClose))
}

/// What the two fields say, steps 3 to 6.
fn declared<'a>(
    version: Version,
    codings: impl Iterator<Item = &'a [u8]>,
    mut lengths: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<Framing>, ParseError> {
    let length = lengths.next();
    let coded = chunked(codings)?;
    // 3: "ought to be handled as an error"
    if coded && length.is_some() {
        return Err(ParseError::ConflictingFraming);
    }
    // 4
    if coded {
        // RFC 9112, section 6.1: framing is faulty
        let known = version > Version::Http10;
        return if known { Ok(Some(Framing::Chunked)) } else { Err(ParseError::TransferEncodingInHttp10) };
    }
    // 5 and 6
    let Some(length) = length else {
        return Ok(None);
    };
    if lengths.next().is_some() {
        return Err(ParseError::BadContentLength);
    }
    content_length(length).map(|length| Some(Framing::Length(length)))
}

/// A decimal length. Bound to what fits a signed 64-bit number, since that is what others count in.
pub(crate) fn content_length(digits: &[u8]) -> Result<u64, ParseError> {
    if digits.is_empty() || digits.len() > 19 {
        return Err(ParseError::BadContentLength);
    }
    let mut length = 0u64;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return Err(ParseError::BadContentLength);
        }
        length = length * 10 + u64::from(byte - b'0');
    }
    if i64::try_from(length).is_ok() { Ok(length) } else { Err(ParseError::BadContentLength) }
}

/// Whether the codings are exactly one `chunked`; false where there is no field at all.
fn chunked<'a>(mut codings: impl Iterator<Item = &'a [u8]>) -> Result<bool, ParseError> {
    let Some(first) = codings.next() else {
        return Ok(false);
    };
    let Some(second) = codings.next() else {
        if first.eq_ignore_ascii_case(b"chunked") {
            return Ok(true);
        }
        return coding_error([first].into_iter());
    };
    coding_error([first, second].into_iter().chain(codings))
}

/// What is wrong with codings that are not one `chunked`.
fn coding_error<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<bool, ParseError> {
    let mut elements = values.flat_map(|value| value.split(|&byte| byte == b',')).map(trim);
    let mut last = elements.next().unwrap_or_default();
    for element in elements {
        if last.is_empty() || last.eq_ignore_ascii_case(b"chunked") {
            return Err(ParseError::BadTransferEncoding);
        }
        last = element;
    }
    let final_chunked = last.eq_ignore_ascii_case(b"chunked");
    Err(if final_chunked { ParseError::UnknownCoding } else { ParseError::BadTransferEncoding })
}
