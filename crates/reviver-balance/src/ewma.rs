//! Latency, the latest weighing most.

use std::sync::atomic::{AtomicU64, Ordering};

/// After this many microseconds a sample weighs 1/e of what it did.
const DECAY: f32 = 10_000_000.0;

/// A stamp counts this many microseconds, as a power of two: it wraps after three days.
const STAMP_SHIFT: u32 = 6;

/// An exponentially weighted moving average whose samples weigh by the time that has gone by, so that it does not
/// depend on how many there are. As in Finagle's `PeakEwma` and Linkerd's balancer.
///
/// The upper half holds microseconds as an `f32`, the lower when it was written; 0: there is no sample yet.
#[derive(Debug, Default)]
pub(crate) struct Ewma(AtomicU64);

impl Ewma {
    /// The mean goes towards the sample.
    pub fn mean(&self, sample: u64, now: u64) {
        self.update(now, |value, weight| value + (sample as f32 - value) * weight, sample);
    }

    /// A sample above what the average has faded to is believed at once, one below it by and by: a server that turns
    /// slow loses its traffic with the first answer that shows it, and one that is asked again after a time and is
    /// fast has it back.
    pub fn peak(&self, sample: u64, now: u64) {
        let sample_f = sample as f32;
        let towards = |value: f32, weight: f32| {
            let faded = value * (1.0 - weight);
            if sample_f >= faded { sample_f } else { faded + sample_f * weight }
        };
        self.update(now, towards, sample);
    }

    /// At least this much now: what failed must not look fast.
    pub fn raise(&self, sample: u64, now: u64) {
        self.update(now, |value, _| value.max(sample as f32), sample);
    }

    fn update(&self, now: u64, next: impl Fn(f32, f32) -> f32, first: u64) {
        let mut before = self.0.load(Ordering::Relaxed);
        loop {
            let value = match before {
                0 => first as f32,
                _ => next(value_of(before), 1.0 - decay(before, now)),
            };
            let after = pack(value, now);
            match self.0.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => before = other,
            }
        }
    }

    /// Microseconds; none before the first sample.
    pub fn value(&self) -> Option<f32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            packed => Some(value_of(packed)),
        }
    }

    /// The same, fading while there are no samples: who was slow is asked again after a time.
    pub fn faded(&self, now: u64) -> Option<f32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            packed => Some(value_of(packed) * decay(packed, now)),
        }
    }
}

/// Never 0, which says that there is no sample.
fn pack(value: f32, now: u64) -> u64 {
    let value = value.max(f32::MIN_POSITIVE);
    (u64::from(value.to_bits()) << 32) | ((now >> STAMP_SHIFT) & u64::from(u32::MAX))
}

fn value_of(packed: u64) -> f32 {
    f32::from_bits((packed >> 32) as u32)
}

/// What an earlier average still weighs. A stamp ahead of `now` is another worker's: nothing has gone by.
fn decay(packed: u64, now: u64) -> f32 {
    let passed = ((now >> STAMP_SHIFT) as u32).wrapping_sub(packed as u32);
    if passed > u32::MAX / 2 {
        return 1.0;
    }
    (-((u64::from(passed) << STAMP_SHIFT) as f32) / DECAY).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn close(a: Option<f32>, b: f32) -> bool {
        a.is_some_and(|a| (a - b).abs() <= b.abs() * 0.001)
    }

    #[test]
    fn the_first_sample_is_the_average() {
        let ewma = Ewma::default();
        assert_eq!(ewma.value(), None);
        assert_eq!(ewma.faded(SECOND), None);
        ewma.mean(0, 0);
        assert!(ewma.value().is_some());
        let ewma = Ewma::default();
        ewma.peak(250, 7 * SECOND);
        assert!(close(ewma.value(), 250.0));
    }

    #[test]
    fn after_ten_seconds_a_sample_weighs_one_part_in_e() {
        let ewma = Ewma::default();
        ewma.mean(1000, 0);
        ewma.mean(2000, 10 * SECOND);
        assert!(close(ewma.value(), 2000.0 - 1000.0 / std::f32::consts::E), "{ewma:?}");
        // the same instant: it has no weight yet
        ewma.mean(9_000_000, 10 * SECOND);
        assert!(close(ewma.value(), 2000.0 - 1000.0 / std::f32::consts::E), "{ewma:?}");
    }

    #[test]
    fn a_peak_is_believed_at_once_and_its_end_by_and_by() {
        let ewma = Ewma::default();
        ewma.peak(1000, 0);
        ewma.peak(50_000, 1);
        assert!(close(ewma.value(), 50_000.0));
        ewma.peak(1000, 10 * SECOND);
        assert!(close(ewma.value(), 1000.0 + 49_000.0 / std::f32::consts::E));
        ewma.raise(500, 10 * SECOND);
        assert!(close(ewma.value(), 1000.0 + 49_000.0 / std::f32::consts::E));
        ewma.peak(2000, 60 * SECOND);
        assert!(close(ewma.value(), 2000.0), "nothing is left of it");
        ewma.raise(60_000, 60 * SECOND);
        assert!(close(ewma.value(), 60_000.0));
    }

    #[test]
    fn without_samples_it_fades() {
        let ewma = Ewma::default();
        ewma.peak(1000, SECOND);
        assert!(close(ewma.faded(SECOND), 1000.0));
        // another worker's clock was read before
        assert!(close(ewma.faded(0), 1000.0));
        assert!(close(ewma.faded(11 * SECOND), 1000.0 / std::f32::consts::E));
        assert!(close(ewma.value(), 1000.0));
    }
}
