//! Phase `cache_lookup`: what is stored, or the right to fetch it, or a fetch to wait for.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_cache::{Judgement, Why};
use reviver_flow::Flow;
use reviver_http::Method;

use super::disk::{load, promoted};
use super::flight::{Boarding, Flight, Landing};
use super::object::{Body, Object};
use super::slices::{self, Job};
use super::store::Permit;
use super::{Cache, Finding, Place, parts};
use crate::connection::Connection;
use crate::work::Work;

/// What a look came to.
pub enum Lookup {
    Serve {
        why: Why,
        object: Arc<Object>,
        collapsed: bool,
    },
    Fetch {
        why: Why,
        /// To be validated, or served where the upstream fails.
        stored: Option<Arc<Object>>,
        /// None: the response is passed on and not stored.
        permit: Option<Permit>,
    },
    ClientGone,
}

/// More turns than these are not taken: what is found keeps changing.
const TURNS: usize = 16;

/// Looks for a response to the request in `work`, and waits for it where another request fetches it already.
pub async fn look_up(connection: &mut Connection, work: &mut Work, flow: &mut Flow<'_>, cache: &Arc<Cache>) -> Lookup {
    let Some(rules) = flow.cache_rules() else {
        return Lookup::Fetch { why: Why::Bypass, stored: None, permit: None };
    };
    let ask = flow.ask();
    let collapse = Duration::from_millis(rules.policy.collapse_ms);
    let mut text = std::mem::take(&mut work.key);
    text.clear();
    text.extend_from_slice(rules.space.as_bytes());
    text.push(b'\n');
    flow.write_cache_key(&work.request, &mut text);
    let mut waits = None;
    let mut again = false;
    let mut turn = 0;
    let lookup = loop {
        turn += 1;
        let place = Place::of(&text, rules.space.len());
        let landed = cache.flights.landed(place.primary);
        let finding = cache.find(place, &work.request, &mut work.scratch);
        let now_ms = connection.core.unix_ms_at(Instant::now());
        let (mut why, stored) = match finding {
            Finding::OnDisk(key, found, since) if turn <= TURNS => {
                load(cache, key, found, since).await;
                continue;
            }
            Finding::OnDisk(..) => (Why::Unreadable, None),
            Finding::NotStorable if !cache.is_over(place.primary, now_ms) => {
                let permit = may_store(flow, work);
                break Lookup::Fetch { why: Why::NotStorable, stored: None, permit: permit.then(Permit::default) };
            }
            Finding::NotStorable => (Why::UriMiss, None),
            Finding::Nothing { varies } => (if varies { Why::VaryMiss } else { Why::UriMiss }, None),
            Finding::Object(object) => match flow.judge(&object.meta, now_ms) {
                _ if connection.job().is_some() => (Why::Stale, Some(object)),
                Judgement::Serve(_) if lacks(&object, work) => (Why::Partial, None),
                Judgement::ServeAndRevalidate if matches!(object.body, Body::Parts(_)) => (Why::Partial, None),
                Judgement::Serve(why) => {
                    let object = promoted(cache, object).await;
                    break Lookup::Serve { why, object, collapsed: false };
                }
                Judgement::ServeAndRevalidate => {
                    if let Boarding::Lead(lead) = cache.flights.board(!object.key) {
                        // Held until the refresh is over, so that there is one at a time.
                        let side = flow.record.chosen.map(|c| c.side);
                        slices::start(connection, work, flow, Job::Refresh { side, _lead: lead });
                    }
                    break Lookup::Serve { why: Why::Revalidating, object, collapsed: false };
                }
                // Parts are not validated: they are fetched again.
                Judgement::Validate(why) if matches!(object.body, Body::Parts(_)) => (why, None),
                Judgement::Validate(why) => (why, Some(object)),
            },
        };
        if !may_store(flow, work) {
            break Lookup::Fetch { why, stored, permit: None };
        }
        let alone = Lookup::Fetch { why, stored: stored.clone(), permit: Some(Permit::default()) };
        let key = stored.as_ref().map_or(place.primary, |object| object.key);
        // A part of something that nobody fetches is asked for as it is.
        if ask.range && stored.is_none() && rules.policy.slice == 0 && !cache.flights.is_under_way(key) {
            break Lookup::Fetch { why, stored, permit: Some(Permit { lead: None, part: true }) };
        }
        // Whoever asks for validation, or for something younger, must not get what was asked for before.
        let anew = why == Why::Request || ask.no_cache || ask.max_age == Some(0);
        if collapse.is_zero() || anew || turn > TURNS || connection.job().is_some() {
            break alone;
        }
        let flight = match cache.flights.board(key) {
            Boarding::Lead(lead) => {
                // Another fetch may have landed since the store was looked at.
                let changed = cache.flights.landed(place.primary) != landed;
                if changed && stored.is_none() && turn <= TURNS && has_landed(cache, place, work) {
                    drop(lead);
                    continue;
                }
                break Lookup::Fetch { why, stored, permit: Some(Permit { lead: Some(lead), part: false }) };
            }
            Boarding::Wait(flight) => flight,
        };
        let until = *waits.get_or_insert_with(|| Instant::now() + collapse);
        match wait(connection, work, &flight, until).await {
            Waited::Landed(Landing::Shared(object)) => {
                why = Why::Collapsed;
                if !is_for(&object, place, work) {
                    // It varies: this request selects another one.
                    if turn > 2 {
                        break Lookup::Fetch { why: Why::VaryMiss, stored: None, permit: Some(Permit::default()) };
                    }
                    continue;
                }
                let now_ms = connection.core.unix_ms_at(Instant::now());
                if matches!(flow.judge(&object.meta, now_ms), Judgement::Serve(_)) {
                    break Lookup::Serve { why, object, collapsed: true };
                }
                break alone;
            }
            Waited::Landed(Landing::Alone) => break alone,
            Waited::Landed(Landing::Failed) => continue,
            Waited::Long => match cache.flights.take_over(key, &flight) {
                Boarding::Lead(lead) if stored.is_none() && turn <= TURNS && has_landed(cache, place, work) => {
                    drop(lead)
                }
                Boarding::Lead(lead) => {
                    break Lookup::Fetch { why, stored, permit: Some(Permit { lead: Some(lead), part: false }) };
                }
                // Another was faster: its fetch is worth waiting for, once.
                Boarding::Wait(_) if !again => {
                    again = true;
                    waits = None;
                    continue;
                }
                Boarding::Wait(_) => break alone,
            },
            Waited::ClientGone => break Lookup::ClientGone,
        }
    };
    work.key = text;
    lookup
}

/// Whether something is stored by now.
fn has_landed(cache: &Cache, place: Place<'_>, work: &mut Work) -> bool {
    matches!(cache.find(place, &work.request, &mut work.scratch), Finding::Object(_) | Finding::OnDisk(..))
}

/// Whether only parts are there, and not those that are asked for.
fn lacks(object: &Object, work: &Work) -> bool {
    match &object.body {
        Body::Parts(pieces) => {
            let holds = reviver_cache::if_range_holds(&work.request, object.fields(), &object.meta);
            work.request.method != Method::Get || !holds || !parts::covers(pieces, &work.request)
        }
        _ => false,
    }
}

/// Whether the response to such a request may be stored at all, as far as the request can tell.
fn may_store(flow: &Flow<'_>, work: &Work) -> bool {
    let converts = flow.cache_rules().is_some_and(|rules| rules.policy.convert_head);
    !flow.ask().no_store && (work.request.method == Method::Get || converts)
}

/// Whether an object that was fetched for another request is what this one selects.
fn is_for(object: &Object, place: Place<'_>, work: &mut Work) -> bool {
    let parts = object.parts();
    if parts.space != place.space || parts.key != place.key {
        return false;
    }
    if parts.selecting.is_empty() {
        return true;
    }
    let names: Vec<String> = parts
        .selecting
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let end = line.iter().position(|b| *b == b':').unwrap_or(line.len());
            String::from_utf8_lossy(&line[..end]).into_owned()
        })
        .collect();
    work.scratch.clear();
    reviver_cache::write_selecting(&names, &work.request, &mut work.scratch);
    parts.selecting == work.scratch.as_slice()
}

enum Waited {
    Landed(Landing),
    Long,
    ClientGone,
}

async fn wait(connection: &mut Connection, work: &mut Work, flight: &Flight, until: Instant) -> Waited {
    let now = Instant::now();
    if now >= until {
        return Waited::Long;
    }
    connection.wait_until(now, until);
    poll_fn(|cx| {
        if let Poll::Ready(landing) = flight.poll(cx) {
            return Poll::Ready(Waited::Landed(landing));
        }
        if connection.poll_gone(cx, work).is_ready() {
            return Poll::Ready(Waited::ClientGone);
        }
        if connection.poll_deadline(cx, until) {
            return Poll::Ready(Waited::Long);
        }
        Poll::Pending
    })
    .await
}
