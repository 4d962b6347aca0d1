//! Syslog: messages of RFC 5424 over UDP (RFC 5426), TCP with octet counting (RFC 6587, section 3.4.1)
//! and unix datagrams.
//!
//! Rule 1: looking up and connecting happens on a thread of its own, so that one dead collector does not
//! hold up the other sinks. Rule 2: how often is tried is the sink's business, not this file's.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use reviver_plan::Syslog;

use super::clock::Clock;
use super::output::{Report, write_some};
use super::queue::Queue;

/// Facility local0, severity informational (RFC 5424, section 6.2.1).
const PRIORITY: &[u8] = b"<134>1 ";
/// What fits into a UDP datagram over IPv4, with room for options.
const MAX_DATAGRAM: usize = 65_000;
const CONNECT: Duration = Duration::from_secs(3);

/// A collector and the connection to it, if there is one.
#[derive(Debug)]
pub(super) struct SyslogLink {
    transport: Transport,
    /// ` HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA `, the same in each message.
    middle: Vec<u8>,
}

#[derive(Debug)]
enum Transport {
    Udp(Link<(UdpSocket, SocketAddr)>),
    Tcp(Link<TcpStream>),
    Unix(Link<UnixDatagram>),
}

impl SyslogLink {
    /// Connects when the first message is there. An address that can never be one is an error.
    pub fn new(target: &Syslog) -> io::Result<Self> {
        let transport = match target {
            Syslog::Udp(address) => Transport::Udp(Link::new(checked(address)?, dial_udp)),
            Syslog::Tcp(address) => Transport::Tcp(Link::new(checked(address)?, dial_tcp)),
            Syslog::Unix(path) => Transport::Unix(Link::new(path.clone(), dial_unix)),
        };
        let middle = format!(" {} reviver {} access - ", host_name(), std::process::id()).into_bytes();
        Ok(Self { transport, middle })
    }

    /// Appends a message, in front of it its length where that is the framing.
    pub fn frame(&self, ms: u64, clock: &mut Clock, out: &mut Vec<u8>, line: impl FnOnce(&mut Clock, &mut Vec<u8>)) {
        let start = out.len();
        out.extend_from_slice(PRIORITY);
        clock.rfc3339(ms, out);
        out.extend_from_slice(&self.middle);
        line(clock, out);
        if matches!(self.transport, Transport::Tcp(_)) {
            let length = format!("{} ", out.len() - start);
            out.splice(start..start, length.into_bytes());
        }
    }

    /// Sends what the connection takes. After an error the message in hand is sent whole over the next one.
    pub fn write(&mut self, queue: &mut Queue, report: &mut Report) -> io::Result<()> {
        match &mut self.transport {
            Transport::Udp(link) => {
                link.with(|(socket, peer)| send_each(queue, report, |message| socket.send_to(message, *peer)))
            }
            Transport::Unix(link) => link.with(|socket| send_each(queue, report, |message| socket.send(message))),
            Transport::Tcp(link) => {
                let sent = link.with(|stream| send_stream(stream, queue, report));
                if sent.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock) {
                    queue.rewind();
                }
                sent
            }
        }
    }
}

fn send_each(
    queue: &mut Queue,
    report: &mut Report,
    mut send: impl FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    while let Some(message) = queue.record() {
        let length = message.len();
        match send(&message[..length.min(MAX_DATAGRAM)]) {
            Ok(_) => report.written += queue.advance(length),
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => report.refused += queue.advance(length),
            // the interface's queue is full (sendto(2))
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send_stream(stream: &mut TcpStream, queue: &mut Queue, report: &mut Report) -> io::Result<()> {
    // a collector that closed would still let one write pass, into nothing
    let mut ignored = [0; 512];
    loop {
        match stream.read(&mut ignored) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the collector closed the connection")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    while !queue.is_empty() {
        let length = queue.rest().len();
        report.written += write_some(stream, queue, length)?;
    }
    Ok(())
}

/// A connection that is made on another thread when it is needed.
#[derive(Debug)]
struct Link<T> {
    address: String,
    dial: fn(&str) -> io::Result<T>,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Down,
    Dialling(Receiver<io::Result<T>>),
    Up(T),
}

impl<T: Send + 'static> Link<T> {
    fn new(address: String, dial: fn(&str) -> io::Result<T>) -> Self {
        Self { address, dial, state: State::Down }
    }

    /// Lets `send` use the connection; [`io::ErrorKind::WouldBlock`] while there is none yet. An error of
    /// `send` other than that ends the connection.
    fn with(&mut self, send: impl FnOnce(&mut T) -> io::Result<()>) -> io::Result<()> {
        let outcome = match &mut self.state {
            State::Up(connection) => send(connection),
            State::Dialling(answer) => match answer.try_recv() {
                Ok(Ok(connection)) => {
                    self.state = State::Up(connection);
                    return self.with(send);
                }
                Ok(Err(error)) => Err(error),
                Err(TryRecvError::Empty) => Err(io::ErrorKind::WouldBlock.into()),
                Err(TryRecvError::Disconnected) => Err(io::Error::other("the attempt to connect broke off")),
            },
            State::Down => {
                self.state = State::Dialling(self.begin()?);
                Err(io::ErrorKind::WouldBlock.into())
            }
        };
        if outcome.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock) {
            self.state = State::Down;
        }
        outcome
    }

    fn begin(&self) -> io::Result<Receiver<io::Result<T>>> {
        let (answer, receiver) = channel();
        let (dial, address) = (self.dial, self.address.clone());
        let writer = std::thread::current();
        std::thread::Builder::new().name("reviver-syslog".into()).spawn(move || {
            // the sink may be gone by now
            let _ = answer.send(dial(&address));
            writer.unpark();
        })?;
        Ok(receiver)
    }
}

fn checked(address: &str) -> io::Result<String> {
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0) => Ok(address.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not of the form HOST:PORT")),
    }
}

fn dial_udp(address: &str) -> io::Result<(UdpSocket, SocketAddr)> {
    let peer = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    // not connected, so that an ICMP error about an earlier message is not taken for one about this
    let socket = UdpSocket::bind(if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.set_nonblocking(true)?;
    Ok((socket, peer))
}

fn dial_tcp(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for peer in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&peer, CONNECT) {
            Ok(stream) => {
                stream.set_nonblocking(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn dial_unix(path: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// RFC 5424, section 6.2.4: printable ASCII, and `-` where the name is not known.
fn host_name() -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer is valid for its whole length, of which the call is told one less than all: the
    // name ends in a NUL whatever its length.
    let failed = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) } != 0;
    let name: String =
        buffer.iter().take_while(|b| **b != 0).filter(|b| b.is_ascii_graphic()).map(|b| char::from(*b)).collect();
    if failed || name.is_empty() { "-".into() } else { name }
}
