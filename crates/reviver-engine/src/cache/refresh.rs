//! Requests of the cache's own: what was served stale is validated behind the client's back (RFC 5861, section 3).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use reviver_flow::Flow;

use super::flight::Boarding;
use super::object::Object;
use super::{Cache, Place};
use crate::connection::Connection;
use crate::core::CoreSnapshot;
use crate::driver::{self, ClientProtocol, HeadTimes};
use crate::work::Work;

/// Begins a refresh, unless one is under way.
pub fn start(
    connection: &Connection,
    work: &Work,
    flow: &Flow<'_>,
    snapshot: &Rc<CoreSnapshot>,
    cache: &Arc<Cache>,
    _place: Place<'_>,
    object: &Object,
) {
    // Held until the refresh is over, so that there is one at a time.
    let Boarding::Lead(lead) = cache.flights.board(refresh_key(object.key)) else { return };
    let mut own = connection.for_cache();
    let snapshot = Rc::clone(snapshot);
    let listener = flow.record.listener;
    let request = work.request.clone();
    let core = Rc::clone(&connection.core);
    tokio::task::spawn_local(async move {
        let mut work = core.works.take_or(Work::new);
        work.request = request;
        let now = Instant::now();
        let times = HeadTimes { started: now, complete: now };
        {
            let run = driver::run(&mut own, &mut work, &snapshot, listener, times, ClientProtocol::Http1, None);
            let run = std::pin::pin!(run);
            crate::connection::caught(run).await;
        }
        drop(lead);
        if let Some(work) = work.recycled() {
            core.works.give(work);
        }
    });
}

/// Refreshes have keys of their own: requests do not wait for them.
fn refresh_key(key: u128) -> u128 {
    !key
}
