//! Records that are formatted and not yet written.

/// A batch is full at this size: what a sink takes with one write.
pub(super) const FULL: usize = 64 << 10;

/// Whole records, of which some prefix has been written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
    /// Number of records that are written whole.
    done: usize,
    /// Number of bytes that are written.
    sent: usize,
}

impl Queue {
    /// Whether a batch is together: more records have to wait or be dropped.
    pub fn is_full(&self) -> bool {
        self.bytes.len() - self.sent >= FULL
    }

    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Records that are not written whole.
    pub fn len(&self) -> usize {
        self.ends.len() - self.done
    }

    /// Appends the record that `fill` writes.
    pub fn add(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// All that is to be written.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The first record that is not written whole.
    pub fn record(&self) -> Option<&[u8]> {
        self.ends.get(self.done).map(|end| &self.bytes[self.start()..*end])
    }

    /// Bytes of the first record that are not written.
    pub fn record_rest(&self) -> usize {
        self.ends.get(self.done).map_or(0, |end| end - self.sent)
    }

    /// Whether part of a record is written and the rest is not.
    pub fn is_within_record(&self) -> bool {
        self.sent != self.start()
    }

    /// Length of the longest run of whole records (or the rest of one) within `room` bytes.
    pub fn fitting(&self, room: u64) -> usize {
        let fits = |end: &usize| (end - self.sent) as u64 <= room;
        let count = self.ends[self.done..].partition_point(fits);
        if count == 0 { 0 } else { self.ends[self.done + count - 1] - self.sent }
    }

    /// Notes that `n` more bytes were written; returns how many records that completed.
    pub fn advance(&mut self, n: usize) -> u64 {
        self.sent = (self.sent + n).min(self.bytes.len());
        let complete = self.ends[self.done..].partition_point(|end| *end <= self.sent);
        self.done += complete;
        if self.is_empty() {
            self.bytes.clear();
            self.ends.clear();
            (self.done, self.sent) = (0, 0);
        } else if self.sent >= FULL {
            self.compact();
        }
        complete as u64
    }

    /// Goes back to the start of the record that was written in part: the rest goes to another file or
    /// connection.
    pub fn rewind(&mut self) {
        self.sent = self.start();
    }

    fn start(&self) -> usize {
        self.done.checked_sub(1).map_or(0, |last| self.ends[last])
    }

    /// Frees what is written, so that a slow sink does not make the batch grow.
    fn compact(&mut self) {
        let cut = self.start();
        self.bytes.drain(..cut);
        self.ends.drain(..self.done);
        for end in &mut self.ends {
            *end -= cut;
        }
        self.sent -= cut;
        self.done = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(records: &[&str]) -> Queue {
        let mut queue = Queue::default();
        for record in records {
            queue.add(|out| out.extend_from_slice(record.as_bytes()));
        }
        queue
    }

    #[test]
    fn a_record_counts_when_its_last_byte_is_written() {
        let mut queue = queue(&["aaa\n", "bbb\n", "ccc\n"]);
        assert_eq!(queue.advance(5), 1);
        assert_eq!((queue.rest(), queue.len()), (&b"bb\nccc\n"[..], 2));
        queue.rewind();
        assert_eq!(queue.rest(), b"bbb\nccc\n");
        assert_eq!(queue.advance(8), 2);
        assert!(queue.is_empty());
    }

    #[test]
    fn only_whole_records_fit() {
        let mut queue = queue(&["aaa\n", "bbb\n", "ccc\n"]);
        assert_eq!([3, 4, 7, 8, 100].map(|room| queue.fitting(room)), [0, 4, 4, 8, 12]);
        queue.advance(6);
        assert_eq!([1, 2, 6].map(|room| queue.fitting(room)), [0, 2, 6]);
    }

    #[test]
    fn compacting_keeps_what_is_left() {
        let record = format!("{}\n", "x".repeat(999));
        let mut queue = queue(&vec![record.as_str(); 100]);
        assert_eq!(queue.advance(70_500), 70);
        assert_eq!((queue.len(), queue.rest().len()), (30, 29_500));
        queue.rewind();
        assert_eq!(queue.rest(), record.repeat(30).as_bytes());
        assert_eq!(queue.advance(30_000), 30);
    }
}
