//! Connections that made one request and then rest.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::client::{self, Sink};
use crate::http::request;

/// Well below the number of ports that one source address has.
const PER_SOURCE: usize = 2_500;

/// Opens the connections one after the other, prints `ready`, and keeps them until standard input ends.
///
/// Source addresses are spread over 127.0.1.0/24. At the end, prints how many were still open.
pub fn hold(proxy: SocketAddr, target: &str, host: &str, connections: usize) -> io::Result<()> {
    let request = request(target, host);
    let (mut buffer, mut sink) = (vec![0; 4096], Sink::new());
    let mut streams = Vec::with_capacity(connections);
    for index in 0..connections {
        let last = u8::try_from(1 + index / PER_SOURCE).map_err(|_| io::Error::other("too many connections"))?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0)).into())?;
        socket.connect(&proxy.into())?;
        let mut stream = TcpStream::from(socket);
        client::configure(&stream)?;
        stream.write_all(&request)?;
        client::response(&mut stream, &mut buffer, &mut sink)?;
        streams.push(stream);
    }
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    let mut open = 0;
    for stream in &mut streams {
        stream.set_nonblocking(true)?;
        open += usize::from(matches!(stream.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock));
    }
    println!("{open}");
    Ok(())
}
