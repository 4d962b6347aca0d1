//! Which bytes of a response are there (RFC 9111, section 3.4).

use smallvec::SmallVec;

/// Runs of bytes, sorted; between two of them is at least one byte that is not there. Ends are exclusive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts(SmallVec<[(u64, u64); 2]>);

impl Parts {
    /// Adds a run and joins it with those that it touches. An empty one adds nothing.
    pub fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let first = self.0.partition_point(|(_, to)| *to < start);
        let behind = self.0.partition_point(|(from, _)| *from <= end);
        let mut run = (start, end);
        if first < behind {
            run = (start.min(self.0[first].0), end.max(self.0[behind - 1].1));
            self.0.drain(first + 1..behind);
            self.0[first] = run;
        } else {
            self.0.insert(first, run);
        }
    }

    /// Whether all of this range is there.
    pub fn covers(&self, start: u64, end: u64) -> bool {
        if start >= end {
            return true;
        }
        let at = self.0.partition_point(|(_, to)| *to <= start);
        self.0.get(at).is_some_and(|(from, to)| *from <= start && end <= *to)
    }

    /// Whether all of a response of this length is there.
    pub fn is_complete(&self, length: u64) -> bool {
        self.covers(0, length)
    }

    /// The runs, in order.
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }
}
