//! What happens to a flow, and what it wishes.

use std::net::SocketAddr;
use std::time::Duration;

use reviver_cache::Why;
use reviver_http::{RequestHead, ResponseHead};

use crate::{Answer, Slug};

/// How much of a request an upstream may have seen when it failed; decides whether a retry is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// No byte left.
    Nothing,
    /// The request, or a part of it, and it can be sent again.
    Request,
    /// A part of a body that is gone from here.
    Body,
}

/// How a relay of bodies or a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relayed {
    Complete,
    ClientAborted,
    UpstreamAborted(Slug),
    /// The upstream failed while not a byte of its response had been passed on: the proxy can still answer.
    NothingSent(Slug),
    Expired(Slug),
}

/// What was found in the store.
#[derive(Clone, Debug)]
pub enum Looked {
    /// A stored response may be served.
    Serve(Why),
    /// The upstream is asked.
    Fetch {
        why: Why,
        /// Fields that make the request conditional, as lines; empty: it asks for the whole response.
        validators: Vec<u8>,
        /// What is stored may be served where the upstream fails.
        on_error: bool,
        /// The response may be stored: the request asks for all of it, whatever part the client wants.
        whole: bool,
    },
}

/// What came of waiting for a server with room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It is this one's turn; its place is kept until it has a server.
    Turn,
    /// As many wait as may.
    Full,
    /// It has taken too long.
    Expired,
    /// The proxy is stopping.
    Stopping,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A head was read and checked. The first event of each flow.
    Request(&'a RequestHead),
    /// Outcome of [`Command::Authenticate`].
    Authenticated(bool),
    /// Outcome of [`Command::Wait`].
    Waited(Waited),
    /// Outcome of [`Command::Connect`].
    Connected { address: SocketAddr, reused: bool },
    /// A response head came (interim ones too) for this request. `repeatable`: the whole request could be sent
    /// once more.
    Response { request: &'a RequestHead, head: &'a ResponseHead, repeatable: bool },
    /// The upstream failed before its final response head.
    Failed { slug: Slug, sent: Sent },
    /// The client failed before the final response head: it sent something wrong, or too slowly.
    ClientFailed(Slug),
    /// The client went away before the final response head.
    ClientGone,
    /// The proxy's own answer was written (or the client went away meanwhile).
    Answered { delivered: bool },
    /// A relay or tunnel is over.
    Relayed(Relayed),
    /// Outcome of [`Command::Lookup`] and [`Command::Freshen`].
    Looked(Looked),
    /// Outcome of [`Command::Serve`] where what is stored could not be read and nothing has been sent.
    Unreadable,
    /// Outcome of [`Command::Purge`].
    Purged(u64),
}

/// Where to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A server of a pool.
    Server { pool: u32, server: u32 },
    /// The host and port that the request names.
    Destination,
}

/// Something that is wished. Each is answered with the event that its line names.
#[derive(Clone, Debug)]
pub enum Command {
    /// Check the credentials of the request: `Authenticated`, `Failed`, `ClientGone`.
    Authenticate,
    /// Write this answer: `Answered`.
    Answer(Answer),
    /// Wait until a server of the pool has room: `Waited`, `ClientGone`.
    Wait { pool: u32 },
    /// Bring a connection, after a pause: `Connected`, `Failed`, `ClientGone`.
    Connect { target: Target, fresh: bool, pause: Duration },
    /// Send the request and bring a response head: `Response`, `Failed`, `ClientFailed`, `ClientGone`.
    Exchange,
    /// Pass an interim response on and bring the next head: as `Exchange`.
    Interim,
    /// Write the response head and move both bodies: `Relayed`.
    Relay,
    /// Open the tunnel and move bytes both ways: `Relayed`.
    Tunnel,
    /// Look for a stored response: `Looked`, `ClientGone`.
    Lookup,
    /// Serve the stored response that was found: `Relayed`, `Unreadable`.
    Serve(Why),
    /// Bring what is stored up to date with the 304 that came: `Looked`.
    Freshen,
    /// Remove what is stored under the request's target: `Purged`.
    Purge,
    /// The record is complete.
    Done,
}
