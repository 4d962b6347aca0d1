"""The plan's types, as the engine takes them.

Generated from crates/reviver-plan/plan.schema.json by tools/generate.py: changes belong in
crates/reviver-plan/src/plan.rs.
"""
# ruff: noqa: D101

from typing import Literal, TypeAlias, TypedDict

FINGERPRINT = "198ec2460d62ab7c"
"""Fingerprint of the schema that these types were made from."""


Access: TypeAlias = Literal["allow", "deny"]


class ActionPool(TypedDict):
    pool: int


AnonymityLevel: TypeAlias = Literal["transparent", "anonymous", "high"]


Balance: TypeAlias = Literal["round_robin"]


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


class FieldPolicyReplace(TypedDict):
    replace: str


FieldPolicy: TypeAlias = Literal["keep", "remove", "same_host"] | FieldPolicyReplace


ConnectPort: TypeAlias = int


class HeaderRules(TypedDict):
    """Names are compared without case; `set` replaces, `add` keeps what is there."""

    add: list[tuple[str, str]]
    remove: list[str]
    set: list[tuple[str, str]]


class Limits(TypedDict):
    """Bounds on what one client may send. Sizes are bytes; 0 means no bound where that is said."""

    body: int
    """A request body; 0 is no bound."""
    connections: int
    """Client connections at the same time on this listener, all workers together; 0 is no bound."""
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


OnFull: TypeAlias = Literal["wait", "drop"]


class PathPatternExact(TypedDict):
    exact: str


class PathPatternPrefix(TypedDict):
    prefix: str


class PathPatternRegex(TypedDict):
    """Unanchored regular expression (syntax of the `regex` crate) on the normalised path."""

    regex: str


PathPattern: TypeAlias = PathPatternExact | PathPatternPrefix | PathPatternRegex


ProxyProtocol: TypeAlias = Literal["v1", "v2"]
"""Version of the PROXY protocol."""


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
    on_connect: bool
    """A connection that was not established, or failed before the request was sent."""
    on_reset: bool
    """A connection lost after (part of) the request was sent and before any of the response came."""
    on_status: list[int]
    """Response statuses that are retried."""


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
    weight: int
    """1 to 1000; 0 takes no traffic."""


StatusTtl = TypedDict(
    "StatusTtl",
    {
        "from": int,
        "to": int,
        "ttl_ms": int,
    },
)


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


class ActionRespond(TypedDict):
    respond: Respond


class ActionRedirect(TypedDict):
    redirect: Redirect


Action: TypeAlias = ActionPool | ActionRespond | ActionRedirect


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


class Pool(TypedDict):
    at: str
    balance: Balance
    idle_ms: int
    """How long an idle upstream connection is kept."""
    max_idle: int
    """Idle upstream connections kept by each worker for each server."""
    name: str
    protocol: UpstreamProtocol
    proxy_protocol: ProxyProtocol | None
    """Each connection begins with a header that names the client."""
    servers: list[Server]
    tls: UpstreamTls | None
    """None: plain TCP."""


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


class Route(TypedDict):
    action: Action
    at: str
    body: int
    """Bound on the request body in bytes; 0 is no bound."""
    cache: CachePolicy | None
    """None: nothing of this route is stored or served from the store. Only with [`Action::Pool`]."""
    connect_ms: int
    first_byte_ms: int
    idle_ms: int
    matches: Match
    name: str
    request_headers: HeaderRules
    response_headers: HeaderRules
    retry: Retry
    rewrite: Rewrite


class Reverse(TypedDict):
    """The reverse half: routes and the pools that they name."""

    pools: list[Pool]
    routes: list[Route]
    """The first match wins."""


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
