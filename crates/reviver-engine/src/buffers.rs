//! Buffers that go back to their core's pool while a connection is idle.

use std::cell::{Cell, RefCell};

/// Space for a head and the first part of a body.
pub const BUFFER_SIZE: usize = 16 * 1024;
/// Buffers of each kind that a core keeps; more are freed.
const KEPT: usize = 256;

/// Bytes between `start` and `end` are unread.
#[derive(Debug, Default)]
pub struct Buf {
    data: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buf {
    pub fn with_size(size: usize) -> Self {
        Self { data: vec![0; size].into_boxed_slice(), start: 0, end: 0 }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Free space behind the bytes; moves them to the front when they stand in its way.
    pub fn space(&mut self) -> &mut [u8] {
        if self.end == self.data.len() && self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.data[self.end..]
    }

    pub fn is_full(&self) -> bool {
        self.len() == self.data.len()
    }

    /// `count` bytes of [`Self::space`] were filled.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.data.len());
    }

    /// Makes room for at least `size` bytes in all.
    pub fn grow(&mut self, size: usize) {
        if self.data.len() < size {
            let mut data = vec![0; size].into_boxed_slice();
            let length = self.len();
            data[..length].copy_from_slice(self.bytes());
            self.data = data;
            self.start = 0;
            self.end = length;
        }
    }

    pub fn size(&self) -> usize {
        self.data.len()
    }
}

/// Things that are made once and used again. What lay unused since the last [`Pool::trim`] is freed by the next.
#[derive(Debug)]
pub struct Pool<T> {
    kept: RefCell<Vec<T>>,
    /// The fewest that were left over at any moment since the last trim.
    unused: Cell<usize>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { kept: RefCell::default(), unused: Cell::new(0) }
    }
}

impl<T> Pool<T> {
    pub fn take_or(&self, make: impl FnOnce() -> T) -> T {
        self.take_kept().unwrap_or_else(make)
    }

    pub fn take_kept(&self) -> Option<T> {
        let mut kept = self.kept.borrow_mut();
        let taken = kept.pop();
        self.unused.set(self.unused.get().min(kept.len()));
        taken
    }

    pub fn give(&self, thing: T) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < KEPT {
            kept.push(thing);
        }
    }

    /// Frees what was not needed of late, and tells how much: a burst's buffers do not stay for ever.
    pub fn trim(&self) -> usize {
        let mut kept = self.kept.borrow_mut();
        let freed = self.unused.get().min(kept.len());
        let left = kept.len() - freed;
        kept.truncate(left);
        kept.shrink_to(left);
        self.unused.set(left);
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_comes_back_when_the_front_was_read() {
        let mut buf = Buf::with_size(8);
        buf.space()[..8].copy_from_slice(b"abcdefgh");
        buf.filled(8);
        assert!(buf.is_full() && buf.space().is_empty());
        buf.consume(6);
        assert_eq!(buf.space().len(), 6);
        assert_eq!(buf.bytes(), b"gh");
        buf.grow(32);
        assert_eq!((buf.bytes(), buf.size()), (&b"gh"[..], 32));
    }

    #[test]
    fn a_pool_frees_what_a_burst_left() {
        let pool: Pool<u8> = Pool::default();
        (0..9).for_each(|n| pool.give(n));
        pool.trim();
        assert!(pool.take_kept().is_some_and(|n| n == 8));
        pool.give(8);
        pool.trim();
        // eight of nine were never taken since
        assert!(pool.take_kept().is_some());
        assert!(pool.take_kept().is_none());
    }
}
