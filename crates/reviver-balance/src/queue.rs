//! Requests that wait until a server has room, first come first served, whichever worker carries them.

/// A place in the queue of a pool. Given up when it is dropped.
#[derive(Debug)]
pub struct Ticket;
