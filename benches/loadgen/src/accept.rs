//! Listeners, and the connections that each has, in slots of their own.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

const BACKLOG: i32 = 4096;

/// Listens there; with no address on all of loopback, which has 16 million, and nowhere else.
pub fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    if at.ip().is_unspecified() {
        socket.bind_device(Some(b"lo"))?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_all_of_loopback() {
        let listener = listen(([0, 0, 0, 0], 0).into()).expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        for address in [[127, 0, 0, 1], [127, 1, 3, 250]] {
            std::net::TcpStream::connect((std::net::Ipv4Addr::from(address), port)).expect("it is listened there");
        }
    }
}
