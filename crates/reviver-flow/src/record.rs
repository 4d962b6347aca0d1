//! The decision record: what one flow was, decided and cost. Logs, metrics and later features read it.

use std::net::IpAddr;

use reviver_cache::{Refusal, Why};

use crate::{Chosen, Reason};

/// Times of a flow, all in microseconds. `None` where the phase was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From the first byte of the request head to its last.
    pub head: u32,
    /// Authentication and other waits before an upstream was chosen.
    pub decide: u32,
    /// Name lookup and connection to the upstream; 0 when a kept connection was used.
    pub connect: u32,
    /// From the request sent to the first byte of the response.
    pub first_byte: Option<u32>,
    /// From the first byte of the request to the last byte of the response.
    pub total: u64,
}

/// How the flow ended for its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// The response was delivered whole (or the tunnel closed in order).
    #[default]
    Complete,
    /// The client went away before.
    ClientAborted,
    /// The upstream broke off after its head had been relayed.
    UpstreamAborted,
    /// A timeout or a limit ended it.
    Expired,
}

/// Whether and how the upstream connection was come by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// No upstream was asked.
    #[default]
    None,
    New,
    Reused,
}

/// What the cache did for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheVerdict {
    /// Served from the store, fresh.
    Hit,
    /// Served from the store, stale.
    Stale,
    /// Served from the store after the upstream said that it still holds.
    Revalidated,
    /// The upstream's response was served, and may be stored now.
    Miss,
    /// The request had nothing to do with the store.
    Bypass,
}

impl CacheVerdict {
    pub const ALL: &[Self] = &[Self::Hit, Self::Stale, Self::Revalidated, Self::Miss, Self::Bypass];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// A verdict and what is known with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    pub verdict: CacheVerdict,
    pub why: Why,
    /// Why the response was not stored.
    pub refusal: Option<Refusal>,
    pub stored: bool,
    /// Another request's fetch was shared.
    pub collapsed: bool,
    /// Seconds; where a stored response was served.
    pub age: Option<u32>,
    /// Seconds that it is fresh for; negative where it is stale.
    pub ttl: Option<i64>,
}

impl Cached {
    pub fn new(verdict: CacheVerdict, why: Why) -> Self {
        Self { verdict, why, refusal: None, stored: false, collapsed: false, age: None, ttl: None }
    }

    /// The slug that says why.
    pub fn reason(&self) -> &'static str {
        self.refusal.map_or(self.why.name(), Refusal::name)
    }
}

/// One per flow. Indices are those of the plan that the flow began with.
#[derive(Clone, Debug)]
pub struct Record {
    /// Milliseconds since the Unix epoch at the first byte of the request.
    pub started_ms: u64,
    pub listener: u16,
    pub client: IpAddr,
    pub client_port: u16,
    pub route: Option<u32>,
    pub pool: Option<u32>,
    pub server: Option<u32>,
    /// Address really connected to.
    pub upstream: Option<std::net::SocketAddr>,
    pub upstream_via: Via,
    /// Status sent to the client; 0 when none was.
    pub status: u16,
    /// Status that the upstream gave; 0 when none.
    pub upstream_status: u16,
    /// Why the flow ended as it did.
    pub reason: Reason,
    pub ending: Ending,
    pub attempts: u8,
    pub tunnel: bool,
    /// Head and body bytes received from and sent to the client.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub request_body: u64,
    pub response_body: u64,
    pub times: Times,
    /// None where nothing is cached.
    pub cache: Option<Cached>,
    /// None without a split.
    pub chosen: Option<Chosen>,
}
