//! What is known of one server, over reloads.

use std::sync::atomic::{AtomicU32, AtomicU64};

/// A server's state: written by all workers, and kept while its pool names its address.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Endpoint {
    /// [`DOWN`], [`EJECTED`], [`DRAINED`], [`WARMING`]; 0: like any other.
    pub(crate) state: AtomicU32,
    /// Requests that it carries.
    pub(crate) in_flight: AtomicU32,
    /// Requests that it was given.
    pub(crate) requests: AtomicU64,
    /// Requests that failed on it.
    pub(crate) errors: AtomicU64,
}

/// Health checks say that it does not serve.
pub(crate) const DOWN: u32 = 1;
/// Its own answers have taken it out for a time.
pub(crate) const EJECTED: u32 = 2;
/// A person has taken it out: only who is bound to it by a cookie goes there.
pub(crate) const DRAINED: u32 = 4;
/// It has come back, and its share is growing.
pub(crate) const WARMING: u32 = 8;

/// A server as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointStatus {
    pub address: String,
    /// `up`, `down`, `ejected`, `draining` (wins over the others), `warming`.
    pub state: &'static str,
    pub weight: u32,
    pub backup: bool,
    pub max_connections: u32,
    pub in_flight: u32,
    pub requests: u64,
    pub errors: u64,
    /// Mean latency in milliseconds, the latest weighing most; none before the first answer.
    pub latency_ms: Option<f64>,
    /// What the last health check said; none: it was good, or there was none.
    pub check: Option<String>,
    /// When the last check was, as how long ago.
    pub checked_ms_ago: Option<u64>,
    /// How much longer it stays ejected.
    pub ejected_ms: Option<u64>,
    pub ejections: u32,
}
