//! What a connection needs while it carries a request, and gives back while it is idle.

use std::time::Instant;

use http::HeaderMap;
use reviver_http::{RequestHead, ResponseHead};

use crate::buffers::{BUFFER_SIZE, Buf};

/// Heads, buffers and scratch space of one busy connection.
#[derive(Debug)]
pub struct Work {
    pub request: RequestHead,
    pub response: ResponseHead,
    pub client_in: Buf,
    pub upstream_in: Buf,
    /// Space for what is written to the upstream and to the client.
    pub to_upstream: Vec<u8>,
    pub to_client: Vec<u8>,
    pub scratch: Vec<u8>,
    /// The request target as the upstream gets it.
    pub target: Vec<u8>,
    /// The key space of the request, a line break, and its cache key.
    pub key: Vec<u8>,
    /// When the client ended its writing side, until it was found out whether it still listens.
    pub ended: Option<Instant>,
    /// Bytes of interim responses that were written to find that out.
    pub interim: u64,
    /// A small request body, framed, as it was sent: sent again when another server is tried.
    pub replay: Vec<u8>,
    /// Its bytes without framing, and as they came.
    pub replay_sizes: (u64, u64),
    /// The whole body stands there, if only an empty one.
    pub replay_taken: bool,
    /// Its trailers, where HTTP/2 sends them apart.
    pub replay_trailers: Option<Box<HeaderMap>>,
    /// It is framed for HTTP/2, which is not at all.
    pub replay_http2: bool,
    /// Bytes of interim responses that were passed on.
    pub interim_bytes: u64,
    /// The client took nothing of the response for too long.
    pub stalled: bool,
}

/// Space that a single large message must not pin down.
const KEPT_SPACE: usize = 12 * BUFFER_SIZE;

impl Work {
    pub fn new() -> Box<Self> {
        Box::new(Self {
            request: RequestHead::default(),
            response: ResponseHead::default(),
            client_in: Buf::with_size(BUFFER_SIZE),
            upstream_in: Buf::with_size(BUFFER_SIZE),
            to_upstream: Vec::with_capacity(BUFFER_SIZE),
            to_client: Vec::with_capacity(BUFFER_SIZE),
            scratch: Vec::new(),
            target: Vec::new(),
            key: Vec::new(),
            ended: None,
            interim: 0,
            replay: Vec::new(),
            replay_sizes: (0, 0),
            replay_taken: false,
            replay_trailers: None,
            replay_http2: false,
            stalled: false,
            interim_bytes: 0,
        })
    }

    /// Makes it fit for another connection; `None` where it is too large to be kept.
    pub fn recycled(mut self: Box<Self>) -> Option<Box<Self>> {
        let buffers = self.client_in.size() + self.upstream_in.size();
        let vectors = self.to_upstream.capacity() + self.to_client.capacity() + self.replay.capacity();
        if buffers + vectors > KEPT_SPACE {
            return None;
        }
        self.client_in.clear();
        self.upstream_in.clear();
        self.to_upstream.clear();
        self.to_client.clear();
        self.replay.clear();
        self.stalled = false;
        Some(self)
    }
}
