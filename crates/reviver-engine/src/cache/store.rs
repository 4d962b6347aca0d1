//! From an upstream's response to an object, and what unsafe requests make of objects.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use reviver_cache::{Exchanged, Meta, Refusal, Vary, groups_of, tags_of, value_of, vary_of, write_stored_fields};
use reviver_flow::Flow;
use reviver_http::{Framing, Method, RequestHead};
use reviver_plan::Snapshot;
use xxhash_rust::xxh3::xxh3_128;

use super::bans::{Selector, origin_of};
use super::flight::Lead;
use super::memory::Slot;
use super::object::{Body, INLINE, Label, LabelParts, MOST_SETS, Object, SETS_STATUS, Sets, url_of};
use super::{Cache, Place, SELECTING, variant_key};
use crate::work::Work;

/// Fields that a server gets from the proxy, and not as the client sent them.
const TOLD_BY_PROXY: &[&str] =
    &["forwarded", "x-forwarded-for", "x-real-ip", "x-client-cert-subject", "x-client-cert-fingerprint", "via"];

/// Leave to store the response of a fetch. Others may wait for it.
#[derive(Debug, Default)]
pub struct Permit {
    pub lead: Option<Lead>,
    /// The client's range is asked for as it is.
    pub part: bool,
}

impl Permit {
    /// The response is not stored: who waits goes on alone.
    pub fn refuse(self, cache: &Cache, text: &[u8], space: usize, refusal: Refusal, status: u16, now_ms: u64) {
        // A single request's own wish, or its bad luck, says nothing about the next one.
        let passing = matches!(
            refusal,
            Refusal::RequestNoStore
                | Refusal::MinUses
                | Refusal::Incomplete
                | Refusal::Busy
                | Refusal::Overtaken
                | Refusal::PartialResponse
                | Refusal::Cookie
        );
        // Nor does the answer to a condition or a range.
        if !passing && status < 500 && !matches!(status, 206 | 304 | 412 | 416) {
            cache.not_storable(Place::of(text, space).primary, now_ms);
        }
        if let Some(lead) = self.lead {
            lead.set_free();
        }
    }
}

/// How a response was come by.
#[derive(Clone, Copy, Debug)]
pub struct Fetched {
    pub times: Exchanged,
    /// The client's range was asked for as it is.
    pub part: bool,
    /// The number of the latest purge before the request went to the upstream.
    pub born: u64,
}

/// The object that a response becomes, but for its body; and where it is one of several, their list.
pub struct Begun {
    pub key: u128,
    pub label: Label,
    pub meta: Meta,
    pub fields: Vec<u8>,
    /// The body is text that is to be kept compressed.
    pub packs: bool,
    pub born: u64,
    sets: Option<Sets>,
}

impl Begun {
    pub fn into_object(self, body: Body) -> Object {
        let born = self.born;
        Object::new(self.key, self.label.bytes(), self.meta, &self.fields, body).born_at(born)
    }
}

impl Cache {
    /// Makes an object of the response in `work`, or says why not.
    pub fn begin(
        &self,
        flow: &Flow<'_>,
        work: &mut Work,
        place_text: &[u8],
        space: usize,
        fetched: Fetched,
    ) -> Result<Begun, Refusal> {
        let Fetched { times, part, born } = fetched;
        let place = Place::of(place_text, space);
        let (control, meta) = flow.storing(&work.request, &work.response, times);
        let meta = meta?;
        // What nobody asked a part of is not to be put together.
        if meta.status == 206 && !part && flow.slice().is_none() {
            return Err(Refusal::PartialResponse);
        }
        let Some(rules) = flow.cache_rules() else { return Err(Refusal::Method) };
        let names = match vary_of(&work.response) {
            _ if flow.ignores_vary() => Vec::new(),
            // What the proxy itself says of each client selects a response for one client.
            Vary::Fields(names) if names.iter().any(|name| TOLD_BY_PROXY.contains(&name.as_str())) => {
                return Err(Refusal::Vary);
            }
            Vary::Fields(names) => names,
            Vary::Any => return Err(Refusal::Vary),
        };
        if rules.policy.min_uses > 1 && !self.counts_up(place.primary, rules.policy.min_uses) {
            return Err(Refusal::MinUses);
        }
        let expected = match work.response.framing {
            Framing::Length(length) => length,
            _ => 0,
        };
        if meta.status == 206 && part && (expected == 0 || expected > self.most_in_memory) {
            return Err(Refusal::TooLarge);
        }
        if expected > rules.policy.max_object || (self.disk.is_none() && expected > self.most_in_memory) {
            return Err(Refusal::TooLarge);
        }
        let mut fields = Vec::with_capacity(512);
        write_stored_fields(&work.response, &control, &mut fields);
        let mut tags = tags_of(&work.response);
        tags.extend(rules.policy.tags.iter().cloned());
        let (tags, groups) = (tags.join("\n"), groups_of(&work.response).join("\n"));
        let known = match self.memory.peek(place.primary) {
            Some(Slot::Sets(sets)) if sets.label.is_of(place.space, place.key) => Some(sets),
            _ => None,
        };
        let (key, sets) = match (&known, names.is_empty()) {
            (None, true) => (place.primary, None),
            _ => {
                let sets = joined(known.as_deref(), &names, place);
                (variant_key(&sets, &names, &work.request, &mut work.scratch), Some(sets))
            }
        };
        if place.key.contains(&b'\n') {
            self.keys_have_lines.store(true, Ordering::Relaxed);
        }
        let selecting = if sets.is_some() { &work.scratch[SELECTING..] } else { &[] };
        let parts = LabelParts {
            space: place.space,
            key: place.key,
            selecting,
            tags: tags.as_bytes(),
            groups: groups.as_bytes(),
            content_type: value_of(&fields, b"content-type").unwrap_or_default(),
        };
        let packs = rules.policy.compress_stored
            && is_text(parts.content_type)
            && value_of(&fields, b"content-encoding").is_none();
        Ok(Begun { key, label: Label::new(parts), meta, fields, packs, born, sets })
    }

    /// The list of variants is there before the variant.
    pub(super) fn announce(&self, begun: &mut Begun) {
        let Some(sets) = begun.sets.take() else { return };
        if let Some(disk) = &self.disk {
            let meta = Meta { status: SETS_STATUS, ..begun.meta.clone() };
            let (label, mut head) = super::disk::disk_form(&meta, sets.label.bytes(), &[]);
            head.extend_from_slice(&sets.to_bytes());
            disk.put(sets.key, label, head, Vec::new());
        }
        self.memory.insert(sets.key, Slot::Sets(Arc::new(sets)));
    }
}

/// The list with these names in front.
fn joined(known: Option<&Sets>, names: &[String], place: Place<'_>) -> Sets {
    let mut sets: Vec<Vec<String>> = vec![names.to_vec()];
    let generation = match known {
        Some(known) => {
            sets.extend(known.sets.iter().filter(|set| set.as_slice() != names).cloned());
            sets.truncate(MOST_SETS);
            known.generation
        }
        None => {
            let mut random = [0; 8];
            // Without random numbers the clock of the place is as good: it only has to differ from the one before.
            let _ = getrandom::fill(&mut random);
            u64::from_le_bytes(random)
        }
    };
    let label = Label::new(LabelParts { space: place.space, key: place.key, ..LabelParts::default() });
    Sets { key: place.primary, label, generation, sets }
}

/// Whether bodies of this type shrink when they are compressed.
fn is_text(content_type: &[u8]) -> bool {
    let media = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let known = [&b"application/json"[..], b"application/javascript", b"application/xml", b"image/svg+xml"];
    media.starts_with(b"text/") || media.ends_with(b"+json") || media.ends_with(b"+xml") || known.contains(&&media[..])
}

/// Whether the client wants the response as it is: nothing of the stored one would look otherwise.
pub fn is_plain(flow: &Flow<'_>, request: &RequestHead) -> bool {
    let ask = flow.ask();
    request.method == Method::Get && !ask.range && !ask.conditional && flow.slice().is_none()
}

/// Stores a response whose body stands whole in the buffer, and leaves it there to be passed on. False where it was
/// purged meanwhile.
pub fn store_whole(cache: &Cache, work: &Work, mut begun: Begun, permit: Permit) -> bool {
    let length = match work.response.framing {
        Framing::None => 0,
        Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Framing::Chunked | Framing::UntilClose => return false,
    };
    let Some(bytes) = work.upstream_in.bytes().get(..length) else { return false };
    let body = if begun.packs { Body::One(Arc::from(bytes)).packed() } else { Body::None };
    cache.announce(&mut begun);
    let Begun { key, label, meta, fields, born, .. } = begun;
    let object = match body {
        Body::Packed(..) => Object::new(key, label.bytes(), meta, &fields, body),
        _ if bytes.len() > INLINE => Object::new(key, label.bytes(), meta, &fields, Body::One(Arc::from(bytes))),
        _ => Object::inline(key, label.bytes(), meta, &fields, bytes),
    };
    let object = Arc::new(object.born_at(born));
    let kept = cache.keep(&object, false);
    if let Some(lead) = permit.lead {
        if kept {
            lead.stored(object);
        } else {
            lead.set_free();
        }
    }
    kept
}

pub fn fits_buffer(work: &Work) -> bool {
    match work.response.framing {
        Framing::None => true,
        Framing::Length(length) => length <= work.upstream_in.len() as u64,
        Framing::Chunked | Framing::UntilClose => false,
    }
}

/// What a successful unsafe request made invalid goes (RFC 9111, section 4.4).
pub fn invalidate(cache: &Arc<Cache>, snapshot: &Snapshot, flow: &Flow<'_>, work: &mut Work, now_ms: u64) {
    let Some(invalid) = flow.invalidation(&work.request, &work.response) else { return };
    let text = &mut work.scratch;
    for target in &invalid.targets {
        for rules in snapshot.caching.all() {
            text.clear();
            text.extend_from_slice(rules.space.as_bytes());
            text.push(b'\n');
            text.extend_from_slice(target);
            let key = xxh3_128(text);
            // Who comes from now on must not join a fetch that began before.
            cache.flights.detach(key);
            cache.forget(key);
        }
        let url = String::from_utf8_lossy(url_of(target)).into_owned();
        let more = cache.keys_have_lines.load(Ordering::Relaxed) || cache.disk_may_have_lines.load(Ordering::Relaxed);
        if more || snapshot.caching.all().any(|rules| !rules.keys_are_urls()) {
            cache.purge_later(Selector::of_url(snapshot, &url), now_ms);
        } else {
            // Fetches that began before must not bring it back.
            cache.bans.settle(&cache.bans.add(Selector::Url(url), false, false, now_ms));
        }
    }
    for group in invalid.groups {
        let origin = invalid.targets.first().map(|t| String::from_utf8_lossy(origin_of(t)).into_owned());
        cache.purge_later(Selector::OriginGroup { origin: origin.unwrap_or_default(), group }, now_ms);
    }
}
