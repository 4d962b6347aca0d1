//! The part of the plan that says which server gets a request: balancing, health, splits, rates.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{NamedPattern, Place, PoolIndex, ProxyProtocol, UpstreamTls, ValuePattern};

/// Hundredths of a percent: 10,000 is all.
pub type BasisPoints = u32;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub name: String,
    pub at: Place,
    pub servers: Vec<Server>,
    pub balance: Balance,
    /// For [`Balance::Hash`] and [`Balance::Maglev`].
    pub hash_on: HashOn,
    /// Percent of its fair share that a server may carry by [`Balance::Hash`]; 0: no bound.
    pub hash_bound: u32,
    pub sticky: Option<Sticky>,
    pub health: Option<Health>,
    /// None: none is ever taken out by what its answers show.
    pub outlier: Option<Outlier>,
    /// How long the share of a server that has come back grows from a tenth.
    pub slow_start_ms: u64,
    pub queue: Queue,
    /// With fewer servers than this up, all are used as if they were; 0: never.
    pub panic: BasisPoints,
    pub retry_budget: RetryBudget,
    /// Requests at the same time, of all servers; 0: no bound.
    pub max_requests: u32,
    pub adaptive: Option<Adaptive>,
    /// None: plain TCP.
    pub tls: Option<UpstreamTls>,
    pub protocol: UpstreamProtocol,
    /// Each connection begins with a header that names the client.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Idle upstream connections kept by each worker for each server.
    pub max_idle: u32,
    /// How long an idle upstream connection is kept.
    pub idle_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// `address:port` or `name:port`, as it is shown.
    pub address: String,
    pub at: Place,
    /// 1 to 1000; 0 takes no traffic.
    pub weight: u32,
    /// Only used when no other server is left.
    pub backup: bool,
    /// Requests and tunnels at the same time, all workers together; 0: no bound.
    pub max_connections: u32,
}

/// Which version of HTTP the servers of a pool are spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpstreamProtocol {
    /// What ALPN agrees on; HTTP/1.1 without TLS.
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "http/1.1")]
    Http1,
    /// With prior knowledge where there is no TLS.
    #[serde(rename = "h2")]
    Http2,
}

/// How servers of one tier are chosen among.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, by weight, smoothly.
    RoundRobin,
    /// The one that carries the fewest requests in relation to its weight.
    LeastRequests,
    /// Of two at random the one that carries fewer.
    PowerOfTwo,
    Random,
    /// Consistent hashing on a ring, with bounded load.
    Hash,
    /// Consistent hashing by Maglev's table.
    Maglev,
    /// Of two at random the one whose latency, weighed by what it carries, is lower.
    PeakEwma,
    /// The first that has room.
    First,
}

impl Balance {
    /// Whether servers are chosen by what the request holds.
    pub fn hashes(self) -> bool {
        matches!(self, Self::Hash | Self::Maglev)
    }
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashOn {
    /// The client's address.
    Client,
    /// The normalised path.
    Path,
    /// The value of a header field, its name in lower case; where it is missing the client's address.
    Header(String),
    /// The value of a cookie; where it is missing the client's address.
    Cookie(String),
}

/// One client stays with one server by a signed cookie.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    pub at: Place,
    pub cookie: String,
    /// What it is signed by.
    pub secret: String,
    /// Seconds that the client keeps it; 0: until its session ends.
    pub max_age: u64,
}

impl std::fmt::Debug for Sticky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sticky {{ cookie: {:?} }}", self.cookie)
    }
}

/// Active health checks of each server of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    pub at: Place,
    pub check: HealthCheck,
    /// None: the server's own.
    pub port: Option<u16>,
    pub every_ms: u64,
    /// The same while the server is down.
    pub down_every_ms: u64,
    pub timeout_ms: u64,
    /// Good checks in a row that bring a server back.
    pub rise: u32,
    /// Bad checks in a row that take a server out.
    pub fall: u32,
    /// How far an interval is shortened or prolonged at random.
    pub jitter: BasisPoints,
}

/// What is asked of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheck {
    Http(HttpCheck),
    /// A connection comes about.
    Tcp,
    /// A TLS handshake is completed, by the pool's `tls` or, without that, whatever the certificate.
    Tls,
    /// `grpc.health.v1.Health/Check` answers `SERVING`.
    Grpc(GrpcCheck),
}

/// A request in the pool's protocol, and what is expected of the response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// None: the server's address.
    pub host: Option<String>,
    pub headers: Vec<(String, String)>,
    /// Inclusive ranges of statuses.
    pub statuses: Vec<(u16, u16)>,
    /// All must be there.
    pub expect_headers: Vec<NamedPattern>,
    /// What the first 64 KiB of the body must be; `Prefix` is a text that they contain.
    pub body: Option<ValuePattern>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcCheck {
    /// Empty: the server as a whole.
    pub service: String,
}

/// When a server is taken out by what its own answers show, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outlier {
    pub at: Place,
    /// Errors in a row; 0: this is not looked at.
    pub consecutive_errors: u32,
    /// Inclusive ranges of statuses that count as errors, besides failures of the connection.
    pub statuses: Vec<(u16, u16)>,
    pub success_rate: Option<SuccessRate>,
    pub latency: Option<LatencyOutlier>,
    /// How often servers are compared with each other.
    pub every_ms: u64,
    /// The first ejection; each further one is longer by as much.
    pub eject_ms: u64,
    pub max_eject_ms: u64,
    /// Of the pool's servers at the same time; one may always be.
    pub max_ejected: BasisPoints,
}

/// A server whose share of successes is `deviations` standard deviations below the mean of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuccessRate {
    pub deviations: f64,
    /// Servers with fewer requests in an interval are not judged.
    pub min_requests: u32,
    /// With fewer servers that can be judged none is.
    pub min_servers: u32,
}

/// A server whose mean latency is `factor` times the median of its peers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyOutlier {
    pub factor: f64,
    pub min_requests: u32,
    pub min_servers: u32,
}

/// Requests that wait until a server has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// 0: none waits.
    pub max: u32,
    pub timeout_ms: u64,
}

/// How many requests may be tried again, so that an outage is not multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryBudget {
    /// Of the requests of the last ten seconds.
    pub percent: BasisPoints,
    /// Besides those: so many in each second.
    pub per_second: u32,
}

/// How many requests are let through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    pub at: Place,
    /// Stands in `RateLimit` and in the log.
    pub name: String,
    /// So many in each `period_ms`, evenly.
    pub rate: u64,
    pub period_ms: u64,
    /// So many at once, at least 1.
    pub burst: u64,
    pub by: LimitBy,
    /// What would be refused is counted and let through.
    pub dry_run: bool,
    /// Whether responses tell by `RateLimit` fields what is left.
    pub fields: bool,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitBy {
    /// An IPv4 address or an IPv6 network of 64 bits.
    Client,
    /// The value of a header field, its name in lower case; where it is missing the client's address.
    Header(String),
    Cookie(String),
    /// All of the route.
    Route,
}

/// Traffic divided among variants of one application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    pub name: String,
    pub at: Place,
    /// Their weights add up to 10,000. With a canary it is the first and the second is stable: a person whose
    /// number is below the canary's weight gets it, so that none goes back while it grows.
    pub variants: Vec<Variant>,
    /// The first variant is a canary.
    pub canary: bool,
    pub sticky: SplitSticky,
    pub force: Option<Force>,
    /// The response field that names the variant.
    pub response_header: Option<String>,
    /// Of requests that another variant than the mirror's pool answers.
    pub mirror: Option<Mirror>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub name: String,
    pub pool: PoolIndex,
    pub weight: BasisPoints,
}

/// What a person is known by, to stay with one variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitSticky {
    /// Each request is decided by itself.
    None,
    /// A cookie with a random number that the proxy sets where there is none.
    Cookie(SplitCookie),
    /// The value of a header field, its name in lower case; a request without it is decided by itself.
    Header(String),
    /// The client's address.
    Client,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitCookie {
    pub name: String,
    /// Seconds; 0: until the client's session ends.
    pub max_age: u64,
}

/// A header field by which a client chooses: a variant's name, or `always` and `never` for a canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Force {
    /// Lower case.
    pub header: String,
    /// Empty: any client may.
    #[schemars(with = "Vec<String>")]
    pub clients: Vec<IpNet>,
}

/// A second try beside the first, on another server; the first answer counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hedge {
    pub at: Place,
    /// How long the first is waited for alone; with `quantile` at least.
    pub after_ms: u64,
    /// The quantile of the pool's time to the first byte that is waited for; 0: `after_ms` alone counts.
    pub quantile: BasisPoints,
}

/// Copies of requests for another pool, whose answers nobody gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    pub at: Place,
    pub pool: PoolIndex,
    /// Share of the requests that are copied.
    pub percent: BasisPoints,
    /// Requests with a longer body, or of unknown length, are not copied; bytes.
    pub body: u64,
    /// Copies under way at the same time on each worker; what comes beyond is not copied.
    pub max: u32,
    /// None: answers are thrown away unseen.
    pub compare: Option<Compare>,
}

/// How answers to a copied request are compared: two of the pool that answers people, which shows what differs by
/// itself, and one of the mirror's. Only for methods that are safe (RFC 9110, section 9.2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// Names of response fields in lower case.
    pub headers: Vec<String>,
    /// Whether bodies are compared.
    pub body: bool,
}

/// A bound on what a pool carries that follows its latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adaptive {
    pub at: Place,
    /// Requests at the same time that are let through whatever the latency.
    pub min: u32,
    pub max: u32,
    /// Percent of its long-term mean that the latency may reach before fewer are let through.
    pub tolerance: u32,
}

/// Whose requests are refused first under overload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Takes no more than 70 % of what a pool's bounds let through.
    Low,
    Normal,
    /// May go 20 % beyond them.
    High,
}
