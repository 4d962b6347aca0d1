//! A relay that knows no HTTP: two reads and two writes a request. No proxy that reads and writes can cost less.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

struct Side {
    stream: TcpStream,
    /// Read from the other side and not yet taken by this one.
    pending: Vec<u8>,
}

/// Serves until killed. Each client connection has one upstream connection: slots 2n and 2n + 1.
pub fn serve(listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut sides: Vec<Option<Side>> = Vec::new();
    let mut free = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut listener = TcpListener::bind(listen)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let first = free.pop().unwrap_or(sides.len());
                    sides.resize_with(sides.len().max(first + 2), || None);
                    for (slot, mut stream) in [(first, client), (first + 1, TcpStream::connect(upstream)?)] {
                        stream.set_nodelay(true)?;
                        let interest = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(&mut stream, Token(slot), interest)?;
                        sides[slot] = Some(Side { stream, pending: Vec::new() });
                    }
                }
                continue;
            }
            let Token(slot) = event.token();
            let first = slot & !1;
            let [Some(left), Some(right)] = &mut sides[first..first + 2] else { continue };
            let (this, other) = if slot == first { (left, right) } else { (right, left) };
            let mut result = Ok(());
            if event.is_writable() {
                result = flush(this).and_then(|()| copy(other, this, &mut buffer, true));
            }
            if event.is_readable() {
                result = result.and_then(|()| copy(this, other, &mut buffer, event.is_read_closed()));
            }
            if result.is_err() {
                sides[first] = None;
                sides[first + 1] = None;
                free.push(first);
            }
        }
    }
}

/// Moves what has come from one side to the other, until there is no more or it does not fit.
/// `ending` when the end of the stream may be among what has come.
fn copy(from: &mut Side, to: &mut Side, buffer: &mut [u8], ending: bool) -> io::Result<()> {
    while to.pending.is_empty() {
        let count = match from.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if blocked(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let written = match to.stream.write(&buffer[..count]) {
            Ok(written) => written,
            Err(error) if blocked(&error) => 0,
            Err(error) => return Err(error),
        };
        to.pending.extend_from_slice(&buffer[written..count]);
        // a short read emptied the socket: the next byte makes a new edge (epoll(7), question 9)
        if count < buffer.len() && !ending {
            return Ok(());
        }
    }
    Ok(())
}

fn flush(side: &mut Side) -> io::Result<()> {
    while !side.pending.is_empty() {
        match side.stream.write(&side.pending) {
            Ok(count) => drop(side.pending.drain(..count)),
            Err(error) if blocked(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The upstream connection may still be on its way.
fn blocked(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
