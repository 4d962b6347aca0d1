//! A second try beside the first, where the first takes longer than most: whichever answers first is passed on.
//!
//! J. Dean and L. A. Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_flow::{Flow, Target};
use reviver_http::FieldKind;

use crate::cache::Job;
use crate::connect::connect;
use crate::connection::Connection;
use crate::core::{Core, CoreSnapshot};
use crate::exchange::{Exchange, Trouble};
use crate::upstream::Upstream;
use crate::work::Work;

/// How long the first try is waited for alone; none: there is no second.
pub fn delay(core: &Core, snapshot: &CoreSnapshot, flow: &Flow<'_>, work: &Work, now: Instant) -> Option<Duration> {
    let hedge = flow.hedge().filter(|_| work.replay_taken && !work.request.extended_connect)?;
    if work.request.values(FieldKind::Upgrade).next().is_some() {
        return None;
    }
    let least = Duration::from_millis(hedge.after_ms);
    match hedge.quantile {
        0 => Some(least),
        quantile => Some(least.max(core.metrics.usual(&snapshot.metrics, flow.record.pool?, quantile, now)?)),
    }
}

/// Awaits the response of either try; with the second's what goes with it stands in place of the first's.
pub async fn either<'s>(
    connection: &mut Connection,
    work: &mut Work,
    first: First<'_, 's>,
    flow: &mut Flow<'s>,
    snapshot: &Rc<CoreSnapshot>,
    delay: Duration,
) -> Result<(), Trouble> {
    let First { exchange, upstream, begun } = first;
    let first = First { exchange: &mut *exchange, upstream: &mut *upstream, begun };
    let Some(won) = race(connection, work, first, flow, snapshot, delay).await.inspect_err(|_| flow.hedge_lost())?
    else {
        flow.hedge_lost();
        return Ok(());
    };
    flow.hedge_won(won.upstream.address, won.upstream.reused, Instant::now());
    std::mem::replace(exchange, won.exchange).give_up(connection, work);
    *upstream = won.upstream;
    let mut other = won.work;
    std::mem::swap(&mut work.response, &mut other.response);
    std::mem::swap(&mut work.upstream_in, &mut other.upstream_in);
    if let Some(other) = other.recycled() {
        connection.core.works.give(other);
    }
    Ok(())
}

/// A second try that has answered, with all that goes with it.
struct Won<'s> {
    upstream: Upstream,
    exchange: Exchange<'s>,
    work: Box<Work>,
}

/// The first try.
pub struct First<'a, 's> {
    pub exchange: &'a mut Exchange<'s>,
    pub upstream: &'a mut Upstream,
    pub begun: Instant,
}

/// Awaits the response; after `delay` another server is asked too. The outcome of the first, or the second where that
/// was better.
async fn race<'s>(
    connection: &mut Connection,
    work: &mut Work,
    first: First<'_, 's>,
    flow: &mut Flow<'s>,
    snapshot: &Rc<CoreSnapshot>,
    delay: Duration,
) -> Result<Option<Won<'s>>, Trouble> {
    let First { exchange, upstream, begun } = first;
    let origin = connection.for_job(Job::Done);
    // All of it has been sent, or will be from what is kept here.
    let request = work.request.clone();
    let replay = Replay::of(work);
    let mut response = pin!(exchange.await_response(connection, work, upstream, begun));
    let mut over = pin!(tokio::time::sleep(delay));
    let early = poll_fn(|cx| match response.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => over.as_mut().poll(cx).map(|()| None),
    });
    if let Some(outcome) = early.await {
        return outcome.map(|()| None);
    }
    let Some(target) = flow.begin_hedge(Instant::now()) else { return response.await.map(|()| None) };
    let mut second_work = origin.core.works.take_or(Work::new);
    second_work.request = request;
    replay.put(&mut second_work);
    let mut second = pin!(ask(origin, second_work, flow, snapshot, target));
    let mut failed = false;
    let outcome = poll_fn(|cx| {
        if let Poll::Ready(outcome) = response.as_mut().poll(cx) {
            match outcome {
                // What the second brings may still be good.
                Err(Trouble::Upstream { .. }) if !failed => return Poll::Ready(Err(outcome)),
                outcome => return Poll::Ready(Ok(Err(outcome))),
            }
        }
        if failed {
            return Poll::Pending;
        }
        match second.as_mut().poll(cx) {
            Poll::Ready(Some(won)) => Poll::Ready(Ok(Ok(won))),
            Poll::Ready(None) => {
                failed = true;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    match outcome {
        Ok(Ok(won)) => Ok(Some(won)),
        Ok(Err(outcome)) => outcome.map(|()| None),
        Err(trouble) => match second.await {
            Some(won) => Ok(Some(won)),
            None => trouble.map(|()| None),
        },
    }
}

/// None: it failed, or answered with an error of its own.
async fn ask<'s>(
    mut own: Connection,
    mut work: Box<Work>,
    flow: &Flow<'s>,
    snapshot: &Rc<CoreSnapshot>,
    target: Target,
) -> Option<Won<'s>> {
    let mut upstream = connect(&mut own, &mut work, snapshot, flow, target, false).await.ok()?;
    let listener = flow.record.listener;
    let mut exchange = Exchange::begin(&mut own, &mut work, flow, snapshot, listener, &mut upstream).ok()?;
    loop {
        exchange.await_response(&mut own, &mut work, &mut upstream, Instant::now()).await.ok()?;
        if !work.response.is_interim() {
            break;
        }
    }
    (work.response.status < 500).then_some(Won { upstream, exchange, work })
}

/// The body of a request that has been read whole.
struct Replay {
    bytes: Vec<u8>,
    sizes: (u64, u64),
    http2: bool,
    trailers: Option<Box<http::HeaderMap>>,
}

impl Replay {
    fn of(work: &Work) -> Self {
        Self {
            bytes: work.replay.clone(),
            sizes: work.replay_sizes,
            http2: work.replay_http2,
            trailers: work.replay_trailers.clone(),
        }
    }

    fn put(self, work: &mut Work) {
        work.replay = self.bytes;
        work.replay_sizes = self.sizes;
        work.replay_http2 = self.http2;
        work.replay_trailers = self.trailers;
        work.replay_taken = true;
    }
}
