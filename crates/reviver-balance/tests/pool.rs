//! What a pool does, seen from outside: fixed seeds, and time that is only said.

#[path = "pool/adaptive.rs"]
mod adaptive;
#[path = "pool/bounds.rs"]
mod bounds;
#[path = "pool/common.rs"]
mod common;
#[path = "pool/hashing.rs"]
mod hashing;
#[path = "pool/laws.rs"]
mod laws;
#[path = "pool/limits.rs"]
mod limits;
#[path = "pool/outliers.rs"]
mod outliers;
#[path = "pool/shares.rs"]
mod shares;
#[path = "pool/simulated.rs"]
mod simulated;
#[path = "pool/states.rs"]
mod states;
#[path = "pool/turns.rs"]
mod turns;
