//! What was purged: rules that hold at once, until all that is stored has been looked at, and for as long as a fetch
//! that began before may still come in.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regex::bytes::Regex;
use reviver_cache::Meta;
use reviver_http::{HeadLimits, RequestHead, decode_request};
use reviver_plan::Snapshot;
use serde::Deserialize;

use super::object::{LabelParts, Object, url_of};

/// Fetches that took longer store what they got.
const REMEMBERED_MS: u64 = 600_000;
const MOST: usize = 1024;

/// What is chosen.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Selector {
    All(bool),
    Url(String),
    /// Any of these keys.
    #[serde(skip)]
    Keys(Vec<Vec<u8>>),
    Prefix(String),
    Host(String),
    Tag(String),
    Group(String),
    /// A group of one origin (RFC 9875, section 3).
    #[serde(skip)]
    OriginGroup {
        origin: String,
        group: String,
    },
    Expression(Node),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Node {
    All { all: Vec<Node> },
    Any { any: Vec<Node> },
    Not { not: Box<Node> },
    Test(Test),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    field: Attribute,
    op: Op,
    value: serde_json::Value,
    #[serde(skip)]
    regex: Option<Regex>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Attribute {
    Url,
    Scheme,
    Host,
    Path,
    Query,
    Status,
    Age,
    Ttl,
    Size,
    Hits,
    Tags,
    Groups,
    ContentType,
    Variant,
    StoredAs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    In,
}

impl Op {
    /// False where the operator is none of order.
    fn compares<T: PartialOrd>(self, got: T, want: T) -> bool {
        match self {
            Self::Eq => got == want,
            Self::Ne => got != want,
            Self::Lt => got < want,
            Self::Le => got <= want,
            Self::Gt => got > want,
            Self::Ge => got >= want,
            _ => false,
        }
    }
}

/// A stored object as selectors see it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub label: LabelParts<'a>,
    pub meta: &'a Meta,
    pub size: u64,
    pub hits: u32,
    pub on_disk: bool,
    pub now_ms: u64,
}

impl Selector {
    /// What stands under a URL, whatever the key rules of each route make of it.
    pub fn of_url(snapshot: &Snapshot, url: &str) -> Self {
        let mut keys = vec![url.as_bytes().to_vec()];
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let text = format!("GET {url} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        let limits = HeadLimits { head: 1 << 20, fields: 8, target: 1 << 20 };
        let mut head = RequestHead::default();
        if text.matches('\n').count() == 3 && decode_request(text.as_bytes(), &limits, &mut head).is_ok() {
            for rules in snapshot.caching.all().filter(|rules| !rules.keys_are_urls()) {
                let mut key = Vec::new();
                reviver_cache::write_key(&rules.key, scheme.as_bytes(), &head, &mut key);
                key.truncate(url_of(&key).len());
                keys.push(key);
            }
        }
        Self::Keys(keys)
    }

    /// Compiles what it holds; an error is for people.
    pub fn compile(&mut self) -> Result<(), String> {
        match self {
            Self::Expression(node) => node.compile(),
            _ => Ok(()),
        }
    }

    pub fn fits(&self, view: &View<'_>) -> bool {
        let url = url_of(view.label.key);
        match self {
            Self::All(all) => *all,
            Self::Url(wanted) => url == wanted.as_bytes(),
            Self::Keys(keys) => keys.iter().any(|key| key == url),
            Self::Prefix(start) => url.starts_with(start.as_bytes()),
            Self::Host(host) => {
                url_parts(url).host_without_port().eq_ignore_ascii_case(host.as_bytes())
                    || url_parts(url).host.eq_ignore_ascii_case(host.as_bytes())
            }
            Self::Tag(tag) => has_line(view.label.tags, tag.as_bytes()),
            Self::Group(group) => has_line(view.label.groups, group.as_bytes()),
            Self::OriginGroup { origin, group } => {
                origin_of(url) == origin.as_bytes() && has_line(view.label.groups, group.as_bytes())
            }
            Self::Expression(node) => node.fits(view),
        }
    }
}

impl Node {
    fn compile(&mut self) -> Result<(), String> {
        match self {
            Self::All { all: nodes } | Self::Any { any: nodes } => nodes.iter_mut().try_for_each(Self::compile),
            Self::Not { not } => not.compile(),
            Self::Test(test) if test.op == Op::Matches => {
                let text = test.value.as_str().ok_or("`matches` takes a regular expression")?;
                test.regex = Some(Regex::new(text).map_err(|e| e.to_string())?);
                Ok(())
            }
            Self::Test(_) => Ok(()),
        }
    }

    fn fits(&self, view: &View<'_>) -> bool {
        match self {
            Self::All { all } => all.iter().all(|node| node.fits(view)),
            Self::Any { any } => any.iter().any(|node| node.fits(view)),
            Self::Not { not } => !not.fits(view),
            Self::Test(test) => test.fits(view),
        }
    }
}

impl Test {
    fn fits(&self, view: &View<'_>) -> bool {
        let url = url_parts(url_of(view.label.key));
        match self.field {
            Attribute::Url => self.text(url_of(view.label.key)),
            Attribute::Scheme => self.text(url.scheme),
            Attribute::Host => self.text(url.host_without_port()),
            Attribute::Path => self.text(url.path),
            Attribute::Query => self.text(url.query),
            Attribute::ContentType => self.text(view.label.content_type),
            Attribute::Variant => self.text(view.label.selecting),
            Attribute::StoredAs => self.text(if view.on_disk { b"disk" } else { b"memory" }),
            Attribute::Tags => self.lines(view.label.tags),
            Attribute::Groups => self.lines(view.label.groups),
            Attribute::Status => self.number(f64::from(view.meta.status)),
            Attribute::Age => self.number(view.meta.age_ms(view.now_ms) as f64 / 1000.0),
            Attribute::Ttl => self.number(view.meta.ttl_ms(view.now_ms) as f64 / 1000.0),
            Attribute::Size => self.number(view.size as f64),
            Attribute::Hits => self.number(f64::from(view.hits)),
        }
    }

    fn text(&self, got: &[u8]) -> bool {
        if self.op == Op::In {
            let among = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
            return among.iter().any(|v| v.as_str().is_some_and(|v| v.as_bytes() == got));
        }
        if let Some(regex) = &self.regex {
            return regex.is_match(got);
        }
        let Some(want) = self.value.as_str().map(str::as_bytes) else { return false };
        match self.op {
            Op::Contains => want.is_empty() || memchr::memmem::find(got, want).is_some(),
            Op::StartsWith => got.starts_with(want),
            Op::EndsWith => got.ends_with(want),
            op => op.compares(got, want),
        }
    }

    fn lines(&self, all: &[u8]) -> bool {
        let any = |want: &serde_json::Value| want.as_str().is_some_and(|w| has_line(all, w.as_bytes()));
        match self.op {
            Op::Contains | Op::Eq => any(&self.value),
            Op::Ne => !any(&self.value),
            Op::In => self.value.as_array().is_some_and(|values| values.iter().any(any)),
            _ => all.split(|b| *b == b'\n').filter(|line| !line.is_empty()).any(|line| self.text(line)),
        }
    }

    fn number(&self, got: f64) -> bool {
        if self.op == Op::In {
            return self.value.as_array().is_some_and(|v| v.iter().any(|v| v.as_f64() == Some(got)));
        }
        self.value.as_f64().is_some_and(|want| self.op.compares(got, want))
    }
}

fn has_line(all: &[u8], line: &[u8]) -> bool {
    !line.is_empty() && all.split(|b| *b == b'\n').any(|one| one == line)
}

/// The parts of a URL as keys write them.
struct Url<'a> {
    scheme: &'a [u8],
    host: &'a [u8],
    path: &'a [u8],
    query: &'a [u8],
}

impl<'a> Url<'a> {
    fn host_without_port(&self) -> &'a [u8] {
        match self.host.iter().rposition(|b| *b == b':') {
            // The colons of an IPv6 address stand in brackets.
            Some(colon) if !self.host[colon..].contains(&b']') => &self.host[..colon],
            _ => self.host,
        }
    }
}

fn url_parts(url: &[u8]) -> Url<'_> {
    let (scheme, rest) = match memchr::memmem::find(url, b"://") {
        Some(at) => (&url[..at], &url[at + 3..]),
        None => (&b""[..], url),
    };
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(end);
    let (path, query) = match memchr::memchr(b'?', rest) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &b""[..]),
    };
    Url { scheme, host, path, query }
}

/// `scheme://host[:port]`.
pub fn origin_of(url: &[u8]) -> &[u8] {
    let parts = url_parts(url);
    let length = match parts.scheme.len() {
        0 => parts.host.len(),
        scheme => scheme + 3 + parts.host.len(),
    };
    &url[..length]
}

#[derive(Debug)]
pub struct Ban {
    pub selector: Selector,
    pub soft: bool,
    /// When it was made, and which one it is since the start.
    at_ms: u64,
    pub number: u64,
    /// Nobody waits for it to be carried out.
    later: bool,
}

#[derive(Debug, Default)]
pub struct Bans {
    /// The number of the latest rule.
    latest: AtomicU64,
    /// That of the latest which is not remembered any more: what began before may have been purged.
    forgotten: AtomicU64,
    /// Rules by which what is stored has not been looked at yet.
    pending: AtomicUsize,
    rules: Mutex<Vec<(Arc<Ban>, bool)>>,
}

impl Bans {
    fn rules(&self) -> MutexGuard<'_, Vec<(Arc<Ban>, bool)>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is fetched from now on is of no concern to the rules of before. (Clocks of workers differ by more than a
    /// purge takes.)
    pub fn now(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }

    /// Rules that have not been carried out, and that nobody waits for.
    pub fn waiting(&self) -> Vec<Arc<Ban>> {
        self.rules().iter().filter(|(ban, pending)| *pending && ban.later).map(|(ban, _)| Arc::clone(ban)).collect()
    }

    /// Before which number all rules have been carried out.
    pub fn horizon(&self) -> u64 {
        let rules = self.rules();
        let waiting = rules.iter().filter(|(_, pending)| *pending).map(|(ban, _)| ban.number).min();
        waiting.map_or_else(|| self.now(), |number| number - 1)
    }

    pub fn are_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    pub fn add(&self, selector: Selector, soft: bool, later: bool, now_ms: u64) -> Arc<Ban> {
        let mut rules = self.rules();
        let number = self.latest.fetch_add(1, Ordering::AcqRel) + 1;
        let ban = Arc::new(Ban { selector, soft, at_ms: now_ms, number, later });
        rules.retain(|(ban, pending)| {
            let kept = *pending || ban.at_ms + REMEMBERED_MS > now_ms;
            if !kept {
                self.forgotten.fetch_max(ban.number, Ordering::AcqRel);
            }
            kept
        });
        if rules.len() >= MOST
            && let Some(oldest) = rules.iter().position(|(_, pending)| !pending)
        {
            let (ban, _) = rules.remove(oldest);
            self.forgotten.fetch_max(ban.number, Ordering::AcqRel);
        }
        rules.push((Arc::clone(&ban), true));
        self.pending.fetch_add(1, Ordering::AcqRel);
        ban
    }

    /// All that is stored has been looked at.
    pub fn settle(&self, ban: &Arc<Ban>) {
        let mut rules = self.rules();
        if let Some(rule) = rules.iter_mut().find(|(b, pending)| *pending && Arc::ptr_eq(b, ban)) {
            rule.1 = false;
            self.pending.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether a rule fits that was made after the request for this object was sent.
    pub fn covers(&self, object: &Object) -> bool {
        // The latest stand last.
        let rules = self.rules();
        let since = rules.iter().rev().take_while(|(ban, _)| object.born < ban.number);
        since.into_iter().any(|(ban, _)| ban.selector.fits(&view_of(object, ban.at_ms)))
    }

    /// The same, where also what is not remembered any more may have been such a rule.
    pub fn overtook(&self, object: &Object) -> bool {
        object.born < self.forgotten.load(Ordering::Acquire) || self.covers(object)
    }
}

pub fn view_of(object: &Object, now_ms: u64) -> View<'_> {
    View {
        label: object.parts(),
        meta: &object.meta,
        size: object.length().unwrap_or(0),
        hits: object.hits.load(Ordering::Relaxed),
        on_disk: matches!(object.body, super::object::Body::Disk(_)),
        now_ms,
    }
}
