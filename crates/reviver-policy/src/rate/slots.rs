//! A set-associative table of times, changed by compare-exchange only.
//!
//! Which key has which slot is agreed upon in one word for each set: whoever puts in a key writes key and slot there,
//! and whoever finds such a claim completes it before anything else is put in. So no key has two slots, and nobody
//! waits for a thread that is not running. A claim that is done stays, as the version of the set.

use std::iter::repeat_with;
use std::sync::atomic::{AtomicU64, Ordering};

const WAYS: usize = 8;

/// Of a claim: it is not completed. Then come three bits for the slot, and the tag. Of a tag: it comes in.
const OPEN: u64 = 1;

/// What is left of a hash to tell keys apart.
const TAG: u64 = !0xf;

#[derive(Debug)]
pub(super) struct Slots {
    sets: Box<[Ways]>,
    /// For each set what was put in last. Apart, as only those who put in read it.
    claims: Box<[AtomicU64]>,
}

/// A cache line of tags and one of times.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Ways {
    /// 0: nobody's.
    tags: [AtomicU64; WAYS],
    times: [AtomicU64; WAYS],
}

#[derive(Clone, Copy)]
struct Set<'t> {
    tags: &'t [AtomicU64; WAYS],
    times: &'t [AtomicU64; WAYS],
    claim: &'t AtomicU64,
}

impl Slots {
    pub fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        Self {
            sets: repeat_with(Ways::default).take(sets).collect(),
            claims: repeat_with(AtomicU64::default).take(sets).collect(),
        }
    }

    pub fn len(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// Changes a key's time by `next`, unless that has none to give; whether it had, and the time that stands then.
    /// `fresh` is what it gives for a key that has no slot yet.
    pub fn update(&self, hash: u64, fresh: u64, next: impl Fn(u64) -> Option<u64>) -> (bool, u64) {
        let index = (hash >> 32) as usize & (self.sets.len() - 1);
        let Ways { tags, times } = &self.sets[index];
        let set = Set { tags, times, claim: &self.claims[index] };
        let tag = (hash & TAG).max(!TAG + 1);
        loop {
            let done = match set.find(tag) {
                Some(slot) => set.change(slot, tag, &next),
                None => set.insert(tag, fresh).then_some((true, fresh)),
            };
            if let Some(done) = done {
                return done;
            }
        }
    }
}

impl Set<'_> {
    fn find(self, tag: u64) -> Option<usize> {
        self.tags.iter().position(|t| t.load(Ordering::Acquire) == tag)
    }

    /// None: the slot has become another key's.
    fn change(self, slot: usize, tag: u64, next: impl Fn(u64) -> Option<u64>) -> Option<(bool, u64)> {
        let mut time = self.times[slot].load(Ordering::Acquire);
        while self.tags[slot].load(Ordering::Acquire) == tag {
            let Some(changed) = next(time) else { return Some((false, time)) };
            match self.times[slot].compare_exchange_weak(time, changed, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some((true, changed)),
                Err(other) => time = other,
            }
        }
        None
    }

    /// False: something else was put in first, which may be the same key.
    fn insert(self, tag: u64, fresh: u64) -> bool {
        let claim = self.claim.load(Ordering::Acquire);
        if claim & OPEN != 0 {
            self.complete(claim, fresh);
            return false;
        }
        // Once more: it may have come before this claim.
        if self.find(tag).is_some() {
            return false;
        }
        let mine = tag | (self.oldest() as u64) << 1 | OPEN;
        let first = self.claim.compare_exchange(claim, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if first {
            self.complete(mine, fresh);
        }
        first
    }

    fn oldest(self) -> usize {
        let (mut oldest, mut least) = (0, u64::MAX);
        for (slot, time) in self.times.iter().enumerate() {
            let time = time.load(Ordering::Acquire);
            if time < least {
                (oldest, least) = (slot, time);
            }
        }
        oldest
    }

    /// Gives the slot to the key with its first time, unless another thread has done so. The slot is nobody's while the
    /// time changes, and the time always does: who has read the earlier one for the key that goes writes nothing.
    fn complete(self, claim: u64, fresh: u64) {
        let (tag, slot) = (claim & TAG, (claim >> 1) as usize % WAYS);
        let change =
            |word: &AtomicU64, from, to| word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        loop {
            let time = self.times[slot].load(Ordering::Acquire);
            let holder = self.tags[slot].load(Ordering::Acquire);
            if self.claim.load(Ordering::Acquire) != claim {
                return;
            }
            if holder == tag {
                break;
            }
            if holder != tag | OPEN {
                change(&self.tags[slot], holder, tag | OPEN);
            } else if change(&self.times[slot], time, if time == fresh { fresh - 1 } else { fresh }) {
                change(&self.tags[slot], tag | OPEN, tag);
            }
        }
        change(self.claim, claim, claim & !OPEN);
    }
}
