//! Blocks on disk that survive a crash: what was written is read back as it was, or not at all.
//!
//! Rule 1: a caller never waits for the disk unless it asks to; one thread writes, and what is read without waiting
//! comes from the page cache. Rule 2: no byte leaves whose checksum does not hold. Rule 3: what an object means is not
//! known here; it has a key, a label to choose by, a head and a body.

mod alone;
mod core;
mod disk;
mod evict;
mod found;
mod health;
mod incoming;
mod layout;
mod load;
mod queue;
mod readers;
mod scan;
mod segment;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod types;
mod writer;

pub use found::Found;
pub use incoming::Incoming;
pub use store::Store;
pub use types::{BLOCK, Key, OpenError, Options, Part, ReadError, State, Stats, Verdict};
