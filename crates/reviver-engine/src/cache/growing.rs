//! A body that arrives and is read at the same time.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use reviver_store::{BLOCK, Incoming};

use super::object::{Blocks, Body};

/// Bytes that may have arrived beyond what was written to disk, or beyond the slowest reader of what is not kept.
pub const AHEAD: u64 = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Complete,
    Failed,
}

/// What a reader gets next.
#[derive(Debug)]
pub enum Piece {
    /// A whole block, and where in it the reader stands.
    Block(Arc<[u8]>, usize),
    /// Bytes were copied out.
    Copied,
    /// The block with this number is on disk.
    OnDisk(u64),
    End,
    Failed,
}

#[derive(Debug, Default)]
struct State {
    /// Whole blocks; those that were given to the disk, or that all readers have, are taken out.
    blocks: Vec<Option<Arc<[u8]>>>,
    /// Blocks before this one have been taken out.
    gone: usize,
    tail: Vec<u8>,
    length: u64,
    end: Option<End>,
    wakers: Vec<Waker>,
    /// Where each reader stands; none: it has left.
    readers: Vec<Option<u64>>,
    /// It is too large to be kept: what all readers have is let go.
    passing: bool,
    filler: Option<Waker>,
}

impl State {
    fn slowest(&self) -> Option<u64> {
        self.readers.iter().flatten().copied().min()
    }

    /// Up to where what is not kept may be let go. Where one reader keeps pace those who do not are left behind: a
    /// client must not slow others down.
    fn needed_from(&self) -> u64 {
        let (Some(slowest), Some(fastest)) = (self.slowest(), self.readers.iter().flatten().copied().max()) else {
            return self.length;
        };
        let keeps_pace = slowest != fastest && fastest + BLOCK as u64 >= self.length;
        if keeps_pace { slowest.max(self.length.saturating_sub(AHEAD)) } else { slowest }
    }
}

pub struct Growing {
    /// As the head told it.
    expected: Option<u64>,
    /// Where it goes while it arrives; none: it is kept in memory.
    disk: OnceLock<Incoming>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Growing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Growing({:?})", self.expected)
    }
}

impl Growing {
    pub fn new(expected: Option<u64>) -> Arc<Self> {
        Arc::new(Self { expected, disk: OnceLock::new(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the whole body, where that is known.
    pub fn length(&self) -> Option<u64> {
        self.expected.or_else(|| {
            let state = self.state();
            (state.end == Some(End::Complete)).then_some(state.length)
        })
    }

    /// Bytes that have come.
    pub fn arrived(&self) -> u64 {
        self.state().length
    }

    pub fn has_readers(&self) -> bool {
        self.state().slowest().is_some()
    }

    /// A reader begins at a place; none where that has been let go.
    pub fn enter(&self, at: u64) -> Option<usize> {
        let mut state = self.state();
        if state.passing && at < (state.gone * BLOCK) as u64 {
            return None;
        }
        state.readers.push(Some(at));
        Some(state.readers.len() - 1)
    }

    /// None: the reader leaves.
    pub fn advance(&self, reader: usize, at: Option<u64>) {
        let mut state = self.state();
        state.readers[reader] = at;
        if state.passing {
            state.filler.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Writes it to disk from now on, with what has come.
    pub fn to_disk(&self, incoming: Incoming) {
        let mut state = self.state();
        let good = state.blocks.iter().flatten().all(|block| incoming.append(Arc::clone(block)));
        let _ = self.disk.set(incoming);
        if !good {
            state.passing = true;
        }
    }

    pub fn is_on_disk(&self) -> bool {
        self.disk.get().is_some()
    }

    pub fn disk(&self) -> Option<&Incoming> {
        self.disk.get()
    }

    /// It is not kept.
    pub fn pass(&self) {
        self.state().passing = true;
    }

    pub fn is_passing(&self) -> bool {
        self.state().passing
    }

    /// Whether more may come now: a disk that is slower than the network is waited for, and so are readers of what is
    /// not kept.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.passing {
            let behind = state.length.saturating_sub(state.needed_from());
            if behind <= AHEAD {
                return Poll::Ready(());
            }
            state.filler = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let Some(disk) = self.disk.get() else { return Poll::Ready(()) };
        let has_room = || state.length.saturating_sub(disk.written()) < AHEAD;
        if has_room() {
            return Poll::Ready(());
        }
        disk.wake_when_written(cx.waker());
        if has_room() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Adds what has come.
    pub fn push(&self, mut bytes: &[u8]) {
        let mut state = self.state();
        state.length += bytes.len() as u64;
        while !bytes.is_empty() {
            if state.tail.capacity() == 0 {
                let before = (state.blocks.len() * BLOCK) as u64;
                let left = self.expected.map_or(0, |e| e.saturating_sub(before));
                let space = usize::try_from(left).unwrap_or(BLOCK).clamp(bytes.len().min(BLOCK), BLOCK);
                state.tail.reserve_exact(space);
            }
            let count = bytes.len().min(BLOCK - state.tail.len());
            state.tail.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if state.tail.len() == BLOCK {
                self.seal(&mut state);
            }
        }
        self.release(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn seal(&self, state: &mut State) {
        let block: Arc<[u8]> = Arc::from(std::mem::take(&mut state.tail));
        if !state.passing
            && let Some(disk) = self.disk.get()
            && !disk.append(Arc::clone(&block))
        {
            // The disk takes no more; who reads now still gets all of it.
            state.passing = true;
        }
        state.blocks.push(Some(block));
    }

    /// Lets go of blocks that can be read back, or that all readers have.
    fn release(&self, state: &mut State) {
        let until = match (state.passing, self.disk.get()) {
            (true, _) => state.needed_from(),
            // Readers that are not far behind are spared the way to the disk.
            (false, Some(disk)) => {
                let near = state.slowest().unwrap_or(state.length);
                disk.written().min(near.max(state.length.saturating_sub(AHEAD)))
            }
            (false, None) => return,
        };
        let until = ((until / BLOCK as u64) as usize).min(state.blocks.len());
        while state.gone < until {
            let index = state.gone;
            state.blocks[index] = None;
            state.gone += 1;
        }
    }

    /// Tells that no more comes. Gives the whole body where it is to be kept.
    pub fn finish(&self, end: End) -> Option<Body> {
        let mut state = self.state();
        if state.end.is_some() {
            return None;
        }
        if end == End::Complete && !state.tail.is_empty() {
            self.seal(&mut state);
        }
        // A length that was told and does not come true.
        let end = if self.expected.is_some_and(|e| e != state.length) { End::Failed } else { end };
        state.end = Some(end);
        let wakers = std::mem::take(&mut state.wakers);
        let body = match (end, self.disk.get()) {
            (End::Failed, _) => None,
            (End::Complete, _) if state.passing => None,
            (End::Complete, None) => {
                let blocks: Vec<Arc<[u8]>> = state.blocks.iter().flatten().cloned().collect();
                Some(Blocks::body(blocks))
            }
            (End::Complete, Some(_)) => Some(Body::Disk(state.length)),
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        body
    }

    /// What stands at `at`; bytes that are no whole block yet are appended to `out`.
    pub fn poll_read(&self, cx: &Context<'_>, at: u64, out: &mut Vec<u8>) -> Poll<Piece> {
        let mut state = self.state();
        let index = (at / BLOCK as u64) as usize;
        let offset = (at % BLOCK as u64) as usize;
        match state.blocks.get(index) {
            Some(Some(block)) if offset < block.len() => {
                return Poll::Ready(Piece::Block(Arc::clone(block), offset));
            }
            // The last block ends here.
            Some(Some(_)) => {}
            Some(None) if state.passing && self.disk.get().is_none() => return Poll::Ready(Piece::Failed),
            Some(None) => return Poll::Ready(Piece::OnDisk(index as u64)),
            None if index == state.blocks.len() && offset < state.tail.len() => {
                out.extend_from_slice(&state.tail[offset..]);
                return Poll::Ready(Piece::Copied);
            }
            None => {}
        }
        match state.end {
            Some(End::Complete) => Poll::Ready(Piece::End),
            Some(End::Failed) => Poll::Ready(Piece::Failed),
            None => {
                if !state.wakers.iter().any(|w| w.will_wake(cx.waker())) {
                    state.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}
