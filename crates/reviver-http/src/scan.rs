//! Finds the end of a head while it arrives.

use memchr::memchr;

use crate::grammar::is_tchar;
use crate::{HeadLimits, ParseError};

/// Empty lines skipped before a start line; RFC 9112, section 2.2 asks for at least one.
const MAX_EMPTY_LINES: usize = 2;

/// What surrounds the target in the longest request line: a method, two spaces, the version and CRLF.
const AROUND_TARGET: usize = crate::decode::MAX_METHOD + 12;

/// Finds the end of a head in a buffer that grows, without looking at a byte twice.
///
/// What needs no complete head is refused at once: a first byte that starts no message, a line without CR, and
/// a head beyond its limits.
#[derive(Clone, Debug)]
pub struct HeadScan {
    limits: HeadLimits,
    response: bool,
    /// Where the start line begins, once its first byte was seen.
    start: Option<usize>,
    /// Up to here no LF was missed.
    looked: usize,
    line_start: usize,
    first_line: bool,
}

impl HeadScan {
    /// For requests.
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits, response: false, start: None, looked: 0, line_start: 0, first_line: true }
    }

    /// For responses: no empty lines before them, and no bound on the start line but that of the head.
    pub fn for_responses(limits: HeadLimits) -> Self {
        Self { response: true, ..Self::new(limits) }
    }

    /// Starts over, for the next head at the start of the buffer.
    pub fn reset(&mut self) {
        *self = Self { response: self.response, ..Self::new(self.limits) };
    }

    /// Whether any byte of a head, other than empty lines before it, has been seen.
    pub fn started(&self) -> bool {
        self.start.is_some()
    }

    /// Looks at what was appended to `buf` since the last call. Gives the length of the head once it is complete,
    /// with the empty lines before it and the one that ends it; these bytes are for
    /// [`decode_request`](crate::decode_request) or [`decode_response`](crate::decode_response).
    ///
    /// # Errors
    /// [`ParseError::TlsClientHello`], [`ParseError::BadMethod`], [`ParseError::BadStatusLine`],
    /// [`ParseError::EmptyLines`], [`ParseError::BareLf`], [`ParseError::BareCr`],
    /// [`ParseError::TargetTooLong`], [`ParseError::HeadTooLarge`]. The same for the same bytes, however they
    /// arrive.
    pub fn scan(&mut self, buf: &[u8]) -> Result<Option<usize>, ParseError> {
        let start = match self.start {
            Some(start) => start,
            None => match self.find_start(buf)? {
                Some(start) => start,
                None => return Ok(None),
            },
        };
        while let Some(at) = memchr(b'\n', &buf[self.looked..]) {
            let lf = self.looked + at;
            self.bounds(start, lf + 1)?;
            if lf == start || buf[lf - 1] != b'\r' {
                return Err(ParseError::BareLf);
            }
            self.looked = lf + 1;
            if lf - self.line_start == 1 && !self.first_line {
                return Ok(Some(lf + 1));
            }
            self.first_line = false;
            self.line_start = lf + 1;
        }
        self.looked = buf.len();
        self.bounds(start, buf.len())?;
        Ok(None)
    }

    fn find_start(&mut self, buf: &[u8]) -> Result<Option<usize>, ParseError> {
        let start = if self.response { 0 } else { skip_empty_lines(buf)? };
        match buf.get(start) {
            None => return Ok(None),
            Some(b'H') if self.response => {}
            Some(_) if self.response => return Err(ParseError::BadStatusLine),
            Some(b'\r') => return Ok(None),
            Some(&byte) if is_tchar(byte) => {}
            // the record type of a TLS handshake (RFC 8446, section 5.1)
            Some(0x16) => return Err(ParseError::TlsClientHello),
            Some(_) => return Err(ParseError::BadMethod),
        }
        self.start = Some(start);
        self.looked = start;
        self.line_start = start;
        Ok(Some(start))
    }

    /// Refuses what the bytes from `start` to `end`, seen so far, already exceed.
    #[inline]
    fn bounds(&self, start: usize, end: usize) -> Result<(), ParseError> {
        let length = end - start;
        if self.first_line && !self.response && length > (self.limits.target + AROUND_TARGET).min(self.limits.head) {
            return Err(ParseError::TargetTooLong);
        }
        if length > self.limits.head { Err(ParseError::HeadTooLarge) } else { Ok(()) }
    }
}

/// Length of the empty lines before a request; a lone CR at the end may become one more.
pub(crate) fn skip_empty_lines(buf: &[u8]) -> Result<usize, ParseError> {
    let mut at = 0;
    loop {
        match buf[at..] {
            [b'\r', b'\n', ..] if at == 2 * MAX_EMPTY_LINES => return Err(ParseError::EmptyLines),
            [b'\r', b'\n', ..] => at += 2,
            [b'\r', _, ..] => return Err(ParseError::BareCr),
            [b'\n', ..] => return Err(ParseError::BareLf),
            _ => return Ok(at),
        }
    }
}
