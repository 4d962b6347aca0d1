//! Which route a request takes: the first whose conditions all hold.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use reviver_http::{FieldKind, RequestHead};

use crate::host::{HostIndex, HostPattern};
use crate::params::{cookie_matches, query_matches};
use crate::pattern::Pattern;
use crate::{NetSet, PathPattern, PatternError, RouterError, ValuePattern};

/// The conditions of a route. All that are given must hold; within one condition any value may. An empty
/// list is no condition.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    /// A name, or `*.` and the end of a name (at least one label stands before it); `*` is any host.
    pub host: Vec<String>,
    /// On the normalised path.
    pub path: Vec<PathPattern>,
    /// Compared with case, as methods are.
    pub method: Vec<String>,
    /// Field name (in any case), and what one of its values must be.
    pub header: Vec<(String, ValuePattern)>,
    /// Parameter name and value, both compared after percent-decoding.
    pub query: Vec<(String, ValuePattern)>,
    pub cookie: Vec<(String, ValuePattern)>,
    /// Networks that the client's address must be in one of.
    pub client: Vec<IpNet>,
    /// None: with any certificate or without one.
    pub certificate: Option<CertificateMatcher>,
}

/// What the client's certificate must be. An empty list is no condition.
#[derive(Clone, Debug, Default)]
pub struct CertificateMatcher {
    pub subject: Vec<ValuePattern>,
    /// Lower-case hexadecimal digits.
    pub fingerprint: Vec<String>,
}

/// Who asks, as far as routes can tell.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub address: IpAddr,
    /// Subject and fingerprint of the certificate that was shown and verified.
    pub certificate: Option<(&'a str, &'a str)>,
}

impl From<IpAddr> for Asker<'_> {
    fn from(address: IpAddr) -> Self {
        Self { address, certificate: None }
    }
}

/// A condition of a route, as `explain` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    Host,
    Path,
    Method,
    Client,
    Certificate,
    Header(&'a str),
    Query(&'a str),
    Cookie(&'a str),
}

impl fmt::Display for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::Method => f.write_str("method"),
            Self::Client => f.write_str("client"),
            Self::Certificate => f.write_str("client_certificate"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

/// Routes in order; the first match wins.
#[derive(Debug, Default)]
pub struct Router {
    hosts: HostIndex,
    routes: Vec<Route>,
}

impl Router {
    /// Compiles the routes. The error names the first route and condition that cannot be used.
    pub fn new(matchers: Vec<Matcher>) -> Result<Self, RouterError> {
        let routes = matchers.iter().enumerate().map(|(index, matcher)| Route::new(index, matcher));
        let routes = routes.collect::<Result<Vec<_>, _>>()?;
        let hosts = HostIndex::new(routes.iter().map(|route| route.host.as_slice()));
        Ok(Self { hosts, routes })
    }

    /// The index of the route that decides.
    pub fn find<'a>(&self, head: &RequestHead, client: impl Into<Asker<'a>>) -> Option<usize> {
        let client = client.into();
        let candidates = self.hosts.candidates(head.host()).iter().map(|&index| index as usize);
        candidates.into_iter().find(|&index| self.routes[index].fails(head, client).is_none())
    }

    /// Each route looked at in order until one matches (`None`), with the first condition of the others
    /// that did not hold. The last entry is what [`Self::find`] gives, if that gives any.
    pub fn trace<'a>(&self, head: &RequestHead, client: impl Into<Asker<'a>>) -> Vec<(usize, Option<Condition<'_>>)> {
        let client = client.into();
        let mut steps = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            let failed = route.fails_at_host(head).or_else(|| route.fails(head, client));
            steps.push((index, failed));
            if failed.is_none() {
                break;
            }
        }
        steps
    }
}

/// A name and what its value must be.
type Named = (Box<str>, Pattern);

#[derive(Debug)]
struct Route {
    host: Vec<HostPattern>,
    path: Vec<Pattern>,
    method: Vec<Box<[u8]>>,
    client: NetSet,
    certificate: Option<Certificate>,
    header: Vec<Named>,
    query: Vec<Named>,
    cookie: Vec<Named>,
}

#[derive(Debug)]
struct Certificate {
    subject: Vec<Pattern>,
    fingerprint: Vec<Box<str>>,
}

impl Certificate {
    fn new(route: usize, matcher: &CertificateMatcher) -> Result<Self, RouterError> {
        let subject = matcher.subject.iter().map(|s| Pattern::value(s).map_err(at(route, Condition::Certificate)));
        let fingerprint = matcher.fingerprint.iter().map(|f| Box::from(f.as_str())).collect();
        Ok(Self { subject: subject.collect::<Result<_, _>>()?, fingerprint })
    }

    fn matches(&self, shown: Option<(&str, &str)>) -> bool {
        let Some((subject, fingerprint)) = shown else { return false };
        (self.subject.is_empty() || self.subject.iter().any(|s| s.matches(subject.as_bytes())))
            && (self.fingerprint.is_empty() || self.fingerprint.iter().any(|f| **f == *fingerprint))
    }
}

fn at(route: usize, condition: Condition<'_>) -> impl Fn(PatternError) -> RouterError {
    let condition = condition.to_string();
    move |source| RouterError { route, condition: condition.clone(), source }
}

fn named(
    route: usize,
    list: &[(String, ValuePattern)],
    condition: impl Fn(&str) -> Condition<'_>,
) -> Result<Vec<Named>, RouterError> {
    let compiled = list.iter().map(|(name, pattern)| {
        let pattern = Pattern::value(pattern).map_err(at(route, condition(name)))?;
        Ok((Box::from(name.as_str()), pattern))
    });
    compiled.collect()
}

impl Route {
    fn new(route: usize, matcher: &Matcher) -> Result<Self, RouterError> {
        let host = matcher.host.iter().map(|host| HostPattern::new(host).map_err(at(route, Condition::Host)));
        let path = matcher.path.iter().map(|path| Pattern::path(path).map_err(at(route, Condition::Path)));
        Ok(Self {
            host: host.collect::<Result<_, _>>()?,
            path: path.collect::<Result<_, _>>()?,
            method: matcher.method.iter().map(|method| method.as_bytes().into()).collect(),
            client: NetSet::new(matcher.client.iter().copied()),
            certificate: matcher.certificate.as_ref().map(|c| Certificate::new(route, c)).transpose()?,
            header: named(route, &matcher.header, |name| Condition::Header(name))?,
            query: named(route, &matcher.query, |name| Condition::Query(name))?,
            cookie: named(route, &matcher.cookie, |name| Condition::Cookie(name))?,
        })
    }

    fn fails_at_host(&self, head: &RequestHead) -> Option<Condition<'_>> {
        let holds = self.host.is_empty() || self.host.iter().any(|host| host.matches(head.host()));
        (!holds).then_some(Condition::Host)
    }

    /// The first condition besides the host that does not hold; cheap ones are looked at first.
    fn fails(&self, head: &RequestHead, client: Asker<'_>) -> Option<Condition<'_>> {
        if !self.path.is_empty() && !self.path.iter().any(|path| path.matches(head.normal_path())) {
            return Some(Condition::Path);
        }
        if !self.method.is_empty() && !self.method.iter().any(|method| **method == *head.method_text()) {
            return Some(Condition::Method);
        }
        if !self.client.is_empty() && !self.client.contains(client.address) {
            return Some(Condition::Client);
        }
        if self.certificate.as_ref().is_some_and(|wanted| !wanted.matches(client.certificate)) {
            return Some(Condition::Certificate);
        }
        for (name, pattern) in &self.header {
            if !head.values_of(name.as_bytes()).any(|value| pattern.matches(value)) {
                return Some(Condition::Header(name));
            }
        }
        for (name, pattern) in &self.query {
            if !head.query().is_some_and(|query| query_matches(query, name.as_bytes(), pattern)) {
                return Some(Condition::Query(name));
            }
        }
        for (name, pattern) in &self.cookie {
            if !head.values(FieldKind::Cookie).any(|value| cookie_matches(value, name.as_bytes(), pattern)) {
                return Some(Condition::Cookie(name));
            }
        }
        None
    }
}
