//! Upstream connections: those kept open for the next request, and new ones.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_flow::Slug;
use tokio::net::TcpStream;

use crate::http2::{Connections, Established};
use crate::stream::Stream;

/// Destinations of forward traffic for which connections are kept; beyond it the idlest are forgotten.
const KEPT_DESTINATIONS: usize = 4096;
/// Idle connections of one core, all servers and destinations together.
const KEPT_CONNECTIONS: usize = 2048;

/// A connection in use.
#[derive(Debug)]
pub struct Upstream {
    pub stream: Stream,
    pub address: SocketAddr,
    pub reused: bool,
    /// Where it goes when it can be used again.
    pub home: Option<Rc<IdlePool>>,
    /// A connection that flows share: the stream begins with the request.
    pub http2: Option<Box<Established>>,
    /// It takes extended CONNECT (RFC 8441).
    pub websocket: bool,
}

impl Upstream {
    pub fn over_http1(stream: Stream, address: SocketAddr, home: Option<Rc<IdlePool>>) -> Self {
        Self { stream, address, reused: false, home, http2: None, websocket: false }
    }

    /// Says whether it is for a WebSocket, which takes a server that knows how.
    pub fn for_websocket(mut self, wanted: bool) -> Self {
        self.websocket = wanted && self.http2.as_ref().is_some_and(|shared| shared.takes_websockets());
        self
    }

    pub fn over_http2(connection: Established, reused: bool) -> Self {
        let address = connection.address;
        Self { reused, http2: Some(Box::new(connection)), ..Self::over_http1(Stream::Taken, address, None) }
    }
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    address: SocketAddr,
    since: Instant,
}

/// Idle connections to one server or destination, the latest on top.
#[derive(Debug)]
pub struct IdlePool {
    idle: RefCell<Vec<Idle>>,
    max: usize,
    keep: Duration,
    /// Idle connections of the whole core.
    total: Rc<Cell<usize>>,
    /// Connections that flows share.
    pub http2: Rc<Connections>,
}

impl IdlePool {
    fn new(max: u32, keep_ms: u64, total: &Rc<Cell<usize>>) -> Rc<Self> {
        let keep = Duration::from_millis(keep_ms);
        Rc::new(Self {
            idle: RefCell::default(),
            max: max as usize,
            keep,
            total: Rc::clone(total),
            http2: Rc::default(),
        })
    }

    /// The latest connection that is still open.
    pub fn take(self: &Rc<Self>) -> Option<Upstream> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut stream, address, .. }) = idle.pop() {
            self.total.set(self.total.get() - 1);
            if stream.is_quiet() {
                let home = Some(Rc::clone(self));
                return Some(Upstream { reused: true, ..Upstream::over_http1(stream, address, home) });
            }
        }
        None
    }

    pub fn give(&self, mut upstream: Upstream, now: Instant) {
        // Bytes behind a response are no part of the next.
        if upstream.stream.plain().is_none() && !upstream.stream.is_quiet() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.max && self.total.get() < KEPT_CONNECTIONS {
            self.total.set(self.total.get() + 1);
            idle.push(Idle { stream: upstream.stream, address: upstream.address, since: now });
        }
    }

    /// Closes what is too old or was closed by its peer; tells whether anything is left.
    fn sweep(&self, now: Instant) -> bool {
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain_mut(|i| now.saturating_duration_since(i.since) < self.keep && i.stream.is_quiet());
        self.total.set(self.total.get() - (before - idle.len()));
        self.http2.sweep(now, self.keep) || !idle.is_empty()
    }

    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }
}

impl Drop for IdlePool {
    fn drop(&mut self) {
        self.total.set(self.total.get() - self.idle.get_mut().len());
    }
}

/// Connections to a server, with what they were made by.
#[derive(Debug)]
struct ServerPool {
    max_idle: u32,
    tls: Option<reviver_plan::UpstreamTls>,
    protocol: reviver_plan::UpstreamProtocol,
    proxy_protocol: Option<reviver_plan::ProxyProtocol>,
    idle: Rc<IdlePool>,
}

impl ServerPool {
    fn fits(&self, pool: &reviver_plan::Pool) -> bool {
        self.max_idle == pool.max_idle
            && self.idle.keep == Duration::from_millis(pool.idle_ms)
            && (&self.tls, self.protocol, self.proxy_protocol) == (&pool.tls, pool.protocol, pool.proxy_protocol)
    }
}

/// All kept connections of one core.
#[derive(Debug, Default)]
pub struct Upstreams {
    total: Rc<Cell<usize>>,
    servers: RefCell<HashMap<(String, String), ServerPool>>,
    destinations: RefCell<HashMap<Box<[u8]>, Rc<IdlePool>>>,
}

impl Upstreams {
    /// The connections to a server of a pool; they survive a reload that keeps both names and settings.
    pub fn server(&self, pool: &reviver_plan::Pool, address: &str) -> Rc<IdlePool> {
        let key = (pool.name.clone(), address.to_owned());
        let mut servers = self.servers.borrow_mut();
        match servers.get(&key) {
            Some(kept) if kept.fits(pool) => Rc::clone(&kept.idle),
            _ => {
                // A connection that names one client is no use to another.
                let max = if pool.proxy_protocol.is_some() { 0 } else { pool.max_idle };
                let idle = IdlePool::new(max, pool.idle_ms, &self.total);
                let (tls, protocol, proxy_protocol) = (pool.tls.clone(), pool.protocol, pool.proxy_protocol);
                servers.insert(
                    key,
                    ServerPool { max_idle: pool.max_idle, tls, protocol, proxy_protocol, idle: Rc::clone(&idle) },
                );
                idle
            }
        }
    }

    /// The connections to a destination (`host:port`).
    pub fn destination(&self, key: &[u8], max: u32, keep_ms: u64) -> Rc<IdlePool> {
        let mut destinations = self.destinations.borrow_mut();
        if let Some(pool) = destinations.get(key) {
            return Rc::clone(pool);
        }
        if destinations.len() >= KEPT_DESTINATIONS {
            destinations.retain(|_, pool| pool.len() > 0);
        }
        let pool = IdlePool::new(max, keep_ms, &self.total);
        if destinations.len() < KEPT_DESTINATIONS {
            destinations.insert(key.into(), Rc::clone(&pool));
        }
        pool
    }

    pub fn forget_destinations(&self) {
        self.destinations.borrow_mut().clear();
    }

    pub fn sweep(&self, now: Instant) {
        // A pool that only this table knows belongs to no running snapshot any more.
        self.servers.borrow_mut().retain(|_, pool| pool.idle.sweep(now) || Rc::strong_count(&pool.idle) > 1);
        self.destinations.borrow_mut().retain(|_, pool| pool.sweep(now) || Rc::strong_count(pool) > 1);
    }
}

/// Opens a connection to the first of the addresses that answers: each further one is started when the one
/// before has failed or has taken `fallback_delay` (RFC 8305, section 5).
pub async fn dial(addresses: &[SocketAddr], fallback_delay: Duration) -> Result<(TcpStream, SocketAddr), Slug> {
    if let [address] = addresses {
        return connect(*address).await.map_err(|e| connect_slug(&e));
    }
    type Attempt<'a> = Pin<Box<dyn Future<Output = io::Result<(TcpStream, SocketAddr)>> + 'a>>;
    let mut attempts: Vec<Attempt<'_>> = Vec::new();
    let mut waiting = addresses.iter().copied();
    let mut failure = Slug::DnsError;
    let mut delay = Box::pin(tokio::time::sleep(Duration::ZERO));
    std::future::poll_fn(|cx| {
        loop {
            let mut index = 0;
            let mut failed = false;
            while index < attempts.len() {
                match attempts[index].as_mut().poll(cx) {
                    Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                    Poll::Ready(Err(e)) => {
                        failure = connect_slug(&e);
                        failed = true;
                        drop(attempts.swap_remove(index));
                    }
                    Poll::Pending => index += 1,
                }
            }
            let due = failed || delay.as_mut().poll(cx).is_ready();
            match due.then(|| waiting.next()).flatten() {
                Some(address) => {
                    attempts.push(Box::pin(connect(address)));
                    delay.set(tokio::time::sleep(fallback_delay));
                }
                None if attempts.is_empty() && (due || waiting.len() == 0) => return Poll::Ready(Err(failure)),
                None => return Poll::Pending,
            }
        }
    })
    .await
}

async fn connect(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::connect(address).await?;
    // Heads and last parts must not wait for an acknowledgement of what went before.
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

fn connect_slug(error: &io::Error) -> Slug {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Slug::ConnectionRefused,
        io::ErrorKind::TimedOut => Slug::ConnectionTimeout,
        _ => match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => Slug::InternalError,
            _ => Slug::Unroutable,
        },
    }
}

/// Whether a connection has been made to an address of this machine.
pub fn is_own_address(stream: &TcpStream, address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || stream.local_addr().is_ok_and(|local| local.ip() == address)
}
