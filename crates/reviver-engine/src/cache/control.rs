//! What people do with the cache: purge, ask, count.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use reviver_cache::{Judgement, lines};
use reviver_flow::{Client, Command, Event, ExplainRequest, Flow, explained_request};
use reviver_plan::Snapshot;
use serde::Deserialize;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::metrics::Summary;

use super::Cache;
use super::bans::{Ban, Selector, View, view_of};
use super::memory::Slot;
use super::object::{Object, SETS_STATUS, read_label};

impl Cache {
    /// Removes, or makes stale, all that fits; tells how many. Takes effect at once, and blocks until all that is stored
    /// has been looked at.
    pub fn purge(&self, selector: Selector, soft: bool, now_ms: u64) -> u64 {
        let ban = self.bans.add(selector, soft, false, now_ms);
        // Who comes from now on must not join a fetch that began before.
        self.flights.detach_all();
        let purged = self.carry_out(std::slice::from_ref(&ban), now_ms);
        self.bans.settle(&ban);
        self.counts.purged.fetch_add(purged, Ordering::Relaxed);
        purged
    }

    /// As [`Self::purge`], on a thread that carries out all that waits at once.
    pub fn purge_later(self: &Arc<Self>, selector: Selector, at_ms: u64) {
        self.bans.add(selector, false, true, at_ms);
        self.flights.detach_all();
        if self.sweeping.swap(true, Ordering::AcqRel) {
            // Whoever sweeps looks for more before it ends.
            return;
        }
        let cache = Arc::clone(self);
        let work = move || {
            loop {
                let waiting = cache.bans.waiting();
                if !waiting.is_empty() {
                    let purged = cache.carry_out(&waiting, now_ms());
                    waiting.iter().for_each(|ban| cache.bans.settle(ban));
                    cache.counts.purged.fetch_add(purged, Ordering::Relaxed);
                    continue;
                }
                cache.sweeping.store(false, Ordering::Release);
                if cache.bans.waiting().is_empty() || cache.sweeping.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        };
        // Where no thread can be had the rule holds on: what fits it is not served.
        if std::thread::Builder::new().name("reviver-purge".to_owned()).spawn(work).is_err() {
            self.sweeping.store(false, Ordering::Release);
        }
    }

    /// All that stands under a URL, for the method PURGE.
    pub async fn purge_url(self: &Arc<Self>, key: &[u8], now_ms: u64) -> u64 {
        let url = String::from_utf8_lossy(super::object::url_of(key)).into_owned();
        let cache = Arc::clone(self);
        let purge = tokio::task::spawn_blocking(move || cache.purge(Selector::Url(url), false, now_ms));
        purge.await.unwrap_or(0)
    }

    fn carry_out(&self, bans: &[Arc<Ban>], now_ms: u64) -> u64 {
        if bans.iter().any(|ban| matches!(ban.selector, Selector::All(true)) && !ban.soft) {
            let on_disk: u64 = self.disk.as_ref().map_or(0, |disk| {
                disk.scan(&mut |_, label, _| match read_label(label) {
                    Some((meta, _)) if meta.status == SETS_STATUS => reviver_store::Verdict::Keep,
                    _ => reviver_store::Verdict::Remove,
                })
            });
            let in_memory_only = self.memory.objects().filter(|object| !self.also_on_disk(object)).count() as u64;
            self.memory.clear();
            if let Some(disk) = &self.disk {
                disk.clear();
            }
            return on_disk.max(in_memory_only);
        }
        let mut purged = 0;
        let fitting: Vec<(Arc<Object>, bool)> = self
            .memory
            .objects()
            .filter_map(|object| {
                let view = view_of(&object, now_ms);
                let mut fitting =
                    bans.iter().filter(|ban| object.born < ban.number && ban.selector.fits(&view)).peekable();
                fitting.peek()?;
                let soft = fitting.all(|ban| ban.soft);
                Some((Arc::clone(&object), soft))
            })
            .collect();
        let mut seen: std::collections::HashSet<u128> = std::collections::HashSet::with_capacity(fitting.len());
        for (object, soft) in fitting {
            seen.insert(object.key);
            purged += u64::from(object.meta.status >= 100);
            if soft {
                let meta = reviver_cache::Meta { purged: true, ..object.meta.clone() };
                self.memory.replace(object.key, Slot::Object(Arc::new(object.with(meta, None))));
            } else {
                self.memory.remove(object.key);
            }
        }
        let Some(disk) = &self.disk else { return purged };
        disk.scan(&mut |key, label, found| {
            let Some((meta, parts)) = read_label(label) else { return reviver_store::Verdict::Keep };
            if meta.status == SETS_STATUS {
                return reviver_store::Verdict::Keep;
            }
            let view = View { label: parts, meta: &meta, size: found.body_len, hits: 0, on_disk: true, now_ms };
            let mut fitting = bans.iter().filter(|ban| ban.selector.fits(&view)).peekable();
            let fits = seen.contains(&key) || fitting.peek().is_some();
            if meta.requested_ms > now_ms + SLACK_MS || !fits {
                return reviver_store::Verdict::Keep;
            }
            let soft = bans.iter().filter(|ban| ban.selector.fits(&view)).all(|ban| ban.soft)
                && bans.iter().all(|ban| ban.soft);
            if !seen.contains(&key) {
                purged += u64::from(meta.status >= 100);
            }
            if soft { reviver_store::Verdict::Soften } else { reviver_store::Verdict::Remove }
        });
        purged
    }

    fn also_on_disk(&self, object: &Object) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.contains(object.key))
    }
}

/// So much the clocks of two workers may differ.
const SLACK_MS: u64 = 50;

/// A request that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("no cache is configured")]
    None,
    #[error("the request is not of the expected form: {0}")]
    Form(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PurgeRequest {
    select: Selector,
    #[serde(default)]
    soft: bool,
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

impl Cache {
    /// `{"select": .., "soft": ..}`; answers `{"purged": N}`.
    pub fn purge_by(&self, snapshot: &Snapshot, request: &str) -> Result<Value, CacheError> {
        let form = |e: serde_json::Error| CacheError::Form(e.to_string());
        let mut request: PurgeRequest = serde_json::from_str(request).map_err(form)?;
        request.select.compile().map_err(CacheError::Form)?;
        if let Selector::Url(url) = &request.select {
            request.select = Selector::of_url(snapshot, url);
        }
        Ok(json!({ "purged": self.purge(request.select, request.soft, now_ms()) }))
    }

    /// What there is, and what it did.
    pub fn stats(&self, summary: &Summary, forward: bool) -> Value {
        let total = &summary.total.cache;
        let by_name = |name: &str, cache: &super::CacheSummary| {
            let mut value = serde_json::to_value(cache).unwrap_or_default();
            value["hit_ratio"] = json!(cache.hit_ratio());
            (name.to_owned(), value)
        };
        let routes = summary.routes.iter().filter(|(_, group)| !group.cache.is_empty());
        let mut routes: BTreeMap<String, Value> = routes.map(|(name, group)| by_name(name, &group.cache)).collect();
        if forward {
            let mut rest = total.clone();
            for group in summary.routes.values() {
                rest.subtract(&group.cache);
            }
            routes.extend([by_name("forward", &rest)].into_iter().filter(|_| !rest.is_empty()));
        }
        let top: Vec<Value> = self
            .memory
            .top(20)
            .iter()
            .map(|object| {
                json!({
                    "url": text(super::object::url_of(object.parts().key)),
                    "hits": object.hits.load(Ordering::Relaxed),
                    "size": object.length(),
                })
            })
            .collect();
        let disk = self.disk.as_ref().map(|disk| disk.stats());
        json!({
            "memory": {
                "objects": self.memory.objects().count(),
                "bytes": self.memory.weight(),
                "limit": self.memory.capacity(),
            },
            "disk": disk.map(|d| json!({
                "objects": d.objects, "bytes": d.bytes, "limit": d.limit, "segments": d.segments,
                "state": match d.state {
                    reviver_store::State::Ok => "ok",
                    reviver_store::State::Full => "full",
                    reviver_store::State::ReadOnly => "read_only",
                    reviver_store::State::Failed => "failed",
                },
                "dropped": d.dropped, "evicted": d.evicted,
            })),
            "requests": total.requests, "hit_ratio": total.hit_ratio(), "why_missed": total.why_missed,
            "not_stored": total.not_stored, "stored": self.counts.stored.load(Ordering::Relaxed),
            "evicted": self.memory.evicted() + disk.map_or(0, |d| d.evicted), "purged": self.counts.purged.load(Ordering::Relaxed),
            "collapsed": total.collapsed, "routes": routes, "top": top,
        })
    }

    /// What is stored for a request, and what would be made of it.
    pub fn look(&self, snapshot: &Snapshot, request: &str) -> Result<Value, CacheError> {
        let request: ExplainRequest = serde_json::from_str(request).map_err(|e| CacheError::Form(e.to_string()))?;
        let form = |e: reviver_flow::ExplainError| CacheError::Form(e.to_string());
        let (listener, head, tls) = explained_request(snapshot, &request).map_err(form)?;
        let address = request.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let client = Client { peer: SocketAddr::new(address, 0), address, tls };
        let now = Instant::now();
        let now_ms = now_ms();
        let mut flow = Flow::new(snapshot, listener, client, now, now_ms);
        let mut command = flow.step(Event::Request(&head), now);
        if matches!(command, Command::Authenticate) {
            command = flow.step(Event::Authenticated(true), now);
        }
        let route = flow.route().map(|r| r.name.clone());
        let rules = match (flow.cache_rules(), &command) {
            (Some(rules), Command::Lookup) => rules,
            _ => {
                let cached = flow.record.cache;
                let verdict = cached.map_or("not_cached", |c| c.verdict.name());
                let reason = cached.map_or(flow.record.reason.slug.name(), |c| c.why.name());
                return Ok(json!({"key": null, "route": route, "stored": [], "verdict": verdict, "reason": reason}));
            }
        };
        let mut place_text = rules.space.clone().into_bytes();
        place_text.push(b'\n');
        flow.write_cache_key(&head, &mut place_text);
        let place = super::Place::of(&place_text, rules.space.len());
        let chosen = match self.find_waiting(place, &head) {
            super::Finding::Object(object) => Ok(object),
            super::Finding::Nothing { varies: true } => Err(reviver_cache::Why::VaryMiss),
            super::Finding::NotStorable => Err(reviver_cache::Why::NotStorable),
            _ => Err(reviver_cache::Why::UriMiss),
        };
        let judged = |object: &Object| match flow.judge(&object.meta, now_ms) {
            Judgement::Serve(why) => (if why == reviver_cache::Why::Fresh { "hit" } else { "stale" }, why),
            Judgement::ServeAndRevalidate => ("stale", reviver_cache::Why::Revalidating),
            Judgement::Validate(why) => ("miss", why),
        };
        let lacks = |object: &Object| match &object.body {
            super::object::Body::Parts(pieces) => !super::parts::covers(pieces, &head),
            _ => false,
        };
        let (verdict, reason) = match &chosen {
            Ok(object) if lacks(object) => ("miss", reviver_cache::Why::Partial),
            Ok(object) => judged(object),
            Err(why) => ("miss", *why),
        };
        let whole = |object: &Arc<Object>| object.meta.status >= 100;
        let all = self.memory.objects().filter(|object| object.is_of(place.space, place.key)).filter(whole);
        let stored: Vec<Value> = all
            .map(|object| {
                let parts = object.parts();
                let chosen = chosen.as_ref().is_ok_and(|c| c.key == object.key);
                let (verdict, reason) = match chosen {
                    true if lacks(&object) => ("miss", reviver_cache::Why::Partial),
                    true => judged(&object),
                    false => ("miss", reviver_cache::Why::VaryMiss),
                };
                let stored_at = i64::try_from(object.meta.received_ms).unwrap_or(i64::MAX);
                json!({
                    "variant": text(parts.selecting.trim_ascii_end()), "status": object.meta.status,
                    "age": object.meta.age_ms(now_ms) / 1000, "ttl": object.meta.ttl_ms(now_ms).div_euclid(1000),
                    "basis": object.meta.basis.name(), "size": object.length(), "held": object.held(),
                    "stored_as": if self.also_on_disk(&object) { "disk" } else { "memory" },
                    "tags": text_lines(parts.tags), "groups": text_lines(parts.groups),
                    "hits": object.hits.load(Ordering::Relaxed),
                    "stored_at": jiff::Timestamp::from_millisecond(stored_at).map(|t| t.to_string()).unwrap_or_default(),
                    "fields": lines(object.fields()).map(|l| (text(l.name), text(l.value))).collect::<Vec<_>>(),
                    "verdict": verdict, "reason": reason.name(),
                })
            })
            .collect();
        Ok(json!({
            "key": text(place.key), "route": route, "stored": stored, "verdict": verdict, "reason": reason.name(),
        }))
    }

    /// As a request would find it; reads the disk where it stands there.
    fn find_waiting(&self, place: super::Place<'_>, head: &reviver_http::RequestHead) -> super::Finding {
        let mut scratch = Vec::new();
        debug_assert_eq!(place.primary, xxh3_128(&[place.space, b"\n", place.key].concat()));
        for _ in 0..8 {
            let super::Finding::OnDisk(key, found, since) = self.find(place, head, &mut scratch) else { break };
            let Some(disk) = &self.disk else { break };
            let body = super::disk::comes_at_once(&found).then(|| {
                let mut block = Vec::new();
                disk.read_block(&found, 0, &mut block, true).map(|()| block)
            });
            let Ok(head) = disk.read_head(&found, true) else { break };
            let Ok(body) = body.transpose() else { break };
            if !self.admit(key, &found, &head, body, since) {
                break;
            }
        }
        self.find(place, head, &mut scratch)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn text_lines(bytes: &[u8]) -> Vec<String> {
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(text).collect()
}
