//! The life of one request, without I/O.
//!
//! Two nouns carry it: [`Event`] (what happened) and [`Command`] (what is wished). [`Flow::step`] is a
//! function from one to the other; the engine carries commands out and tells what came of them. Rule 1: no
//! sockets, no clock: `now` is an argument. Rule 2: body bytes do not pass through here; a [`Command::Relay`]
//! hands them to the engine. Rule 3: a flow does not know the protocol version below it: heads are read
//! through [`reviver_http::RequestHead`] and written through [`reviver_http::FieldSink`]. Rule 4: live traffic
//! and `explain` run this same code.

mod answer;
mod balancing;
mod caching;
mod client_fields;
mod client_tls;
mod decide;
mod event;
mod explain;
mod flow;
mod limiting;
mod phases;
mod reason;
mod record;
mod splitting;
mod upstream_fields;

pub use answer::{Answer, Page};
pub use caching::ServedFrom;
pub use client_fields::BodyPlan;
pub use client_tls::{ClientCertificate, ClientTls};
pub use decide::{Credentials, credentials};
pub use event::{Command, Event, Looked, Relayed, Sent, Target, Waited};
pub use explain::{ExplainError, ExplainRequest, Explanation, explain, explained_request};
pub use flow::{Client, Flow, Step};
pub use phases::{PHASES, Phase, PhaseRow, Side, VerdictKind};
pub use reason::{Fault, Reason, Rule, SLUGS, Slug, SlugRow};
pub use record::{CacheVerdict, Cached, Ending, Record, Times, Via};
pub use splitting::Chosen;
pub use upstream_fields::TrailerPolicy;
