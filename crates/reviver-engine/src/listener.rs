//! Listening sockets: one of each address per core, so that the kernel shares connections out.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{FromRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use reviver_flow::Slug;
use reviver_plan::Snapshot;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::clients::Counted;
use crate::connection::{self, Connection};
use crate::core::Core;
use crate::driver::{self, ClientProtocol};
use crate::stream::Stream;

/// How long accepting pauses when descriptors or the listener's limit are used up.
const PAUSE: Duration = Duration::from_millis(20);

/// A listening socket for one core.
#[derive(Debug)]
pub struct Bound {
    /// As the plan has it: the key by which the listener is found in other plans.
    pub address: SocketAddr,
    pub socket: StdListener,
    /// Open connections of this listener, over all cores.
    pub open: Arc<AtomicUsize>,
}

/// A listener as its connections see it.
#[derive(Debug)]
pub struct ListenerState {
    pub address: SocketAddr,
    /// Its index in the plan in force; none once it was removed, and then its connections end after the
    /// request that they carry.
    pub index: Cell<Option<u16>>,
    pub open: Arc<AtomicUsize>,
    closed: Notify,
}

/// The listeners of one core.
#[derive(Debug, Default)]
pub struct Listeners {
    active: RefCell<Vec<Rc<ListenerState>>>,
}

impl Listeners {
    pub fn start(core: &Rc<Core>, bound: Bound) -> io::Result<()> {
        let snapshot = &core.current().snapshot;
        let listener = TcpListener::from_std(bound.socket)?;
        let state = Rc::new(ListenerState {
            index: Cell::new(index_of(snapshot, bound.address)),
            address: bound.address,
            open: bound.open,
            closed: Notify::new(),
        });
        core.listeners.active.borrow_mut().push(Rc::clone(&state));
        tokio::task::spawn_local(accept(Rc::clone(core), state, listener));
        Ok(())
    }

    /// Finds each listener in another plan.
    pub fn renumber(&self, snapshot: &Snapshot) {
        for state in self.active.borrow().iter() {
            state.index.set(index_of(snapshot, state.address));
        }
    }

    /// Closes the sockets at these addresses.
    pub fn close(&self, addresses: &[SocketAddr]) {
        self.active.borrow_mut().retain(|state| {
            let goes = addresses.contains(&state.address);
            if goes {
                state.closed.notify_one();
            }
            !goes
        });
    }

    pub fn close_all(&self) {
        for state in self.active.borrow_mut().drain(..) {
            state.closed.notify_one();
        }
    }
}

fn index_of(snapshot: &Snapshot, address: SocketAddr) -> Option<u16> {
    let index = snapshot.plan.listeners.iter().position(|l| l.bind.contains(&address))?;
    u16::try_from(index).ok()
}

/// Accepts until the listener is closed; what waits in its queue then is still served.
async fn accept(core: Rc<Core>, state: Rc<ListenerState>, listener: TcpListener) {
    let mut closed = std::pin::pin!(state.closed.notified());
    let mut closing = false;
    loop {
        let accepted = std::future::poll_fn(|cx| {
            closing = closing || closed.as_mut().poll(cx).is_ready();
            match listener.poll_accept(cx) {
                Poll::Pending if closing => Poll::Ready(None),
                other => other.map(Some),
            }
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, peer))) => {
                // Beyond the limit a connection waits until another one ends.
                while !state.reserve(&core) {
                    if closing {
                        return;
                    }
                    closing = tokio::time::timeout(PAUSE, closed.as_mut()).await.is_ok();
                }
                let connection = Connection::new(Rc::clone(&core), Rc::clone(&state), Stream::Tcp(stream), peer);
                match state.limit_of(&core, peer) {
                    None => {
                        tokio::task::spawn_local(connection::serve(connection));
                    }
                    Some(most) => {
                        let counted = core.shared.clients.enter(state.address, peer.ip(), most);
                        tokio::task::spawn_local(serve_counted(connection, counted));
                    }
                }
            }
            Some(Err(e)) if is_of_one_connection(&e) => {}
            // Descriptors are used up: others must end first.
            Some(Err(_)) if closing => return,
            Some(Err(_)) => closing = tokio::time::timeout(PAUSE, closed.as_mut()).await.is_ok(),
        }
    }
}

/// Serves a connection of a client that may have so many; none beyond that, which hears nothing.
async fn serve_counted(connection: Connection, counted: Option<Counted>) {
    if counted.is_some() {
        return connection::serve(connection).await;
    }
    if let Some((snapshot, index)) = connection.snapshot() {
        let (slug, http) = (Slug::ClientConnections, ClientProtocol::Http1);
        driver::record_refusal(&connection, &snapshot, index, Instant::now(), slug, "", http).await;
    }
}

impl ListenerState {
    /// How many connections one client may have; none: as many as it likes. A trusted proxy stands for many clients.
    fn limit_of(&self, core: &Core, peer: SocketAddr) -> Option<u32> {
        let current = core.current();
        let most = current.snapshot.listener(self.index.get()?)?.limits.connections_per_client;
        (most > 0 && !current.snapshot.trusted.contains(peer.ip())).then_some(most)
    }

    /// Counts one more connection, unless all cores together have as many as the limit allows.
    fn reserve(&self, core: &Core) -> bool {
        let limit = self.index.get().and_then(|i| Some(core.current().snapshot.listener(i)?.limits.connections));
        match limit {
            None | Some(0) => {
                self.open.fetch_add(1, Ordering::Relaxed);
                true
            }
            Some(limit) => self
                .open
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < limit as usize).then_some(open + 1))
                .is_ok(),
        }
    }
}

/// Errors that say nothing of the listener: the peer was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Binds one socket for each core. A first bind without `SO_REUSEPORT` finds out whether the address is free:
/// with it, a second process of the same user would silently share the port.
pub fn bind(address: SocketAddr, backlog: u32, cores: usize) -> io::Result<Vec<StdListener>> {
    drop(bind_one(address, false)?);
    let mut sockets = Vec::with_capacity(cores);
    for _ in 0..cores {
        let socket = bind_one(address, true)?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        sockets.push(StdListener::from(socket));
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(share)?;
    // Accepted sockets inherit it: heads must not wait for acknowledgements.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Takes over a listening socket that a service manager opened; the cores share its queue.
pub fn inherit(descriptor: i32, cores: usize) -> io::Result<Vec<StdListener>> {
    // SAFETY: the caller hands over a descriptor that it owns and uses no further.
    let socket = StdListener::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    socket.set_nonblocking(true)?;
    let mut sockets = Vec::with_capacity(cores);
    for _ in 1..cores {
        sockets.push(socket.try_clone()?);
    }
    sockets.push(socket);
    Ok(sockets)
}
