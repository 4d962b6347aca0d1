//! Servers that are taken out by what their own answers show.

use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::clock::micros;
use crate::endpoint::{DOWN, DRAINED, EJECTED};
use crate::{Algorithm, ChangeKind, LatencySpec, Outcome, OutlierSpec, Pool, SuccessRateSpec, lock};

/// Microseconds that a failed try is taken to have lasted at least, where servers are chosen by latency.
const FAILURE: u64 = 1_000_000;

/// A share of successes less than this below the others' is not worth an ejection.
const NOTICEABLE: f64 = 0.01;

/// What a server has shown since the last comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub server: u32,
    pub requests: u32,
    pub errors: u32,
    pub answers: u32,
    pub micros: u64,
}

impl Pool {
    pub(crate) fn observe(&self, server: u32, outcome: Outcome, now: Instant) {
        let (endpoint, now) = (&self.endpoints[server as usize], self.micros(now));
        let answers = &endpoint.answers;
        let (failed, latency) = match outcome {
            Outcome::Success(latency) => (false, Some(latency)),
            Outcome::Error(latency) => (true, Some(latency)),
            Outcome::Failure => (true, None),
        };
        if let Some(latency) = latency {
            answers.latency.mean(latency, now);
        }
        if self.spec.algorithm == Algorithm::PeakEwma {
            match outcome {
                Outcome::Success(latency) => answers.peak.peak(latency, now),
                // who fails fast is not fast
                Outcome::Error(latency) => answers.peak.raise(latency, now),
                Outcome::Failure => answers.peak.raise(FAILURE, now),
            }
        }
        if failed {
            answers.errors.fetch_add(1, Ordering::Relaxed);
        }
        if self.spec.adaptive.is_some() {
            let limits = &self.shared.limits;
            if limits.adaptive.observe(outcome, limits.carried(), now) {
                self.shared.queue.call();
            }
        }
        let Some(spec) = &self.spec.outlier else { return };
        if spec.success_rate.is_some() || spec.latency.is_some() {
            answers.interval.add(failed, latency);
        }
        if !failed {
            // only read while all is well
            if answers.in_a_row.load(Ordering::Relaxed) != 0 {
                answers.in_a_row.store(0, Ordering::Relaxed);
            }
            return;
        }
        let in_a_row = answers.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        if spec.consecutive_errors > 0 && in_a_row >= spec.consecutive_errors {
            // whether or not it may be ejected: the next is as many errors away
            answers.in_a_row.store(0, Ordering::Relaxed);
            self.eject(server, &format!("{in_a_row} errors in a row"), spec, now);
        }
    }

    /// Takes a server out, unless too many are, or it is the last that is left.
    fn eject(&self, server: u32, why: &str, spec: &OutlierSpec, now: u64) -> bool {
        let endpoint = &self.endpoints[server as usize];
        {
            let _one_at_a_time = lock(&self.shared.judging);
            let state = |server: u32| self.endpoints[server as usize].state();
            if state(server) & (DOWN | EJECTED) != 0 {
                return false;
            }
            let ejected = self.selector.members().filter(|&s| state(s) & EJECTED != 0).count() as u64;
            let is_left = |s: u32| s != server && state(s) & (DOWN | EJECTED | DRAINED) == 0;
            if ejected >= self.most_ejected(spec) || !self.selector.members().any(is_left) {
                return false;
            }
            let count = endpoint.ejections(now, micros(spec.eject)).saturating_add(1);
            let time = spec.eject.saturating_mul(count).min(spec.max_eject);
            endpoint.standing.ejections.store(count, Ordering::Relaxed);
            endpoint.standing.ejected_until.store(now.saturating_add(micros(time)), Ordering::Relaxed);
            endpoint.set(EJECTED);
            let member = &self.spec.members[server as usize];
            self.tell(member, ChangeKind::Ejected, &format!("{why}: out for {time:?}"));
        }
        self.shared.stir();
        true
    }

    fn most_ejected(&self, spec: &OutlierSpec) -> u64 {
        match self.selector.members().count() as u64 {
            0 | 1 => 0,
            all => (all * u64::from(spec.max_ejected) / 10_000).max(1),
        }
    }

    pub(crate) fn end_ejections(&self, now: u64) {
        for (member, endpoint) in self.spec.members.iter().zip(&self.endpoints) {
            let standing = &endpoint.standing;
            if endpoint.state() & EJECTED == 0 || standing.ejected_until.load(Ordering::Relaxed) > now {
                continue;
            }
            standing.returned.store(now, Ordering::Relaxed);
            endpoint.answers.in_a_row.store(0, Ordering::Relaxed);
            endpoint.answers.interval.take();
            self.begin_slowly(endpoint, now);
            if endpoint.clear(EJECTED) {
                self.tell(member, ChangeKind::Returned, "its time is over");
            }
            self.shared.stir();
        }
    }

    /// Each `every`: who is worse than its peers is taken out.
    pub(crate) fn compare(&self, spec: &OutlierSpec, now: u64) {
        if spec.success_rate.is_none() && spec.latency.is_none() {
            return;
        }
        let due = self.shared.compare_at.load(Ordering::Relaxed);
        if due > now {
            return;
        }
        self.shared.compare_at.store(now + micros(spec.every), Ordering::Relaxed);
        let shown: Vec<Shown> = self
            .selector
            .members()
            .map(|server| (server, &self.endpoints[server as usize]))
            .map(|(server, endpoint)| endpoint.answers.interval.take().shown(server))
            .collect();
        // what was counted before the first interval began is of no known time
        if due == 0 {
            return;
        }
        let in_use = |s: &&Shown| self.endpoints[s.server as usize].state() & (DOWN | EJECTED) == 0;
        if let Some(rules) = &spec.success_rate {
            for (server, why) in by_success(&shown.iter().filter(in_use).copied().collect::<Vec<_>>(), rules) {
                self.eject(server, &why, spec, now);
            }
        }
        if let Some(rules) = &spec.latency {
            for (server, why) in by_latency(&shown.iter().filter(in_use).copied().collect::<Vec<_>>(), rules) {
                self.eject(server, &why, spec, now);
            }
        }
    }
}

/// Servers whose share of successes is too far below that of their peers, the worst first.
///
/// Envoy's rule, mean less deviations, but of the peers alone: where a server counts among those it is compared with,
/// none of three or four can ever be 1.9 deviations away from the mean, however bad it is. What chance does to counts is
/// added to the deviation, since two peers may be equal by chance and a third may differ by it.
pub(crate) fn by_success(shown: &[Shown], rules: &SuccessRateSpec) -> Vec<(u32, String)> {
    let judged: Vec<(Shown, f64)> = shown
        .iter()
        .filter(|s| s.requests > 0 && s.requests >= rules.min_requests)
        .map(|s| (*s, 1.0 - f64::from(s.errors) / f64::from(s.requests)))
        .collect();
    if judged.len() < (rules.min_servers as usize).max(2) {
        return Vec::new();
    }
    let (sum, squares) = judged.iter().fold((0.0, 0.0), |(s, q), &(_, rate)| (s + rate, q + rate * rate));
    let (requests, errors) =
        judged.iter().fold((1.0, 0.5), |(r, e), (s, _)| (r + f64::from(s.requests), e + f64::from(s.errors)));
    let peers = judged.len() as f64 - 1.0;
    let mut worse: Vec<(f64, u32, String)> = judged
        .iter()
        .filter_map(|&(s, rate)| {
            let mean = (sum - rate) / peers;
            let variance = ((squares - rate * rate) / peers - mean * mean).max(0.0);
            // as if all had the same share: of all requests, and half of one that failed
            let share = errors / requests;
            let own = f64::from(s.requests);
            let sampling = share * (1.0 - share) * (1.0 / own + 1.0 / (requests - own));
            let least = mean - (rules.deviations * (variance + sampling).sqrt()).max(NOTICEABLE);
            let why = || {
                let (rate, least) = (rate * 100.0, least * 100.0);
                format!("{rate:.1} % of {} requests succeeded, less than {least:.1} %", s.requests)
            };
            (rate < least).then(|| (rate, s.server, why()))
        })
        .collect();
    worse.sort_by(|a, b| a.0.total_cmp(&b.0));
    worse.into_iter().map(|(_, server, why)| (server, why)).collect()
}

/// Servers that take too many times the median of their peers' mean latencies, the slowest first.
pub(crate) fn by_latency(shown: &[Shown], rules: &LatencySpec) -> Vec<(u32, String)> {
    let mut judged: Vec<(f64, u32)> = shown
        .iter()
        .filter(|s| s.answers > 0 && s.answers >= rules.min_requests)
        .map(|s| (s.micros as f64 / f64::from(s.answers), s.server))
        .collect();
    if judged.len() < (rules.min_servers as usize).max(2) {
        return Vec::new();
    }
    judged.sort_by(|a, b| b.0.total_cmp(&a.0));
    let worse = judged.iter().enumerate().filter_map(|(place, &(mean, server))| {
        let peer = |index: usize| judged[if index < place { index } else { index + 1 }].0;
        let peers = judged.len() - 1;
        let median = f64::midpoint(peer((peers - 1) / 2), peer(peers / 2));
        let why = || {
            let (mean, median) = (mean / 1000.0, median / 1000.0);
            format!("{mean:.1} ms on average, where the median of its peers is {median:.1} ms")
        };
        (mean > rules.factor * median).then(|| (server, why()))
    });
    worse.collect()
}
