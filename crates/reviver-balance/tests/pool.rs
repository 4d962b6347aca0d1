//! What a pool does, seen from outside: fixed seeds, and time that is only said.

#[path = "pool/bounds.rs"]
mod bounds;
#[path = "pool/common.rs"]
mod common;
#[path = "pool/turns.rs"]
mod turns;
