//! What may be stored and reused (RFC 9111), how responses are told apart, and what is said of them.
//!
//! Rule 1: no clock: times are arguments, in milliseconds since the Unix epoch. Rule 2: no store: what is stored is
//! handed in as [`Meta`] and as field lines. Rule 3: each verdict has a name ([`Why`], [`Refusal`]) that goes unchanged
//! into logs, `Cache-Status` and `explain`. Rule 4: where a sender has said two things, the safer one holds.

mod ask;
mod conditional;
mod control;
mod directives;
mod fields;
mod freshness;
mod invalidate;
mod judge;
mod key;
mod meta;
mod parts;
mod range;
mod reason;
mod status;
mod storing;
mod tags;
mod update;
mod validator;
mod vary;

pub use ask::Ask;
pub use conditional::{Precondition, precondition, write_validators};
pub use control::Control;
pub use fields::{Line, lines, value_of, write_without};
pub use invalidate::{Invalidation, invalidation};
pub use judge::{Judgement, judge, may_serve_on_error};
pub use key::{KeyRule, write_key};
pub use meta::{Basis, Meta};
pub use parts::Parts;
pub use range::{ContentRange, Ranges, if_range_holds, parse_ranges, parts_length, write_part_head, write_parts_end};
pub use reason::{Refusal, Why};
pub use status::{CacheStatus, write_cache_status};
pub use storing::{Exchanged, Ignored, Override, Rules, may_store, write_stored_fields};
pub use tags::{groups_of, invalidated_groups, tags_of};
pub use update::{Updated, update};
pub use vary::{Vary, vary_of, write_selecting};
