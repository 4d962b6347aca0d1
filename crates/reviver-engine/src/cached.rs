//! The driver's dealings with the cache: looks, serves, stores.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use reviver_cache::{Exchanged, Refusal, Why, write_validators};
use reviver_flow::{Command, Event, Flow, Looked, Relayed};
use reviver_http::{Framing, H1Sink, Method};

use crate::cache::{self, Cache, Fetched, Job, Lookup, Object, Permit};
use crate::connection::Connection;
use crate::core::CoreSnapshot;
use crate::driver::{self, Then};
use crate::work::Work;

/// What a flow carries from its look to its end.
#[derive(Default)]
pub struct Carried {
    stored: Option<Arc<Object>>,
    collapsed: bool,
    permit: Option<Permit>,
    /// The number of the latest purge before the request goes to the upstream.
    born: u64,
    /// When the request went to the upstream.
    pub requested: Option<Instant>,
}

pub async fn look_up(
    connection: &mut Connection,
    work: &mut Work,
    flow: &mut Flow<'_>,
    snapshot: &Rc<CoreSnapshot>,
    carried: &mut driver::Carried<'_>,
) -> Command {
    let Some(cache) = &snapshot.cache else {
        let looked = Looked::Fetch { why: Why::Unreadable, validators: Vec::new(), on_error: false, whole: false };
        return flow.step(Event::Looked(looked), Instant::now());
    };
    if let Some(Job::Slice { whole, index, .. }) = connection.job() {
        flow.set_slice(cache::slice_range(whole, *index));
        let looked = Looked::Fetch { why: Why::Partial, validators: Vec::new(), on_error: false, whole: true };
        return flow.step(Event::Looked(looked), Instant::now());
    }
    let lookup = cache::look_up(connection, work, flow, cache).await;
    let now = Instant::now();
    match lookup {
        Lookup::Serve { why, object, collapsed } => {
            carried.cache.stored = Some(object);
            carried.cache.collapsed = collapsed;
            flow.step(Event::Looked(Looked::Serve(why)), now)
        }
        Lookup::Fetch { why, stored, permit } => {
            let mut validators = Vec::new();
            let mut on_error = false;
            if let Some(object) = &stored {
                write_validators(object.fields(), &mut H1Sink(&mut validators));
                on_error = flow.may_serve_on_error(&object.meta, connection.core.unix_ms_at(now));
            }
            let part = permit.as_ref().is_some_and(|permit| permit.part);
            let whole = permit.is_some() && !part;
            let slice = flow.cache_rules().map_or(0, |rules| rules.policy.slice);
            if whole && slice > 0 && stored.as_ref().is_none_or(|object| object.is_sliced()) {
                let first = cache::first_slice(&work.request, slice) * slice;
                flow.set_slice(Some((first, first + slice - 1)));
            }
            carried.cache.born = cache.latest_purge();
            carried.cache.stored = stored;
            carried.cache.permit = permit;
            flow.step(Event::Looked(Looked::Fetch { why, validators, on_error, whole }), now)
        }
        Lookup::ClientGone => flow.step(Event::ClientGone, now),
    }
}

pub async fn serve(
    connection: &mut Connection,
    work: &mut Work,
    flow: &mut Flow<'_>,
    snapshot: &Rc<CoreSnapshot>,
    carried: &mut driver::Carried<'_>,
    why: Why,
    keep: bool,
) -> Command {
    let (Some(cache), Some(object)) = (&snapshot.cache, carried.cache.stored.take()) else {
        return flow.step(Event::Unreadable, Instant::now());
    };
    // What an upstream has answered instead is not read.
    carried.upstream = None;
    if let Some(exchange) = carried.exchange.take() {
        exchange.settle(&mut flow.record);
        exchange.give_up(connection, work);
    }
    carried.cache.permit = None;
    let collapsed = carried.cache.collapsed;
    let served = cache::serve(connection, work, flow, cache, &object, why, collapsed, keep).await;
    let now = Instant::now();
    if served.unreadable {
        cache.forget(object.key);
        return flow.step(Event::Unreadable, now);
    }
    finish(work, carried, &served);
    flow.step(Event::Relayed(served.outcome), now)
}

fn finish(work: &Work, carried: &mut driver::Carried<'_>, served: &cache::Served) {
    carried.written += served.bytes;
    carried.own_body = served.body;
    carried.response = !matches!(served.outcome, Relayed::NothingSent(_));
    carried.then = Some(match served.outcome {
        Relayed::Complete if served.keep_alive => Then::KeepAlive,
        Relayed::Complete => Then::after_last(work),
        _ => Then::Close,
    });
}

fn exchanged(connection: &Connection, carried: &driver::Carried<'_>, now: Instant) -> Exchanged {
    let requested = carried.cache.requested.unwrap_or(now);
    Exchanged { requested_ms: connection.core.unix_ms_at(requested), received_ms: connection.core.unix_ms_at(now) }
}

pub fn freshen(
    connection: &Connection,
    work: &mut Work,
    flow: &mut Flow<'_>,
    snapshot: &Rc<CoreSnapshot>,
    carried: &mut driver::Carried<'_>,
    now: Instant,
) -> Command {
    let times = exchanged(connection, carried, now);
    let renewed = match (&snapshot.cache, carried.cache.stored.take()) {
        (Some(cache), Some(object)) => cache::freshen(cache, flow, work, &object, times, carried.cache.born),
        _ => None,
    };
    // A 304 has no content: the connection is free again.
    let quiet = work.response.keep_alive && work.upstream_in.is_empty();
    if let Some(mut upstream) = carried.upstream.take().filter(|_| quiet)
        && let Some(home) = upstream.home.take()
    {
        home.give(upstream, now);
    }
    let looked = match renewed {
        Some((object, stored)) => {
            match carried.cache.permit.take().and_then(|permit| permit.lead) {
                Some(lead) if stored => lead.stored(Arc::clone(&object)),
                Some(lead) => lead.set_free(),
                None => {}
            }
            carried.cache.stored = Some(object);
            Looked::Serve(Why::Validated)
        }
        None => Looked::Fetch {
            why: Why::Stale,
            validators: Vec::new(),
            on_error: false,
            whole: carried.cache.permit.is_some(),
        },
    };
    flow.step(Event::Looked(looked), now)
}

/// Stores the response that is about to be relayed, where it may be. None: it is still to be relayed.
#[allow(clippy::too_many_arguments)]
pub async fn relay(
    connection: &mut Connection,
    work: &mut Work,
    flow: &mut Flow<'_>,
    snapshot: &Rc<CoreSnapshot>,
    cache: &Arc<Cache>,
    carried: &mut driver::Carried<'_>,
    now: Instant,
    keep: bool,
) -> Option<Command> {
    let now_ms = connection.core.unix_ms_at(now);
    if !matches!(work.request.method, Method::Get | Method::Head) {
        cache::invalidate(cache, &snapshot.snapshot, flow, work, now_ms);
        return None;
    }
    let times = exchanged(connection, carried, now);
    if matches!(connection.job(), Some(Job::Slice { .. })) {
        return Some(piece(connection, work, flow, cache, carried, times).await);
    }
    let Some(permit) = carried.cache.permit.take() else {
        if let Some(object) = carried.cache.stored.take().filter(|_| work.request.method == Method::Head) {
            cache::compare(cache, flow, work, &object, times, carried.cache.born);
        }
        return None;
    };
    let text = std::mem::take(&mut work.key);
    let space = flow.cache_rules().map_or(0, |rules| rules.space.len());
    let fetched = Fetched { times, part: permit.part, born: carried.cache.born };
    let begun = cache.begin(flow, work, &text, space, fetched);
    let asked = flow.slice().filter(|_| matches!(work.response.status, 206 | 416));
    let outcome = match begun {
        // A part that the client may not have asked for, and that cannot be put to others.
        Err(_) if asked.is_some() => Some(unsliced(flow)),
        Ok(begun) if asked.is_some() => {
            let index = asked.map_or(0, |(first, last)| first / (last - first + 1));
            let size = asked.map_or(1, |(first, last)| last - first + 1);
            match cache::slicing_of(&begun.fields, size, index) {
                None => Some(unsliced(flow)),
                Some(slicing) => {
                    flow.set_stored(begun.meta.ttl_ms(now_ms));
                    let upstream = carried.upstream.take()?;
                    let idle = carried.exchange.as_ref()?.idle();
                    let relay = cache::relay_slice(
                        connection, work, flow, cache, begun, permit, upstream, idle, keep, slicing, index,
                    );
                    let served = Box::pin(relay).await;
                    finish(work, carried, &served);
                    Some(flow.step(Event::Relayed(served.outcome), Instant::now()))
                }
            }
        }
        Err(refusal) => {
            flow.set_refusal(refusal);
            permit.refuse(cache, &text, space, refusal, work.response.status, now_ms);
            if flow.upstream_method(&work.request).0 != work.request.method {
                // The content that the client has not asked for is not read.
                work.response.framing = Framing::None;
                carried.upstream.iter_mut().for_each(|upstream| upstream.home = None);
            }
            None
        }
        Ok(begun) => {
            flow.set_stored(begun.meta.ttl_ms(now_ms));
            if cache::is_plain(flow, &work.request) && cache::fits_buffer(work) {
                if !cache::store_whole(cache, work, begun, permit) {
                    flow.set_not_stored(Refusal::Overtaken);
                }
                None
            } else {
                let upstream = carried.upstream.take()?;
                let idle = carried.exchange.as_ref()?.idle();
                let served = cache::relay(connection, work, flow, cache, begun, permit, upstream, idle, keep).await;
                finish(work, carried, &served);
                Some(flow.step(Event::Relayed(served.outcome), Instant::now()))
            }
        }
    };
    work.key = text;
    outcome
}

/// The request goes out again, for the whole response, which is not stored.
fn unsliced(flow: &mut Flow<'_>) -> Command {
    flow.set_slice(None);
    flow.step(Event::Unreadable, Instant::now())
}

/// A piece that was asked for by the cache itself.
async fn piece(
    connection: &mut Connection,
    work: &mut Work,
    flow: &mut Flow<'_>,
    cache: &Arc<Cache>,
    carried: &mut driver::Carried<'_>,
    times: Exchanged,
) -> Command {
    let outcome = match (connection.take_job(), carried.upstream.take(), &carried.exchange) {
        (Some(Job::Slice { whole, index, lead: Some(lead), .. }), Some(upstream), Some(exchange)) => {
            let idle = exchange.idle();
            let (_, meta) = flow.storing(&work.request, &work.response, times);
            match meta {
                Ok(_) => cache::fill_slice(connection, work, cache, &whole, index, lead, upstream, idle).await,
                Err(_) => Relayed::ClientAborted,
            }
        }
        _ => Relayed::ClientAborted,
    };
    flow.step(Event::Relayed(outcome), Instant::now())
}

/// Removes what is stored under the request's target.
pub async fn purge(
    connection: &Connection,
    work: &mut Work,
    flow: &mut Flow<'_>,
    snapshot: &Rc<CoreSnapshot>,
) -> Command {
    let now = Instant::now();
    let Some(cache) = &snapshot.cache else { return flow.step(Event::Purged(0), now) };
    let mut key = Vec::new();
    flow.write_cache_key(&work.request, &mut key);
    let purged = cache.purge_url(&key, connection.core.unix_ms_at(now)).await;
    flow.step(Event::Purged(purged), Instant::now())
}
