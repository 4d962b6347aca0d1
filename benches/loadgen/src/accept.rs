//! Connections that a listener has, each in a slot of its own.

use std::io::{self, ErrorKind};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Poll, Token};

/// Takes all connections that wait. The token of each is `first` and its slot.
pub fn accept_all<C>(
    listener: &TcpListener,
    poll: &Poll,
    first: usize,
    connections: &mut Vec<Option<C>>,
    free: &mut Vec<usize>,
    mut connection: impl FnMut(TcpStream) -> C,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // out of files: better no origin than a slow one
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let slot = free.pop().unwrap_or(connections.len());
        poll.registry().register(&mut stream, Token(first + slot), Interest::READABLE | Interest::WRITABLE)?;
        if slot == connections.len() {
            connections.push(None);
        }
        connections[slot] = Some(connection(stream));
    }
}
