//! What the engine decides by: a plan with everything in it compiled that can be.
//!
//! Rule 1: a snapshot is built beside the running one and then only read. Rule 2: whatever could be wrong
//! with a plan is found here, with the place where a person wrote it; a request finds no more errors.

use ipnet::IpNet;
use reviver_balance::{Pool as Balancer, SplitState};
use reviver_http::is_token;
use reviver_policy::{
    CertificateMatcher, Matcher, NetSet, PathRewrite, PatternError, PortRangeError, PortSet, Router, RouterError,
    Template, TemplateError,
};

use crate::balancing::{balancer, split_state};
use crate::caching::Caching;
use crate::rates::{Rate, rates};
use crate::{
    Action, HeaderRules, Listener, Match, NamedPattern, PathPattern, Place, Plan, Pool, Rewrite, Route, Server, Split,
    StickyTable, ValuePattern,
};

/// Why no snapshot could be built: where it was written, what it belongs to and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{subject}: {cause}", if at.is_empty() { String::new() } else { format!("{at}: ") })]
pub struct BuildError {
    /// `file:line`; empty where no single line is to blame.
    pub at: Place,
    /// The named thing, such as `route api`.
    pub subject: String,
    pub cause: Box<BuildCause>,
}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildCause {
    #[error("match: {0}")]
    Match(#[from] RouterError),
    #[error("rewrite: {0}")]
    Rewrite(#[from] PatternError),
    #[error("redirect: {0}")]
    Redirect(#[from] TemplateError),
    #[error("connect_ports: {0}")]
    Ports(#[from] PortRangeError),
    #[error("there is no pool {0}")]
    Pool(u32),
    #[error("there is no split {0}")]
    Split(u32),
    #[error("the weights add up to {0} and not to 10000")]
    Weights(u64),
    #[error("`{}` is not a header field name", .0.escape_default())]
    FieldName(String),
    #[error("the value of the header field `{}` holds a control character", .0.escape_default())]
    FieldValue(String),
    #[error("the header field `{0}` belongs to one connection or frames the message: no rule can set it")]
    FramingField(String),
    #[error("{0} is not a status that can be answered with")]
    Status(u16),
    #[error("`{}` is not `host:port`", .0.escape_default())]
    Address(String),
    #[error("at least one worker is needed")]
    Workers,
}

/// A plan, compiled.
#[derive(Debug)]
pub struct Snapshot {
    pub plan: Plan,
    /// None without a reverse half.
    pub router: Option<Router>,
    /// For each route; none where it leaves the path alone.
    pub rewrites: Vec<Option<PathRewrite>>,
    /// For each route; none where it does not redirect.
    pub redirects: Vec<Option<Template>>,
    /// For each pool.
    pub pools: Vec<Balancer>,
    /// For each pool that binds clients to servers.
    pub stickies: Vec<Option<StickyTable>>,
    /// For each route, its limits.
    pub rates: Vec<Vec<Rate>>,
    /// For each split.
    pub splits: Vec<SplitState>,
    /// For each split: who may choose by its `force` header.
    pub forcers: Vec<NetSet>,
    /// Proxies whose forwarding fields are believed.
    pub trusted: NetSet,
    /// Clients of the forward half; empty is any.
    pub clients: NetSet,
    /// Ports that CONNECT and SOCKS5 may reach.
    pub connect_ports: PortSet,
    pub caching: Caching,
    /// Clients that may use the method PURGE.
    pub purgers: NetSet,
}

impl Snapshot {
    /// Compiles a plan; the error is the first that was found.
    pub fn build(plan: Plan) -> Result<Self, BuildError> {
        Self::build_after(plan, None)
    }

    /// The same, keeping what `earlier` has learnt of the servers that both name.
    pub fn build_after(plan: Plan, earlier: Option<&Self>) -> Result<Self, BuildError> {
        if plan.workers == 0 {
            return Err(error("", "workers".into(), BuildCause::Workers));
        }
        let (routes, pools, splits) = match &plan.reverse {
            Some(reverse) => (reverse.routes.as_slice(), reverse.pools.as_slice(), reverse.splits.as_slice()),
            None => Default::default(),
        };
        let router = plan.reverse.as_ref().map(|reverse| {
            let matches: Vec<_> = reverse.routes.iter().map(|route| (route.at.as_str(), &route.matches)).collect();
            router_of(&matches, |index| {
                reverse.routes.get(index).map_or(String::new(), |r| format!("route {}", r.name))
            })
        });
        let router = router.transpose()?;
        let (mut rewrites, mut redirects) = (Vec::new(), Vec::new());
        for route in routes {
            let at_route = |cause| error(&route.at, format!("route {}", route.name), cause);
            check_route(route, pools, splits).map_err(at_route)?;
            rewrites.push(path_rewrite(&route.rewrite).map_err(|e| at_route(e.into()))?);
            redirects.push(redirect(&route.action).map_err(|e| at_route(e.into()))?);
        }
        for pool in pools {
            check_pool(pool)?;
        }
        for split in splits {
            let at_split = |cause| error(&split.at, format!("split {}", split.name), cause);
            check_split(split, pools).map_err(at_split)?;
        }
        let connect_ports = match &plan.forward {
            Some(forward) => PortSet::new(forward.connect_ports.iter().copied())
                .map_err(|e| error(&forward.connect_ports_at, "forward".into(), e.into()))?,
            None => PortSet::default(),
        };
        let clients: &[IpNet] = plan.forward.as_ref().map_or(&[], |forward| &forward.clients);
        let caching = Caching::build(&plan)?;
        // Last, since what is kept of the earlier pools follows the new ones from here on.
        let balancers = pools.iter().map(|pool| balancer(pool, earlier)).collect();
        let rates = routes.iter().map(|route| rates(route, earlier)).collect();
        let stickies = pools.iter().map(StickyTable::of).collect();
        let states = splits.iter().map(|split| split_state(split, earlier)).collect();
        let forcers = splits
            .iter()
            .map(|split| NetSet::new(split.force.iter().flat_map(|f| f.clients.iter().copied())))
            .collect();
        Ok(Self {
            router,
            rewrites,
            redirects,
            pools: balancers,
            stickies,
            rates,
            splits: states,
            forcers,
            trusted: NetSet::new(plan.trusted_proxies.iter().copied()),
            clients: NetSet::new(clients.iter().copied()),
            connect_ports,
            caching,
            purgers: NetSet::new(plan.cache.iter().flat_map(|c| c.purge_clients.iter().copied())),
            plan,
        })
    }

    pub fn listener(&self, index: u16) -> Option<&Listener> {
        self.plan.listeners.get(usize::from(index))
    }

    pub fn route(&self, index: u32) -> Option<&Route> {
        self.plan.reverse.as_ref()?.routes.get(index as usize)
    }

    pub fn pool(&self, index: u32) -> Option<&Pool> {
        self.plan.reverse.as_ref()?.pools.get(index as usize)
    }

    /// Each pool with what chooses among its servers.
    pub fn balanced(&self) -> impl Iterator<Item = (&Pool, &Balancer)> {
        self.plan.reverse.iter().flat_map(|r| &r.pools).zip(&self.pools)
    }

    /// Each split with its weights in force.
    pub fn divided(&self) -> impl Iterator<Item = (&Split, &SplitState)> {
        self.plan.reverse.iter().flat_map(|r| &r.splits).zip(&self.splits)
    }

    pub fn split(&self, index: u32) -> Option<&Split> {
        self.plan.reverse.as_ref()?.splits.get(index as usize)
    }

    pub fn server(&self, pool: u32, index: u32) -> Option<&Server> {
        self.pool(pool)?.servers.get(index as usize)
    }
}

fn error(at: &str, subject: String, cause: BuildCause) -> BuildError {
    BuildError { at: at.to_owned(), subject, cause: Box::new(cause) }
}

/// Conditions of one thing, each with the place where it was written.
pub(crate) fn router(matches: &[(&str, &Match)], subject: impl Fn() -> String) -> Result<Router, BuildError> {
    router_of(matches, |_| subject())
}

fn router_of(matches: &[(&str, &Match)], subject: impl Fn(usize) -> String) -> Result<Router, BuildError> {
    Router::new(matches.iter().map(|(_, matches)| matcher(matches)).collect()).map_err(|e| {
        let at = matches.get(e.route).map_or("", |(at, _)| at);
        error(at, subject(e.route), e.into())
    })
}

fn matcher(matches: &Match) -> Matcher {
    let named = |list: &[NamedPattern]| list.iter().map(|p| (p.name.clone(), value_pattern(&p.value))).collect();
    Matcher {
        host: matches.host.clone(),
        path: matches.path.iter().map(path_pattern).collect(),
        method: matches.method.clone(),
        header: named(&matches.header),
        query: named(&matches.query),
        cookie: named(&matches.cookie),
        client: matches.client.clone(),
        certificate: matches.client_certificate.as_ref().map(|c| CertificateMatcher {
            subject: c.subject.iter().map(value_pattern).collect(),
            fingerprint: c.fingerprint.clone(),
        }),
    }
}

fn path_pattern(pattern: &PathPattern) -> reviver_policy::PathPattern {
    match pattern {
        PathPattern::Exact(text) => reviver_policy::PathPattern::Exact(text.clone()),
        PathPattern::Prefix(text) => reviver_policy::PathPattern::Prefix(text.clone()),
        PathPattern::Regex(text) => reviver_policy::PathPattern::Regex(text.clone()),
    }
}

/// The same for who decides by it.
pub fn value_pattern(pattern: &ValuePattern) -> reviver_policy::ValuePattern {
    match pattern {
        ValuePattern::Present => reviver_policy::ValuePattern::Present,
        ValuePattern::Exact(text) => reviver_policy::ValuePattern::Exact(text.clone()),
        ValuePattern::Prefix(text) => reviver_policy::ValuePattern::Prefix(text.clone()),
        ValuePattern::Regex(text) => reviver_policy::ValuePattern::Regex(text.clone()),
    }
}

fn path_rewrite(rewrite: &Rewrite) -> Result<Option<PathRewrite>, PatternError> {
    let replace = rewrite.replace.as_ref().map(|(pattern, replacement)| (pattern.as_str(), replacement.as_str()));
    let path = PathRewrite::new(rewrite.strip_prefix.as_deref(), replace, rewrite.add_prefix.as_deref())?;
    Ok((!path.is_identity()).then_some(path))
}

fn redirect(action: &Action) -> Result<Option<Template>, TemplateError> {
    match action {
        Action::Redirect(redirect) => Template::parse(&redirect.to).map(Some),
        Action::Pool(_) | Action::Split(_) | Action::Respond(_) => Ok(None),
    }
}

fn check_route(route: &Route, pools: &[Pool], splits: &[Split]) -> Result<(), BuildCause> {
    check_header_rules(&route.request_headers)?;
    check_header_rules(&route.response_headers)?;
    if let Some(mirror) = route.mirror.as_ref().filter(|m| pools.get(m.pool as usize).is_none()) {
        return Err(BuildCause::Pool(mirror.pool));
    }
    if let Some(host) = &route.rewrite.host {
        check_field("host", host)?;
    }
    match &route.action {
        Action::Pool(pool) if pools.get(*pool as usize).is_none() => Err(BuildCause::Pool(*pool)),
        Action::Pool(_) => Ok(()),
        Action::Split(split) if splits.get(*split as usize).is_none() => Err(BuildCause::Split(*split)),
        Action::Split(_) => Ok(()),
        Action::Respond(respond) => {
            check_status(respond.status, (200..=599).contains(&respond.status))?;
            check_field("content-type", &respond.content_type)?;
            respond.headers.iter().try_for_each(|(name, value)| check_field(name, value))
        }
        Action::Redirect(redirect) => {
            check_status(redirect.status, matches!(redirect.status, 301 | 302 | 303 | 307 | 308))
        }
    }
}

fn check_split(split: &Split, pools: &[Pool]) -> Result<(), BuildCause> {
    let named = split.variants.iter().map(|v| v.pool).chain(split.mirror.iter().map(|m| m.pool));
    if let Some(pool) = named.into_iter().find(|&pool| pools.get(pool as usize).is_none()) {
        return Err(BuildCause::Pool(pool));
    }
    match split.variants.iter().map(|v| u64::from(v.weight)).sum() {
        10_000 => split.response_header.as_deref().map_or(Ok(()), check_name),
        sum => Err(BuildCause::Weights(sum)),
    }
}

fn check_status(status: u16, is_legal: bool) -> Result<(), BuildCause> {
    if is_legal { Ok(()) } else { Err(BuildCause::Status(status)) }
}

fn check_header_rules(rules: &HeaderRules) -> Result<(), BuildCause> {
    rules.set.iter().chain(&rules.add).try_for_each(|(name, value)| check_field(name, value))?;
    rules.remove.iter().try_for_each(|name| check_name(name))
}

fn check_name(name: &str) -> Result<(), BuildCause> {
    if is_token(name.as_bytes()) { Ok(()) } else { Err(BuildCause::FieldName(name.to_owned())) }
}

/// A field that is written as it stands must not be able to end its line (RFC 9110, section 5.5), nor may it
/// say another thing about the message than the proxy does (section 7.6.1 and RFC 9112, section 6).
fn check_field(name: &str, value: &str) -> Result<(), BuildCause> {
    const FRAMING: &[&str] = &[
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    check_name(name)?;
    if FRAMING.iter().any(|field| name.eq_ignore_ascii_case(field)) {
        return Err(BuildCause::FramingField(name.to_owned()));
    }
    match value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7F) {
        true => Err(BuildCause::FieldValue(name.to_owned())),
        false => Ok(()),
    }
}

fn check_pool(pool: &Pool) -> Result<(), BuildError> {
    for server in &pool.servers {
        let is_address = server.address.rsplit_once(':').is_some_and(|(host, port)| {
            let host_is_plain = !host.is_empty() && !host.contains(|c: char| c.is_control() || c.is_whitespace());
            host_is_plain && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !is_address {
            let cause = BuildCause::Address(server.address.clone());
            return Err(error(&server.at, format!("pool {}", pool.name), cause));
        }
    }
    Ok(())
}
