"""The plan's types, as the engine takes them.

Generated from crates/reviver-plan/plan.schema.json by tools/generate.py: changes belong in
crates/reviver-plan/src/plan.rs.
"""
# ruff: noqa: D101

from typing import Literal, TypeAlias, TypedDict

FINGERPRINT = "5894f56be705c8ef"
"""Fingerprint of the schema that these types were made from."""


Access: TypeAlias = Literal["allow", "deny"]


class ActionPool(TypedDict):
    pool: int


class ActionSplit(TypedDict):
    """Index of a split in [`Reverse::splits`]."""

    split: int


class Adaptive(TypedDict):
    """A bound on what a pool carries that follows its latency."""

    at: str
    max: int
    min: int
    """Requests at the same time that are let through whatever the latency."""
    tolerance: int
    """Percent of its long-term mean that the latency may reach before fewer are let through."""


AnonymityLevel: TypeAlias = Literal["transparent", "anonymous", "high"]


Balance: TypeAlias = Literal[
    "random", "round_robin", "least_requests", "power_of_two", "hash", "maglev", "peak_ewma", "first"
]
"""How servers of one tier are chosen among."""


class BasicAuth(TypedDict):
    """Proxy authentication by the Basic scheme (RFC 7617) and SOCKS5 username/password (RFC 1929)."""

    at: str
    realm: str
    users: dict[str, str]
    """User to htpasswd hash (bcrypt, apr1, sha, crypt)."""


class CacheDisk(TypedDict):
    at: str
    path: str
    """Absolute path of a folder that belongs to the cache alone."""
    size: int


CacheIgnore: TypeAlias = Literal[
    "no_cache", "no_store", "private", "must_revalidate", "set_cookie", "vary", "expires", "reload"
]
"""What an override takes no notice of."""


class CacheKey(TypedDict):
    """What makes two requests ask for the same response."""

    cookies: list[str]
    headers: list[str]
    """Names in lower case."""
    host: bool
    path: bool
    query_ignore: list[str]
    """These do not."""
    query_include: list[str] | None
    """Only these parameters count; none: all."""
    query_sort: bool
    """Their order does not count."""
    scheme: bool


class Certificate(TypedDict):
    """A certificate chain and its key, as PEM text: leaf first."""

    at: str
    chain: str
    key: str
    """PKCS#8, PKCS#1 or SEC1."""
    name: str
    """What a person knows it by, such as its file."""


class Challenges(TypedDict):
    """Proofs of control over names that an ACME server is about to ask for."""

    alpn: list[tuple[str, Certificate]]
    """Name and the certificate that proves it (RFC 8737), shown by TLS listeners."""
    http: list[tuple[str, str]]
    """Token and key authorization (RFC 8555, section 8.3), answered by each reverse listener without TLS."""


class ClientAuthority(TypedDict):
    """Which client certificates are accepted."""

    at: str
    required: bool
    """Whether a client without one is turned away."""
    roots: str
    """Certificates of the authorities, as PEM text."""


class Compare(TypedDict):
    """How answers to a copied request are compared: two of the pool that answers people, which shows what differs by
    itself, and one of the mirror's. Only for methods that are safe (RFC 9110, section 9.2.1).
    """

    body: bool
    """Whether bodies are compared."""
    headers: list[str]
    """Names of response fields in lower case."""


class FieldPolicyReplace(TypedDict):
    replace: str


FieldPolicy: TypeAlias = Literal["keep", "remove", "same_host"] | FieldPolicyReplace


class Force(TypedDict):
    """A header field by which a client chooses: a variant's name, or `always` and `never` for a canary."""

    clients: list[str]
    """Empty: any client may."""
    header: str
    """Lower case."""


ConnectPort: TypeAlias = int


class GrpcCheck(TypedDict):
    service: str
    """Empty: the server as a whole."""


class HashOnHeader(TypedDict):
    """The value of a header field, its name in lower case; where it is missing the client's address."""

    header: str


class HashOnCookie(TypedDict):
    """The value of a cookie; where it is missing the client's address."""

    cookie: str


HashOn: TypeAlias = Literal["client", "path"] | HashOnHeader | HashOnCookie
"""What is hashed."""


class HeaderRules(TypedDict):
    """Names are compared without case; `set` replaces, `add` keeps what is there."""

    add: list[tuple[str, str]]
    remove: list[str]
    set: list[tuple[str, str]]


class HealthCheckGrpc(TypedDict):
    """`grpc.health.v1.Health/Check` answers `SERVING`."""

    grpc: GrpcCheck


class Hedge(TypedDict):
    """A second try beside the first, on another server; the first answer counts."""

    after_ms: int
    """How long the first is waited for alone; with `quantile` at least."""
    at: str
    quantile: int
    """The quantile of the pool's time to the first byte that is waited for; 0: `after_ms` alone counts."""


Status: TypeAlias = int


class LatencyOutlier(TypedDict):
    """A server whose mean latency is `factor` times the median of its peers."""

    factor: float
    min_requests: int
    min_servers: int


class LimitByHeader(TypedDict):
    """The value of a header field, its name in lower case; where it is missing the client's address."""

    header: str


class LimitByCookie(TypedDict):
    """Whose requests are counted together."""

    cookie: str


LimitBy: TypeAlias = Literal["client", "route"] | LimitByHeader | LimitByCookie
"""Whose requests are counted together."""


class Limits(TypedDict):
    """Bounds on what one client may send. Sizes are bytes; 0 means no bound where that is said."""

    body: int
    """A request body; 0 is no bound."""
    connections: int
    """Client connections at the same time on this listener, all workers together; 0 is no bound."""
    connections_per_client: int
    """The same of one client address, or IPv6 network of 64 bits; 0 is no bound."""
    continuations: int
    """CONTINUATION frames in one HTTP/2 head."""
    control_frames: int
    """HTTP/2 frames within ten seconds that carry no request: SETTINGS, PING, PRIORITY, unknown and empty ones."""
    fields: int
    """Number of fields in a head or in a trailer section."""
    head: int
    """A whole message head, start line included."""
    requests_per_connection: int
    """Requests on one client connection; 0 is no bound."""
    stalls: int
    """Requests of one HTTP/2 connection within ten seconds whose client took none of the response in time."""
    stream_errors: int
    """Streams of one HTTP/2 connection that the client may have refused by errors within ten seconds."""
    stream_resets: int
    """Streams of one HTTP/2 connection that the client may cancel within ten seconds."""
    stream_window: int
    """Bytes of a request body that one HTTP/2 stream may send ahead."""
    streams: int
    """Streams at the same time on one HTTP/2 connection."""
    target: int
    """The request target."""


class LogFile(TypedDict):
    keep: int
    """Rotated files that are kept: `path.1` is the newest."""
    path: str
    """Absolute path."""
    rotate_every_ms: int
    """Rotated when this old; 0 never."""
    rotate_size: int
    """Rotated before it would grow past this many bytes; 0 never."""


class LogFormatTemplate(TypedDict):
    """Text with `{names}` of record fields; `{{` and `}}` are literal braces."""

    template: str


LogFormat: TypeAlias = Literal["json", "combined", "common", "squid"] | LogFormatTemplate


class LogTargetFile(TypedDict):
    file: LogFile


class Mirror(TypedDict):
    """Copies of requests for another pool, whose answers nobody gets."""

    at: str
    body: int
    """Requests with a longer body, or of unknown length, are not copied; bytes."""
    compare: Compare | None
    """None: answers are thrown away unseen."""
    max: int
    """Copies under way at the same time on each worker; what comes beyond is not copied."""
    percent: int
    """Share of the requests that are copied."""
    pool: int


OnFull: TypeAlias = Literal["wait", "drop"]


class PathPatternExact(TypedDict):
    exact: str


class PathPatternPrefix(TypedDict):
    prefix: str


class PathPatternRegex(TypedDict):
    """Unanchored regular expression (syntax of the `regex` crate) on the normalised path."""

    regex: str


PathPattern: TypeAlias = PathPatternExact | PathPatternPrefix | PathPatternRegex


Priority: TypeAlias = Literal["normal", "low", "high"]
"""Whose requests are refused first under overload."""


ProxyProtocol: TypeAlias = Literal["v1", "v2"]
"""Version of the PROXY protocol."""


class Queue(TypedDict):
    """Requests that wait until a server has room."""

    max: int
    """0: none waits."""
    timeout_ms: int


class RateLimit(TypedDict):
    """How many requests are let through."""

    at: str
    burst: int
    """So many at once, at least 1."""
    by: LimitBy
    dry_run: bool
    """What would be refused is counted and let through."""
    fields: bool
    """Whether responses tell by `RateLimit` fields what is left."""
    name: str
    """Stands in `RateLimit` and in the log."""
    period_ms: int
    rate: int
    """So many in each `period_ms`, evenly."""


class Redirect(TypedDict):
    """`to` may hold `{scheme} {host} {path} {query} {uri}`: `{uri}` is path and query."""

    status: int
    to: str


class Resolver(TypedDict):
    """How names are looked up."""

    cache_size: int
    """Answers remembered by each worker."""
    fallback_delay_ms: int
    """How long the preferred address family is tried alone (RFC 8305, section 5)."""
    hosts_file: bool
    """Whether the system's hosts file answers first."""
    max_ttl_ms: int
    min_ttl_ms: int
    """Bounds put on the time to live that an answer gives."""
    servers: list[str]
    """Name servers; empty is the system's."""
    timeout_ms: int
    """One lookup, all retries together."""


class Respond(TypedDict):
    """An answer made by the proxy itself."""

    body: str
    content_type: str
    headers: list[tuple[str, str]]
    status: int


class Retry(TypedDict):
    attempts: int
    """Tries in all, the first included; 1 never retries."""
    backoff_ms: int
    """Waited before the second try; doubled for each further one, and shortened at random by up to half."""
    max_backoff_ms: int
    on_connect: bool
    """A connection that was not established, or failed before the request was sent."""
    on_reset: bool
    """A connection lost after (part of) the request was sent and before any of the response came."""
    on_status: list[int]
    """Response statuses that are retried."""
    try_ms: int
    """
    From the end of the request to the first byte of the response, of each try that another can follow; 0: as long
    as `first_byte_ms`.
    """


class RetryBudget(TypedDict):
    """How many requests may be tried again, so that an outage is not multiplied."""

    per_second: int
    """Besides those: so many in each second."""
    percent: int
    """Of the requests of the last ten seconds."""


class Rewrite(TypedDict):
    """Applied in this order: strip, replace, add."""

    add_prefix: str | None
    host: str | None
    """Host field sent upstream; none keeps the client's."""
    replace: tuple[str, str] | None
    """Regular expression and replacement (`$1`) on the path."""
    strip_prefix: str | None


Role: TypeAlias = Literal["reverse", "forward"]
"""Which way a listener reads."""


class Server(TypedDict):
    address: str
    """`address:port` or `name:port`, as it is shown."""
    at: str
    backup: bool
    """Only used when no other server is left."""
    max_connections: int
    """Requests and tunnels at the same time, all workers together; 0: no bound."""
    weight: int
    """1 to 1000; 0 takes no traffic."""


class SplitCookie(TypedDict):
    max_age: int
    """Seconds; 0: until the client's session ends."""
    name: str


class SplitStickyCookie(TypedDict):
    """A cookie with a random number that the proxy sets where there is none."""

    cookie: SplitCookie


class SplitStickyHeader(TypedDict):
    """The value of a header field, its name in lower case; a request without it is decided by itself."""

    header: str


SplitSticky: TypeAlias = Literal["none", "client"] | SplitStickyCookie | SplitStickyHeader
"""What a person is known by, to stay with one variant."""


StatusTtl = TypedDict(
    "StatusTtl",
    {
        "from": int,
        "to": int,
        "ttl_ms": int,
    },
)


class Sticky(TypedDict):
    """One client stays with one server by a signed cookie."""

    at: str
    cookie: str
    max_age: int
    """Seconds that the client keeps it; 0: until its session ends."""
    secret: str
    """What it is signed by."""


class SuccessRate(TypedDict):
    """A server whose share of successes is `deviations` standard deviations below the mean of all."""

    deviations: float
    min_requests: int
    """Servers with fewer requests in an interval are not judged."""
    min_servers: int
    """With fewer servers that can be judged none is."""


class SyslogUdp(TypedDict):
    udp: str


class SyslogTcp(TypedDict):
    tcp: str


class SyslogUnix(TypedDict):
    unix: str


Syslog: TypeAlias = SyslogUdp | SyslogTcp | SyslogUnix


class Timeouts(TypedDict):
    """How long is waited, in milliseconds."""

    body_ms: int
    """Between two parts of a request body, and between two writes that the client accepts."""
    connect_ms: int
    """Until an upstream connection is open, name resolution included."""
    first_byte_ms: int
    """From the end of the request to the first byte of the response."""
    handshake_ms: int
    """The whole TLS handshake, and a PROXY protocol header before it."""
    head_ms: int
    """From the first byte of a request head to its last."""
    idle_ms: int
    """Between two parts of a response body."""
    keep_alive_ms: int
    """A client connection without a request."""
    tunnel_ms: int
    """A tunnel over which nothing moves."""


TlsVersion: TypeAlias = Literal["1.2", "1.3"]


UpstreamProtocol: TypeAlias = Literal["http/1.1", "auto", "h2"]
"""Which version of HTTP the servers of a pool are spoken to in."""


class UpstreamTls(TypedDict):
    """TLS towards the servers of a pool."""

    at: str
    certificate: Certificate | None
    """Shown to servers that ask for one."""
    insecure: bool
    """The server's certificate is not checked."""
    min_version: TlsVersion
    roots: str | None
    """Certificates of trusted authorities, as PEM text; none: those of the system."""
    server_name: str | None
    """Name that is asked for and that the certificate must hold; none: the host of the server's address."""


class ValuePatternExact(TypedDict):
    exact: str


class ValuePatternPrefix(TypedDict):
    prefix: str


class ValuePatternRegex(TypedDict):
    regex: str


ValuePattern: TypeAlias = Literal["present"] | ValuePatternExact | ValuePatternPrefix | ValuePatternRegex


class Variant(TypedDict):
    name: str
    pool: int
    weight: int


class ActionRespond(TypedDict):
    respond: Respond


class ActionRedirect(TypedDict):
    redirect: Redirect


Action: TypeAlias = ActionPool | ActionSplit | ActionRespond | ActionRedirect


class Anonymity(TypedDict):
    at: str
    cookies: FieldPolicy
    level: AnonymityLevel
    referer: FieldPolicy
    user_agent: FieldPolicy
    """What the origin sees as `User-Agent`."""


class Cache(TypedDict):
    """The store that all routes and the forward half share. Sizes are bytes."""

    at: str
    disk: CacheDisk | None
    """None: nothing outlives the process."""
    memory: int
    """Bound on what is kept in memory."""
    purge_at: str
    purge_clients: list[str]
    """Who may use the method PURGE; empty: no one."""
    status: bool
    """Whether responses carry `Cache-Status` (RFC 9211)."""
    targeted: list[str]
    """Fields that replace `Cache-Control` and `Expires` (RFC 9213), lower case; the first that is there counts."""


class CertificateMatch(TypedDict):
    """What a client's certificate must be; empty lists accept any."""

    fingerprint: list[str]
    """SHA-256 of the certificate, 64 lower-case hexadecimal digits."""
    subject: list[ValuePattern]
    """The subject as RFC 4514 writes it, such as `CN=alice,O=Example`."""


class ListenerTls(TypedDict):
    """TLS towards clients."""

    at: str
    certificates: list[Certificate]
    """
    The first is shown to clients whose name (or lack of one) no other fits. Several may hold the same name
    with keys of different kinds. May be empty while certificates are being obtained.
    """
    client: ClientAuthority | None
    internal: Certificate | None
    """The local authority that mints a certificate for each name that `certificates` does not hold."""
    min_version: TlsVersion


class LogTargetSyslog(TypedDict):
    """RFC 5424 over UDP, TCP or a unix datagram socket."""

    syslog: Syslog


LogTarget: TypeAlias = Literal["stdout", "stderr"] | LogTargetFile | LogTargetSyslog


class NamedPattern(TypedDict):
    name: str
    value: ValuePattern


class Outlier(TypedDict):
    """When a server is taken out by what its own answers show, and for how long."""

    at: str
    consecutive_errors: int
    """Errors in a row; 0: this is not looked at."""
    eject_ms: int
    """The first ejection; each further one is longer by as much."""
    every_ms: int
    """How often servers are compared with each other."""
    latency: LatencyOutlier | None
    max_eject_ms: int
    max_ejected: int
    """Of the pool's servers at the same time; one may always be."""
    statuses: list[tuple[Status, Status]]
    """Inclusive ranges of statuses that count as errors, besides failures of the connection."""
    success_rate: SuccessRate | None


class Split(TypedDict):
    """Traffic divided among variants of one application."""

    at: str
    canary: bool
    """The first variant is a canary."""
    force: Force | None
    mirror: Mirror | None
    """Of requests that another variant than the mirror's pool answers."""
    name: str
    response_header: str | None
    """The response field that names the variant."""
    sticky: SplitSticky
    variants: list[Variant]
    """
    Their weights add up to 10,000. With a canary it is the first and the second is stable: a person whose
    number is below the canary's weight gets it, so that none goes back while it grows.
    """


class HttpCheck(TypedDict):
    """A request in the pool's protocol, and what is expected of the response."""

    body: ValuePattern | None
    """What the first 64 KiB of the body must be; `Prefix` is a text that they contain."""
    expect_headers: list[NamedPattern]
    """All must be there."""
    headers: list[tuple[str, str]]
    host: str | None
    """None: the server's address."""
    method: str
    path: str
    """Path and query."""
    statuses: list[tuple[Status, Status]]
    """Inclusive ranges of statuses."""


class Listener(TypedDict):
    """A named set of addresses that are listened on, with its own limits."""

    at: str
    backlog: int
    """Length of the queue of connections not yet accepted."""
    bind: list[str]
    hsts: str | None
    """Value of `Strict-Transport-Security` (RFC 6797) in responses over TLS."""
    http2: bool
    """Whether HTTP/2 is spoken: by ALPN over TLS, with prior knowledge without (RFC 9113, section 3.3)."""
    limits: Limits
    name: str
    proxy_protocol: bool
    """Connections from trusted proxies begin with a PROXY protocol header."""
    redirect_https: int | None
    """Every request is redirected to this port of the same host by `https`; the port 443 is not named."""
    role: Role
    timeouts: Timeouts
    tls: ListenerTls | None
    """None: plain TCP."""


class LogSink(TypedDict):
    at: str
    format: LogFormat
    on_full: OnFull
    redact: list[str]
    """Query parameter names whose values are masked, lower case."""
    request_headers: list[str]
    """Request and response fields that are also recorded, lower case (secrets stay masked)."""
    response_headers: list[str]
    to: LogTarget


class Match(TypedDict):
    """All conditions that are given must hold; within one condition any value may."""

    client: list[str]
    """Client networks. Empty: any client."""
    client_certificate: CertificateMatch | None
    """Over TLS, with a client certificate that was verified. None: any client."""
    cookie: list[NamedPattern]
    header: list[NamedPattern]
    """Field name in lower case, and what one of its values must be."""
    host: list[str]
    """Lower case; exact, or `*.` and a suffix (any number of labels, at least one). Empty: any host."""
    method: list[str]
    """Upper case as on the wire. Empty: any method."""
    path: list[PathPattern]
    """Empty: any path."""
    query: list[NamedPattern]
    """Query parameter (names and values are compared after percent-decoding)."""


class CacheOverride(TypedDict):
    """Another freshness than the response states."""

    at: str
    ignore: list[CacheIgnore]
    matches: Match
    max_ms: int | None
    min_ms: int | None
    """Bounds put on what holds otherwise."""
    percent: int | None
    """Heuristic freshness in percent of the time since `Last-Modified`."""
    ttl_ms: int | None
    """Whatever else would hold."""


class CachePolicy(TypedDict):
    """How the responses of one route, or of the forward half, are cached. Times are milliseconds, sizes bytes."""

    at: str
    bypass: list[Match]
    """Requests that any of these fits are neither stored nor served from the store."""
    collapse_ms: int
    """How long a request waits for another one's response before it makes its own; 0: none waits."""
    compress_stored: bool
    """Bodies of text are kept compressed."""
    convert_head: bool
    """A HEAD that is not stored is asked for with GET."""
    ignore_client_no_cache: bool
    """`Cache-Control` and `Pragma` of requests have no say."""
    key: CacheKey
    max_object: int
    """Larger responses are not stored."""
    min_uses: int
    """A response is stored from this request for it on, at least 1."""
    overrides: list[CacheOverride]
    """The first whose `matches` fits."""
    slice: int
    """Large responses are fetched and kept in pieces of this size; 0: whole."""
    stale_if_error_ms: int | None
    stale_while_revalidate_ms: int | None
    """Where the response states none (RFC 5861)."""
    tags: list[str]
    """Put on each response by which it can be purged."""
    ttl_by_status: list[StatusTtl]
    """The same by status; the first that fits. 0: these are not stored."""
    ttl_ms: int | None
    """Freshness of responses that state none; none: what the RFC's heuristic gives."""


class Forward(TypedDict):
    """The forward half: who may use it, for what, and what the origin learns of them."""

    anonymity: Anonymity
    at: str
    auth: BasicAuth | None
    cache: CachePolicy | None
    """None: nothing of the forward half is stored or served from the store."""
    clients: list[str]
    """Empty: any client (only legal on a loopback listener or with `auth`)."""
    clients_at: str
    connect_ports: list[tuple[ConnectPort, ConnectPort]]
    """Inclusive ranges of ports that CONNECT and SOCKS5 may reach."""
    connect_ports_at: str
    idle_ms: int
    max_idle: int
    """Idle upstream connections kept by each worker for each destination."""
    private_destinations: Access
    private_destinations_at: str


class HealthCheckHttp(TypedDict):
    """What is asked of the server."""

    http: HttpCheck


HealthCheck: TypeAlias = Literal["tcp", "tls"] | HealthCheckHttp | HealthCheckGrpc
"""What is asked of the server."""


class Route(TypedDict):
    action: Action
    at: str
    body: int
    """Bound on the request body in bytes; 0 is no bound."""
    cache: CachePolicy | None
    """
    None: nothing of this route is stored or served from the store. Only with [`Action::Pool`] and
    [`Action::Split`].
    """
    connect_ms: int
    first_byte_ms: int
    hedge: Hedge | None
    idle_ms: int
    limits: list[RateLimit]
    """All must let a request through."""
    matches: Match
    mirror: Mirror | None
    """Only with [`Action::Pool`] and [`Action::Split`]."""
    name: str
    priority: Priority
    request_headers: HeaderRules
    response_headers: HeaderRules
    retry: Retry
    rewrite: Rewrite


class Health(TypedDict):
    """Active health checks of each server of a pool."""

    at: str
    check: HealthCheck
    down_every_ms: int
    """The same while the server is down."""
    every_ms: int
    fall: int
    """Bad checks in a row that take a server out."""
    jitter: int
    """How far an interval is shortened or prolonged at random."""
    port: int | None
    """None: the server's own."""
    rise: int
    """Good checks in a row that bring a server back."""
    timeout_ms: int


class Pool(TypedDict):
    adaptive: Adaptive | None
    at: str
    balance: Balance
    hash_bound: int
    """Percent of its fair share that a server may carry by [`Balance::Hash`]; 0: no bound."""
    hash_on: HashOn
    """For [`Balance::Hash`] and [`Balance::Maglev`]."""
    health: Health | None
    idle_ms: int
    """How long an idle upstream connection is kept."""
    max_idle: int
    """Idle upstream connections kept by each worker for each server."""
    max_requests: int
    """Requests at the same time, of all servers; 0: no bound."""
    name: str
    outlier: Outlier | None
    """None: none is ever taken out by what its answers show."""
    panic: int
    """With fewer servers than this up, all are used as if they were; 0: never."""
    protocol: UpstreamProtocol
    proxy_protocol: ProxyProtocol | None
    """Each connection begins with a header that names the client."""
    queue: Queue
    retry_budget: RetryBudget
    servers: list[Server]
    slow_start_ms: int
    """How long the share of a server that has come back grows from a tenth."""
    sticky: Sticky | None
    tls: UpstreamTls | None
    """None: plain TCP."""


class Reverse(TypedDict):
    """The reverse half: routes and the pools that they name."""

    pools: list[Pool]
    routes: list[Route]
    """The first match wins."""
    splits: list[Split]


class Plan(TypedDict):
    """The whole compiled configuration."""

    cache: Cache | None
    """What all that is cached shares; none where nothing is."""
    challenges: Challenges
    fingerprint: str
    """The fingerprint of the schema that the plan was compiled for; the engine refuses any other."""
    forward: Forward | None
    listeners: list[Listener]
    logs: list[LogSink]
    resolver: Resolver
    reverse: Reverse | None
    trusted_proxies: list[str]
    """Networks whose `X-Forwarded-*` and `Forwarded` fields are believed."""
    via: str
    """The pseudonym that stands in `Via` and `Proxy-Status`, and by which loops are found."""
    workers: int
    """Number of worker threads, at least 1."""
