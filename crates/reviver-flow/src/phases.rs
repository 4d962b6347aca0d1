//! The phases of a flow.
//!
//! Rule 1: order, names, sides and legal verdicts of phases live here and nowhere else: the enum, the
//! Python names, `docs/phases.md` and the metric labels are made from this table.
//! Rule 2: this file does no I/O and does not know HTTP versions.

use serde::Serialize;

/// Who a phase looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Client,
    Proxy,
    Upstream,
}

/// What may come out of a phase. Each phase allows a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// Go on with the next phase.
    Continue,
    /// Answer with a given response.
    Respond,
    /// Refuse with a reason; the proxy makes the answer.
    Reject,
    /// Choose an upstream again.
    Retry,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PhaseRow {
    pub name: &'static str,
    pub side: Side,
    pub verdicts: &'static [VerdictKind],
    pub doc: &'static str,
}

macro_rules! phases {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:ident ($side:ident) => $($verdict:ident)|+;)+) => {
        /// A phase, in the order of a flow's life.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Phase {
            $($(#[doc = $doc])+ $variant,)+
        }

        /// The whole table, in order.
        pub const PHASES: &[PhaseRow] = &[
            $(PhaseRow {
                name: stringify!($name),
                side: Side::$side,
                verdicts: &[$(VerdictKind::$verdict),+],
                doc: concat!($($doc),+).trim_ascii(),
            },)+
        ];
    };
}

phases! {
    /// A connection, its true client address and what is known of it.
    ClientConnect client_connect (Client) => Continue | Reject;
    /// The request's head has been read, checked and normalised; nothing has been decided.
    RequestHead request_head (Client) => Continue | Respond | Reject;
    /// The route or rule that decides is known, and its verdict.
    Route route (Client) => Continue | Respond | Reject;
    /// Hit, stale, miss or bypass, with the reason.
    CacheLookup cache_lookup (Proxy) => Continue | Respond | Reject;
    /// Variant of a split, pool and server are known.
    UpstreamSelect upstream_select (Proxy) => Continue | Respond | Reject;
    /// The request head as it will be sent upstream.
    UpstreamRequest upstream_request (Upstream) => Continue | Respond | Reject;
    /// The upstream's response head, before it may be stored.
    UpstreamResponse upstream_response (Upstream) => Continue | Respond | Reject | Retry;
    /// The response head as the client will see it, cache hits included.
    ResponseHead response_head (Client) => Continue | Respond | Reject;
    /// A CONNECT, SOCKS5 or Upgrade tunnel is about to be opened.
    TunnelOpen tunnel_open (Client) => Continue | Reject;
    /// What failed, whose fault it is, whether it is tried again.
    Failure failure (Proxy) => Continue | Respond | Retry;
    /// Exactly once for each flow, last: the record for logs and metrics.
    Done done (Proxy) => Continue;
}

impl Phase {
    pub fn row(self) -> &'static PhaseRow {
        &PHASES[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_enum_and_the_table_stand_in_one_order() {
        assert_eq!(Phase::ClientConnect.name(), "client_connect");
        assert_eq!(Phase::Done as usize + 1, PHASES.len());
        assert_eq!(Phase::Failure.name(), "failure");
    }
}
