//! What callers say and are told.

use std::io;
use std::path::PathBuf;

/// Bytes of a body that share a checksum and are read together.
pub const BLOCK: usize = 64 * 1024;

/// A hash of what names the object; two objects of one key are the same to the store.
pub type Key = u128;

pub struct Options {
    /// A folder that belongs to the store alone; made, with mode 0700, where it is missing.
    pub path: PathBuf,
    /// Bound on the bytes of all files in it, kept to within 5 %. At least 8 MiB.
    pub size: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path} is used by another process")]
    Locked { path: PathBuf },
    #[error("{path}: {why}")]
    Io { path: PathBuf, why: io::Error },
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not in the page cache; only told to those who do not wait.
    #[error("not in memory")]
    WouldBlock,
    /// A checksum does not hold. The object is not found any more.
    #[error("a checksum does not hold")]
    Corrupt,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether writing works. Reading goes on in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ok,
    /// The file system has no room, or a quota is used up.
    Full,
    ReadOnly,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Head,
    /// The index of a block of the body.
    Block(u64),
}

/// What becomes of an object that was shown to the visitor of `scan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    Remove,
    Soften,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    pub objects: u64,
    /// Bytes of all files.
    pub bytes: u64,
    pub limit: u64,
    pub segments: u64,
    pub state: State,
    /// Bytes that wait for the writer.
    pub queued: u64,
    /// Objects that were not taken since the store was opened: the queue was full, or writing has failed.
    pub dropped: u64,
    /// Objects that went to make room since the store was opened.
    pub evicted: u64,
}
