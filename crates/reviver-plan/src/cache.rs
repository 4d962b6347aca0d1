//! The part of the plan that says what is cached, and how.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Match, Place};

/// The store that all routes and the forward half share. Sizes are bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    pub at: Place,
    /// Bound on what is kept in memory.
    pub memory: u64,
    /// None: nothing outlives the process.
    pub disk: Option<CacheDisk>,
    /// Fields that replace `Cache-Control` and `Expires` (RFC 9213), lower case; the first that is there counts.
    pub targeted: Vec<String>,
    /// Whether responses carry `Cache-Status` (RFC 9211).
    pub status: bool,
    /// Who may use the method PURGE; empty: no one.
    #[schemars(with = "Vec<String>")]
    pub purge_clients: Vec<IpNet>,
    pub purge_at: Place,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheDisk {
    pub at: Place,
    /// Absolute path of a folder that belongs to the cache alone.
    pub path: String,
    pub size: u64,
}

/// How the responses of one route, or of the forward half, are cached. Times are milliseconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CachePolicy {
    pub at: Place,
    /// Freshness of responses that state none; none: what the RFC's heuristic gives.
    pub ttl_ms: Option<u64>,
    /// The same by status; the first that fits. 0: these are not stored.
    pub ttl_by_status: Vec<StatusTtl>,
    pub key: CacheKey,
    /// Requests that any of these fits are neither stored nor served from the store.
    pub bypass: Vec<Match>,
    /// `Cache-Control` and `Pragma` of requests have no say.
    pub ignore_client_no_cache: bool,
    /// The first whose `matches` fits.
    pub overrides: Vec<CacheOverride>,
    /// Where the response states none (RFC 5861).
    pub stale_while_revalidate_ms: Option<u64>,
    pub stale_if_error_ms: Option<u64>,
    /// A response is stored from this request for it on, at least 1.
    pub min_uses: u32,
    /// Larger responses are not stored.
    pub max_object: u64,
    /// Put on each response by which it can be purged.
    pub tags: Vec<String>,
    /// A HEAD that is not stored is asked for with GET.
    pub convert_head: bool,
    /// Bodies of text are kept compressed.
    pub compress_stored: bool,
    /// Large responses are fetched and kept in pieces of this size; 0: whole.
    pub slice: u64,
    /// How long a request waits for another one's response before it makes its own; 0: none waits.
    pub collapse_ms: u64,
}

/// An inclusive range of statuses, and how long these are fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusTtl {
    pub from: u16,
    pub to: u16,
    pub ttl_ms: u64,
}

/// What makes two requests ask for the same response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheKey {
    pub scheme: bool,
    pub host: bool,
    pub path: bool,
    /// Only these parameters count; none: all.
    pub query_include: Option<Vec<String>>,
    /// These do not.
    pub query_ignore: Vec<String>,
    /// Their order does not count.
    pub query_sort: bool,
    /// Names in lower case.
    pub headers: Vec<String>,
    pub cookies: Vec<String>,
}

/// Another freshness than the response states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheOverride {
    pub at: Place,
    pub matches: Match,
    /// Whatever else would hold.
    pub ttl_ms: Option<u64>,
    /// Bounds put on what holds otherwise.
    pub min_ms: Option<u64>,
    pub max_ms: Option<u64>,
    /// Heuristic freshness in percent of the time since `Last-Modified`.
    pub percent: Option<u32>,
    pub ignore: Vec<CacheIgnore>,
}

/// What an override takes no notice of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheIgnore {
    /// `max-age`, `s-maxage`, `Expires` and targeted fields.
    Expires,
    NoCache,
    NoStore,
    Private,
    MustRevalidate,
    SetCookie,
    Vary,
    /// `no-cache` and `max-age` of requests.
    Reload,
}

impl crate::Plan {
    /// The largest object of each policy.
    pub fn cache_objects(&self) -> impl Iterator<Item = u64> {
        let routes = self.reverse.iter().flat_map(|r| &r.routes).filter_map(|route| route.cache.as_ref());
        routes.chain(self.forward.iter().filter_map(|f| f.cache.as_ref())).map(|policy| policy.max_object)
    }
}
