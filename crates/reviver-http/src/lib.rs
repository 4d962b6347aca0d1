//! Sans-IO HTTP: HTTP/1.1 bytes to heads and body parts, and back; HTTP/2 field lists to the same heads. Also
//! SOCKS5 and the PROXY protocol, in the same style.
//!
//! Rule 1: no sockets, no clock, no allocation after the first message of a connection: heads, like the
//! buffers behind them, are reused. Rule 2: a message that two parsers could read differently is an error
//! with a status, never repaired (RFC 9112, section 11). Rule 3: the same [`RequestHead`] and
//! [`ResponseHead`] serve every protocol version and SOCKS5: what comes after decoding does not see which.

mod accept;
mod chunked;
mod decode;
mod diagnose;
mod encode;
mod error;
mod fields;
pub mod frames;
mod framing;
mod grammar;
mod head;
mod http2;
pub mod proxy_protocol;
mod scan;
pub mod socks;
mod target;

pub use accept::{Media, preferred_media};
pub use chunked::{Chunk, ChunkDecoder};
pub use decode::{decode_request, decode_response};
pub use encode::{
    Fate, FieldSink, H1Sink, reason_phrase, write_chunk_head, write_last_chunk, write_request_line, write_status_line,
};
pub use error::ParseError;
pub use framing::{Framing, request_framing, response_framing};
pub use grammar::{Authority, is_token, normalise_path, parse_authority, percent_decode};
pub use head::{Field, FieldKind, HeadLimits, Method, RequestHead, ResponseHead, Scheme, Span, TargetForm, Version};
pub use http2::{
    PseudoFields, Recipient, is_http2_trailer, read_http2_request, read_http2_response, read_http2_switch,
};
pub use scan::HeadScan;
