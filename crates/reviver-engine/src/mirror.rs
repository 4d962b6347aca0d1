//! Copies of requests for another pool: nobody waits for them, and nobody gets their answers.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_balance::Side;
use reviver_flow::{Ending, Flow};
use reviver_http::{FieldKind, Framing, Method, RequestHead, Version};
use reviver_plan::Mirror;
use xxhash_rust::xxh3::Xxh3;

use crate::buffers::BUFFER_SIZE;
use crate::cache::Job;
use crate::compare::{Differences, Sight};
use crate::connection::Connection;
use crate::core::{Core, CoreSnapshot};
use crate::own;
use crate::work::Work;

/// A head larger than this is not compared.
const MOST_HEAD: usize = 128 * 1024;

/// A request that is a copy, or one more of those that its answer is compared with.
#[derive(Debug)]
pub struct Shadow {
    pub pool: u32,
    pub side: Option<Side>,
    /// None: the answer is thrown away unseen.
    seen: Option<Seen>,
}

/// What of an answer is compared: written as to a client of HTTP/1.0, so that its body is not framed.
struct Seen {
    head: Vec<u8>,
    in_body: bool,
    hash: Xxh3,
    length: u64,
    whole: bool,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seen {{ length: {} }}", self.length)
    }
}

impl Shadow {
    /// Bytes of the answer.
    pub fn written(&mut self, bytes: &[u8]) {
        let Some(seen) = &mut self.seen else { return };
        if seen.in_body {
            return seen.body(bytes);
        }
        seen.head.extend_from_slice(bytes);
        let end = memchr::memmem::find(&seen.head, b"\r\n\r\n");
        if let Some(end) = end {
            let body = seen.head.split_off(end + 4);
            seen.in_body = true;
            seen.body(&body);
        } else if seen.head.len() > MOST_HEAD {
            self.seen = None;
        }
    }

    /// `answered`: by a server, and not by the proxy in its place.
    pub fn ended(&mut self, ending: Ending, answered: bool) {
        if let Some(seen) = &mut self.seen {
            seen.whole = ending == Ending::Complete && answered;
        }
    }
}

impl Seen {
    fn new() -> Self {
        Self { head: Vec::new(), in_body: false, hash: Xxh3::new(), length: 0, whole: false }
    }

    fn body(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn sight(self) -> Option<Sight> {
        let lines = memchr::memmem::find(&self.head, b"\r\n")? + 2;
        let status = std::str::from_utf8(self.head.get(9..12)?).ok()?.parse().ok()?;
        let fields = self.head.get(lines..self.head.len() - 2)?.to_vec();
        Some(Sight { status, fields, hash: self.hash.digest128(), length: self.length, whole: self.whole })
    }
}

/// One copy more under way on this core, until it is dropped.
struct UnderWay(Rc<Core>);

impl UnderWay {
    fn enter(core: &Rc<Core>, most: u32) -> Option<Self> {
        let count = core.mirrored.get();
        (count < most as usize).then(|| {
            core.mirrored.set(count + 1);
            Self(Rc::clone(core))
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.mirrored.set(self.0.mirrored.get() - 1);
    }
}

/// Copies the request that stands in `work`. Its body is waited for, so that it can be sent twice.
pub async fn copy(
    connection: &mut Connection,
    work: &mut Work,
    snapshot: &Rc<CoreSnapshot>,
    flow: &Flow<'_>,
    mirror: &Mirror,
) {
    let core = Rc::clone(&connection.core);
    let Some(name) = flow.mirror_name() else { return };
    let skip = |why| core.shared.mirrors.skipped(name, why);
    let head = &work.request;
    let length = match head.framing {
        _ if head.extended_connect || head.values(FieldKind::Upgrade).next().is_some() => return skip("upgrade"),
        Framing::None => 0,
        Framing::Length(length) if length <= mirror.body && !head.expect_continue => length as usize,
        _ => return skip("body"),
    };
    let Some(under_way) = UnderWay::enter(&core, mirror.max) else { return skip("busy") };
    if length > 0 && !hold(connection, work, snapshot, flow, length).await {
        return skip("body");
    }
    let copy = Copied {
        snapshot: Rc::clone(snapshot),
        listener: flow.record.listener,
        request: work.request.clone(),
        body: work.client_in.bytes()[..length].to_vec(),
        side: flow.record.chosen.map(|c| c.side),
    };
    let compares = mirror.compare.is_some() && matches!(copy.request.method, Method::Get | Method::Head);
    let compare = mirror.compare.clone().filter(|_| compares);
    let (mirrored, answering) = (mirror.pool, flow.record.pool);
    let route = flow.route().map_or_else(String::new, |r| r.name.clone());
    let name = name.to_owned();
    let origin = connection.for_job(Job::Done);
    tokio::task::spawn_local(async move {
        let _under_way = under_way;
        let mirrors = &core.shared.mirrors;
        mirrors.copied(&name);
        let (Some(compare), Some(answering)) = (compare, answering) else {
            copy.carry(&origin, mirrored, false).await;
            return;
        };
        let first = copy.carry(&origin, answering, true).await;
        let second = copy.carry(&origin, answering, true).await;
        let other = copy.carry(&origin, mirrored, true).await;
        let differences = match (&first, &second, &other) {
            (Some(first), Some(second), Some(other)) => Differences::between(first, second, other, &compare),
            _ => None,
        };
        let path = String::from_utf8_lossy(copy.request.path()).into_owned();
        mirrors.compared(&name, &route, &path, differences);
    });
}

/// Reads the request's body without taking it. False where it does not come.
async fn hold(
    connection: &mut Connection,
    work: &mut Work,
    snapshot: &CoreSnapshot,
    flow: &Flow<'_>,
    length: usize,
) -> bool {
    let patience = snapshot.snapshot.listener(flow.record.listener).map_or(60_000, |l| l.timeouts.body_ms);
    let now = Instant::now();
    let until = now + Duration::from_millis(patience);
    connection.wait_until(now, until);
    work.client_in.grow(length.max(BUFFER_SIZE));
    poll_fn(|cx| {
        while work.client_in.len() < length {
            match connection.stream.poll_read(cx, &mut work.client_in) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending if connection.poll_deadline(cx, until) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(true)
    })
    .await
}

/// A request that can be sent again.
struct Copied {
    snapshot: Rc<CoreSnapshot>,
    listener: u16,
    request: RequestHead,
    body: Vec<u8>,
    side: Option<Side>,
}

impl Copied {
    /// Sends it to a pool; what the answer was, where that is wanted.
    async fn carry(&self, origin: &Connection, pool: u32, look: bool) -> Option<Sight> {
        let seen = look.then(Seen::new);
        let mut own = origin.for_job(Job::Shadow(Box::new(Shadow { pool, side: self.side, seen })));
        let mut request = self.request.clone();
        if look {
            request.version = Version::Http10;
        }
        own::carry(&mut own, &self.snapshot, self.listener, request, &self.body).await;
        match own.take_job() {
            Some(Job::Shadow(shadow)) => shadow.seen?.sight(),
            _ => None,
        }
    }
}
