//! A flow that waits: for a server with room, or before another try.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_balance::Ticket;
use reviver_flow::{Event, Waited};

use crate::connection::Connection;
use crate::core::CoreSnapshot;
use crate::work::Work;

/// A place in the queue of a pool, and how long it is kept.
#[derive(Debug)]
pub struct Place {
    ticket: Ticket,
    until: Instant,
}

/// Waits for this flow's turn; the place is kept in `place` until the flow has a server.
pub async fn turn(
    connection: &mut Connection,
    work: &mut Work,
    snapshot: &Rc<CoreSnapshot>,
    index: u32,
    place: &mut Option<Place>,
) -> Event<'static> {
    let plan = &snapshot.snapshot;
    let (Some(pool), Some(balancer)) = (plan.pool(index), plan.pools.get(index as usize)) else {
        return Event::Waited(Waited::Full);
    };
    let now = Instant::now();
    if place.is_none() {
        let Some(ticket) = balancer.wait() else { return Event::Waited(Waited::Full) };
        *place = Some(Place { ticket, until: now + Duration::from_millis(pool.queue.timeout_ms) });
    }
    let Some(Place { ticket, until }) = place.as_mut() else { return Event::Waited(Waited::Full) };
    let until = *until;
    connection.wait_until(now, until);
    poll_fn(|cx| {
        if balancer.poll_turn(ticket, cx).is_ready() {
            return Poll::Ready(Event::Waited(Waited::Turn));
        }
        if connection.poll_gone(cx, work).is_ready() {
            return Poll::Ready(Event::ClientGone);
        }
        if connection.poll_deadline(cx, until) {
            let stopping = connection.core.is_stopping();
            return Poll::Ready(Event::Waited(if stopping { Waited::Stopping } else { Waited::Expired }));
        }
        Poll::Pending
    })
    .await
}

/// Waits so long; false where the client has gone meanwhile.
pub async fn pause(connection: &mut Connection, work: &mut Work, pause: Duration) -> bool {
    // Shorter than a tick of the wheel.
    let mut over = std::pin::pin!(tokio::time::sleep(pause));
    poll_fn(|cx| {
        if connection.poll_gone(cx, work).is_ready() {
            return Poll::Ready(false);
        }
        over.as_mut().poll(cx).map(|()| true)
    })
    .await
}
