//! Why: the closed set of slugs by which decisions and failures are named in logs, `Proxy-Status`,
//! error pages, `explain` and metrics.
//!
//! Rule 1: a slug is never renamed. Rule 2: a row says all that follows from it: status, whose fault,
//! the error type of RFC 9209 (section 2.3) and the sentence that a person reads. The sentence names no
//! address and no internals.

use serde::Serialize;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    None,
    Client,
    Upstream,
    Proxy,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SlugRow {
    pub name: &'static str,
    /// Status of the answer that the proxy makes; 0 where it makes none.
    pub status: u16,
    pub fault: Fault,
    /// RFC 9209 error type; empty where no `Proxy-Status` is owed.
    pub proxy_status: &'static str,
    pub sentence: &'static str,
}

macro_rules! slugs {
    ($($variant:ident $name:literal $status:literal $fault:ident $proxy_status:literal $sentence:literal;)+) => {
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Slug {
            #[default]
            $($variant,)+
        }

        /// The whole table.
        pub const SLUGS: &[SlugRow] = &[
            $(SlugRow {
                name: $name, status: $status, fault: Fault::$fault,
                proxy_status: $proxy_status, sentence: $sentence,
            },)+
        ];

        impl Slug {
            pub const ALL: &[Slug] = &[$(Slug::$variant,)+];
        }
    };
}

// `#[default]` falls on the first row.
slugs! {
    Forwarded "forwarded" 0 None "" "The request was passed on.";
    Responded "responded" 0 None "" "A route answered.";
    Redirected "redirected" 0 None "" "A route redirected.";
    Tunnelled "tunnelled" 0 None "" "A tunnel was opened.";
    Cached "cached" 0 None "" "The response came from the cache.";
    Purged "purged" 200 None "" "What was asked for was removed from the cache.";
    HttpsRedirect "https_redirect" 0 None "" "The request was redirected to https.";
    AcmeChallenge "acme_challenge" 0 None "" "A proof of control over the name was given.";
    MaxForwards "max_forwards_reached" 200 None "" "The request was answered here, as Max-Forwards asks.";

    BadRequest "bad_request" 400 Client "http_request_error" "The request is not valid HTTP.";
    NotAProxyRequest "not_a_proxy_request" 400 Client "http_request_error" "This is a proxy: send it an absolute URL or CONNECT.";
    TlsOnPlainPort "tls_on_plain_port" 400 Client "http_request_error" "TLS was spoken on a port for plain HTTP.";
    PlainOnTlsPort "plain_on_tls_port" 400 Client "http_request_error" "Plain HTTP was spoken on a port for TLS: use https.";
    TlsHandshakeFailed "tls_handshake_failed" 0 Client "" "The TLS handshake failed.";
    ProxyHeader "proxy_protocol_error" 0 Client "" "The PROXY protocol header is missing or not valid.";
    BadSocks "bad_socks_request" 400 Client "http_request_error" "The SOCKS request is not valid.";
    SocksCommand "socks_command_refused" 0 Client "" "Only the SOCKS command CONNECT is served.";
    MethodNotAllowed "method_not_allowed" 405 Client "http_request_denied" "The method is not allowed here.";
    HeadTimeout "head_timeout" 408 Client "http_request_error" "The request head took too long.";
    BodyTimeout "body_timeout" 408 Client "http_request_error" "The request body took too long.";
    BodyTooLarge "body_too_large" 413 Client "http_request_error" "The request body is larger than is accepted.";
    TargetTooLong "target_too_long" 414 Client "http_request_error" "The request target is longer than is accepted.";
    ExpectationFailed "expectation_failed" 417 Client "http_request_error" "The expectation cannot be met.";
    MisdirectedRequest "misdirected_request" 421 Client "http_request_error" "The connection was made for another host.";
    Http2Error "http2_error" 0 Client "" "The client broke the rules of HTTP/2.";
    TooManyStreams "too_many_streams" 0 Client "" "More streams were opened than are accepted at the same time.";
    StreamResets "stream_resets_flood" 0 Client "" "The client cancelled more streams than is accepted.";
    StreamErrors "stream_errors_flood" 0 Client "" "The client had more streams refused than is accepted.";
    ControlFrames "control_frames_flood" 0 Client "" "The client sent more frames without requests than is accepted.";
    Continuations "continuation_flood" 0 Client "" "The client sent a head in more pieces than is accepted.";
    StalledStreams "stalled_streams" 0 Client "" "The client took nothing of too many responses.";
    HeadTooLarge "head_too_large" 431 Client "http_request_error" "The request head is larger than is accepted.";
    NotImplemented "not_implemented" 501 Client "http_request_error" "The request uses something that is not implemented.";
    VersionNotSupported "version_not_supported" 505 Client "http_request_error" "The version of HTTP is not supported.";
    ClientAborted "client_aborted" 499 Client "" "The client went away.";
    SlowClient "slow_client" 0 Client "" "The client took the response too slowly.";

    ClientConnections "client_connections" 0 Client "" "The client has more connections than are accepted.";

    PurgeDenied "purge_denied" 403 Client "http_request_denied" "This client may not purge the cache.";
    OnlyIfCached "only_if_cached" 504 Client "" "The request asks for a cached response, and there is none.";
    RateLimited "rate_limited" 429 Client "http_request_denied" "More requests came than are let through.";
    QueueFull "queue_full" 503 Proxy "connection_limit_reached" "Too many requests wait for a server.";
    QueueTimeout "queue_timeout" 503 Proxy "connection_limit_reached" "No server had room in time.";
    Overloaded "overloaded" 503 Proxy "connection_limit_reached" "The servers are busy; requests of this kind are refused first.";
    NoRoute "no_route" 404 Proxy "destination_not_found" "Nothing is served under this address.";
    ClientNotAllowed "client_not_allowed" 403 Client "http_request_denied" "This client may not use the proxy.";
    AuthRequired "auth_required" 407 Client "http_request_denied" "The proxy wants a user name and a password.";
    AuthFailed "auth_failed" 407 Client "http_request_denied" "The user name or the password is wrong.";
    AuthBusy "auth_busy" 503 Proxy "proxy_internal_response" "The proxy is checking too many passwords at the moment.";
    ConnectPort "connect_port_denied" 403 Client "http_request_denied" "Tunnels to this port are not allowed.";
    PrivateDestination "private_destination" 403 Client "destination_ip_prohibited" "The destination is a private address.";
    LoopDetected "loop_detected" 508 Proxy "proxy_loop_detected" "The request has come back to this proxy.";

    DnsError "dns_error" 502 Upstream "dns_error" "The name of the destination could not be resolved.";
    DnsTimeout "dns_timeout" 504 Upstream "dns_timeout" "Resolving the name of the destination took too long.";
    ConnectionRefused "connection_refused" 502 Upstream "connection_refused" "The destination refused the connection.";
    ConnectionTimeout "connection_timeout" 504 Upstream "connection_timeout" "The connection to the destination took too long.";
    Unroutable "destination_unroutable" 502 Upstream "destination_ip_unroutable" "There is no way to the destination.";
    TlsCertificate "tls_certificate_error" 502 Upstream "tls_certificate_error" "The certificate of the destination is not to be trusted.";
    TlsError "tls_error" 502 Upstream "tls_protocol_error" "No TLS connection to the destination came about.";
    ConnectionTerminated "connection_terminated" 502 Upstream "connection_terminated" "The destination closed the connection without an answer.";
    ResponseTimeout "response_timeout" 504 Upstream "http_response_timeout" "The destination took too long to answer.";
    ReadTimeout "read_timeout" 504 Upstream "connection_read_timeout" "The destination stopped in the middle of its answer.";
    WriteTimeout "write_timeout" 504 Upstream "connection_write_timeout" "The destination stopped taking the request.";
    ResponseIncomplete "response_incomplete" 502 Upstream "http_response_incomplete" "The destination's answer broke off.";
    ResponseInvalid "response_invalid" 502 Upstream "http_protocol_error" "The destination's answer is not valid HTTP.";
    ResponseHeadTooLarge "response_head_too_large" 502 Upstream "http_response_header_section_size" "The head of the destination's answer is too large.";
    UpgradeFailed "upgrade_failed" 502 Upstream "http_upgrade_failed" "The switch of protocols did not come about as it was asked for.";
    NoServer "no_server" 503 Upstream "destination_unavailable" "No server is available.";
    TunnelIdle "tunnel_idle" 0 None "" "Nothing moved over the tunnel for too long.";

    Draining "draining" 503 Proxy "proxy_internal_response" "The proxy is shutting down.";
    InternalError "internal_error" 500 Proxy "proxy_internal_error" "The proxy failed.";
}

impl Slug {
    pub fn row(self) -> &'static SlugRow {
        &SLUGS[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }
}

/// The part of the configuration that decided; [`reviver_plan::Snapshot`] knows its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    #[default]
    None,
    Listener(u16),
    Route(u32),
    /// One of the limits of a route.
    Limit(u32, u8),
    Split(u32),
    Pool(u32),
    ForwardAuth,
    ForwardClients,
    ForwardConnectPorts,
    ForwardPrivateDestinations,
    /// `cache.purge`.
    Purge,
}

/// A slug and what decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    pub slug: Slug,
    pub rule: Rule,
}

impl Reason {
    pub const fn new(slug: Slug, rule: Rule) -> Self {
        Self { slug, rule }
    }
}

impl From<Slug> for Reason {
    fn from(slug: Slug) -> Self {
        Self { slug, rule: Rule::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_statuses_are_of_the_right_class() {
        for (index, slug) in Slug::ALL.iter().enumerate() {
            let row = slug.row();
            assert!(SLUGS.iter().skip(index + 1).all(|other| other.name != row.name), "{}", row.name);
            match row.fault {
                Fault::Client => assert!(row.status == 0 || (400..=505).contains(&row.status)),
                Fault::Upstream => assert!((500..600).contains(&row.status)),
                Fault::None | Fault::Proxy => {}
            }
        }
    }
}
