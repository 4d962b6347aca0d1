//! The access log: one record per flow, from a core's ring to the sinks.
//!
//! Rule 1: a core never waits for a disk, takes no lock and allocates nothing: [`CoreLog::push`] copies a
//! record into the core's ring, and one writer thread formats and writes. Rule 2: a record is lost only
//! where a sink's `on_full` is `drop` (or its stream is gone for good), and then it is counted. Rule 3: no
//! secret reaches a sink: credentials are masked before they enter the ring, query values before they are
//! formatted. Rule 4: no byte that a client sends can end a line or a quoted value.

mod clock;
mod file;
mod format;
mod hub;
mod mask;
mod output;
mod queue;
mod ring;
mod sink;
mod syslog;
mod wire;
mod writer;

#[cfg(test)]
mod tests;

use reviver_flow::Record;
use reviver_http::{RequestHead, ResponseHead};

pub use hub::{LogHub, SinkStatus};
pub use ring::CoreLog;

/// Bytes of one core's ring.
pub const RING: usize = 1 << 19;

/// What is known of a flow when it is over, besides its record.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub record: &'a Record,
    /// Name of the listener.
    pub listener: &'a str,
    /// Name of the route that decided.
    pub route: Option<&'a str>,
    /// Name of the pool that was asked.
    pub pool: Option<&'a str>,
    /// Names of the split and its variant.
    pub variant: Option<(&'a str, &'a str)>,
    /// Name of the limit that refused the request, or would have.
    pub limit: Option<&'a str>,
    /// Address of the server as the configuration has it.
    pub server: Option<&'a str>,
    /// `file:line` of the rule that decided.
    pub place: Option<&'a str>,
    /// One sentence or slug of detail; empty where there is none.
    pub reason_detail: &'a str,
    /// None where no head could be read.
    pub head: Option<&'a RequestHead>,
    /// The response that was relayed or made.
    pub response: Option<&'a ResponseHead>,
    /// The user that proxy authentication named.
    pub user: Option<&'a str>,
    /// The flow came by SOCKS5; `head` is then the CONNECT that it stands for.
    pub socks: bool,
    /// Of the client's connection; none where it is not encrypted.
    pub tls: Option<&'a reviver_flow::ClientTls>,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Push {
    /// In the ring, or wanted by no sink.
    Written,
    /// No room: the caller waits a few milliseconds and pushes the same entry again.
    Full,
    /// No room, and every sink prefers losing records to waiting: counted, the caller goes on.
    Dropped,
}

/// A log that cannot be opened. The text names it and the line that asked for it.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{at}: cannot open the log {to}: {source}")]
    Open { at: String, to: String, source: std::io::Error },
    #[error("{at}: the template of the log {to}: {message}")]
    Template { at: String, to: String, message: String },
    #[error("{at}: the log {to} is already written by another sink")]
    Twice { at: String, to: String },
    #[error("cannot start the thread that writes the logs: {0}")]
    Thread(std::io::Error),
    #[error("the thread that writes the logs has ended")]
    Ended,
}
