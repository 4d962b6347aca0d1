//! A stored response on its way to a client.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_cache::Why;
use reviver_flow::{BodyPlan, Flow, Relayed, ServedFrom, Slug};
use reviver_http::{Framing, Method, write_chunk_head, write_last_chunk};
use reviver_store::BLOCK;
use smallvec::SmallVec;

use super::Cache;
use super::disk::read_block;
use super::fill::Guarded;
use super::growing::{Growing, Piece};
use super::object::{Body, Object};
use super::shape::{Stretch, shape};
use super::slices::Sliced;
use crate::connection::Connection;
use crate::deliver::write_head;
use crate::http2::{head_size, response_for_client};
use crate::work::Work;

/// Bodies up to this size are copied behind their heads.
const COPIED: usize = 8 * 1024;

/// What came of it.
#[derive(Debug)]
pub struct Served {
    pub outcome: Relayed,
    /// Everything that was written, and of it the body.
    pub bytes: u64,
    pub body: u64,
    /// The client may send another request.
    pub keep_alive: bool,
    /// Nothing has been written, and what is stored could not be read.
    pub unreadable: bool,
}

/// Serves what a look found.
#[allow(clippy::too_many_arguments)]
pub async fn serve(
    connection: &mut Connection,
    work: &mut Work,
    flow: &mut Flow<'_>,
    cache: &Arc<Cache>,
    object: &Arc<Object>,
    why: Why,
    collapsed: bool,
    keep: bool,
) -> Served {
    object.hits.fetch_add(1, Ordering::Relaxed);
    serve_object(connection, work, flow, cache, object, Some((why, collapsed)), keep, None).await
}

/// `served`: why, and whether it was collapsed; none: it is the response that is being fetched for this client.
#[allow(clippy::too_many_arguments)]
pub(super) async fn serve_object(
    connection: &mut Connection,
    work: &mut Work,
    flow: &mut Flow<'_>,
    cache: &Arc<Cache>,
    object: &Arc<Object>,
    served: Option<(Why, bool)>,
    keep: bool,
    guarded: Option<&mut Guarded>,
) -> Served {
    let now_ms = connection.core.unix_ms_at(Instant::now());
    let length = object.length();
    let mut stretches: SmallVec<[Stretch; 1]> = SmallVec::new();
    let status = match served {
        // The one who fetches it gets also the fields that are not stored.
        None if is_as_it_came(flow, object) => {
            if work.request.method == Method::Head {
                work.response.framing = Framing::None;
            }
            if work.response.framing != Framing::None {
                stretches.push(Stretch { before: Vec::new(), start: 0, end: length });
            }
            work.response.status
        }
        _ => shape(work, flow, object, length, &mut stretches),
    };
    if let Some((why, collapsed)) = served {
        let (age_ms, ttl_ms) = (object.meta.age_ms(now_ms), object.meta.ttl_ms(now_ms));
        flow.set_served(ServedFrom { why, age_ms, ttl_ms, collapsed, status });
    } else {
        flow.record.status = status;
    }
    let plan = BodyPlan::new(&work.request, &work.response, keep);
    let mut sender = Sender {
        connection,
        guarded,
        head: Vec::new(),
        bytes: 0,
        body: 0,
        begun: false,
        chunked: plan.framing == Framing::Chunked,
    };
    let outcome = sender.run(work, flow, cache, object, plan, &stretches).await;
    let (bytes, body, begun) = (sender.bytes, sender.body, sender.begun);
    let unreadable = !begun && outcome == Relayed::NothingSent(Slug::ResponseIncomplete) && served.is_some();
    Served { outcome, bytes, body, keep_alive: plan.keep_alive, unreadable }
}

/// Whether the response whose head stands in `work` is what is being stored, and wanted as it is.
fn is_as_it_came(flow: &Flow<'_>, object: &Object) -> bool {
    let ask = flow.ask();
    matches!(object.body, Body::Growing(_)) && !ask.range && !ask.conditional
}

/// Leaves when it is dropped.
struct Reader<'g> {
    growing: &'g Growing,
    number: usize,
}

impl<'g> Reader<'g> {
    /// None where the place has been let go.
    fn enter(growing: &'g Growing, at: u64) -> Option<Self> {
        Some(Self { growing, number: growing.enter(at)? })
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.growing.advance(self.number, None);
    }
}

struct Sender<'c, 'f> {
    connection: &'c mut Connection,
    guarded: Option<&'f mut Guarded>,
    /// The head, until it goes with the first bytes of the body.
    head: Vec<u8>,
    bytes: u64,
    body: u64,
    /// Something has been written.
    begun: bool,
    chunked: bool,
}

/// What a step came to.
type Step<T> = Result<T, Relayed>;

impl Sender<'_, '_> {
    async fn run(
        &mut self,
        work: &mut Work,
        flow: &Flow<'_>,
        cache: &Arc<Cache>,
        object: &Arc<Object>,
        plan: BodyPlan,
        stretches: &[Stretch],
    ) -> Relayed {
        let result = self.run_on(work, flow, cache, object, plan, stretches).await;
        let mut out = std::mem::take(&mut self.head);
        out.clear();
        work.to_client = out;
        result.err().unwrap_or(Relayed::Complete)
    }

    async fn run_on(
        &mut self,
        work: &mut Work,
        flow: &Flow<'_>,
        cache: &Arc<Cache>,
        object: &Arc<Object>,
        plan: BodyPlan,
        stretches: &[Stretch],
    ) -> Step<()> {
        let empty = stretches.iter().all(|s| s.before.is_empty() && s.end == Some(s.start));
        let http2 = self.connection.stream.is_http2();
        let mut reader = None;
        if let Body::Growing(growing) = &object.body
            && !empty
        {
            let start = stretches.iter().map(|s| s.start).min().unwrap_or(0);
            reader = Some(Reader::enter(growing, start).ok_or_else(|| self.broken())?);
            // The head waits for the first bytes: until then a failure can still be told.
            self.arrive(work, growing, start).await?;
        }
        self.head = std::mem::take(&mut work.to_client);
        self.head.clear();
        self.connection.answering = true;
        if http2 {
            let response = response_for_client(flow, &work.request, &work.response, Some(plan));
            self.bytes += head_size(&response);
            self.begun = true;
            let sent = self.connection.stream.http2().is_some_and(|s| s.respond(response, empty).is_ok());
            if !sent {
                return Err(Relayed::ClientAborted);
            }
        } else {
            write_head(&mut self.head, work, flow, Some(plan));
        }
        for (index, stretch) in stretches.iter().enumerate() {
            let last = index + 1 == stretches.len();
            if !stretch.before.is_empty() {
                self.body += stretch.before.len() as u64;
                let ends = last && stretch.end == Some(stretch.start);
                self.write(&stretch.before, ends).await?;
            }
            let later = stretches[index + 1..].iter().map(|s| s.start).min();
            let stand = reader.as_ref().map(|reader| (reader.number, later));
            self.stretch(work, flow, cache, object, stretch, stand, last).await?;
        }
        if self.chunked {
            let mut end = Vec::new();
            write_last_chunk(&mut end, std::iter::empty());
            self.write(&end, true).await?;
        }
        self.write(&[], true).await?;
        self.connection.stream.finish(None).map_err(|_| Relayed::ClientAborted)
    }

    #[allow(clippy::too_many_arguments)]
    async fn stretch(
        &mut self,
        work: &mut Work,
        flow: &Flow<'_>,
        cache: &Arc<Cache>,
        object: &Arc<Object>,
        stretch: &Stretch,
        stand: Option<(usize, Option<u64>)>,
        last: bool,
    ) -> Step<()> {
        match &object.body {
            Body::None => Ok(()),
            Body::Inline => {
                let bytes = object.inline_body();
                let (start, end) = (stretch.start as usize, stretch.end.unwrap_or(bytes.len() as u64) as usize);
                self.body_bytes(&bytes[start..end], last).await
            }
            Body::One(block) => {
                let (start, end) = (stretch.start as usize, stretch.end.unwrap_or(block.len() as u64) as usize);
                self.body_bytes(&block[start..end], last).await
            }
            Body::Many(many) => {
                let end = stretch.end.unwrap_or(many.length);
                let mut at = stretch.start;
                while at < end {
                    let block = &many.blocks[(at / BLOCK as u64) as usize];
                    let from = (at % BLOCK as u64) as usize;
                    let count = ((end - at) as usize).min(block.len() - from);
                    at += count as u64;
                    self.body_bytes(&block[from..from + count], last && at == end).await?;
                }
                Ok(())
            }
            Body::Packed(packed, length) => {
                // It was packed here: only a fault of memory could make it unreadable.
                let whole = lz4_flex::decompress(packed, *length as usize).map_err(|_| self.broken())?;
                let (start, end) = (stretch.start as usize, stretch.end.unwrap_or(u64::from(*length)) as usize);
                self.body_bytes(&whole[start..end], last).await
            }
            Body::Disk(length) => {
                let end = stretch.end.unwrap_or(*length);
                self.disk_part(cache, object.key, *length, stretch.start, end, last).await
            }
            Body::Parts(pieces) => {
                let (start, end) = (stretch.start, stretch.end.unwrap_or(pieces.length));
                let bytes = pieces.get(start, end).ok_or_else(|| self.broken())?;
                self.body_bytes(bytes, last).await
            }
            Body::Sliced(slicing) => {
                let end = stretch.end.unwrap_or(slicing.length);
                let sliced = Sliced { cache, whole: object, slicing: **slicing };
                self.slices_part(work, flow, sliced, stretch.start, end).await
            }
            Body::Growing(growing) => self.growing(work, cache, object.key, growing, stretch, stand).await,
        }
    }

    /// Piece after piece; while one is sent the next is fetched.
    async fn slices_part(
        &mut self,
        work: &mut Work,
        flow: &Flow<'_>,
        sliced: Sliced<'_>,
        start: u64,
        end: u64,
    ) -> Step<()> {
        let (cache, slicing) = (sliced.cache, sliced.slicing);
        let mut at = start;
        while at < end {
            let index = at / slicing.slice;
            let (from, to) = slicing.range(index);
            let bring = sliced.bring(self.connection, work, flow, index);
            let piece = Box::pin(bring).await.map_err(|relayed| match relayed {
                Relayed::UpstreamAborted(_) => self.broken(),
                other => other,
            })?;
            if to < end {
                sliced.prefetch(self.connection, work, flow, index + 1);
            }
            let stretch = Stretch { before: Vec::new(), start: at - from, end: Some(end.min(to) - from) };
            let reader = match &piece.body {
                Body::Growing(growing) => Some(Reader::enter(growing, stretch.start).ok_or_else(|| self.broken())?),
                _ => None,
            };
            let stand = reader.as_ref().map(|reader| (reader.number, None));
            Box::pin(self.stretch(work, flow, cache, &piece, &stretch, stand, false)).await?;
            drop(reader);
            at = end.min(to);
        }
        Ok(())
    }

    fn broken(&self) -> Relayed {
        if self.begun {
            Relayed::UpstreamAborted(Slug::ResponseIncomplete)
        } else {
            Relayed::NothingSent(Slug::ResponseIncomplete)
        }
    }

    async fn disk_part(
        &mut self,
        cache: &Arc<Cache>,
        key: u128,
        length: u64,
        start: u64,
        end: u64,
        last: bool,
    ) -> Step<()> {
        let Some(disk) = &cache.disk else { return Err(self.broken()) };
        let found = disk.find(key).filter(|f| f.body_len == length).ok_or_else(|| self.broken())?;
        let mut at = start;
        let core = Rc::clone(&self.connection.core);
        let mut block = core.blocks.take_or(|| Vec::with_capacity(BLOCK));
        while at < end {
            let index = at / BLOCK as u64;
            read_block(disk, &found, index, &mut block).await.ok_or_else(|| self.broken())?;
            let from = (at % BLOCK as u64) as usize;
            let Some(part) = block.get(from..).filter(|p| !p.is_empty()) else { return Err(self.broken()) };
            let count = ((end - at) as usize).min(part.len());
            at += count as u64;
            self.body_bytes(&part[..count], last && at == end).await?;
        }
        core.blocks.give(block);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    async fn growing(
        &mut self,
        work: &mut Work,
        cache: &Arc<Cache>,
        key: u128,
        growing: &Arc<Growing>,
        stretch: &Stretch,
        stand: Option<(usize, Option<u64>)>,
    ) -> Step<()> {
        let mut at = stretch.start;
        let mut copied = Vec::new();
        while stretch.end.is_none_or(|end| at < end) {
            copied.clear();
            let piece = self.next_piece(work, growing, at, &mut copied).await?;
            let most = stretch.end.map_or(usize::MAX, |end| usize::try_from(end - at).unwrap_or(usize::MAX));
            let count = match piece {
                Piece::Block(block, from) => {
                    let count = most.min(block.len() - from);
                    self.body_bytes(&block[from..from + count], false).await?;
                    count
                }
                Piece::Copied => {
                    let count = most.min(copied.len());
                    self.body_bytes(&copied[..count], false).await?;
                    count
                }
                Piece::OnDisk(index) => {
                    let read = growing.disk().is_some_and(|disk| disk.read_block(index, &mut copied).is_ok());
                    if !read {
                        // It is finished meanwhile, and found by its key.
                        let Some(length) = growing.length() else { return Err(self.broken()) };
                        let end = stretch.end.unwrap_or(length);
                        return self.disk_part(cache, key, length, at, end, false).await;
                    }
                    let from = (at % BLOCK as u64) as usize;
                    let Some(part) = copied.get(from..).filter(|p| !p.is_empty()) else { return Err(self.broken()) };
                    let count = most.min(part.len());
                    self.body_bytes(&part[..count], false).await?;
                    count
                }
                Piece::End if stretch.end.is_none() => break,
                Piece::End | Piece::Failed => return Err(self.broken()),
            };
            at += count as u64;
            if let Some((number, later)) = stand {
                growing.advance(number, Some(later.map_or(at, |later| later.min(at))));
            }
        }
        Ok(())
    }

    /// Waits for the first bytes of what is wanted.
    async fn arrive(&mut self, work: &mut Work, growing: &Growing, start: u64) -> Step<()> {
        match self.next_piece(work, growing, start, &mut Vec::new()).await? {
            Piece::Failed => Err(self.broken()),
            _ => Ok(()),
        }
    }

    async fn next_piece(&mut self, work: &mut Work, growing: &Growing, at: u64, copied: &mut Vec<u8>) -> Step<Piece> {
        let mut deadline = None;
        poll_fn(|cx| {
            if let Some(fill) = self.guarded.as_mut().and_then(|g| g.fill()) {
                // Its end shows in what it has filled.
                let _ = fill.poll(cx);
            }
            if let Poll::Ready(piece) = growing.poll_read(cx, at, copied) {
                return Poll::Ready(Ok(piece));
            }
            if self.connection.poll_gone(cx, work).is_ready() {
                return Poll::Ready(Err(Relayed::ClientAborted));
            }
            let until = *deadline.get_or_insert_with(|| {
                let (now, patience) = (Instant::now(), self.patience().1);
                self.connection.wait_until(now, now + patience);
                now + patience
            });
            if self.connection.poll_deadline(cx, until) {
                let stops = self.connection.core.is_stopping();
                return Poll::Ready(Err(match (self.begun, stops) {
                    (_, true) => Relayed::Expired(Slug::Draining),
                    (true, false) => Relayed::Expired(Slug::ReadTimeout),
                    (false, false) => Relayed::NothingSent(Slug::ReadTimeout),
                }));
            }
            Poll::Pending
        })
        .await
    }

    /// How long a client may take none, and how long a body may bring none.
    fn patience(&self) -> (Duration, Duration) {
        let timeouts = self
            .connection
            .snapshot()
            .and_then(|(s, i)| s.snapshot.listener(i).map(|l| (l.timeouts.body_ms, l.timeouts.idle_ms)));
        let (body, idle) = timeouts.unwrap_or((30_000, 60_000));
        (Duration::from_millis(body), Duration::from_millis(idle))
    }

    /// Bytes of the body proper, framed as the client needs it.
    async fn body_bytes(&mut self, bytes: &[u8], last: bool) -> Step<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.body += bytes.len() as u64;
        if !self.chunked {
            return self.write(bytes, last).await;
        }
        let mut framed = Vec::with_capacity(bytes.len() + 16);
        write_chunk_head(&mut framed, bytes.len());
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.write(&framed, false).await
    }

    /// Writes what is left of the head, and these bytes behind it.
    async fn write(&mut self, bytes: &[u8], last: bool) -> Step<()> {
        let mut bytes = bytes;
        if !self.head.is_empty() && bytes.len() <= COPIED {
            // One run of bytes goes out cheaper than two.
            self.head.extend_from_slice(bytes);
            bytes = &[];
        }
        let total = self.head.len() + bytes.len();
        let mut written = 0;
        let mut deadline: Option<Instant> = None;
        let result = poll_fn(|cx| {
            while written < total {
                let (head, body) =
                    (self.head.get(written..).unwrap_or_default(), &bytes[written.saturating_sub(self.head.len())..]);
                match self.connection.stream.poll_write_both(cx, head, body, last) {
                    Poll::Ready(Ok(count)) if count > 0 => {
                        written += count;
                        self.begun = true;
                        deadline = None;
                    }
                    Poll::Ready(_) => return Poll::Ready(Err(Relayed::ClientAborted)),
                    Poll::Pending => {
                        if let Some(fill) = self.guarded.as_mut().and_then(|g| g.fill()) {
                            // Others read faster than this client.
                            let _ = fill.poll(cx);
                        }
                        let until = *deadline.get_or_insert_with(|| {
                            let (now, patience) = (Instant::now(), self.patience().0);
                            self.connection.wait_until(now, now + patience);
                            now + patience
                        });
                        if self.connection.poll_deadline(cx, until) {
                            let stops = self.connection.core.is_stopping();
                            return Poll::Ready(Err(Relayed::Expired(if stops {
                                Slug::Draining
                            } else {
                                Slug::SlowClient
                            })));
                        }
                        return Poll::Pending;
                    }
                }
            }
            match self.connection.stream.poll_flush(cx) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                Poll::Ready(Err(_)) => Poll::Ready(Err(Relayed::ClientAborted)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        self.bytes += written as u64;
        self.head.clear();
        result
    }
}
