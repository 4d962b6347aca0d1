//! Numbers that look random and come from counters, so that the same questions get the same answers.

use std::sync::atomic::{AtomicU64, Ordering};

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014): each
/// bit of the result depends on each of `number`, and different numbers have different results.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A mixed number as a place in a list of `length`: by a multiplication, since a division takes longer.
pub(crate) fn below(number: u64, length: usize) -> usize {
    (((number >> 32) * length as u64) >> 32) as usize
}

/// A mixed number as one of 0 to 1, without 1.
pub(crate) fn unit(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

/// A position in a list that is read over and over, on a cache line of its own: each worker writes it, and what
/// stands beside it is only read.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Cursor(AtomicU64);

impl Cursor {
    /// Each number once, whichever worker asks. No order with other memory is needed.
    pub fn advance(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
