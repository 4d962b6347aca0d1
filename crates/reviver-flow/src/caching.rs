//! What the cache has to do with a flow: phase `cache_lookup`, and the upstream's side of it.

use reviver_cache::{
    Ask, CacheStatus, Control, Exchanged, Invalidation, Judgement, Meta, Override, Refusal, Updated, Why, invalidation,
    judge, may_serve_on_error, may_store, update, write_cache_status, write_key,
};
use reviver_http::{FieldKind, FieldSink, Method, RequestHead, ResponseHead, Scheme};
use reviver_plan::{CacheRules, Role};
use smallvec::SmallVec;

use crate::flow::State;
use crate::{CacheVerdict, Cached, Command, Flow, Looked, Phase, Reason, Rule, Slug, VerdictKind};

/// A flow's dealings with the cache.
#[derive(Debug)]
pub(crate) struct CacheUse<'s> {
    pub rules: &'s CacheRules,
    ask: Ask,
    over: Option<&'s Override>,
    /// Fields that make the request to the upstream conditional, as lines.
    pub validators: Vec<u8>,
    /// The upstream is asked for the whole response, whatever part the client wants.
    pub whole: bool,
    /// The part that the upstream is asked for instead of the whole: first and last byte.
    slice: Option<(u64, u64)>,
    /// What is stored may be served where the upstream fails.
    on_error: bool,
    bypasses: Option<Why>,
    /// The key, for `Cache-Status`.
    key: SmallVec<[u8; 128]>,
}

/// A stored response that was served, for the record.
#[derive(Clone, Copy, Debug)]
pub struct ServedFrom {
    pub why: Why,
    pub age_ms: u64,
    pub ttl_ms: i64,
    pub collapsed: bool,
    /// What the client gets: a condition or a range makes it another than the stored one.
    pub status: u16,
}

impl<'s> Flow<'s> {
    /// Before the route is carried out: what the request asks of the cache.
    pub(crate) fn prepare_cache(&self, head: &RequestHead, rules: &'s CacheRules) -> CacheUse<'s> {
        let asker = self.client.asker();
        let over = rules.overriding(head, asker);
        let ask = Ask::of(head);
        let deaf = rules.policy.ignore_client_no_cache || over.is_some_and(|o| o.ignore.reload);
        let ask = if deaf { ask.without_freshness() } else { ask };
        let bypasses = Ask::bypasses(head).or_else(|| rules.bypasses(head, asker).then_some(Why::Bypass));
        CacheUse {
            rules,
            ask,
            over,
            validators: Vec::new(),
            whole: false,
            slice: None,
            on_error: false,
            bypasses,
            key: SmallVec::new(),
        }
    }

    /// The rules that hold for what was decided.
    pub(crate) fn rules_of(&self, route: Option<u32>) -> Option<&'s CacheRules> {
        let caching = &self.snapshot.caching;
        match route {
            Some(route) => caching.routes.get(route as usize)?.as_ref(),
            None => caching.forward.as_ref(),
        }
    }

    pub fn cache_rules(&self) -> Option<&'s CacheRules> {
        self.caching.as_ref().map(|c| c.rules)
    }

    /// Phase `cache_lookup`. None where the store is not asked.
    pub(crate) fn look_up(&mut self) -> Option<Command> {
        let why = self.caching.as_ref()?.bypasses;
        let rule = self.cache_rule();
        match why {
            Some(why) => {
                self.record.cache = Some(Cached::new(CacheVerdict::Bypass, why));
                if self.ask().only_if_cached {
                    // RFC 9111, section 5.2.1.7.
                    return Some(self.reject(Phase::CacheLookup, Reason::new(Slug::OnlyIfCached, rule)));
                }
                self.note(Phase::CacheLookup, VerdictKind::Continue, Reason::new(Slug::Forwarded, rule), || {
                    format!("bypass: {}", why.name())
                });
                None
            }
            None => Some(Command::Lookup),
        }
    }

    pub(crate) fn cache_rule(&self) -> Rule {
        self.record.route.map_or(Rule::None, Rule::Route)
    }

    /// Phase `cache_lookup`, with what was found.
    pub(crate) fn on_looked(&mut self, looked: Looked) -> Command {
        let rule = self.cache_rule();
        match looked {
            Looked::Serve(why) => {
                self.note(Phase::CacheLookup, VerdictKind::Respond, Reason::new(Slug::Cached, rule), || {
                    why.name().to_owned()
                });
                self.serve(why)
            }
            Looked::Fetch { why, validators, on_error, whole } => {
                self.record.cache = Some(Cached::new(CacheVerdict::Miss, why));
                let Some(caching) = &mut self.caching else { return self.fail(Slug::InternalError.into()) };
                if caching.ask.only_if_cached {
                    return self.reject(Phase::CacheLookup, Reason::new(Slug::OnlyIfCached, rule));
                }
                // Servers that were asked before may be asked again: it is another request.
                self.tried.clear();
                self.lease = None;
                caching.validators = validators;
                caching.on_error = on_error;
                caching.whole = whole;
                self.note(Phase::CacheLookup, VerdictKind::Continue, Reason::new(Slug::Forwarded, rule), || {
                    format!("miss: {}", why.name())
                });
                self.proceed()
            }
        }
    }

    pub(crate) fn serve(&mut self, why: Why) -> Command {
        // No server has to do with it any more.
        self.lease = None;
        self.record.reason = Reason::new(Slug::Cached, self.cache_rule());
        self.state = State::Relay;
        Command::Serve(why)
    }

    /// What is stored could not be read after all.
    pub(crate) fn on_unreadable(&mut self) -> Command {
        let missed = self.record.cache.filter(|cached| cached.verdict == CacheVerdict::Miss);
        let why = missed.map_or(Why::Unreadable, |cached| cached.why);
        let looked = Looked::Fetch { why, validators: Vec::new(), on_error: false, whole: false };
        self.record.reason = Reason::new(Slug::Forwarded, self.cache_rule());
        self.on_looked(looked)
    }

    /// Whether what is stored is served because the upstream failed.
    pub(crate) fn serves_on_error(&self) -> bool {
        self.caching.as_ref().is_some_and(|c| c.on_error)
    }

    /// A conditional request was made for the cache, and this is the answer to it.
    pub(crate) fn is_validated(&self, response: &ResponseHead) -> bool {
        response.status == 304 && self.caching.as_ref().is_some_and(|c| !c.validators.is_empty())
    }

    pub fn ask(&self) -> Ask {
        self.caching.as_ref().map_or_else(Ask::default, |c| c.ask)
    }

    pub fn judge(&self, meta: &Meta, now_ms: u64) -> Judgement {
        judge(meta, &self.ask(), now_ms)
    }

    pub fn may_serve_on_error(&self, meta: &Meta, now_ms: u64) -> bool {
        may_serve_on_error(meta, &self.ask(), now_ms)
    }

    /// Whether the upstream's response may be stored, with what its directives say.
    pub fn storing(
        &self,
        request: &RequestHead,
        response: &ResponseHead,
        times: Exchanged,
    ) -> (Control, Result<Meta, Refusal>) {
        let Some(caching) = &self.caching else { return (Control::default(), Err(Refusal::Method)) };
        let control = Control::of(response, &caching.rules.rules.targeted);
        let meta = may_store(request, &caching.ask, response, &control, &caching.rules.rules, caching.over, times);
        (control, meta)
    }

    /// What a 304 makes of a stored response.
    pub fn updated(
        &self,
        fields: &[u8],
        meta: &Meta,
        request: &RequestHead,
        response: &ResponseHead,
        times: Exchanged,
    ) -> Updated {
        let Some(caching) = &self.caching else { return Updated::Other };
        let rules = &caching.rules.rules;
        let control = Control::of(response, &rules.targeted);
        update(fields, meta, request, &caching.ask, response, &control, rules, caching.over, times)
    }

    pub fn ignores_vary(&self) -> bool {
        self.caching.as_ref().is_some_and(|c| c.over.is_some_and(|o| o.ignore.vary))
    }

    /// What a successful unsafe request makes invalid; none where nothing is cached at all.
    pub fn invalidation(&self, request: &RequestHead, response: &ResponseHead) -> Option<Invalidation> {
        self.snapshot.plan.cache.as_ref()?;
        invalidation(self.cache_scheme(request), request, response)
    }

    /// Asks the upstream for this part alone (first and last byte); none: for the whole.
    pub fn set_slice(&mut self, slice: Option<(u64, u64)>) {
        if let Some(caching) = &mut self.caching {
            caching.slice = slice;
        }
    }

    pub fn slice(&self) -> Option<(u64, u64)> {
        self.caching.as_ref()?.slice
    }

    /// The method as the upstream gets it: the whole response is asked for also on behalf of a HEAD.
    pub fn upstream_method<'h>(&self, head: &'h RequestHead) -> (Method, &'h [u8]) {
        match &self.caching {
            Some(caching) if caching.whole && head.method == Method::Head => (Method::Get, b"GET"),
            _ => (head.method, head.method_text()),
        }
    }

    /// Appends the request's key, which `Cache-Status` will tell.
    pub fn write_cache_key(&mut self, head: &RequestHead, out: &mut Vec<u8>) {
        let scheme = self.cache_scheme(head);
        let start = out.len();
        let forward = self.role == Role::Forward;
        let forwarding = forward || self.snapshot.trusted.contains(self.client.peer.ip());
        let variant = self.variant().map(|(split, v)| (split.name.as_str(), self.snapshot.pool(v.pool)));
        let variant = variant.and_then(|(split, pool)| Some((split, pool?.name.as_str())));
        let Some(caching) = &mut self.caching else { return };
        write_key(&caching.rules.key, scheme, head, out);
        // What goes to the upstream and may change its answer is part of the key, or one client could choose what
        // another gets.
        for field in head.fields() {
            let told = match field.kind {
                FieldKind::XForwardedHost => forwarding && head.value(field) != head.authority(),
                FieldKind::XForwardedPort => forwarding,
                FieldKind::XForwardedProto => forwarding && forward,
                FieldKind::Forwarded if forwarding => {
                    write_forwarded_host(head.value(field), out);
                    false
                }
                FieldKind::Other => is_steering(head.name(field)),
                _ => false,
            };
            if told {
                out.push(b'\n');
                out.extend(head.name(field).iter().map(|b| spelt(*b)));
                out.push(b':');
                out.extend_from_slice(head.value(field));
            }
        }
        if let Some((split, pool)) = variant {
            // Variants are different applications, whatever place and share a reload gives them.
            for name in [split, pool] {
                out.extend_from_slice(b"\n#");
                out.extend_from_slice(name.as_bytes());
            }
        }
        caching.key.clear();
        caching.key.extend_from_slice(&out[start..]);
    }

    /// Says in an explanation what is looked for.
    pub(crate) fn note_key(&mut self, key: &[u8]) {
        let (rule, ask) = (self.cache_rule(), self.ask());
        let key = String::from_utf8_lossy(key).replace('\n', " ");
        let asks = [(ask.no_cache, "no-cache"), (ask.no_store, "no-store"), (ask.only_if_cached, "only-if-cached")];
        let asks: Vec<_> = asks.into_iter().filter_map(|(said, name)| said.then_some(name)).collect();
        self.note(Phase::CacheLookup, VerdictKind::Continue, Reason::new(Slug::Forwarded, rule), || {
            match asks.is_empty() {
                true => format!("key {key}"),
                false => format!("key {key}; the request says {}", asks.join(", ")),
            }
        });
    }

    /// The scheme that the client used, as far as it or a trusted proxy says.
    fn cache_scheme(&self, head: &RequestHead) -> &'static [u8] {
        if self.role == Role::Forward {
            return if head.scheme == Scheme::Https { b"https" } else { b"http" };
        }
        let secure = |value: &[u8]| value.eq_ignore_ascii_case(b"https");
        let trusted = self.snapshot.trusted.contains(self.client.peer.ip());
        let told = || head.values(FieldKind::XForwardedProto).filter(|_| trusted);
        match told().next() {
            None => self.scheme(),
            Some(_) if told().any(secure) => b"https",
            Some(_) => b"http",
        }
    }

    pub fn set_refusal(&mut self, refusal: Refusal) {
        if let Some(cached) = &mut self.record.cache {
            cached.refusal = Some(refusal);
        }
    }

    /// The response is being stored, fresh for so many milliseconds.
    pub fn set_stored(&mut self, ttl_ms: i64) {
        if let Some(cached) = &mut self.record.cache {
            cached.stored = true;
            cached.ttl = Some(seconds(ttl_ms));
        }
    }

    /// It is not stored after all.
    pub fn set_not_stored(&mut self, refusal: Refusal) {
        if let Some(cached) = &mut self.record.cache {
            cached.stored = false;
            cached.ttl = None;
            cached.refusal = Some(refusal);
        }
    }

    /// A stored response is served; notes it for the record.
    pub fn set_served(&mut self, served: ServedFrom) {
        let verdict = match served.why {
            Why::Validated => CacheVerdict::Revalidated,
            Why::MaxStale | Why::Revalidating | Why::OnError => CacheVerdict::Stale,
            _ => CacheVerdict::Hit,
        };
        self.record.status = served.status;
        self.record.cache = Some(Cached {
            collapsed: served.collapsed,
            age: Some(u32::try_from(served.age_ms / 1000).unwrap_or(u32::MAX)),
            ttl: Some(seconds(served.ttl_ms)),
            ..Cached::new(verdict, served.why)
        });
    }

    /// `Age` and `Cache-Status` of this response.
    pub(crate) fn write_cache_fields(&self, sink: &mut impl FieldSink) {
        let Some(cached) = &self.record.cache else { return };
        if let Some(age) = cached.age {
            sink.field(b"Age", itoa::Buffer::new().format(age).as_bytes());
        }
        let plan = &self.snapshot.plan;
        if !plan.cache.as_ref().is_some_and(|c| c.status) {
            return;
        }
        // RFC 9211, section 2.6: what was collapsed was forwarded, by another request.
        let fetched = cached.collapsed
            || matches!(cached.verdict, CacheVerdict::Miss | CacheVerdict::Bypass | CacheVerdict::Revalidated);
        let key = self.caching.as_ref().map(|c| c.key.as_slice()).filter(|k| !k.is_empty());
        let mut value = Vec::with_capacity(96);
        let status = CacheStatus {
            name: plan.via.as_bytes(),
            hit: !fetched,
            why: cached.why,
            ttl: cached.ttl,
            forward_status: Some(self.record.upstream_status).filter(|s| fetched && *s != 0),
            stored: cached.stored,
            collapsed: cached.collapsed,
            key,
            detail: cached.refusal.map(Refusal::name),
        };
        write_cache_status(&status, &mut value);
        sink.field(b"Cache-Status", &value);
    }

    /// Whether the request is the method PURGE of a proxy that takes it: none where it is like any other.
    pub(crate) fn purges(&self, head: &RequestHead) -> Option<bool> {
        self.snapshot.plan.cache.as_ref()?;
        if head.method_text() != b"PURGE" {
            return None;
        }
        Some(self.snapshot.purgers.contains(self.client.address))
    }
}

/// Fields by which some servers and frameworks let a request name another host or path than its own.
const STEERING: &[&[u8]] = &[
    b"x-forwarded-prefix",
    b"x-forwarded-path",
    b"x-forwarded-uri",
    b"x-forwarded-scheme",
    b"x-forwarded-server",
    b"x-forwarded-ssl",
    b"x-host",
    b"x-original-host",
    b"x-original-url",
    b"x-original-uri",
    b"x-rewrite-url",
    b"x-http-host-override",
    b"x-script-name",
    b"x-url-scheme",
    b"front-end-https",
];

fn is_steering(name: &[u8]) -> bool {
    let first = name.first().map_or(0, |b| b | 0x20);
    matches!(first, b'x' | b'f')
        && STEERING.iter().any(|steering| name.iter().map(|b| spelt(*b)).eq(steering.iter().copied()))
}

/// Servers that hand fields on as variables (CGI, WSGI) read `_` and `-` as one.
fn spelt(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// What a `Forwarded` field that is passed on says of the host and scheme (RFC 7239, section 4).
fn write_forwarded_host(value: &[u8], out: &mut Vec<u8>) {
    for pair in value.split(|b| matches!(b, b',' | b';')).map(<[u8]>::trim_ascii) {
        let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"proto") {
            out.extend_from_slice(b"\nforwarded:");
            out.extend_from_slice(pair);
        }
    }
}

/// Rounded up, as ages are rounded down: together they are the lifetime.
fn seconds(ms: i64) -> i64 {
    ms.saturating_add(999).div_euclid(1000)
}
