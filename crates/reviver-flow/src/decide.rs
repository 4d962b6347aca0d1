//! The decision: from a checked head to a verdict. Deterministic: the same snapshot, head and client give
//! the same verdict, live and in `explain`.

use std::net::IpAddr;

use base64::Engine as _;
use reviver_http::{FieldKind, Framing, Method, RequestHead, Scheme, TargetForm};
use reviver_plan::{Access, Action, Role, Snapshot};

use crate::{Client, Reason, Rule, Slug};

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Reject(Reason),
    /// Answered here: the route's own response or redirect, or an OPTIONS whose `Max-Forwards` is spent.
    Respond(u32),
    Redirect(u32),
    /// Answered with this proof of control.
    Challenge(u32),
    /// Redirected to this port by `https`.
    RedirectHttps(u16),
    MaxForwards,
    /// To a pool, by a route.
    Pool {
        route: u32,
        pool: u32,
    },
    /// To one of the pools of a split, by a route.
    Split {
        route: u32,
        split: u32,
    },
    /// To the destination that the request names.
    Forward,
    ForwardTunnel,
}

impl Verdict {
    /// The route that decided, where it lets the request on.
    pub fn route(self) -> Option<u32> {
        match self {
            Self::Respond(route) | Self::Redirect(route) | Self::Pool { route, .. } | Self::Split { route, .. } => {
                Some(route)
            }
            _ => None,
        }
    }
}

/// Checks that hold in both directions (phase `request_head`).
pub(crate) fn check_head(snapshot: &Snapshot, head: &RequestHead) -> Result<(), Reason> {
    if loops(snapshot, head) {
        return Err(Slug::LoopDetected.into());
    }
    // TRACE would show a script fields that it may not read; no peer serves it by default.
    if head.method == Method::Trace {
        return Err(Slug::MethodNotAllowed.into());
    }
    Ok(())
}

/// Whether this proxy's pseudonym stands in `Via` (RFC 9110, section 7.6.3) or `CDN-Loop` (RFC 8586) as often
/// as no straight way explains: a request may go through the forward and then the reverse half of one proxy.
fn loops(snapshot: &Snapshot, head: &RequestHead) -> bool {
    let own = snapshot.plan.via.as_bytes();
    let halves = usize::from(snapshot.plan.forward.is_some()) + usize::from(snapshot.plan.reverse.is_some());
    let passes = head.fields().iter().map(|field| {
        let via = field.kind == FieldKind::Via;
        if !via && field.kind != FieldKind::CdnLoop {
            return 0;
        }
        let members = head.value(field).split(|b| *b == b',');
        let is_own = |member: &&[u8]| {
            let mut words = member.split(|b| matches!(b, b' ' | b'\t' | b';')).filter(|w| !w.is_empty());
            words.nth(usize::from(via)) == Some(own)
        };
        members.filter(is_own).count()
    });
    passes.sum::<usize>() >= halves.max(1)
}

/// What a reverse listener answers whatever the routes say.
pub(crate) fn before_routes(
    snapshot: &Snapshot,
    head: &RequestHead,
    client: &Client,
    listener: u16,
) -> Option<Verdict> {
    const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";
    let plan = &snapshot.plan;
    if let Some(tls) = &client.tls {
        // RFC 9110, section 7.4: not for an origin that the client's certificate check did not cover.
        let misdirected = !tls.serves(head.host());
        return misdirected.then(|| Verdict::Reject(Reason::new(Slug::MisdirectedRequest, Rule::Listener(listener))));
    }
    // RFC 8555, section 8.3: asked for without TLS, and answered before anything redirects.
    let token = head.path().strip_prefix(CHALLENGES).filter(|_| !plan.challenges.http.is_empty());
    if let Some(index) = token.and_then(|token| plan.challenges.http.iter().position(|(t, _)| t.as_bytes() == token)) {
        return Some(Verdict::Challenge(index as u32));
    }
    let port = snapshot.listener(listener)?.redirect_https?;
    // A trusted proxy in front has ended TLS already.
    let secure = |value: &[u8]| value.eq_ignore_ascii_case(b"https");
    if snapshot.trusted.contains(client.peer.ip()) && head.values(FieldKind::XForwardedProto).any(secure) {
        return None;
    }
    let reason = Reason::new(Slug::BadRequest, Rule::Listener(listener));
    Some(if head.host().is_empty() { Verdict::Reject(reason) } else { Verdict::RedirectHttps(port) })
}

/// Phase `route` of a reverse listener.
pub(crate) fn route(snapshot: &Snapshot, head: &RequestHead, client: &Client) -> Verdict {
    if head.form == TargetForm::Authority {
        return Verdict::Reject(Slug::MethodNotAllowed.into());
    }
    let (Some(reverse), Some(router)) = (&snapshot.plan.reverse, &snapshot.router) else {
        return Verdict::Reject(Slug::NoRoute.into());
    };
    let Some(index) = router.find(head, client.asker()) else {
        return Verdict::Reject(Slug::NoRoute.into());
    };
    let route = &reverse.routes[index];
    let index = index as u32;
    if let Framing::Length(length) = head.framing
        && route.body != 0
        && length > route.body
    {
        return Verdict::Reject(Reason::new(Slug::BodyTooLarge, Rule::Route(index)));
    }
    match &route.action {
        Action::Respond(_) => Verdict::Respond(index),
        // `https://{host}/x` without a host would lead to whatever the path begins with.
        Action::Redirect(to) if head.host().is_empty() && to.to.contains("{host}") => {
            Verdict::Reject(Reason::new(Slug::BadRequest, Rule::Route(index)))
        }
        Action::Redirect(_) => Verdict::Redirect(index),
        Action::Pool(_) if spent_max_forwards(head) => Verdict::MaxForwards,
        Action::Pool(pool) => Verdict::Pool { route: index, pool: *pool },
        Action::Split(_) if spent_max_forwards(head) => Verdict::MaxForwards,
        Action::Split(split) => Verdict::Split { route: index, split: *split },
    }
}

/// RFC 9110, section 7.6.2: at zero the request goes no further.
fn spent_max_forwards(head: &RequestHead) -> bool {
    head.method == Method::Options && head.max_forwards == Some(0)
}

/// Who may use the forward proxy at all (phase `client_connect` in effect, checked per request so that a
/// reload also holds on open connections).
pub(crate) fn check_client(snapshot: &Snapshot, client: IpAddr) -> Result<(), Reason> {
    match &snapshot.plan.forward {
        Some(forward) if !forward.clients.is_empty() && !snapshot.clients.contains(client) => {
            Err(Reason::new(Slug::ClientNotAllowed, Rule::ForwardClients))
        }
        _ => Ok(()),
    }
}

/// Phase `route` of a forward listener, after authentication.
pub(crate) fn forward(snapshot: &Snapshot, head: &RequestHead, body_limit: u64) -> Verdict {
    let Some(forward) = &snapshot.plan.forward else {
        return Verdict::Reject(Slug::NoRoute.into());
    };
    let verdict = match head.form {
        TargetForm::Origin => return Verdict::Reject(Slug::NotAProxyRequest.into()),
        TargetForm::Asterisk => return Verdict::MaxForwards,
        TargetForm::Absolute => {
            // A plain-HTTP request for an https resource would need TLS towards the origin.
            if head.scheme == Scheme::Https {
                return Verdict::Reject(Slug::NotImplemented.into());
            }
            if spent_max_forwards(head) {
                return Verdict::MaxForwards;
            }
            Verdict::Forward
        }
        TargetForm::Authority => {
            let port = head.port.unwrap_or(443);
            if !snapshot.connect_ports.contains(port) {
                return Verdict::Reject(Reason::new(Slug::ConnectPort, Rule::ForwardConnectPorts));
            }
            Verdict::ForwardTunnel
        }
    };
    // Addresses behind names are checked when they are connected to; a literal is known now.
    if forward.private_destinations == Access::Deny
        && let Some(address) = std::str::from_utf8(head.host()).ok().and_then(|h| h.parse::<IpAddr>().ok())
        && reviver_policy::is_private(address)
    {
        return Verdict::Reject(Reason::new(Slug::PrivateDestination, Rule::ForwardPrivateDestinations));
    }
    match head.framing {
        Framing::Length(length) if body_limit != 0 && length > body_limit => Verdict::Reject(Slug::BodyTooLarge.into()),
        _ => verdict,
    }
}

/// The role's name for a listener index; listeners always exist in the snapshot that a flow began with.
pub(crate) fn role(snapshot: &Snapshot, listener: u16) -> Role {
    snapshot.plan.listeners.get(usize::from(listener)).map_or(Role::Reverse, |l| l.role)
}

/// User name and password as sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
}

/// Basic credentials of `Proxy-Authorization` (RFC 7617), where there is exactly one well-formed field.
pub fn credentials(head: &RequestHead) -> Option<Credentials> {
    let mut values = head.values(FieldKind::ProxyAuthorization);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(token.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    Some(Credentials { user: decoded[..colon].to_vec(), password: decoded[colon + 1..].to_vec() })
}
