//! Three servers on one thread: fixed HTTP answers, a source without end, an echo.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use memchr::memmem;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::accept::{accept_all, listen};
use crate::client::asks_to_close;

const HTTP: Token = Token(0);
const BULK: Token = Token(1);
const ECHO: Token = Token(2);
const FIRST_CONNECTION: usize = 3;
const LARGEST_BODY: usize = 16 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Service {
    Http,
    Bulk,
    Echo,
}

struct Connection {
    stream: TcpStream,
    service: Service,
    /// Bytes of a request head that is not whole yet, or bytes not yet echoed.
    pending: Vec<u8>,
    /// Answer being written: index into the answers, and how much of it is gone.
    writing: Option<(usize, usize)>,
    close: bool,
}

/// Complete responses by the size of their body.
#[derive(Default)]
struct Answers(Vec<(usize, Vec<u8>)>);

impl Answers {
    /// The answer to a request for `/BYTES`; made when first asked for.
    fn index(&mut self, head: &[u8]) -> Option<usize> {
        let target = head.split(|byte| *byte == b' ').nth(1)?;
        let path = target.rsplit(|byte| *byte == b'/').next()?;
        let size: usize = std::str::from_utf8(path).ok()?.parse().ok()?;
        if size > LARGEST_BODY {
            return None;
        }
        if let Some(index) = self.0.iter().position(|(known, _)| *known == size) {
            return Some(index);
        }
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nServer: loadgen\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
             Content-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
        )
        .into_bytes();
        answer.resize(answer.len() + size, b'x');
        self.0.push((size, answer));
        Some(self.0.len() - 1)
    }
}

/// Serves until killed.
pub fn serve(http: SocketAddr, bulk: SocketAddr, echo: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let mut origin = Origin { answers: Answers::default(), scratch: vec![b'x'; 256 * 1024].into_boxed_slice() };
    let mut listeners = [
        (listen(http)?, HTTP, Service::Http),
        (listen(bulk)?, BULK, Service::Bulk),
        (listen(echo)?, ECHO, Service::Echo),
    ];
    for (listener, token, _) in &mut listeners {
        poll.registry().register(listener, *token, Interest::READABLE)?;
    }
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            let Token(token) = event.token();
            if token < FIRST_CONNECTION {
                let (listener, _, service) = &listeners[token];
                accept_all(listener, &poll, FIRST_CONNECTION, &mut connections, &mut free, |stream| Connection {
                    stream,
                    service: *service,
                    pending: Vec::new(),
                    writing: None,
                    close: false,
                })?;
                continue;
            }
            let slot = token - FIRST_CONNECTION;
            let Some(connection) = &mut connections[slot] else { continue };
            if origin.turn(connection, event).is_err() {
                connections[slot] = None;
                free.push(slot);
            }
        }
    }
}

struct Origin {
    answers: Answers,
    scratch: Box<[u8]>,
}

impl Origin {
    /// Handles one event; an error closes the connection.
    fn turn(&mut self, connection: &mut Connection, event: &Event) -> io::Result<()> {
        match connection.service {
            Service::Http => {
                if event.is_writable() && connection.writing.is_some() {
                    self.answer(connection)?;
                }
                if event.is_readable() {
                    self.requests(connection, event.is_read_closed())?;
                }
                Ok(())
            }
            Service::Bulk => self.flood(connection, event.is_readable()),
            Service::Echo => self.echo(connection, event.is_read_closed()),
        }
    }

    /// Reads request heads and answers them in order; `ending` when the end of the stream is among what has come.
    /// Requests have no bodies.
    fn requests(&mut self, connection: &mut Connection, ending: bool) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = match connection.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            connection.pending.extend_from_slice(&buffer[..count]);
            self.answer(connection)?;
            // a short read emptied the socket: the next byte makes a new edge (epoll(7), question 9)
            if count < buffer.len() && !ending {
                return Ok(());
            }
        }
    }

    /// Writes as much as is due and as the socket takes.
    fn answer(&mut self, connection: &mut Connection) -> io::Result<()> {
        loop {
            if connection.writing.is_none() {
                if connection.close {
                    return Err(ErrorKind::ConnectionAborted.into());
                }
                let Some(end) = memmem::find(&connection.pending, b"\r\n\r\n") else { return Ok(()) };
                let head = &connection.pending[..end];
                let index = self.answers.index(head).ok_or(ErrorKind::InvalidData)?;
                connection.close = asks_to_close(head);
                connection.writing = Some((index, 0));
                connection.pending.drain(..end + 4);
            }
            if let Some((index, gone)) = &mut connection.writing {
                let answer = &self.answers.0[*index].1;
                while *gone < answer.len() {
                    match connection.stream.write(&answer[*gone..]) {
                        Ok(count) => *gone += count,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
                connection.writing = None;
            }
        }
    }

    /// Sends until the socket is full; what the client sends is thrown away.
    fn flood(&mut self, connection: &mut Connection, readable: bool) -> io::Result<()> {
        if readable && matches!(connection.stream.read(&mut [0; 4096]), Ok(0)) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        loop {
            match connection.stream.write(&self.scratch) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends back what comes; messages are small, so a socket that takes none is a client that is gone.
    fn echo(&mut self, connection: &mut Connection, ending: bool) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match connection.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    connection.stream.write_all(&buffer[..count])?;
                    if count < buffer.len() && !ending {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_size_that_the_path_names_in_either_form_of_target() {
        let mut answers = Answers::default();
        let index = answers.index(b"GET /1024 HTTP/1.1\r\nHost: a").expect("an answer");
        assert_eq!(answers.index(b"GET http://127.0.0.1:80/1024 HTTP/1.1\r\nHost: a"), Some(index));
        let body = answers.0[index].1.split(|byte| *byte == b'\n').next_back().expect("a body");
        assert_eq!(body.len(), 1024);
    }

    #[test]
    fn a_path_that_names_no_size_has_no_answer() {
        let mut answers = Answers::default();
        assert_eq!(answers.index(b"GET /index.html HTTP/1.1\r\n"), None);
        assert_eq!(answers.index(b"GET /99999999999 HTTP/1.1\r\n"), None);
    }
}
