//! A response that arrives, is stored, and is read by all who wait for it.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use reviver_cache::Refusal;
use reviver_flow::{Flow, Relayed, Slug};
use reviver_http::{Framing, HeadLimits, ResponseHead};

use super::Cache;
use super::flight::{Boarding, Lead};
use super::growing::{End, Growing};
use super::object::{Body, Object};
use super::serve::{Served, serve_object};
use super::slices::{Slicing, slice_key, slicing_of};
use super::store::{Begun, Permit};
use crate::buffers::{BUFFER_SIZE, Buf};
use crate::connection::Connection;
use crate::core::Core;
use crate::pump::Pump;
use crate::timers::Timer;
use crate::upstream::Upstream;
use crate::work::Work;

/// What is left of a response that is fetched to its end though nobody reads it any more.
const WORTH: u64 = 1 << 20;
/// Memory is set aside in such steps for bodies of unknown length.
const STEP: u64 = 256 * 1024;
/// Bodies that are read in larger pieces.
const LARGE: u64 = 64 * 1024;
const LARGE_BUFFER: usize = 64 * 1024;

pub struct Fill {
    cache: Arc<Cache>,
    upstream: Option<Upstream>,
    input: Buf,
    pump: Pump<'static>,
    object: Arc<Object>,
    growing: Arc<Growing>,
    lead: Option<Lead>,
    timer: Timer,
    idle: Duration,
    /// The upstream connection can be used again afterwards.
    keeps: bool,
    most: u64,
    packs: bool,
    /// Bytes that are set aside for it while it arrives.
    reserved: u64,
    /// Nobody reads it.
    orphan: bool,
    outcome: Option<Result<(), Slug>>,
}

impl Fill {
    /// Goes on until nothing more can be done now. Ready when all has come, or none will.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Slug>> {
        if let Some(outcome) = self.outcome {
            return Poll::Ready(outcome);
        }
        let outcome = ready!(self.poll_on(cx));
        self.end(outcome);
        Poll::Ready(outcome)
    }

    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Slug>> {
        loop {
            if !self.input.is_empty() && !self.pump.source_finished() {
                if self.pump.take(&mut self.input).is_err() {
                    return Poll::Ready(Err(Slug::ResponseInvalid));
                }
                self.growing.push(self.pump.pending());
                self.pump.discard();
                self.check_size();
            }
            if self.pump.source_finished() {
                return Poll::Ready(Ok(()));
            }
            if self.orphan && self.growing.is_passing() {
                return Poll::Ready(Err(Slug::ClientAborted));
            }
            ready!(self.growing.poll_room(cx));
            let Some(upstream) = &mut self.upstream else { return Poll::Ready(Err(Slug::InternalError)) };
            match upstream.stream.poll_read(cx, &mut self.input) {
                Poll::Ready(Ok(0)) => {
                    if self.pump.end_of_source().is_err() {
                        return Poll::Ready(Err(Slug::ResponseIncomplete));
                    }
                }
                Poll::Ready(Ok(_)) => self.timer.set(Instant::now(), self.idle),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Slug::ResponseIncomplete)),
                Poll::Pending if self.timer.poll_expired(cx) => return Poll::Ready(Err(Slug::ReadTimeout)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Sets memory aside. Where there is too much under way already the response is passed on, and not stored.
    fn reserve(&mut self, bytes: u64) {
        if self.growing.is_passing() || bytes <= self.reserved {
            return;
        }
        if self.cache.reserve(bytes - self.reserved) {
            self.reserved = bytes;
        } else {
            self.pass();
        }
    }

    fn pass(&mut self) {
        self.growing.pass();
        self.cache.release(std::mem::take(&mut self.reserved));
        // Those who come now must not wait for what is not kept.
        self.lead = None;
    }

    /// A body that told no length may turn out to be too large for memory, or at all.
    fn check_size(&mut self) {
        let arrived = self.growing.arrived();
        if arrived > self.most && !self.growing.is_passing() {
            self.pass();
        }
        if !self.growing.is_on_disk() && arrived > self.reserved {
            self.reserve(arrived.saturating_add(STEP));
        }
        let part = self.object.meta.status == 206;
        let large = arrived > self.cache.most_in_memory && !self.growing.is_on_disk() && !self.growing.is_passing();
        if large && (part || !self.cache.begin_on_disk(&self.object, &self.growing)) {
            self.pass();
        }
    }

    fn end(&mut self, outcome: Result<(), Slug>) {
        self.outcome = Some(outcome);
        self.cache.release(self.reserved);
        let end = if outcome.is_ok() { End::Complete } else { End::Failed };
        let body = self.growing.finish(end);
        match (body, self.growing.disk()) {
            (Some(body), None) if self.object.meta.status == 206 => {
                self.cache.keep_part(&self.object, &body);
            }
            (Some(body), disk) => {
                let body = if self.packs { body.packed() } else { body };
                let object = Arc::new(self.object.with_body(body));
                disk.into_iter().for_each(|disk| disk.finish(None, None));
                self.cache.keep(&object, disk.is_some());
            }
            (None, disk) => disk.into_iter().for_each(reviver_store::Incoming::abort),
        }
        if let Some(lead) = self.lead.take() {
            lead.leave();
        }
        if let Some(mut upstream) = self.upstream.take()
            && outcome.is_ok()
            && self.keeps
            && self.input.is_empty()
            && let Some(home) = upstream.home.take()
        {
            home.give(upstream, Instant::now());
        }
    }

    /// Whether it should be brought to its end although the one who began it has gone.
    fn is_worth_finishing(&self) -> bool {
        if self.growing.is_passing() {
            return self.growing.has_readers();
        }
        let arrived = self.growing.arrived();
        // Of an unknown length it is what has come that says how much it may still cost.
        let cost = self.object.length().map_or(arrived, |all| all.saturating_sub(arrived));
        self.growing.has_readers() || cost <= WORTH
    }

    /// The one who began it is done with it.
    pub fn hand_over(mut self) {
        if self.outcome.is_none() && self.is_worth_finishing() {
            if self.object.length().is_none() && !self.growing.has_readers() {
                self.most = self.most.min(self.growing.arrived() + WORTH);
                self.orphan = true;
            }
            tokio::task::spawn_local(async move {
                let _ = poll_fn(|cx| self.poll(cx)).await;
            });
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        if self.outcome.is_none() {
            self.end(Err(Slug::ClientAborted));
        }
    }
}

/// A fill that is brought to its end even where its flow is dropped in the middle, as streams of a lost connection are.
pub struct Guarded(Option<Fill>);

impl Guarded {
    pub fn fill(&mut self) -> Option<&mut Fill> {
        self.0.as_mut()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(fill) = self.0.take() {
            fill.hand_over();
        }
    }
}

impl Cache {
    /// An object that is too large for memory goes to disk while it arrives. False where there is no disk for it.
    fn begin_on_disk(&self, object: &Object, growing: &Growing) -> bool {
        let Some(disk) = &self.disk else { return false };
        let (label, head) = super::disk::disk_form(&object.meta, object.label(), object.fields());
        match disk.begin(object.key, label, head) {
            Some(incoming) => {
                growing.to_disk(incoming);
                true
            }
            None => false,
        }
    }
}

/// The response whose head stands in `work` is stored while it goes to the client.
#[allow(clippy::too_many_arguments)]
pub async fn relay(
    connection: &mut Connection,
    work: &mut Work,
    flow: &mut Flow<'_>,
    cache: &Arc<Cache>,
    mut begun: Begun,
    permit: Permit,
    upstream: Upstream,
    idle: Duration,
    keep: bool,
) -> Served {
    let core = Rc::clone(&connection.core);
    cache.announce(&mut begun);
    let expected = match work.response.framing {
        Framing::Length(length) => Some(length),
        Framing::None => Some(0),
        _ => None,
    };
    let growing = Growing::new(expected);
    let packs = begun.packs;
    let object = Arc::new(begun.into_object(Body::Growing(Arc::clone(&growing))));
    let most = flow.cache_rules().map_or(0, |rules| rules.policy.max_object);
    let mut fill = Fill::new(&core, cache, &object, &growing, permit.lead, upstream, work, idle, most);
    fill.packs = packs;
    if expected.is_some_and(|e| e > cache.most_in_memory) && !cache.begin_on_disk(&object, &growing) {
        fill.pass();
    }
    let large = growing.is_on_disk();
    fill.reserve(if large { super::growing::AHEAD } else { expected.unwrap_or(STEP).min(STEP) });
    if growing.is_passing() {
        flow.set_not_stored(Refusal::Busy);
    }
    if let Some(lead) = &fill.lead {
        // What may not be used again without asking is nobody else's.
        if object.meta.no_cache || object.meta.ttl_ms(object.meta.received_ms) <= 0 {
            if let Some(lead) = fill.lead.take() {
                lead.set_free();
            }
        } else {
            lead.share(Arc::clone(&object));
        }
    }
    let mut guarded = Guarded(Some(fill));
    let served = serve_object(connection, work, flow, cache, &object, None, keep, Some(&mut guarded)).await;
    let served = match (served.outcome, guarded.fill().and_then(|f| f.outcome)) {
        (Relayed::UpstreamAborted(_), Some(Err(slug))) => Served { outcome: Relayed::UpstreamAborted(slug), ..served },
        (Relayed::NothingSent(_), Some(Err(slug))) => Served { outcome: Relayed::NothingSent(slug), ..served },
        _ => served,
    };
    drop(guarded);
    served
}

/// The response is the first piece of a sliced one: it is stored as that, and the client is served from the pieces.
#[allow(clippy::too_many_arguments)]
pub async fn relay_slice(
    connection: &mut Connection,
    work: &mut Work,
    flow: &mut Flow<'_>,
    cache: &Arc<Cache>,
    mut begun: Begun,
    permit: Permit,
    upstream: Upstream,
    idle: Duration,
    keep: bool,
    slicing: Slicing,
    index: u64,
) -> Served {
    cache.announce(&mut begun);
    let whole = Arc::new(Cache::whole_of(begun, slicing));
    cache.keep(&whole, false);
    if let Some(lead) = permit.lead {
        lead.leave();
        lead.share(Arc::clone(&whole));
    }
    let lead = match cache.flights.board(slice_key(whole.key, slicing, index)) {
        Boarding::Lead(lead) => Some(lead),
        Boarding::Wait(_) => None,
    };
    let core = Rc::clone(&connection.core);
    let mut guarded = Guarded(Some(Fill::of_piece(&core, cache, &whole, slicing, index, lead, upstream, work, idle)));
    serve_object(connection, work, flow, cache, &whole, None, keep, Some(&mut guarded)).await
}

/// Brings a piece to its end for those who wait for it.
#[allow(clippy::too_many_arguments)]
pub async fn fill_slice(
    connection: &mut Connection,
    work: &mut Work,
    cache: &Arc<Cache>,
    whole: &Arc<Object>,
    index: u64,
    lead: Lead,
    upstream: Upstream,
    idle: Duration,
) -> Relayed {
    let mut fields = Vec::new();
    reviver_cache::write_stored_fields(&work.response, &reviver_cache::Control::default(), &mut fields);
    let Body::Sliced(slicing) = &whole.body else { return Relayed::ClientAborted };
    let slicing = **slicing;
    if work.response.status != 206 || slicing_of(&fields, slicing.slice, index) != Some(slicing) {
        // The resource has changed: its pieces are of no use any more.
        cache.forget(whole.key);
        return Relayed::ClientAborted;
    }
    let core = Rc::clone(&connection.core);
    let mut fill = Fill::of_piece(&core, cache, whole, slicing, index, Some(lead), upstream, work, idle);
    match poll_fn(|cx| fill.poll(cx)).await {
        Ok(()) => Relayed::Complete,
        Err(slug) => Relayed::UpstreamAborted(slug),
    }
}

impl Fill {
    /// A piece of a sliced response, shown to those who wait for it.
    #[allow(clippy::too_many_arguments)]
    fn of_piece(
        core: &Rc<Core>,
        cache: &Arc<Cache>,
        whole: &Object,
        slicing: Slicing,
        index: u64,
        lead: Option<Lead>,
        upstream: Upstream,
        work: &mut Work,
        idle: Duration,
    ) -> Self {
        let (start, end) = slicing.range(index);
        let growing = Growing::new(Some(end - start));
        let piece = Arc::new(Cache::piece_of(whole, slicing, index, &growing));
        if let Some(lead) = &lead {
            lead.share(Arc::clone(&piece));
        }
        Self::new(core, cache, &piece, &growing, lead, upstream, work, idle, u64::MAX)
    }

    #[allow(clippy::too_many_arguments)]
    fn new(
        core: &Rc<Core>,
        cache: &Arc<Cache>,
        object: &Arc<Object>,
        growing: &Arc<Growing>,
        lead: Option<Lead>,
        upstream: Upstream,
        work: &mut Work,
        idle: Duration,
        most: u64,
    ) -> Self {
        let http2 = upstream.stream.is_http2();
        let response: &ResponseHead = &work.response;
        let framing = response.framing;
        let from = if http2 && framing != Framing::None { Framing::UntilClose } else { framing };
        let limits = HeadLimits { head: 128 * 1024, fields: HeadLimits::MAX_FIELDS, target: 0 };
        let keeps = response.keep_alive && from != Framing::UntilClose;
        let mut input = std::mem::replace(&mut work.upstream_in, Buf::with_size(BUFFER_SIZE));
        if matches!(framing, Framing::Length(length) if length > LARGE) {
            input.grow(LARGE_BUFFER);
        }
        let timer = core.timers.timer();
        timer.set(Instant::now(), idle);
        Self {
            cache: Arc::clone(cache),
            upstream: Some(upstream),
            input,
            pump: Pump::new(Vec::new(), from, Framing::UntilClose, 0, &limits),
            object: Arc::clone(object),
            growing: Arc::clone(growing),
            lead,
            timer,
            idle,
            keeps,
            most,
            packs: false,
            reserved: 0,
            orphan: false,
            outcome: None,
        }
    }
}
