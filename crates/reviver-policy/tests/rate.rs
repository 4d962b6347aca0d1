//! Keys that are made up to fill a rate limit's table.

use std::time::{Duration, Instant};

use reviver_policy::{Gcra, RateTable};

#[path = "../../reviver-testkit/counting.rs"]
mod counting;

const STRANGERS: u64 = 10_000_000;

#[test]
fn a_rate_of_new_keys_takes_no_memory_frees_no_limited_key_and_refuses_nobody() {
    let (table, gcra, start) =
        (RateTable::new(RateTable::ENTRIES), Gcra::new(60, Duration::from_secs(3600), 10), Instant::now());
    let limited: Vec<u64> = (0..100).collect();
    for &key in &limited {
        assert_eq!((0..11).filter(|_| table.check(&gcra, key, start).allowed).count(), 10);
    }
    let mut refused = 0;
    let mut freed = 0;
    let allocations = counting::allocations(|| {
        for stranger in 0..STRANGERS {
            // All within the minute after which a limited key may come once more.
            let now = start + Duration::from_micros(stranger * 5);
            refused += u64::from(!table.check(&gcra, u64::MAX - stranger, now).allowed);
            if stranger % 100_000 == 0 {
                freed += limited.iter().filter(|key| table.check(&gcra, **key, now).allowed).count();
            }
        }
    });
    assert_eq!((allocations, refused, freed), (0, 0, 0));
}

#[test]
fn a_rate_is_forgotten_only_for_as_many_keys_as_have_been_used_up_as_far() {
    let (table, gcra, now) =
        (RateTable::new(RateTable::ENTRIES), Gcra::new(1, Duration::from_secs(3600), 10), Instant::now());
    let used_up = |key: u64| (0..11).filter(|_| table.check(&gcra, key, now).allowed).count() == 10;
    assert!(used_up(0));
    let others = (1..).take_while(|key| used_up(*key) && !table.check(&gcra, 0, now).allowed).count();
    assert!(others > RateTable::ENTRIES / 16, "free again after {others} keys");
}
