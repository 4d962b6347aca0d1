//! Large responses fetched and kept in pieces of one size, each an object of its own.
//!
//! What stands under the resource's key knows the fields, the length and the version; the pieces have keys made of that
//! version, so that pieces of different versions are never put together.

use std::sync::Arc;
use std::task::Poll;

use reviver_balance::Side;
use reviver_cache::{ContentRange, Meta, value_of, write_without};
use reviver_flow::{Ending, Flow, Relayed, Slug};
use reviver_http::{FieldKind, RequestHead};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::flight::{Boarding, Flight, Landing, Lead};
use super::growing::Growing;
use super::object::{Body, Object, SLICE_STATUS};
use super::parts::strong_tag;
use super::store::Begun;
use super::{Cache, Finding};
use crate::connection::Connection;
use crate::mirror::Shadow;
use crate::own;
use crate::work::Work;

/// What a request of the proxy's own is for.
#[derive(Debug)]
pub enum Job {
    /// What is stored is validated; the lead keeps others from doing the same.
    Refresh { side: Option<Side>, _lead: Lead },
    /// A piece is fetched.
    Slice { whole: Arc<Object>, index: u64, side: Option<Side>, lead: Option<Lead> },
    /// It is a copy.
    Shadow(Box<Shadow>),
    /// It has been done.
    Done,
}

impl Job {
    /// The variant of a split whose response it is.
    pub fn side(&self) -> Option<Side> {
        match self {
            Self::Refresh { side, .. } | Self::Slice { side, .. } => *side,
            Self::Shadow(shadow) => shadow.side,
            Self::Done => None,
        }
    }

    /// The pool that gets it instead of the one that answers people.
    pub fn shadow(&self) -> Option<u32> {
        match self {
            Self::Shadow(shadow) => Some(shadow.pool),
            _ => None,
        }
    }

    /// Bytes of the response as a client would get them.
    pub fn written(&mut self, bytes: &[u8]) {
        if let Self::Shadow(shadow) = self {
            shadow.written(bytes);
        }
    }

    pub fn ended(&mut self, ending: Ending, answered: bool) {
        if let Self::Shadow(shadow) = self {
            shadow.ended(ending, answered);
        }
    }
}

/// First and last byte of a piece; none where the object is not sliced.
pub fn slice_range(whole: &Object, index: u64) -> Option<(u64, u64)> {
    let Body::Sliced(slicing) = &whole.body else { return None };
    let (start, end) = slicing.range(index);
    Some((start, end.saturating_sub(1)))
}

/// How a sliced response is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slicing {
    pub slice: u64,
    pub length: u64,
    pub version: u64,
}

impl Slicing {
    /// The bytes of a piece; the end is exclusive.
    pub fn range(&self, index: u64) -> (u64, u64) {
        (index * self.slice, ((index + 1) * self.slice).min(self.length))
    }
}

pub fn slice_key(whole: u128, slicing: Slicing, index: u64) -> u128 {
    let mut bytes = Vec::with_capacity(48);
    bytes.extend_from_slice(&whole.to_le_bytes());
    for number in [slicing.slice, slicing.length, slicing.version, index] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    xxh3_128(&bytes)
}

/// The number of the piece that a request needs first.
pub fn first_slice(request: &RequestHead, slice: u64) -> u64 {
    let start = || {
        let value = request.values(FieldKind::Range).next()?;
        let digits = value.strip_prefix(b"bytes=")?.split(|b| *b == b'-').next()?;
        std::str::from_utf8(digits).ok()?.parse::<u64>().ok()
    };
    start().map_or(0, |start| start / slice)
}

/// How the 206 that answers the request for a piece divides the response. None: it is another part than was asked for,
/// or cannot be told from other versions.
pub fn slicing_of(fields: &[u8], slice: u64, index: u64) -> Option<Slicing> {
    let range = ContentRange::parse(value_of(fields, b"content-range")?)?;
    let length = range.complete?;
    let version = xxh3_64(strong_tag(fields).or_else(|| value_of(fields, b"last-modified"))?);
    let slicing = Slicing { slice, length, version };
    ((range.start, range.end) == slicing.range(index)).then_some(slicing)
}

impl Cache {
    /// The object that stands for all pieces, made of the answer to the request for one.
    pub(super) fn whole_of(begun: Begun, slicing: Slicing) -> Object {
        let mut fields = Vec::with_capacity(begun.fields.len());
        write_without(&begun.fields, &[b"content-range"], &mut fields);
        let meta = Meta { status: 200, content_length: Some(slicing.length), ..begun.meta.clone() };
        let object = Object::new(begun.key, begun.label.bytes(), meta, &fields, Body::Sliced(Arc::new(slicing)));
        object.born_at(begun.born)
    }

    pub(super) fn piece_of(whole: &Object, slicing: Slicing, index: u64, growing: &Arc<Growing>) -> Object {
        let meta = Meta { status: SLICE_STATUS, ..whole.meta.clone() };
        let key = slice_key(whole.key, slicing, index);
        Object::new(key, whole.label(), meta, &[], Body::Growing(Arc::clone(growing))).born_at(whole.born)
    }

    /// A piece that is there. It is not looked for by its name, and so not by what the name says of freshness: the whole
    /// was judged.
    fn piece(&self, key: u128) -> Finding {
        match self.memory.get(key) {
            Some(super::memory::Slot::Object(object)) => Finding::Object(object),
            _ => self.on_disk(key).unwrap_or(Finding::Nothing { varies: false }),
        }
    }
}

/// A sliced response with where its pieces are kept.
#[derive(Clone, Copy)]
pub struct Sliced<'a> {
    pub cache: &'a Arc<Cache>,
    pub whole: &'a Arc<Object>,
    pub slicing: Slicing,
}

impl Sliced<'_> {
    fn key(&self, index: u64) -> u128 {
        slice_key(self.whole.key, self.slicing, index)
    }

    /// Brings a piece: from the store, from a fetch that is under way, or from one that it begins.
    pub async fn bring(
        &self,
        connection: &mut Connection,
        work: &mut Work,
        flow: &Flow<'_>,
        index: u64,
    ) -> Result<Arc<Object>, Relayed> {
        for _ in 0..3 {
            match self.cache.piece(self.key(index)) {
                Finding::Object(object) => return Ok(object),
                Finding::OnDisk(key, found, since) => {
                    super::disk::load(self.cache, key, found, since).await;
                    continue;
                }
                _ => {}
            }
            let flight = self.begin(connection, work, flow, index);
            match wait(connection, work, &flight).await? {
                Landing::Shared(object) => return Ok(object),
                Landing::Alone | Landing::Failed => {}
            }
        }
        Err(Relayed::UpstreamAborted(Slug::ResponseIncomplete))
    }

    /// Begins to fetch a piece that will be needed, where it is not there.
    pub fn prefetch(&self, connection: &Connection, work: &Work, flow: &Flow<'_>, index: u64) {
        if matches!(self.cache.piece(self.key(index)), Finding::Nothing { .. }) {
            self.begin(connection, work, flow, index);
        }
    }

    fn begin(&self, connection: &Connection, work: &Work, flow: &Flow<'_>, index: u64) -> Arc<Flight> {
        match self.cache.flights.board(self.key(index)) {
            Boarding::Wait(flight) => flight,
            Boarding::Lead(lead) => {
                let flight = lead.flight();
                let side = flow.record.chosen.map(|c| c.side);
                let job = Job::Slice { whole: Arc::clone(self.whole), index, side, lead: Some(lead) };
                start(connection, work, flow, job);
                flight
            }
        }
    }
}

/// Makes a request of the cache's own, like the client's.
pub fn start(connection: &Connection, work: &Work, flow: &Flow<'_>, job: Job) {
    let Some((snapshot, _)) = connection.snapshot() else { return };
    let mut own = connection.for_job(job);
    let listener = flow.record.listener;
    let request = work.request.clone();
    tokio::task::spawn_local(async move { own::carry(&mut own, &snapshot, listener, request, &[]).await });
}

async fn wait(connection: &mut Connection, work: &mut Work, flight: &Flight) -> Result<Landing, Relayed> {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(landing) = flight.poll(cx) {
            return Poll::Ready(Ok(landing));
        }
        if connection.poll_gone(cx, work).is_ready() {
            return Poll::Ready(Err(Relayed::ClientAborted));
        }
        // The fetch has its own times; the proxy may stop.
        match connection.core.is_stopping() {
            true => Poll::Ready(Err(Relayed::Expired(Slug::Draining))),
            false => Poll::Pending,
        }
    })
    .await
}
