//! How often a key may come: the generic cell rate algorithm (GCRA) for all workers in sum.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

mod slots;
#[cfg(test)]
mod tests;

use slots::Slots;

/// What times are kept below: sums of a time and a debt fit in 64 bits.
const SPAN: u64 = 1 << 62;

/// A rate and a burst, as ticks: of a nanosecond or a little less, so that a request costs a whole number of them and
/// nothing is lost by rounding in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    /// Ticks that a request costs.
    unit: u64,
    /// Ticks that may be owed.
    full: u64,
    /// So many ticks are so many nanoseconds.
    ticks: u64,
    nanos: u64,
}

/// What a limit says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateVerdict {
    pub allowed: bool,
    /// Requests that would still be let through now.
    pub remaining: u64,
    /// Until the whole burst is there again.
    pub reset: Duration,
    /// Until one request would be let through; zero where this one is.
    pub retry_after: Duration,
}

/// What keys have used of a limit, in a fixed number of entries, for all workers and without a lock.
///
/// A key takes the entry, among eight that its hash selects, whose debt is over for the longest time, else the one
/// with the smallest debt. Thus:
///
/// - No key is let through less often than its rate, whoever else comes.
/// - No key is let through more often while its set has room for all that owe something: with a quarter of the entries
///   owing, all sets have but one in 4,000.
/// - Beyond that the key that is forgotten is the one that owes least. Which keys share a set is a secret of the
///   table: whoever wants a used-up limit back must use up about as many other keys as there are entries, and could
///   have used those.
pub struct RateTable {
    slots: Slots,
    secret: RandomState,
    /// The time of the first request; ticks count from here.
    start: OnceLock<Instant>,
}

impl Gcra {
    /// `rate` requests in each `period`, evenly, and `burst` of them at once. 0 counts as 1; more than one request
    /// in a nanosecond are as good as one.
    pub fn new(rate: u64, period: Duration, burst: u64) -> Self {
        let nanos = period.as_nanos().clamp(1, u128::from(SPAN / 2)) as u64;
        let rate = rate.clamp(1, nanos);
        let burst = burst.clamp(1, SPAN);
        // A burst that takes longer than a century to come back makes ticks coarser.
        let unit = nanos.div_ceil(rate).min(SPAN / burst);
        Self { unit, full: unit * burst, ticks: unit * rate, nanos }
    }

    fn ticks(&self, elapsed: Duration) -> u64 {
        let nanos = elapsed.as_nanos().min(u128::from(SPAN)) as u64;
        if self.ticks == self.nanos {
            return nanos;
        }
        (u128::from(nanos) * u128::from(self.ticks) / u128::from(self.nanos)) as u64
    }

    /// Rounded up: when it is over, so are the ticks.
    fn duration(&self, ticks: u64) -> Duration {
        let nanos = (u128::from(ticks) * u128::from(self.nanos)).div_ceil(u128::from(self.ticks));
        let seconds = u64::try_from(nanos / 1_000_000_000);
        seconds.map_or(Duration::MAX, |s| Duration::new(s, (nanos % 1_000_000_000) as u32))
    }

    /// The theoretical arrival time after one more request, where it is let through.
    fn next(&self, arrival: u64, now: u64) -> Option<u64> {
        let next = arrival.max(now) + self.unit;
        (next - now <= self.full).then_some(next)
    }

    /// `arrival` is what stands after the request.
    fn verdict(&self, allowed: bool, arrival: u64, now: u64) -> RateVerdict {
        let debt = arrival.saturating_sub(now);
        RateVerdict {
            allowed,
            remaining: self.full.saturating_sub(debt) / self.unit,
            reset: self.duration(debt),
            retry_after: if allowed { Duration::ZERO } else { self.duration(debt + self.unit - self.full) },
        }
    }
}

impl RateTable {
    /// Entries of a limit whose keys are clients or values: 16 bytes each.
    pub const ENTRIES: usize = 65_536;

    /// At least so many entries: a power of two, and no fewer than eight.
    pub fn new(entries: usize) -> Self {
        Self { slots: Slots::new(entries), secret: RandomState::new(), start: OnceLock::new() }
    }

    /// Counts a request where it is let through. What the table holds are ticks of `gcra`: it is the same each time.
    pub fn check(&self, gcra: &Gcra, key: u64, now: Instant) -> RateVerdict {
        let now = gcra.ticks(now.saturating_duration_since(*self.start.get_or_init(|| now)));
        let hash = self.secret.hash_one(key);
        let (allowed, arrival) = self.slots.update(hash, now + gcra.unit, |arrival| gcra.next(arrival, now));
        gcra.verdict(allowed, arrival, now)
    }
}

impl std::fmt::Debug for RateTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateTable").field("entries", &self.slots.len()).finish_non_exhaustive()
    }
}

/// What a client is counted by: its IPv4 address, or the 64 bits of its IPv6 network, of which one person has 2^64
/// addresses. The same in every process; they do not meet, as no client is in `::/32`.
pub fn client_key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

/// What a value that a client sends is counted by. Hashed under a secret of this process, so that nobody can make up
/// a value that is counted with another's, or with a client's key.
pub fn value_key(value: &[u8]) -> u64 {
    static SECRET: OnceLock<RandomState> = OnceLock::new();
    SECRET.get_or_init(RandomState::new).hash_one(value)
}
