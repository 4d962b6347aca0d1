//! From the plan's pools and splits to what chooses by them.

use std::time::Duration;

use reviver_balance::{
    AdaptiveSpec, Algorithm, HealthSpec, LatencySpec, Member, OutlierSpec, Pool as Balancer, PoolSpec, SplitState,
    SuccessRateSpec,
};

use crate::{Balance, Outlier, Pool, Snapshot, Split};

/// The balancer of a pool; what the earlier plan's pool of that name knows of its servers is kept.
pub(crate) fn balancer(pool: &Pool, earlier: Option<&Snapshot>) -> Balancer {
    let kept = earlier.and_then(|e| e.balanced().find(|(p, _)| p.name == pool.name));
    Balancer::new(spec(pool), kept.map(|(_, balancer)| balancer))
}

/// The weights of a split; those that were set since are kept where the written ones have not changed.
pub(crate) fn split_state(split: &Split, earlier: Option<&Snapshot>) -> SplitState {
    let kept = earlier.and_then(|e| e.divided().find(|(s, _)| s.name == split.name));
    let written: Vec<u32> = split.variants.iter().map(|v| v.weight).collect();
    SplitState::new(&written, kept.map(|(_, state)| state))
}

fn spec(pool: &Pool) -> PoolSpec {
    let member = |server: &crate::Server| Member {
        address: server.address.clone(),
        weight: server.weight,
        backup: server.backup,
        max_connections: server.max_connections,
    };
    PoolSpec {
        members: pool.servers.iter().map(member).collect(),
        algorithm: algorithm(pool.balance),
        hash_bound: pool.hash_bound,
        health: pool.health.as_ref().map(|h| HealthSpec { rise: h.rise, fall: h.fall }),
        outlier: pool.outlier.as_ref().map(outlier),
        slow_start: Duration::from_millis(pool.slow_start_ms),
        queue_max: pool.queue.max,
        panic: pool.panic,
        retry_percent: pool.retry_budget.percent,
        retries_per_second: pool.retry_budget.per_second,
        max_requests: pool.max_requests,
        adaptive: pool.adaptive.as_ref().map(|a| AdaptiveSpec { min: a.min, max: a.max, tolerance: a.tolerance }),
    }
}

fn algorithm(balance: Balance) -> Algorithm {
    match balance {
        Balance::RoundRobin => Algorithm::RoundRobin,
        Balance::LeastRequests => Algorithm::LeastRequests,
        Balance::PowerOfTwo => Algorithm::PowerOfTwo,
        Balance::Random => Algorithm::Random,
        Balance::Hash => Algorithm::Hash,
        Balance::Maglev => Algorithm::Maglev,
        Balance::PeakEwma => Algorithm::PeakEwma,
        Balance::First => Algorithm::First,
    }
}

fn outlier(outlier: &Outlier) -> OutlierSpec {
    OutlierSpec {
        consecutive_errors: outlier.consecutive_errors,
        success_rate: outlier.success_rate.as_ref().map(|s| SuccessRateSpec {
            deviations: s.deviations,
            min_requests: s.min_requests,
            min_servers: s.min_servers,
        }),
        latency: outlier.latency.as_ref().map(|l| LatencySpec {
            factor: l.factor,
            min_requests: l.min_requests,
            min_servers: l.min_servers,
        }),
        every: Duration::from_millis(outlier.every_ms),
        eject: Duration::from_millis(outlier.eject_ms),
        max_eject: Duration::from_millis(outlier.max_eject_ms),
        max_ejected: outlier.max_ejected,
    }
}
