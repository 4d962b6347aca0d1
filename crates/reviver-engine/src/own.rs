//! Requests of the proxy's own: pieces and refreshed responses for the cache, and copies for mirrors.

use std::rc::Rc;
use std::time::Instant;

use reviver_http::RequestHead;

use crate::connection::{Connection, caught};
use crate::core::CoreSnapshot;
use crate::driver::{self, ClientProtocol, HeadTimes};
use crate::work::Work;

/// Carries one on a connection that was made for its job.
pub async fn carry(
    own: &mut Connection,
    snapshot: &Rc<CoreSnapshot>,
    listener: u16,
    request: RequestHead,
    body: &[u8],
) {
    let core = Rc::clone(&own.core);
    let mut work = core.works.take_or(Work::new);
    work.request = request;
    work.client_in.grow(body.len());
    work.client_in.space()[..body.len()].copy_from_slice(body);
    work.client_in.filled(body.len());
    let now = Instant::now();
    let times = HeadTimes { started: now, complete: now };
    {
        let run = std::pin::pin!(driver::run(own, &mut work, snapshot, listener, times, ClientProtocol::Http1, None));
        caught(run).await;
    }
    if let Some(work) = work.recycled() {
        core.works.give(work);
    }
}
