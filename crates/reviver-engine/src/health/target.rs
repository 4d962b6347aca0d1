//! What is asked of one server, made ready once.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use reviver_plan::{Health, HealthCheck, HttpCheck, Pool, ProxyProtocol, Server, UpstreamProtocol, UpstreamTls};

use super::expect::Expect;
use crate::http2::Connections;
use crate::stream::Stream;
use crate::tls::{self, PoolContext};

pub const AGENT: &str = "reviver-health";
/// A kept connection is given up after so long: a server that takes no new ones is to be noticed, and a name that
/// has come to stand for another address.
const RENEWED: Duration = Duration::from_secs(60);

/// All that decides about the checks of a pool. Where it is equal, they go on over a reload.
#[derive(PartialEq)]
pub struct Settings {
    pub health: Health,
    tls: Option<UpstreamTls>,
    pub protocol: UpstreamProtocol,
    pub proxy: Option<ProxyProtocol>,
}

impl Settings {
    pub fn of(pool: &Pool, health: &Health) -> Self {
        // The lines that things stand in may move.
        let mut health = health.clone();
        health.at.clear();
        let mut tls = pool.tls.clone();
        if let Some(tls) = &mut tls {
            tls.at.clear();
        }
        Self { health, tls, protocol: pool.protocol, proxy: pool.proxy_protocol }
    }
}

/// How the servers of one pool are checked.
pub struct Checks {
    pub settings: Settings,
    /// Or why they cannot be.
    pub kind: Result<Kind, String>,
}

pub enum Kind {
    Http(Box<Request>),
    Tcp,
    /// The context is for pools without TLS.
    Tls(Option<Arc<PoolContext>>),
    /// A message, framed (`PROTOCOL-HTTP2.md` of gRPC, Length-Prefixed-Message).
    Grpc(Vec<u8>),
}

/// A request of HTTP, but for the server's name.
pub struct Request {
    pub expect: Expect,
    pub method: http::Method,
    pub target: PathAndQuery,
    host: Option<String>,
    /// Field lines of HTTP/1.1 behind `Host`.
    lines: String,
    /// The same for HTTP/2.
    pub fields: HeaderMap,
}

impl Checks {
    pub fn new(settings: Settings) -> Self {
        let kind = match &settings.health.check {
            HealthCheck::Http(check) => Request::new(check).map(|request| Kind::Http(Box::new(request))),
            HealthCheck::Tcp => Ok(Kind::Tcp),
            HealthCheck::Tls if settings.tls.is_some() => Ok(Kind::Tls(None)),
            HealthCheck::Tls => {
                tls::undemanding().map(|context| Kind::Tls(Some(Arc::new(context)))).map_err(|e| e.to_string())
            }
            HealthCheck::Grpc(check) => Ok(Kind::Grpc(super::grpc::request(&check.service))),
        };
        Self { settings, kind }
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.settings.health.timeout_ms.max(1))
    }
}

impl Request {
    fn new(check: &HttpCheck) -> Result<Self, String> {
        let method = http::Method::from_bytes(check.method.as_bytes()).ok().filter(|m| *m != http::Method::CONNECT);
        let mut request = Self {
            expect: Expect::new(check)?,
            method: method.ok_or_else(|| format!("the method {} cannot be sent", check.method.escape_debug()))?,
            target: path(&check.path)
                .ok_or_else(|| format!("the path {} cannot be sent", check.path.escape_debug()))?,
            host: check.host.clone(),
            lines: String::new(),
            fields: HeaderMap::new(),
        };
        let is_set = |name: &str| check.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        for (name, value) in [("User-Agent", AGENT), ("Accept", "*/*")].iter().filter(|(name, _)| !is_set(name)) {
            request.push(name, value)?;
        }
        // RFC 9110, section 8.6: such a method is expected to come with content.
        if matches!(check.method.as_str(), "POST" | "PUT" | "PATCH") {
            request.lines.push_str("Content-Length: 0\r\n");
        }
        for (name, value) in &check.headers {
            match name.to_ascii_lowercase().as_str() {
                "host" => request.host = Some(value.clone()),
                "content-length" | "expect" | "te" | "trailer" | "transfer-encoding" | "upgrade" => {
                    return Err(format!("the header {name} cannot be sent by a check"));
                }
                _ => request.push(name, value)?,
            }
        }
        Ok(request)
    }

    fn push(&mut self, name: &str, value: &str) -> Result<(), String> {
        let refused = || format!("the header {} cannot be sent", name.escape_debug());
        let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        let content = HeaderValue::from_str(value).map_err(|_| refused())?;
        for part in [name, ": ", value, "\r\n"] {
            self.lines.push_str(part);
        }
        // RFC 9113, section 8.2.2.
        if !["connection", "keep-alive", "proxy-connection"].contains(&field.as_str()) {
            self.fields.append(field, content);
        }
        Ok(())
    }
}

/// In origin form, of what RFC 3986 knows: the library takes more.
fn path(text: &str) -> Option<PathAndQuery> {
    let sound = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
    PathAndQuery::try_from(text).ok().filter(|_| sound)
}

/// One server.
pub struct Target {
    pub checks: Rc<Checks>,
    /// As the plan writes it.
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Known at once where the configuration names an address.
    pub address: Option<SocketAddr>,
    /// What it is asked for by; none: such a name cannot be sent.
    pub authority: Option<Authority>,
    /// The head in HTTP/1.1; empty where the check is none of HTTP.
    pub head: Vec<u8>,
    kept: Cell<Option<Kept>>,
}

/// A connection that the last check has left.
pub struct Kept {
    pub wire: Wire,
    since: Instant,
}

pub enum Wire {
    Http1(Stream),
    Http2(Rc<Connections>),
}

impl Target {
    pub fn new(checks: &Rc<Checks>, server: &Server) -> Self {
        let (host, port) = server.address.rsplit_once(':').unwrap_or((&server.address, ""));
        let port = checks.settings.health.port.unwrap_or_else(|| port.parse().unwrap_or(0));
        let mut address: Option<SocketAddr> = server.address.parse().ok();
        if let Some(address) = &mut address {
            address.set_port(port);
        }
        let own = format!("{host}:{port}");
        let (mut asked, mut head) = (own.as_str(), Vec::new());
        if let Ok(Kind::Http(request)) = &checks.kind {
            asked = request.host.as_deref().unwrap_or(asked);
            reviver_http::write_request_line(
                &mut head,
                request.method.as_str().as_bytes(),
                request.target.as_str().as_bytes(),
            );
            for part in ["Host: ", asked, "\r\n", &request.lines, "\r\n"] {
                head.extend_from_slice(part.as_bytes());
            }
        }
        // The library takes a user too (RFC 9110, section 4.2.4).
        let sound = reviver_http::parse_authority(asked.as_bytes()).is_ok();
        let authority = Authority::try_from(asked).ok().filter(|_| sound);
        Self {
            checks: Rc::clone(checks),
            name: server.address.clone(),
            host: host.to_owned(),
            port,
            address,
            authority,
            head,
            kept: Cell::default(),
        }
    }

    /// The connection of the check before, if it can be used once more.
    pub fn take_kept(&self, now: Instant) -> Option<Kept> {
        let mut kept = self.kept.take().filter(|kept| now.saturating_duration_since(kept.since) < RENEWED)?;
        let open = match &mut kept.wire {
            Wire::Http1(stream) => stream.is_quiet(),
            Wire::Http2(_) => true,
        };
        open.then_some(kept)
    }

    pub fn keep(&self, kept: Kept) {
        self.kept.set(Some(kept));
    }
}

impl Kept {
    pub fn new(wire: Wire, since: Instant) -> Self {
        Self { wire, since }
    }
}
