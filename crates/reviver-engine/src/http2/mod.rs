//! HTTP/2 on both sides, by the `h2` crate: each stream is one flow, and its content a [`Stream`](crate::stream::Stream).
//!
//! Rule 1: a flow does not see the version: its heads come as the same checked heads, and its body moves through the
//! same pump. Rule 2: a connection is one task that moves frames; flow control reaches from end to end, since
//! nothing is taken from one side that the other has no room for.

mod client;
mod frames;
mod heads;
mod server;
mod stream;

pub use client::{Connections, Established};
pub use heads::{
    HeaderSink, head_size, read_response, request_for_upstream, respond, response_for_client, trailers_of,
    websocket_accept,
};
pub use server::serve;
pub use stream::{Answered, Failure, Http2Stream};

/// What begins each connection (RFC 9113, section 3.4), as far as no other protocol begins.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes that a stream holds for a peer that does not take them.
const SEND_BUFFER: usize = 64 * 1024;
