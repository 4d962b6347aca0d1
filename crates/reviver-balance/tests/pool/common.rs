use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use reviver_balance::{Algorithm, Ask, Choice, Lease, Member, Pool, PoolSpec, Priority};

pub const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RoundRobin,
    Algorithm::LeastRequests,
    Algorithm::PowerOfTwo,
    Algorithm::Random,
    Algorithm::Hash,
    Algorithm::Maglev,
    Algorithm::PeakEwma,
    Algorithm::First,
];

/// So long after the test began.
pub fn at(after: Duration) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now) + after
}

pub fn seconds(seconds: f64) -> Instant {
    at(Duration::from_secs_f64(seconds))
}

pub fn ask() -> Ask<'static> {
    Ask {
        now: seconds(0.0),
        hash: 0,
        tried: &[],
        pinned: None,
        queued: false,
        priority: Priority::Normal,
        instead: None,
    }
}

pub fn address(index: usize) -> String {
    format!("10.0.{}.{}:80", index / 256, index % 256)
}

pub fn member(index: usize, weight: u32) -> Member {
    Member { address: address(index), weight, backup: false, max_connections: 0 }
}

pub fn members(weights: &[u32]) -> Vec<Member> {
    weights.iter().enumerate().map(|(index, &weight)| member(index, weight)).collect()
}

pub fn spec(algorithm: Algorithm, weights: &[u32]) -> PoolSpec {
    PoolSpec { algorithm, members: members(weights), retries_per_second: 1_000_000, ..PoolSpec::default() }
}

pub fn pool(algorithm: Algorithm, weights: &[u32]) -> Pool {
    Pool::new(spec(algorithm, weights), None)
}

/// A lease, which there must be.
pub fn take<'p>(pool: &'p Pool, ask: &Ask<'_>) -> Lease<'p> {
    match pool.choose(ask) {
        Choice::Server(lease) => lease,
        other => panic!("{other:?}"),
    }
}

/// The server of a request that ends at once.
pub fn server(pool: &Pool, ask: &Ask<'_>) -> Option<u32> {
    match pool.choose(ask) {
        Choice::Server(lease) => Some(lease.index()),
        _ => None,
    }
}

pub fn counts(picks: impl IntoIterator<Item = u32>) -> BTreeMap<u32, u64> {
    picks.into_iter().fold(BTreeMap::new(), |mut counts, pick| {
        *counts.entry(pick).or_default() += 1;
        counts
    })
}

/// Requests one after the other, each with another hash.
pub fn sequence(pool: &Pool, count: u64) -> BTreeMap<u32, u64> {
    counts((0..count).filter_map(|hash| server(pool, &Ask { hash, ..ask() })))
}
