//! What a pool is made of.

use std::time::Duration;

/// How servers of one tier are chosen among.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    #[default]
    RoundRobin,
    LeastRequests,
    PowerOfTwo,
    Random,
    Hash,
    Maglev,
    PeakEwma,
    First,
}

/// A server of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name over reloads.
    pub address: String,
    /// Share of the traffic in proportion to the other members of the tier; 0 takes none.
    pub weight: u32,
    /// Only chosen when no other server is left.
    pub backup: bool,
    /// Requests at the same time; 0 is no bound.
    pub max_connections: u32,
}

/// A pool. The default is round robin without any bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolSpec {
    pub members: Vec<Member>,
    pub algorithm: Algorithm,
    /// Percent of its fair share that a server may carry by [`Algorithm::Hash`]; 0: no bound.
    pub hash_bound: u32,
    pub health: Option<HealthSpec>,
    pub outlier: Option<OutlierSpec>,
    pub slow_start: Duration,
    /// Requests that may wait for room; 0: none.
    pub queue_max: u32,
    /// Hundredths of a percent: with fewer members up all are used as if they were; 0: never.
    pub panic: u32,
    /// Hundredths of a percent of the requests of the last ten seconds that may be tried again.
    pub retry_percent: u32,
    /// Besides those: so many in each second.
    pub retries_per_second: u32,
    /// Requests at the same time, of all servers and workers together; 0: no bound.
    pub max_requests: u32,
    /// None: no bound that follows latency.
    pub adaptive: Option<AdaptiveSpec>,
}

/// A bound on the requests at the same time that follows latency: see [`crate::Priority`] for who is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdaptiveSpec {
    /// It is never less, nor less than 1.
    pub min: u32,
    pub max: u32,
    /// Percent of its long-term mean that latency may reach before the bound is lowered.
    pub tolerance: u32,
}

/// How many checks in a row change what is thought of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSpec {
    pub rise: u32,
    pub fall: u32,
}

/// See `reviver_plan::Outlier`.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierSpec {
    /// 0: not looked at.
    pub consecutive_errors: u32,
    pub success_rate: Option<SuccessRateSpec>,
    pub latency: Option<LatencySpec>,
    pub every: Duration,
    pub eject: Duration,
    pub max_eject: Duration,
    /// Hundredths of a percent of the members; one may always be, unless it is the only one.
    pub max_ejected: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRateSpec {
    pub deviations: f64,
    pub min_requests: u32,
    pub min_servers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencySpec {
    pub factor: f64,
    pub min_requests: u32,
    pub min_servers: u32,
}
