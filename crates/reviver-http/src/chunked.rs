//! The chunked transfer coding (RFC 9112, section 7.1), undone.

use memchr::memchr;

use crate::grammar::{hex_value, is_field_value, is_tchar, is_token, trim};
use crate::head::{FieldKind, HeadLimits, Span};
use crate::{ParseError, fields::classify};

/// Extensions are ignored, thus many of them are only work: bound for one chunk ...
const MAX_EXTENSION: usize = 1024;
/// ... and for one message.
const MAX_EXTENSIONS: usize = 16 * 1024;

/// What comes next in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Content: `input[skip..skip + len]`, never empty. The next call gets what follows.
    Data { skip: usize, len: usize },
    /// All of the input was used and more is needed.
    More { consumed: usize },
    /// The message ended after so many bytes; what follows belongs to the next one.
    End { consumed: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    Start,
    Size,
    /// White space after a size or an extension; only `;` may follow.
    Gap,
    /// After a `;`.
    NameStart,
    Name,
    /// White space after the name of an extension.
    NameGap,
    /// After a `=`.
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    QuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
    Failed(ParseError),
}

/// Undoes the chunked coding of one message, as its bytes arrive, without copying the content.
///
/// Sizes are at most 16 hexadecimal digits and less than 2^63. Extensions are checked and dropped. Trailers are
/// kept, except those that must not be merged (RFC 9110, section 6.5.1): fields for framing and routing are an
/// error, those for authentication, content and this hop are dropped. Memory is taken only for trailers.
#[derive(Clone, Debug)]
pub struct ChunkDecoder {
    state: State,
    /// Size while it is read, then what is left of the chunk.
    left: u64,
    digits: u8,
    extension: usize,
    extensions: usize,
    max_trailers: usize,
    max_fields: usize,
    /// Trailer lines without their CRLF.
    trailer_bytes: Vec<u8>,
    line_start: usize,
    fields: Vec<(Span, Span)>,
    field_count: usize,
    trailer_size: usize,
}

impl ChunkDecoder {
    /// The trailers are held to `limits.head` bytes and `limits.fields` fields.
    pub fn new(limits: &HeadLimits) -> Self {
        Self {
            state: State::Start,
            left: 0,
            digits: 0,
            extension: 0,
            extensions: 0,
            max_trailers: limits.head,
            max_fields: limits.fields,
            trailer_bytes: Vec::new(),
            line_start: 0,
            fields: Vec::new(),
            field_count: 0,
            trailer_size: 0,
        }
    }

    /// Starts over for the next message, with the same limits and memory.
    pub fn reset(&mut self) {
        let (mut trailer_bytes, mut fields) =
            (std::mem::take(&mut self.trailer_bytes), std::mem::take(&mut self.fields));
        trailer_bytes.clear();
        fields.clear();
        let limits = HeadLimits { head: self.max_trailers, fields: self.max_fields, target: 0 };
        *self = Self { trailer_bytes, fields, ..Self::new(&limits) };
    }

    /// Whether the last chunk and the trailers have been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Trailer fields, name and value, once [`Chunk::End`] was given.
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (name.of(&self.trailer_bytes), value.of(&self.trailer_bytes)))
    }

    /// Goes on in the message. `input` starts where the last answer ended; an empty one gives
    /// [`Chunk::More`] (or [`Chunk::End`] again).
    ///
    /// # Errors
    /// [`ParseError::BadChunkSize`], [`ParseError::BadChunkExtension`],
    /// [`ParseError::ChunkExtensionsTooLarge`], [`ParseError::BadChunkEnd`], [`ParseError::BareLf`],
    /// [`ParseError::BareCr`], [`ParseError::BadTrailer`], [`ParseError::ObsFold`],
    /// [`ParseError::ForbiddenTrailer`], [`ParseError::TrailersTooLarge`]. The same error from then on.
    pub fn next(&mut self, input: &[u8]) -> Result<Chunk, ParseError> {
        self.advance(input).inspect_err(|&error| self.state = State::Failed(error))
    }

    fn advance(&mut self, input: &[u8]) -> Result<Chunk, ParseError> {
        let mut at = 0;
        loop {
            match self.state {
                State::Failed(error) => return Err(error),
                State::Done => return Ok(Chunk::End { consumed: at }),
                State::Data => {
                    let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                    if len == 0 {
                        return Ok(Chunk::More { consumed: at });
                    }
                    self.left -= len as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Chunk::Data { skip: at, len });
                }
                State::Trailer => {
                    // the rest of the line at once
                    let rest = &input[at..];
                    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
                    self.count_trailer(end)?;
                    self.trailer_bytes.extend_from_slice(&rest[..end]);
                    at += end;
                }
                _ => {}
            }
            let Some(&byte) = input.get(at) else {
                return Ok(Chunk::More { consumed: at });
            };
            at += 1;
            self.state = self.step(byte)?;
        }
    }

    /// One byte outside of the content.
    fn step(&mut self, byte: u8) -> Result<State, ParseError> {
        Ok(match (self.state, byte) {
            (State::Start | State::Size, _) if byte.is_ascii_hexdigit() => self.size_digit(byte)?,
            (State::Size, _) => self.after_element(byte, ParseError::BadChunkSize)?,
            (State::Start, _) => return Err(ParseError::BadChunkSize),

            (State::SizeLf, b'\n') => self.size_line_ends(),
            (State::SizeLf, _) => return Err(ParseError::BareCr),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Start,
            (State::DataCr | State::DataLf, _) => return Err(ParseError::BadChunkEnd),

            (State::TrailerStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::Done,
            (State::TrailerStart, b' ' | b'\t') => return Err(ParseError::ObsFold),
            (State::TrailerStart | State::Trailer, b'\n') => return Err(ParseError::BareLf),
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => self.trailer_line_ends()?,
            (State::EndLf | State::TrailerLf, _) => return Err(ParseError::BareCr),
            (State::TrailerStart | State::Trailer, _) => {
                self.count_trailer(1)?;
                self.trailer_bytes.push(byte);
                State::Trailer
            }

            _ => self.extension_byte(byte)?,
        })
    }

    fn size_digit(&mut self, byte: u8) -> Result<State, ParseError> {
        if self.state == State::Start {
            (self.left, self.digits, self.extension) = (0, 0, 0);
        }
        self.digits += 1;
        let digit = hex_value(byte).ok_or(ParseError::BadChunkSize)?;
        self.left = self.left << 4 | u64::from(digit);
        // more digits than a size needs are refused even as leading zeros
        if self.digits > 16 || i64::try_from(self.left).is_err() {
            return Err(ParseError::BadChunkSize);
        }
        Ok(State::Size)
    }

    fn size_line_ends(&mut self) -> State {
        self.extensions += self.extension;
        if self.left == 0 { State::TrailerStart } else { State::Data }
    }

    /// RFC 9112, section 7.1.1: `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`. White space is
    /// taken where the grammar has it and not before the CRLF.
    fn extension_byte(&mut self, byte: u8) -> Result<State, ParseError> {
        const BAD: ParseError = ParseError::BadChunkExtension;
        self.extension += 1;
        if self.extension > MAX_EXTENSION || self.extensions + self.extension > MAX_EXTENSIONS {
            return Err(ParseError::ChunkExtensionsTooLarge);
        }
        let space = matches!(byte, b' ' | b'\t');
        Ok(match self.state {
            State::Gap if space => State::Gap,
            State::Gap if byte == b';' => State::NameStart,
            State::NameStart if space => State::NameStart,
            State::NameStart | State::Name if is_tchar(byte) => State::Name,
            State::Name | State::NameGap if byte == b'=' => State::ValueStart,
            State::Name | State::NameGap if space => State::NameGap,
            State::NameGap if byte == b';' => State::NameStart,
            State::ValueStart if space => State::ValueStart,
            State::ValueStart if byte == b'"' => State::Quoted,
            State::ValueStart | State::Value if is_tchar(byte) => State::Value,
            State::Quoted if byte == b'"' => State::QuotedEnd,
            State::Quoted if byte == b'\\' => State::QuotedPair,
            State::Quoted | State::QuotedPair if is_field_value(&[byte]) => State::Quoted,
            State::Name | State::Value | State::QuotedEnd => self.after_element(byte, BAD)?,
            _ if byte == b'\n' => return Err(ParseError::BareLf),
            _ => return Err(BAD),
        })
    }

    /// What may follow a size, or an extension that is complete.
    fn after_element(&self, byte: u8, error: ParseError) -> Result<State, ParseError> {
        match byte {
            b'\r' => Ok(State::SizeLf),
            b';' => Ok(State::NameStart),
            b' ' | b'\t' => Ok(State::Gap),
            b'\n' => Err(ParseError::BareLf),
            _ => Err(error),
        }
    }

    fn count_trailer(&mut self, bytes: usize) -> Result<(), ParseError> {
        self.trailer_size += bytes;
        if self.trailer_size > self.max_trailers { Err(ParseError::TrailersTooLarge) } else { Ok(()) }
    }

    fn trailer_line_ends(&mut self) -> Result<State, ParseError> {
        self.count_trailer(2)?;
        self.field_count += 1;
        if self.field_count > self.max_fields {
            return Err(ParseError::TrailersTooLarge);
        }
        let line = &self.trailer_bytes[self.line_start..];
        let colon = memchr(b':', line).ok_or(ParseError::BadTrailer)?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        if !is_token(name) || !is_field_value(value) {
            return Err(ParseError::BadTrailer);
        }
        if may_be_trailer(name)? {
            let spans = (Span::within(&self.trailer_bytes, name), Span::within(&self.trailer_bytes, value));
            self.fields.push(spans);
        } else {
            self.trailer_bytes.truncate(self.line_start);
        }
        self.line_start = self.trailer_bytes.len();
        Ok(State::TrailerStart)
    }
}

/// Whether a trailer field is passed on.
fn may_be_trailer(name: &[u8]) -> Result<bool, ParseError> {
    match classify(name) {
        FieldKind::Host | FieldKind::ContentLength | FieldKind::TransferEncoding => Err(ParseError::ForbiddenTrailer),
        FieldKind::Other => {
            let content = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
            // request modifiers, controls and authentication that have no kind of their own
            let early = [
                &b"cache-control"[..],
                b"pragma",
                b"range",
                b"www-authenticate",
                b"authentication-info",
                b"age",
                b"expires",
                b"retry-after",
                b"vary",
                b"warning",
                b"if-match",
                b"if-none-match",
                b"if-modified-since",
                b"if-unmodified-since",
                b"if-range",
                b"set-cookie2",
            ];
            // a digest of the content is what trailers are for (RFC 9530)
            let digest = name.eq_ignore_ascii_case(b"content-digest") || name.eq_ignore_ascii_case(b"content-md5");
            Ok(digest || !content && !early.iter().any(|field| name.eq_ignore_ascii_case(field)))
        }
        // may be sent as a trailer (RFC 9209, section 2)
        FieldKind::ProxyStatus => Ok(true),
        _ => Ok(false),
    }
}
