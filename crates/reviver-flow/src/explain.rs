//! Decides a request without sending anything: the same flow as live traffic, with its events made up.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use reviver_cache::Why;
use reviver_http::{HeadLimits, RequestHead, decode_request};
use reviver_plan::{Role, Snapshot};
use serde::{Deserialize, Serialize};

use crate::{Client, ClientTls, Command, Event, Flow, Looked, Rule};

/// The request to explain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Listener by name; none is the first whose role fits the request.
    pub listener: Option<String>,
    pub method: String,
    /// Absolute URL, a path (reverse), or `host:port` for CONNECT.
    pub url: String,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Address of the client; none is 127.0.0.1.
    pub client: Option<IpAddr>,
}

#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error("no listener is named {0:?}")]
    NoListener(String),
    #[error("no listener is configured")]
    NoListeners,
    #[error("the request is not valid: {0}")]
    Request(reviver_http::ParseError),
    #[error("a field must not hold line breaks")]
    LineBreak,
}

/// What was decided, and by which rules.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub listener: String,
    pub role: Role,
    pub client: IpAddr,
    pub method: String,
    pub host: String,
    pub path: String,
    /// `answer` (by the proxy itself), `upstream`, `tunnel` or `purge`.
    pub outcome: &'static str,
    /// Status of the proxy's own answer.
    pub status: Option<u16>,
    pub reason: &'static str,
    /// `file:line` of the rule that decided.
    pub at: Option<String>,
    pub route: Option<String>,
    pub split: Option<String>,
    pub variant: Option<String>,
    pub pool: Option<String>,
    /// Servers that the request could reach, or the destination that it names.
    pub servers: Vec<String>,
    pub steps: Vec<ExplainedStep>,
    /// Routes that were passed over, with the condition that did not hold.
    pub passed_over: Vec<PassedOver>,
    /// The request head as the upstream would see it.
    pub upstream_request: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ExplainedStep {
    pub phase: &'static str,
    pub verdict: crate::VerdictKind,
    pub reason: &'static str,
    pub at: Option<String>,
    pub detail: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct PassedOver {
    pub route: String,
    pub at: String,
    pub condition: String,
}

/// The place of the configuration that a rule stands for.
pub(crate) fn place(snapshot: &Snapshot, rule: Rule) -> Option<&str> {
    let plan = &snapshot.plan;
    let forward = plan.forward.as_ref();
    match rule {
        Rule::None => None,
        Rule::Listener(index) => plan.listeners.get(usize::from(index)).map(|l| l.at.as_str()),
        Rule::Limit(route, index) => snapshot.route(route)?.limits.get(usize::from(index)).map(|l| l.at.as_str()),
        Rule::Split(index) => snapshot.split(index).map(|s| s.at.as_str()),
        Rule::Route(index) => plan.reverse.as_ref()?.routes.get(index as usize).map(|r| r.at.as_str()),
        Rule::Pool(index) => plan.reverse.as_ref()?.pools.get(index as usize).map(|p| p.at.as_str()),
        Rule::ForwardAuth => forward?.auth.as_ref().map(|a| a.at.as_str()),
        Rule::ForwardClients => forward.map(|f| f.clients_at.as_str()),
        Rule::ForwardConnectPorts => forward.map(|f| f.connect_ports_at.as_str()),
        Rule::Purge => plan.cache.as_ref().map(|c| c.purge_at.as_str()),
        Rule::ForwardPrivateDestinations => forward.map(|f| f.private_destinations_at.as_str()),
    }
}

impl Flow<'_> {
    /// `file:line` of the rule that decided.
    pub fn place(&self) -> Option<&str> {
        place(self.snapshot, self.record.reason.rule)
    }
}

/// Decides one request by a snapshot. `now` only has to be some instant.
pub fn explain(snapshot: &Snapshot, request: &ExplainRequest, now: Instant) -> Result<Explanation, ExplainError> {
    let (listener, head, tls) = explained_request(snapshot, request)?;
    let role = snapshot.plan.listeners[usize::from(listener)].role;
    let address = request.client.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let client = Client { peer: SocketAddr::new(address, 0), address, tls };
    let mut flow = Flow::new(snapshot, listener, client, now, 0).traced();
    let mut command = flow.step(Event::Request(&head), now);
    if matches!(command, Command::Authenticate) {
        command = flow.step(Event::Authenticated(true), now + Duration::ZERO);
    }
    if matches!(command, Command::Lookup) {
        // What is stored is known to the running proxy alone.
        let mut key = Vec::new();
        flow.write_cache_key(&head, &mut key);
        flow.note_key(&key);
        let looked = Looked::Fetch { why: Why::UriMiss, validators: Vec::new(), on_error: false, whole: true };
        command = flow.step(Event::Looked(looked), now);
    }
    let (outcome, status) = match command {
        Command::Purge => ("purge", None),
        Command::Answer(_) => ("answer", Some(flow.record.status)),
        Command::Connect { .. } if flow.is_tunnel() => ("tunnel", None),
        Command::Connect { .. } => ("upstream", None),
        _ => ("closed", None),
    };
    let upstream_request = (outcome == "upstream").then(|| {
        let mut out = Vec::new();
        let mut target = Vec::new();
        flow.write_target(&head, &mut target, &mut Vec::new());
        reviver_http::write_request_line(&mut out, head.method_text(), &target);
        flow.write_request_fields(&head, head.framing, &mut reviver_http::H1Sink(&mut out));
        String::from_utf8_lossy(&out).into_owned()
    });
    let mut servers: Vec<String> = flow.candidates().into_iter().map(str::to_owned).collect();
    if servers.is_empty() && outcome != "answer" {
        servers.push(String::from_utf8_lossy(head.authority()).into_owned());
    }
    let plan = &snapshot.plan;
    let reverse = plan.reverse.as_ref();
    Ok(Explanation {
        listener: plan.listeners[usize::from(listener)].name.clone(),
        role,
        client: address,
        method: request.method.clone(),
        host: text(head.host()),
        path: text(head.normal_path()),
        outcome,
        status,
        reason: flow.record.reason.slug.name(),
        at: flow.place().map(str::to_owned),
        route: flow.route().map(|r| r.name.clone()),
        split: flow.variant().map(|(split, _)| split.name.clone()),
        variant: flow.variant().map(|(_, variant)| variant.name.clone()),
        pool: flow.record.pool.and_then(|p| reverse?.pools.get(p as usize)).map(|p| p.name.clone()),
        servers,
        steps: flow
            .steps()
            .iter()
            .map(|step| ExplainedStep {
                phase: step.phase.name(),
                verdict: step.verdict,
                reason: step.reason.slug.name(),
                at: place(snapshot, step.reason.rule).map(str::to_owned),
                detail: step.detail.clone(),
            })
            .collect(),
        passed_over: passed_over(snapshot, role, &head, address),
        upstream_request,
    })
}

/// The head of a request to explain, the listener that takes it, and TLS where that has it.
pub fn explained_request(
    snapshot: &Snapshot,
    request: &ExplainRequest,
) -> Result<(u16, RequestHead, Option<Rc<ClientTls>>), ExplainError> {
    let listener = choose_listener(snapshot, request)?;
    let listening = &snapshot.plan.listeners[usize::from(listener)];
    let limits = HeadLimits { head: 1 << 20, fields: HeadLimits::MAX_FIELDS, target: 1 << 16 };
    let mut head = RequestHead::default();
    decode_request(&request_bytes(request, listening.role)?, &limits, &mut head).map_err(ExplainError::Request)?;
    Ok((listener, head, listening.tls.as_ref().map(|_| Rc::default())))
}

fn passed_over(snapshot: &Snapshot, role: Role, head: &RequestHead, client: IpAddr) -> Vec<PassedOver> {
    let (Role::Reverse, Some(router), Some(reverse)) = (role, &snapshot.router, &snapshot.plan.reverse) else {
        return Vec::new();
    };
    router
        .trace(head, client)
        .into_iter()
        .filter_map(|(index, condition)| {
            let route = reverse.routes.get(index)?;
            Some(PassedOver { route: route.name.clone(), at: route.at.clone(), condition: condition?.to_string() })
        })
        .collect()
}

fn choose_listener(snapshot: &Snapshot, request: &ExplainRequest) -> Result<u16, ExplainError> {
    let listeners = &snapshot.plan.listeners;
    let index = match &request.listener {
        Some(name) => {
            listeners.iter().position(|l| &l.name == name).ok_or_else(|| ExplainError::NoListener(name.clone()))?
        }
        None => {
            let wanted = if request.method == "CONNECT" { Role::Forward } else { Role::Reverse };
            listeners.iter().position(|l| l.role == wanted).unwrap_or(0)
        }
    };
    if listeners.is_empty() {
        return Err(ExplainError::NoListeners);
    }
    Ok(u16::try_from(index).unwrap_or(0))
}

/// The request as a client would send it to such a listener.
fn request_bytes(request: &ExplainRequest, role: Role) -> Result<Vec<u8>, ExplainError> {
    let url = request.url.as_str();
    let (authority, path) = match url.split_once("://") {
        Some((_, rest)) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (&rest[..end], &rest[end..])
        }
        None if url.starts_with('/') || url == "*" => ("localhost", url),
        None => (url, ""),
    };
    let target = match role {
        _ if request.method == "CONNECT" => authority.to_owned(),
        Role::Forward => url.to_owned(),
        Role::Reverse if path.is_empty() => "/".to_owned(),
        Role::Reverse if path.starts_with('?') => format!("/{path}"),
        Role::Reverse => path.to_owned(),
    };
    let host = request.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("host")).map_or(authority, |(_, v)| v);
    let mut text = format!("{} {target} HTTP/1.1\r\nHost: {host}\r\n", request.method);
    for (name, value) in request.headers.iter().filter(|(n, _)| !n.eq_ignore_ascii_case("host")) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let lines = 2 + request.headers.iter().filter(|(n, _)| !n.eq_ignore_ascii_case("host")).count();
    text.push_str("\r\n");
    if text.matches(['\r', '\n']).count() != 2 * (lines + 1) {
        return Err(ExplainError::LineBreak);
    }
    Ok(text.into_bytes())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
