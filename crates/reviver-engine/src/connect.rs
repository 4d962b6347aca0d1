//! From a target to an open connection: kept ones first, then names, policy and a new one.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_flow::{Flow, Sent, Slug, Target};
use reviver_http::RequestHead;
use reviver_http::proxy_protocol::{ProxyVersion, write_proxy_header};
use reviver_plan::{Access, ProxyProtocol, UpstreamProtocol};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::connection::Connection;
use crate::core::CoreSnapshot;
use crate::exchange::Trouble;
use crate::http2::Established;
use crate::stream::Stream;
use crate::tls::{self, Unreachable};
use crate::upstream::{self, IdlePool, Upstream};
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
    let failed = |slug| Trouble::upstream(slug, Sent::Nothing);
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
    let pool = match target {
        Target::Server { pool, .. } => Some(pool),
        Target::Destination => None,
    };
    let websocket = flow.offers_websocket(&work.request);
    // Few servers take them over HTTP/2: where there is a choice it takes one that is known to.
    let may_choose = |p: &reviver_plan::Pool| p.protocol == UpstreamProtocol::Auto;
    let http1 = websocket && pool.and_then(|p| snapshot.snapshot.pool(p)).is_some_and(may_choose);
    if let Some(home) = home.as_ref().filter(|_| !fresh) {
        let shared = home.http2.take().filter(|shared| !http1 || shared.takes_websockets());
        if let Some(shared) = shared {
            return Ok(Upstream::over_http2(shared, true).for_websocket(websocket));
        }
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
    let addresses = [source_of(connection, flow), connection.local()];
    let opening = async {
        let Some(home) = &home else {
            let (stream, address) = open(snapshot, target, &host, port).await?;
            return Ok(Upstream::over_http1(Stream::Tcp(stream), address, None));
        };
        // Flows that come while a shared connection is being opened find room on it.
        let expected = pool.and_then(|p| snapshot.snapshot.pool(p)).is_some_and(|p| match p.protocol {
            UpstreamProtocol::Http2 => true,
            UpstreamProtocol::Auto => p.tls.is_some() && !http1 && home.http2.is_expected(),
            UpstreamProtocol::Http1 => false,
        });
        let right = loop {
            match expected {
                false => break None,
                true => match home.http2.opening().await {
                    Some(right) => break Some(right),
                    None => match home.http2.take() {
                        Some(shared) => return Ok(Upstream::over_http2(shared, false)),
                        None => continue,
                    },
                },
            }
        };
        let (stream, address) = open(snapshot, target, &host, port).await?;
        let opened = establish(snapshot, target, home, http1, stream, address, addresses).await;
        drop(right);
        opened
    };
    // On the heap, since most flows find a connection: a flow's own state stays small.
    let mut opening = Box::pin(opening);
    poll_fn(|cx| {
        if let Poll::Ready(result) = opening.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(|Unreachable { slug, detail }| Trouble::Upstream {
                slug,
                sent: Sent::Nothing,
                detail,
            }));
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
    .await
    .map(|upstream| upstream.for_websocket(websocket))
}

/// On whose behalf a connection is made, as a PROXY header tells it.
fn source_of(connection: &Connection, flow: &Flow<'_>) -> SocketAddr {
    let (peer, believed) = (connection.peer(), flow.record.client);
    // A trusted proxy told the address, and no port.
    if peer.ip() == believed { peer } else { SocketAddr::new(believed, 0) }
}

/// What stands before the first request on a new connection: a PROXY header, the TLS handshake, HTTP/2's beginning.
async fn establish(
    snapshot: &CoreSnapshot,
    target: Target,
    home: &Rc<IdlePool>,
    http1: bool,
    mut stream: TcpStream,
    address: SocketAddr,
    [source, local]: [SocketAddr; 2],
) -> Result<Upstream, Unreachable> {
    let plain = |stream| Ok(Upstream::over_http1(stream, address, Some(Rc::clone(home))));
    let Target::Server { pool: index, server } = target else { return plain(Stream::Tcp(stream)) };
    let Some(pool) = snapshot.snapshot.pool(index) else { return Err(Slug::InternalError.into()) };
    if let Some(version) = pool.proxy_protocol {
        let version = match version {
            ProxyProtocol::V1 => ProxyVersion::V1,
            ProxyProtocol::V2 => ProxyVersion::V2,
        };
        let mut header = Vec::new();
        write_proxy_header(version, source, local, &mut header);
        stream.write_all(&header).await.map_err(|_| Slug::ConnectionTerminated)?;
    }
    let (stream, http2) = match snapshot.tls.pools.get(index as usize).and_then(Option::as_ref) {
        None => (Stream::Tcp(stream), pool.protocol == UpstreamProtocol::Http2),
        Some(context) => {
            let name = snapshot.snapshot.server(index, server).map_or("", |s| s.address.as_str());
            let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
            let (stream, http2) = tls::connect(context, host, http1, stream).await?;
            (Stream::Tls(stream), http2)
        }
    };
    match (http2, pool.protocol) {
        (true, _) => {
            let shared = Established::begin(stream, address).await?;
            home.http2.add(shared.clone());
            Ok(Upstream::over_http2(shared, false))
        }
        // It was asked for HTTP/2 and nothing else.
        (false, UpstreamProtocol::Http2) => {
            Err(Unreachable { slug: Slug::TlsError, detail: "no_application_protocol" })
        }
        (false, _) => {
            if !http1 {
                home.http2.not_spoken();
            }
            plain(stream)
        }
    }
}

async fn open(snapshot: &CoreSnapshot, target: Target, host: &str, port: u16) -> Result<(TcpStream, SocketAddr), Slug> {
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
    let mut addresses = resolver.lookup(host, port).await?;
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
