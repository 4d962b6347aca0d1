//! An origin whose answers may be kept, and that counts how often it is asked: what it is not asked for was a hit.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use memchr::memmem;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::accept::{accept_all, listen};
use crate::client::asks_to_close;

const LISTENER: Token = Token(0);
const FIRST_CONNECTION: usize = 1;
const LARGEST_BODY: usize = 16 << 20;
/// What `/slow/` takes at least.
const SLOW: Duration = Duration::from_millis(300);
const DATE_LIVES: Duration = Duration::from_millis(500);

struct Connection {
    stream: TcpStream,
    /// Tells a waiting answer whether this is still the connection that it is for.
    number: u64,
    /// Bytes of requests that are not answered yet.
    pending: Vec<u8>,
    head: Vec<u8>,
    /// Length of the body, and how much of head and body is gone, while an answer is written.
    writing: Option<(usize, usize)>,
    waiting: bool,
    close: bool,
}

/// What a request asks for.
#[derive(Debug, PartialEq)]
enum Wanted {
    Body {
        size: usize,
        slow: bool,
    },
    /// How many other requests there have been.
    Count,
}

/// Serves until killed: `/ANYTHING/BYTES` after `wait`, `/slow/ANYTHING/BYTES` later, `/count` at once.
pub fn serve(at: SocketAddr, wait: Duration) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = listen(at)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let mut origin = Origin::new(wait);
    loop {
        match poll.poll(&mut events, origin.next_due()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            let Token(token) = event.token();
            if event.token() == LISTENER {
                accept_all(&listener, &poll, FIRST_CONNECTION, &mut connections, &mut free, |stream| {
                    origin.accepted += 1;
                    Connection {
                        stream,
                        number: origin.accepted,
                        pending: Vec::new(),
                        head: Vec::new(),
                        writing: None,
                        waiting: false,
                        close: false,
                    }
                })?;
                continue;
            }
            let slot = token - FIRST_CONNECTION;
            let Some(connection) = &mut connections[slot] else { continue };
            let mut result = Ok(());
            if event.is_writable() {
                result = origin.flush(connection);
            }
            if event.is_readable() {
                result = result.and_then(|()| origin.requests(connection, slot, event.is_read_closed()));
            }
            if result.is_err() {
                connections[slot] = None;
                free.push(slot);
            }
        }
        while let Some((slot, number)) = origin.due() {
            let Some(connection) = connections[slot].as_mut().filter(|it| it.number == number) else { continue };
            connection.waiting = false;
            if origin.flush(connection).and_then(|()| origin.answer(connection, slot)).is_err() {
                connections[slot] = None;
                free.push(slot);
            }
        }
    }
}

struct Origin {
    wait: Duration,
    body: Box<[u8]>,
    date: String,
    date_until: Instant,
    count: u64,
    accepted: u64,
    /// Answers that wait, the one that is due first at the top.
    later: BinaryHeap<Reverse<(Instant, usize, u64)>>,
}

impl Origin {
    fn new(wait: Duration) -> Self {
        Self {
            wait,
            body: vec![b'x'; LARGEST_BODY].into_boxed_slice(),
            date: String::new(),
            date_until: Instant::now(),
            count: 0,
            accepted: 0,
            later: BinaryHeap::new(),
        }
    }

    fn next_due(&self) -> Option<Duration> {
        // the poll waits whole milliseconds, rounded down: never to be woken too early
        self.later
            .peek()
            .map(|Reverse((due, ..))| due.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    fn due(&mut self) -> Option<(usize, u64)> {
        let Reverse((due, slot, number)) = *self.later.peek()?;
        (due <= Instant::now()).then(|| {
            self.later.pop();
            (slot, number)
        })
    }

    /// Reads request heads and answers them in order; `ending` when the end of the stream is among what has come.
    /// Requests have no bodies. An error closes the connection.
    fn requests(&mut self, connection: &mut Connection, slot: usize, ending: bool) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = match connection.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            connection.pending.extend_from_slice(&buffer[..count]);
            self.answer(connection, slot)?;
            // a short read emptied the socket: the next byte makes a new edge (epoll(7), question 9)
            if count < buffer.len() && !ending {
                return Ok(());
            }
        }
    }

    /// Answers what has been asked, until it has to wait.
    fn answer(&mut self, connection: &mut Connection, slot: usize) -> io::Result<()> {
        while connection.writing.is_none() {
            if connection.close {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            let Some(end) = memmem::find(&connection.pending, b"\r\n\r\n") else { return Ok(()) };
            let head = &connection.pending[..end];
            connection.close = asks_to_close(head);
            let wanted = wanted(head).ok_or(ErrorKind::InvalidData)?;
            connection.pending.drain(..end + 4);
            connection.head.clear();
            match wanted {
                Wanted::Count => {
                    let count = self.count.to_string();
                    write!(
                        connection.head,
                        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: {}\r\n\r\n{count}",
                        count.len()
                    )?;
                    connection.writing = Some((0, 0));
                }
                Wanted::Body { size, slow } => {
                    self.count += 1;
                    self.head(&mut connection.head, size)?;
                    connection.writing = Some((size, 0));
                    let wait = if slow { self.wait.max(SLOW) } else { self.wait };
                    connection.waiting = !wait.is_zero();
                    if connection.waiting {
                        self.later.push(Reverse((Instant::now() + wait, slot, connection.number)));
                    }
                }
            }
            self.flush(connection)?;
        }
        Ok(())
    }

    fn head(&mut self, into: &mut Vec<u8>, size: usize) -> io::Result<()> {
        let now = Instant::now();
        if self.date_until <= now {
            self.date = httpdate::fmt_http_date(SystemTime::now());
            self.date_until = now + DATE_LIVES;
        }
        write!(
            into,
            "HTTP/1.1 200 OK\r\nServer: loadgen\r\nDate: {}\r\nContent-Type: text/plain\r\n\
             Cache-Control: public, max-age=86400\r\nETag: \"{size}\"\r\nContent-Length: {size}\r\n\r\n",
            self.date
        )
    }

    /// Writes as much as is due and as the socket takes.
    fn flush(&mut self, connection: &mut Connection) -> io::Result<()> {
        if connection.waiting {
            return Ok(());
        }
        let Some((size, gone)) = &mut connection.writing else { return Ok(()) };
        let all = connection.head.len() + *size;
        while *gone < all {
            let head = &connection.head[(*gone).min(connection.head.len())..];
            let body = &self.body[..*size][gone.saturating_sub(connection.head.len())..];
            match connection.stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]) {
                Ok(count) => *gone += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        connection.writing = None;
        Ok(())
    }
}

/// What the head of a request asks for; `None` where the path ends in no number of bytes.
fn wanted(head: &[u8]) -> Option<Wanted> {
    let target = std::str::from_utf8(head.split(|byte| *byte == b' ').nth(1)?).ok()?;
    if target == "/count" {
        return Some(Wanted::Count);
    }
    let size = target.rsplit('/').next()?.parse().ok()?;
    (size <= LARGEST_BODY).then(|| Wanted::Body { size, slow: target.starts_with("/slow/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segment_is_the_size_and_the_first_says_whether_to_wait() {
        let asked = |target: &str| wanted(format!("GET {target} HTTP/1.1\r\nHost: a").as_bytes());
        assert_eq!(asked("/1024"), Some(Wanted::Body { size: 1024, slow: false }));
        assert_eq!(asked("/z17/64"), Some(Wanted::Body { size: 64, slow: false }));
        assert_eq!(asked("/slow/a/64"), Some(Wanted::Body { size: 64, slow: true }));
        assert_eq!(asked("/count"), Some(Wanted::Count));
        assert_eq!(asked("/index.html"), None);
        assert_eq!(asked("/99999999999"), None);
    }

    #[test]
    fn what_is_due_first_comes_first_and_nothing_too_early() {
        let mut origin = Origin::new(Duration::ZERO);
        let now = Instant::now();
        origin.later.push(Reverse((now + Duration::from_secs(60), 1, 1)));
        origin.later.push(Reverse((now, 2, 2)));
        assert_eq!((origin.due(), origin.due()), (Some((2, 2)), None));
        assert!(origin.next_due().is_some_and(|left| left > Duration::from_secs(50)));
    }
}
