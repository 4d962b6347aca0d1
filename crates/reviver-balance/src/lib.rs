//! Which server of a pool gets the next request: weights, tiers, what was tried already.
//!
//! Rule 1: a choice depends on nothing but the selector's cursors and its argument, so all workers
//! together keep the shares, without a lock. Rule 2: servers are indices; their names are not known here.

mod schedule;
mod selector;

pub use selector::{Member, Selector};
