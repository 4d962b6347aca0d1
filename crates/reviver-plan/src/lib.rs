//! The compiled configuration: [`Plan`] (what Python hands over), its schema and fingerprint, and the
//! [`Snapshot`] that the engine decides by.

mod balance;
mod balancing;
mod cache;
mod caching;
mod plan;
mod rates;
mod schema;
mod snapshot;
mod sticky;

pub use balance::*;
pub use cache::*;
pub use caching::{CacheRules, Caching};
pub use plan::*;
pub use rates::Rate;
pub use schema::{SchemaError, fingerprint, parse, schema};
pub use snapshot::*;
pub use sticky::StickyTable;
