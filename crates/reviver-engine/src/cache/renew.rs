//! Stored responses brought up to date by what the upstream says of them.

use std::sync::Arc;

use reviver_cache::{Exchanged, Updated};
use reviver_flow::Flow;

use super::Cache;
use super::object::Object;
use crate::work::Work;

/// What the answer to a HEAD says of what is stored (RFC 9111, section 4.3.5).
pub fn compare(cache: &Arc<Cache>, flow: &Flow<'_>, work: &Work, object: &Arc<Object>, times: Exchanged, born: u64) {
    if work.response.status != object.meta.status {
        return;
    }
    match flow.updated(object.fields(), &object.meta, &work.request, &work.response, times) {
        Updated::Stored { fields, meta } => {
            let renewed = Arc::new(object.with(meta, Some(fields)).born_at(born));
            cache.renew(&renewed);
        }
        Updated::NotStored { .. } | Updated::Other => {
            cache.forget(object.key);
        }
    }
}

/// Brings what is stored up to date with the 304 in `work`, and tells whether it is stored as that: if not it is for
/// this client alone. None: it speaks of another response.
pub fn freshen(
    cache: &Arc<Cache>,
    flow: &mut Flow<'_>,
    work: &Work,
    object: &Arc<Object>,
    times: Exchanged,
    born: u64,
) -> Option<(Arc<Object>, bool)> {
    match flow.updated(object.fields(), &object.meta, &work.request, &work.response, times) {
        Updated::Stored { fields, meta } => {
            let renewed = Arc::new(object.with(meta, Some(fields)).born_at(born));
            cache.renew(&renewed);
            Some((renewed, true))
        }
        Updated::NotStored { fields, meta, refusal } => {
            // It says something of this client's request; what is there for others stays.
            flow.set_refusal(refusal);
            Some((Arc::new(object.with(meta, Some(fields))), false))
        }
        Updated::Other => {
            cache.forget(object.key);
            None
        }
    }
}
