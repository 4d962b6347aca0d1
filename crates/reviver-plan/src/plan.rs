//! The plan: the border between the planes.
//!
//! Python compiles a configuration into this document; the engine builds a [`crate::Snapshot`] from it.
//! Rule 1: a plan is complete. Every default is resolved, every name is an index, every unit is fixed
//! (milliseconds, bytes). Rule 2: nothing here refers to run-time state. Rule 3: what a person wrote is
//! remembered only as a [`Place`], so that each decision can name the line that made it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cache, CachePolicy, Hedge, Mirror, Pool, Priority, RateLimit, Split};

/// Where in the configuration a rule was written: `file:line`, as a person would open it.
pub type Place = String;

/// Index of a pool in [`Reverse::pools`].
pub type PoolIndex = u32;

/// The whole compiled configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The fingerprint of the schema that the plan was compiled for; the engine refuses any other.
    pub fingerprint: String,
    /// Number of worker threads, at least 1.
    pub workers: u32,
    pub listeners: Vec<Listener>,
    /// Networks whose `X-Forwarded-*` and `Forwarded` fields are believed.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// The pseudonym that stands in `Via` and `Proxy-Status`, and by which loops are found.
    pub via: String,
    pub resolver: Resolver,
    pub challenges: Challenges,
    /// What all that is cached shares; none where nothing is.
    pub cache: Option<Cache>,
    pub reverse: Option<Reverse>,
    pub forward: Option<Forward>,
    pub logs: Vec<LogSink>,
}

/// Which way a listener reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Reverse,
    Forward,
}

/// A named set of addresses that are listened on, with its own limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub name: String,
    pub at: Place,
    pub bind: Vec<SocketAddr>,
    pub role: Role,
    /// Length of the queue of connections not yet accepted.
    pub backlog: u32,
    /// None: plain TCP.
    pub tls: Option<ListenerTls>,
    /// Whether HTTP/2 is spoken: by ALPN over TLS, with prior knowledge without (RFC 9113, section 3.3).
    pub http2: bool,
    /// Connections from trusted proxies begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Every request is redirected to this port of the same host by `https`; the port 443 is not named.
    pub redirect_https: Option<u16>,
    /// Value of `Strict-Transport-Security` (RFC 6797) in responses over TLS.
    pub hsts: Option<String>,
    pub limits: Limits,
    pub timeouts: Timeouts,
}

/// Bounds on what one client may send. Sizes are bytes; 0 means no bound where that is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// A whole message head, start line included.
    pub head: u32,
    /// Number of fields in a head or in a trailer section.
    pub fields: u32,
    /// The request target.
    pub target: u32,
    /// A request body; 0 is no bound.
    pub body: u64,
    /// Client connections at the same time on this listener, all workers together; 0 is no bound.
    pub connections: u32,
    /// The same of one client address, or IPv6 network of 64 bits; 0 is no bound.
    pub connections_per_client: u32,
    /// Requests on one client connection; 0 is no bound.
    pub requests_per_connection: u32,
    /// Streams at the same time on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of a request body that one HTTP/2 stream may send ahead.
    pub stream_window: u32,
    /// Streams of one HTTP/2 connection that the client may cancel within ten seconds.
    pub stream_resets: u32,
    /// Streams of one HTTP/2 connection that the client may have refused by errors within ten seconds.
    pub stream_errors: u32,
    /// HTTP/2 frames within ten seconds that carry no request: SETTINGS, PING, PRIORITY, unknown and empty ones.
    pub control_frames: u32,
    /// CONTINUATION frames in one HTTP/2 head.
    pub continuations: u32,
    /// Requests of one HTTP/2 connection within ten seconds whose client took none of the response in time.
    pub stalls: u32,
}

/// How long is waited, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// From the first byte of a request head to its last.
    pub head_ms: u64,
    /// Between two parts of a request body, and between two writes that the client accepts.
    pub body_ms: u64,
    /// A client connection without a request.
    pub keep_alive_ms: u64,
    /// Until an upstream connection is open, name resolution included.
    pub connect_ms: u64,
    /// From the end of the request to the first byte of the response.
    pub first_byte_ms: u64,
    /// Between two parts of a response body.
    pub idle_ms: u64,
    /// A tunnel over which nothing moves.
    pub tunnel_ms: u64,
    /// The whole TLS handshake, and a PROXY protocol header before it.
    pub handshake_ms: u64,
}

/// A certificate chain and its key, as PEM text: leaf first.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    pub at: Place,
    /// What a person knows it by, such as its file.
    pub name: String,
    pub chain: String,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate {{ name: {:?} }}", self.name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    pub at: Place,
    /// The first is shown to clients whose name (or lack of one) no other fits. Several may hold the same name
    /// with keys of different kinds. May be empty while certificates are being obtained.
    pub certificates: Vec<Certificate>,
    /// The local authority that mints a certificate for each name that `certificates` does not hold.
    pub internal: Option<Certificate>,
    pub min_version: TlsVersion,
    pub client: Option<ClientAuthority>,
}

/// Which client certificates are accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuthority {
    pub at: Place,
    /// Certificates of the authorities, as PEM text.
    pub roots: String,
    /// Whether a client without one is turned away.
    pub required: bool,
}

/// TLS towards the servers of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTls {
    pub at: Place,
    /// Certificates of trusted authorities, as PEM text; none: those of the system.
    pub roots: Option<String>,
    /// Name that is asked for and that the certificate must hold; none: the host of the server's address.
    pub server_name: Option<String>,
    /// Shown to servers that ask for one.
    pub certificate: Option<Certificate>,
    /// The server's certificate is not checked.
    pub insecure: bool,
    pub min_version: TlsVersion,
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    V1,
    V2,
}

/// Proofs of control over names that an ACME server is about to ask for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Challenges {
    /// Token and key authorization (RFC 8555, section 8.3), answered by each reverse listener without TLS.
    pub http: Vec<(String, String)>,
    /// Name and the certificate that proves it (RFC 8737), shown by TLS listeners.
    pub alpn: Vec<(String, Certificate)>,
}

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolver {
    /// Name servers; empty is the system's.
    pub servers: Vec<SocketAddr>,
    /// Whether the system's hosts file answers first.
    pub hosts_file: bool,
    /// Bounds put on the time to live that an answer gives.
    pub min_ttl_ms: u64,
    pub max_ttl_ms: u64,
    /// Answers remembered by each worker.
    pub cache_size: u32,
    /// One lookup, all retries together.
    pub timeout_ms: u64,
    /// How long the preferred address family is tried alone (RFC 8305, section 5).
    pub fallback_delay_ms: u64,
}

/// The reverse half: routes and the pools that they name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reverse {
    /// The first match wins.
    pub routes: Vec<Route>,
    pub pools: Vec<Pool>,
    pub splits: Vec<Split>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub name: String,
    pub at: Place,
    pub matches: Match,
    pub action: Action,
    pub rewrite: Rewrite,
    pub request_headers: HeaderRules,
    pub response_headers: HeaderRules,
    pub retry: Retry,
    pub connect_ms: u64,
    pub first_byte_ms: u64,
    pub idle_ms: u64,
    /// Bound on the request body in bytes; 0 is no bound.
    pub body: u64,
    /// None: nothing of this route is stored or served from the store. Only with [`Action::Pool`] and
    /// [`Action::Split`].
    pub cache: Option<CachePolicy>,
    /// All must let a request through.
    pub limits: Vec<RateLimit>,
    /// Only with [`Action::Pool`] and [`Action::Split`].
    pub mirror: Option<Mirror>,
    pub hedge: Option<Hedge>,
    pub priority: Priority,
}

/// All conditions that are given must hold; within one condition any value may.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Lower case; exact, or `*.` and a suffix (any number of labels, at least one). Empty: any host.
    pub host: Vec<String>,
    /// Empty: any path.
    pub path: Vec<PathPattern>,
    /// Upper case as on the wire. Empty: any method.
    pub method: Vec<String>,
    /// Field name in lower case, and what one of its values must be.
    pub header: Vec<NamedPattern>,
    /// Query parameter (names and values are compared after percent-decoding).
    pub query: Vec<NamedPattern>,
    pub cookie: Vec<NamedPattern>,
    /// Client networks. Empty: any client.
    #[schemars(with = "Vec<String>")]
    pub client: Vec<IpNet>,
    /// Over TLS, with a client certificate that was verified. None: any client.
    pub client_certificate: Option<CertificateMatch>,
}

/// What a client's certificate must be; empty lists accept any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateMatch {
    /// The subject as RFC 4514 writes it, such as `CN=alice,O=Example`.
    pub subject: Vec<ValuePattern>,
    /// SHA-256 of the certificate, 64 lower-case hexadecimal digits.
    pub fingerprint: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathPattern {
    Exact(String),
    Prefix(String),
    /// Unanchored regular expression (syntax of the `regex` crate) on the normalised path.
    Regex(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedPattern {
    pub name: String,
    pub value: ValuePattern,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValuePattern {
    /// There, with any value.
    Present,
    Exact(String),
    Prefix(String),
    Regex(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Pool(PoolIndex),
    /// Index of a split in [`Reverse::splits`].
    Split(u32),
    Respond(Respond),
    Redirect(Redirect),
}

/// An answer made by the proxy itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub content_type: String,
}

/// `to` may hold `{scheme} {host} {path} {query} {uri}`: `{uri}` is path and query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    pub to: String,
    pub status: u16,
}

/// Applied in this order: strip, replace, add.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    pub strip_prefix: Option<String>,
    /// Regular expression and replacement (`$1`) on the path.
    pub replace: Option<(String, String)>,
    pub add_prefix: Option<String>,
    /// Host field sent upstream; none keeps the client's.
    pub host: Option<String>,
}

/// Names are compared without case; `set` replaces, `add` keeps what is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderRules {
    pub set: Vec<(String, String)>,
    pub add: Vec<(String, String)>,
    pub remove: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries in all, the first included; 1 never retries.
    pub attempts: u32,
    /// A connection that was not established, or failed before the request was sent.
    pub on_connect: bool,
    /// A connection lost after (part of) the request was sent and before any of the response came.
    pub on_reset: bool,
    /// Response statuses that are retried.
    pub on_status: Vec<u16>,
    /// Waited before the second try; doubled for each further one, and shortened at random by up to half.
    pub backoff_ms: u64,
    pub max_backoff_ms: u64,
    /// From the end of the request to the first byte of the response, of each try that another can follow; 0: as long
    /// as `first_byte_ms`.
    pub try_ms: u64,
}

/// The forward half: who may use it, for what, and what the origin learns of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    pub at: Place,
    pub auth: Option<BasicAuth>,
    /// Empty: any client (only legal on a loopback listener or with `auth`).
    #[schemars(with = "Vec<String>")]
    pub clients: Vec<IpNet>,
    pub clients_at: Place,
    /// Inclusive ranges of ports that CONNECT and SOCKS5 may reach.
    pub connect_ports: Vec<(u16, u16)>,
    pub connect_ports_at: Place,
    pub private_destinations: Access,
    pub private_destinations_at: Place,
    pub anonymity: Anonymity,
    /// None: nothing of the forward half is stored or served from the store.
    pub cache: Option<CachePolicy>,
    /// Idle upstream connections kept by each worker for each destination.
    pub max_idle: u32,
    pub idle_ms: u64,
}

/// Proxy authentication by the Basic scheme (RFC 7617) and SOCKS5 username/password (RFC 1929).
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    pub at: Place,
    pub realm: String,
    /// User to htpasswd hash (bcrypt, apr1, sha, crypt).
    pub users: BTreeMap<String, String>,
}

impl std::fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BasicAuth {{ realm: {:?}, users: {} }}", self.realm, self.users.len())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    Allow,
    Deny,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Anonymity {
    pub at: Place,
    pub level: AnonymityLevel,
    /// What the origin sees as `User-Agent`.
    pub user_agent: FieldPolicy,
    pub referer: FieldPolicy,
    pub cookies: FieldPolicy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnonymityLevel {
    /// The origin is told the client's address.
    Transparent,
    /// No client address is sent; `Via` names the proxy's pseudonym.
    Anonymous,
    /// No trace of a proxy, and fields that identify the client are stripped.
    High,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldPolicy {
    Keep,
    Remove,
    /// For `referer` only: keep it towards the same host, remove it otherwise.
    SameHost,
    Replace(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogSink {
    pub at: Place,
    pub to: LogTarget,
    pub format: LogFormat,
    pub on_full: OnFull,
    /// Query parameter names whose values are masked, lower case.
    pub redact: Vec<String>,
    /// Request and response fields that are also recorded, lower case (secrets stay masked).
    pub request_headers: Vec<String>,
    pub response_headers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogTarget {
    Stdout,
    Stderr,
    File(LogFile),
    /// RFC 5424 over UDP, TCP or a unix datagram socket.
    Syslog(Syslog),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogFile {
    /// Absolute path.
    pub path: String,
    /// Rotated before it would grow past this many bytes; 0 never.
    pub rotate_size: u64,
    /// Rotated when this old; 0 never.
    pub rotate_every_ms: u64,
    /// Rotated files that are kept: `path.1` is the newest.
    pub keep: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Syslog {
    Udp(String),
    Tcp(String),
    Unix(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    /// Apache and nginx `combined`.
    Combined,
    /// NCSA common.
    Common,
    /// Squid's native access log.
    Squid,
    /// Text with `{names}` of record fields; `{{` and `}}` are literal braces.
    Template(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// Requests wait until the log has room.
    Wait,
    /// Records are dropped and counted.
    Drop,
}
