//! Finds out what is wrong with a head that `httparse` refused, so that the answer and the log can name it.

use memchr::memchr;

use crate::ParseError;
use crate::grammar::{is_field_value, is_token};

/// The first thing wrong with these bytes. `line_error` is for a start line with no fault that has its own name.
#[cold]
pub(crate) fn diagnose(bytes: &[u8], error: httparse::Error, line_error: ParseError) -> ParseError {
    let end = memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    let (line, rest) = bytes.split_at(end);
    match error {
        httparse::Error::TooManyHeaders => ParseError::TooManyFields,
        httparse::Error::Token if line_error == ParseError::BadRequestLine => request_line(line),
        httparse::Error::Token | httparse::Error::Status | httparse::Error::Version => line_error,
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => {
            rest.split_inclusive(|&byte| byte == b'\n').find_map(field_line).unwrap_or(line_error)
        }
    }
}

fn request_line(line: &[u8]) -> ParseError {
    let space = memchr(b' ', line).unwrap_or(line.len());
    let (method, rest) = line.split_at(space);
    if !is_token(method) {
        return ParseError::BadMethod;
    }
    let target = &rest[..rest.len().saturating_sub(b" HTTP/1.1\r\n".len())];
    if target.iter().any(|byte| !(b' '..=0x7e).contains(byte)) {
        return ParseError::BadTargetByte;
    }
    ParseError::BadRequestLine
}

fn field_line(line: &[u8]) -> Option<ParseError> {
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return Some(ParseError::BareLf);
    };
    if line.is_empty() {
        return None;
    }
    if matches!(line, [b' ' | b'\t', ..]) {
        return Some(ParseError::ObsFold);
    }
    if memchr(b'\r', line).is_some() {
        return Some(ParseError::BareCr);
    }
    let Some(colon) = memchr(b':', line) else {
        return Some(ParseError::BadFieldName);
    };
    let (name, value) = line.split_at(colon);
    if is_token(name) {
        return if is_field_value(value) { None } else { Some(ParseError::BadFieldValue) };
    }
    let spaced = is_token(crate::grammar::trim(name));
    Some(if spaced { ParseError::SpaceBeforeColon } else { ParseError::BadFieldName })
}
