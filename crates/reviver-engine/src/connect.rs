//! From a target to an open connection: kept ones first, then names, policy and a new one.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_flow::{Flow, Sent, Slug, Target};
use reviver_http::RequestHead;
use reviver_plan::Access;

use crate::connection::Connection;
use crate::core::CoreSnapshot;
use crate::exchange::Trouble;
use crate::stream::Stream;
use crate::upstream::{self, Upstream};
use crate::work::Work;

/// Takes a kept connection or opens one, within the connect timeout, while the client is watched.
pub async fn connect(
    connection: &mut Connection,
    work: &mut Work,
    snapshot: &Rc<CoreSnapshot>,
    flow: &Flow<'_>,
    target: Target,
    fresh: bool,
) -> Result<Upstream, Trouble> {
    let core = Rc::clone(&connection.core);
    let failed = |slug| Trouble::Upstream { slug, sent: Sent::Nothing };
    let home = match target {
        Target::Server { pool, server } => {
            let slot = snapshot.servers.get(pool as usize).and_then(|p| p.get(server as usize));
            Some(Rc::clone(&slot.ok_or_else(|| failed(Slug::InternalError))?.idle))
        }
        Target::Destination if flow.is_tunnel() => None,
        Target::Destination => {
            let key = destination_key(&work.request, &mut work.scratch);
            let forward = snapshot.snapshot.plan.forward.as_ref();
            let (max, keep) = forward.map_or((0, 0), |f| (f.max_idle, f.idle_ms));
            Some(core.upstreams.destination(key, max, keep))
        }
    };
    if let Some(home) = home.as_ref().filter(|_| !fresh) {
        while let Some(kept) = home.take() {
            // The policy of now holds for connections of before.
            if target != Target::Destination || allowed(snapshot, kept.address.ip()).is_ok() {
                return Ok(kept);
            }
        }
    }
    let connect_ms = match flow.route() {
        Some(route) => route.connect_ms,
        None => snapshot.snapshot.listener(flow.record.listener).map_or(5000, |l| l.timeouts.connect_ms),
    };
    let now = Instant::now();
    let deadline = now + Duration::from_millis(connect_ms.max(1));
    connection.wait_until(now, deadline);
    let host = String::from_utf8_lossy(work.request.host()).into_owned();
    let port = work.request.port.unwrap_or(80);
    let mut opening = std::pin::pin!(open(snapshot, target, host, port));
    let (stream, address) = poll_fn(|cx| {
        if let Poll::Ready(result) = opening.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(failed));
        }
        if connection.poll_gone(cx, work).is_ready() {
            return Poll::Ready(Err(Trouble::ClientGone));
        }
        if connection.poll_deadline(cx, deadline) {
            let stops = connection.core.is_stopping();
            let slug = if stops { Slug::Draining } else { Slug::ConnectionTimeout };
            return Poll::Ready(Err(failed(slug)));
        }
        Poll::Pending
    })
    .await?;
    Ok(Upstream { stream: Stream::Tcp(stream), address, reused: false, home })
}

async fn open(
    snapshot: &CoreSnapshot,
    target: Target,
    host: String,
    port: u16,
) -> Result<(tokio::net::TcpStream, SocketAddr), Slug> {
    let resolver = &snapshot.resolver;
    if let Target::Server { pool, server } = target {
        let slot = snapshot.servers.get(pool as usize).and_then(|p| p.get(server as usize));
        if let Some(address) = slot.and_then(|s| s.address) {
            return upstream::dial(&[address], resolver.fallback_delay).await;
        }
        let name = snapshot.snapshot.server(pool, server).map(|s| s.address.as_str());
        let (host, port) = name.and_then(|n| n.rsplit_once(':')).ok_or(Slug::InternalError)?;
        let addresses = resolver.lookup(host, port.parse().map_err(|_| Slug::InternalError)?).await?;
        return upstream::dial(&addresses, resolver.fallback_delay).await;
    }
    // What counts is the address that is connected to, whatever name led there.
    let mut refusal = Slug::DnsError;
    let mut addresses = resolver.lookup(&host, port).await?;
    addresses.retain(|a| match allowed(snapshot, a.ip()) {
        Ok(()) => true,
        Err(slug) => {
            refusal = slug;
            false
        }
    });
    if addresses.is_empty() {
        return Err(refusal);
    }
    let (stream, address) = upstream::dial(&addresses, resolver.fallback_delay).await?;
    if snapshot.own_ports.contains(&address.port()) && upstream::is_own_address(&stream, address.ip()) {
        return Err(Slug::LoopDetected);
    }
    Ok((stream, address))
}

fn allowed(snapshot: &CoreSnapshot, address: IpAddr) -> Result<(), Slug> {
    let denies = snapshot.snapshot.plan.forward.as_ref().is_some_and(|f| f.private_destinations == Access::Deny);
    if denies && reviver_policy::is_private(address) { Err(Slug::PrivateDestination) } else { Ok(()) }
}

/// `host:port` in one spelling.
fn destination_key<'a>(head: &RequestHead, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    scratch.clear();
    scratch.extend_from_slice(head.host());
    scratch.push(b':');
    scratch.extend_from_slice(itoa::Buffer::new().format(head.port.unwrap_or(80)).as_bytes());
    scratch
}
