use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Plain GCRA in whole numbers: times count in fractions of a nanosecond, `rate` to each.
struct Model {
    rate: u128,
    period: u128,
    burst: u128,
    arrival: u128,
}

impl Model {
    fn new(rate: u64, period: Duration, burst: u64) -> Self {
        Self { rate: rate.into(), period: period.as_nanos(), burst: burst.into(), arrival: 0 }
    }

    fn check(&mut self, elapsed: Duration) -> RateVerdict {
        let now = elapsed.as_nanos() * self.rate;
        let (next, full) = (self.arrival.max(now) + self.period, self.burst * self.period);
        let allowed = next - now <= full;
        if allowed {
            self.arrival = next;
        }
        let debt = self.arrival.saturating_sub(now);
        let duration = |parts: u128| Duration::from_nanos(parts.div_ceil(self.rate) as u64);
        RateVerdict {
            allowed,
            remaining: ((full - debt) / self.period) as u64,
            reset: duration(debt),
            retry_after: if allowed { Duration::ZERO } else { duration(debt + self.period - full) },
        }
    }
}

/// Checks of one key at a time that the test tells.
struct Limit {
    gcra: Gcra,
    table: RateTable,
    start: Instant,
}

impl Limit {
    fn new(rate: u64, period: Duration, burst: u64) -> Self {
        let limit = Self { gcra: Gcra::new(rate, period, burst), table: RateTable::new(64), start: Instant::now() };
        // The first request sets the beginning of time.
        limit.check(u64::MAX, Duration::ZERO);
        limit
    }

    fn check(&self, key: u64, elapsed: Duration) -> RateVerdict {
        self.table.check(&self.gcra, key, self.start + elapsed)
    }

    /// How many are let through at one moment.
    fn exhaust(&self, key: u64, elapsed: Duration) -> u64 {
        (0..).take_while(|_| self.check(key, elapsed).allowed).count() as u64
    }
}

/// Gaps of whole requests, a nanosecond beside them, and any.
fn gaps(cost: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        (1..4_u64).prop_map(move |n| n * cost),
        (1..4_u64).prop_map(move |n| n * cost + 1),
        (1..4_u64).prop_map(move |n| (n * cost).saturating_sub(1)),
        0..6 * cost,
    ]
}

/// Rates that divide their period, so that a request costs whole nanoseconds.
fn plain_rates() -> impl Strategy<Value = (u64, Duration)> {
    prop_oneof![
        prop::sample::select(vec![1, 2, 5, 100, 1_000, 12_500, 10_000_000]).prop_map(|rate| (rate, SECOND)),
        prop::sample::select(vec![1, 7, 60, 3_600]).prop_map(|rate| (rate, HOUR / 7)),
    ]
    .prop_filter("whole nanoseconds", |(rate, period)| period.as_nanos() % u128::from(*rate) == 0)
}

fn plain_cases() -> impl Strategy<Value = (u64, Duration, Vec<(u64, u64)>)> {
    plain_rates().prop_flat_map(|(rate, period)| {
        let steps = prop::collection::vec((gaps(period.as_nanos() as u64 / rate), 0..3_u64), 1..80);
        (Just(rate), Just(period), steps)
    })
}

proptest! {
    #[test]
    fn verdicts_are_those_of_a_plain_model((rate, period, steps) in plain_cases(), burst in 1..12_u64) {
        let limit = Limit::new(rate, period, burst);
        let mut models = [0; 3].map(|_| Model::new(rate, period, burst));
        let mut elapsed = Duration::ZERO;
        for (gap, key) in steps {
            elapsed += Duration::from_nanos(gap);
            prop_assert_eq!(limit.check(key, elapsed), models[key as usize].check(elapsed));
        }
    }

    #[test]
    fn any_rate_is_exact_in_the_long_run(rate in 1..20_000_u64, minutes in 1..120_u64, burst in 1..100_u64) {
        let period = Duration::from_secs(60 * minutes);
        let limit = Limit::new(rate, period, burst);
        prop_assert_eq!(limit.exhaust(0, Duration::ZERO), burst);
        // Each step is a little shorter than it takes until the burst is full again.
        let step = period.as_nanos() as u64 * burst / rate / 2 + 1;
        let mut allowed = burst;
        for steps in 1..60 {
            let elapsed = Duration::from_nanos(step * steps);
            allowed += limit.exhaust(0, elapsed);
            let exact = u128::from(burst) + elapsed.as_nanos() * u128::from(rate) / period.as_nanos();
            prop_assert!(u128::from(allowed).abs_diff(exact) <= 1, "{} instead of {}", allowed, exact);
        }
    }

    #[test]
    fn what_a_verdict_tells_comes_true(rate in 1..20_000_000_u64, burst in 1..50_u64, used in 1..60_u64, gap: u32) {
        let limit = Limit::new(rate, SECOND, burst);
        let now = Duration::from_nanos(u64::from(gap));
        let last = (0..used).map(|_| limit.check(0, now)).last().expect("one at least");
        // A moment later a refused request is let through, and not before.
        if !last.allowed {
            prop_assert!(!limit.check(0, now + last.retry_after - Duration::from_nanos(2)).allowed);
            prop_assert!(limit.check(0, now + last.retry_after).allowed);
        } else {
            prop_assert_eq!(limit.exhaust(0, now), last.remaining);
            let again = Limit::new(rate, SECOND, burst);
            let last = (0..used).map(|_| again.check(0, now)).last().expect("one at least");
            prop_assert_eq!(again.exhaust(0, now + last.reset), burst);
        }
    }
}

#[test]
fn a_burst_is_used_up_one_by_one_and_comes_back() {
    let limit = Limit::new(10, SECOND, 5);
    for used in 1..=5_u32 {
        let verdict = limit.check(0, SECOND);
        let expected = RateVerdict {
            allowed: true,
            remaining: u64::from(5 - used),
            reset: Duration::from_millis(100) * used,
            retry_after: Duration::ZERO,
        };
        assert_eq!(verdict, expected);
    }
    let refused = |wait: u64, reset: u64| RateVerdict {
        allowed: false,
        remaining: 0,
        reset: Duration::from_millis(reset),
        retry_after: Duration::from_millis(wait),
    };
    assert_eq!(limit.check(0, SECOND), refused(100, 500));
    // A refused request costs nothing.
    assert_eq!(limit.check(0, SECOND), refused(100, 500));
    assert_eq!(limit.check(0, Duration::from_millis(1_060)), refused(40, 440));
    assert_eq!(limit.exhaust(0, Duration::from_millis(1_100)), 1);
    assert_eq!(limit.exhaust(0, Duration::from_millis(1_600)), 5);
    assert_eq!(limit.exhaust(0, HOUR), 5);
}

#[test]
fn keys_are_counted_apart() {
    let limit = Limit::new(1, HOUR, 2);
    for key in 0..8 {
        assert_eq!(limit.exhaust(key, SECOND), 2, "{key}");
    }
}

#[test]
fn rates_and_bursts_of_any_size() {
    let century = SECOND * 60 * 60 * 24 * 365 * 100;
    for rate in [0, 1, 3, 7_000_001, 10_000_000, u64::MAX] {
        for period in [Duration::ZERO, SECOND, HOUR, century, Duration::MAX] {
            for burst in [0, 1, 1_000, 10_000_000_000, u64::MAX] {
                let limit = Limit::new(rate, period, burst);
                for (key, elapsed) in [Duration::ZERO, SECOND, century].into_iter().enumerate() {
                    let first = limit.check(key as u64, elapsed);
                    assert!(first.allowed && first.reset > Duration::ZERO, "{rate} {period:?} {burst}: {first:?}");
                    assert_eq!(first.remaining, burst.clamp(1, SPAN) - 1);
                    let second = limit.check(key as u64, elapsed);
                    assert_eq!(second.allowed, burst > 1, "{rate} {period:?} {burst}: {second:?}");
                    assert_eq!(second.retry_after.is_zero(), second.allowed);
                }
            }
        }
    }
}

#[test]
fn a_high_rate_that_divides_nothing_is_kept() {
    let limit = Limit::new(999_983, SECOND, 100);
    let allowed: u64 = (0..=20_000).map(|step| limit.exhaust(0, Duration::from_micros(50) * step)).sum();
    assert!((999_983 + 99..=999_983 + 101).contains(&allowed), "{allowed}");
}

#[test]
fn a_clock_that_another_thread_has_read_earlier_gives_nothing_away() {
    let limit = Limit::new(1, SECOND, 3);
    assert_eq!(limit.exhaust(0, HOUR), 3);
    let verdict = limit.check(0, HOUR - SECOND);
    assert!(!verdict.allowed && verdict.remaining == 0 && verdict.retry_after == SECOND * 2, "{verdict:?}");
    assert_eq!(limit.check(0, HOUR).retry_after, SECOND);
}

#[test]
fn threads_together_get_what_one_would() {
    let (table, gcra, start) = (RateTable::new(64), Gcra::new(1_000, SECOND, 50), Instant::now());
    let sweep = || {
        let mut allowed = [0_u64; 8];
        for step in 0..=200 {
            for (key, count) in allowed.iter_mut().enumerate() {
                let now = start + Duration::from_millis(step);
                *count += (0..).take_while(|_| table.check(&gcra, key as u64, now).allowed).count() as u64;
            }
        }
        allowed
    };
    let mut sums = [0; 8];
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(sweep)).collect();
        for thread in threads {
            thread.join().expect("a thread").iter().zip(&mut sums).for_each(|(count, sum)| *sum += count);
        }
    });
    // 50 at once, and 1,000 a second for 200 ms.
    assert_eq!(sums, [250; 8]);
}

#[test]
fn threads_that_bring_a_new_key_together_share_its_burst() {
    const KEYS: u64 = 20_000;
    let (table, gcra, now) = (RateTable::new(1 << 19), Gcra::new(1, HOUR, 1), Instant::now());
    let (allowed, barrier) = (AtomicU64::new(0), Barrier::new(4));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 0..KEYS {
                    if key % 32 == 0 {
                        barrier.wait();
                    }
                    allowed.fetch_add(u64::from(table.check(&gcra, key, now).allowed), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(allowed.into_inner(), KEYS);
}

#[test]
fn keys_that_push_each_other_out_are_still_held_once() {
    // One set: eight slots for sixteen keys.
    let (table, gcra, start) = (RateTable::new(1), Gcra::new(1_000, SECOND, 2), Instant::now());
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (table, gcra) = (&table, &gcra);
            scope.spawn(move || {
                for step in 0..50_000_u64 {
                    table.check(gcra, step.wrapping_mul(7 + thread) % 16, start + Duration::from_micros(step));
                }
            });
        }
    });
    // Each of eight keys that come alone now has its burst once more, and no second slot to take from.
    let later = start + HOUR;
    for key in 0..8 {
        let allowed = (0..10).filter(|_| table.check(&gcra, key, later).allowed).count();
        assert_eq!(allowed, 2, "{key}");
    }
    for key in 0..8 {
        assert!(!table.check(&gcra, key, later).allowed, "{key}");
    }
}

#[test]
fn clients_are_counted_by_ipv4_address_and_by_ipv6_network() {
    let key = |address: &str| client_key(address.parse().expect("an address"));
    assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_eq!(key("192.0.2.7"), key("::ffff:192.0.2.7"));
    let apart = ["192.0.2.7", "192.0.2.8", "2001:db8:1:2::", "2001:db8:1:3::", "2001:db8:2:2::", "2002:c000:207::"];
    for (place, one) in apart.iter().enumerate() {
        for other in &apart[place + 1..] {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
    }
    // Persons of splits are known by it: it is never changed.
    assert_eq!(key("192.0.2.7"), 0xc000_0207);
    assert_eq!(key("2001:db8:1:2::1"), 0x2001_0db8_0001_0002);
}

#[test]
fn values_are_counted_apart() {
    assert_eq!(value_key(b"token"), value_key(b"token"));
    let values: [&[u8]; 5] = [b"", b"token", b"tokem", b"tok", &[0; 8]];
    let mut keys = values.map(value_key).to_vec();
    keys.push(client_key(IpAddr::from([0, 0, 0, 0])));
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 6);
}
