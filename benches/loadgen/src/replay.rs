//! GET of many targets in a given order over kept connections, all on one thread.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use memchr::memmem;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Options;
use crate::client::{self, Outcome, PATIENCE, Sink, Tally, bad};

const LONGEST_HEAD: usize = 16 * 1024;

/// What is asked for, one after the other.
pub enum Targets {
    /// A list, from its start again where it ends.
    Listed { list: Vec<String>, next: usize },
    /// A target that has not been there before: what is between these is counted up.
    Counted { before: String, after: String, next: u64 },
}

impl Targets {
    /// One target for each line.
    pub fn listed(text: &str) -> io::Result<Self> {
        let list: Vec<String> = text.lines().map(str::to_owned).collect();
        if list.is_empty() { Err(bad("a list of no targets")) } else { Ok(Self::Listed { list, next: 0 }) }
    }

    fn write_next(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Listed { list, next } => {
                into.extend_from_slice(list[*next].as_bytes());
                *next = (*next + 1) % list.len();
                Ok(())
            }
            Self::Counted { before, after, next } => {
                *next += 1;
                write!(into, "{before}{next}{after}")
            }
        }
    }
}

struct Client {
    stream: TcpStream,
    /// A head that is not whole yet.
    pending: Vec<u8>,
    /// Rest of the body, once the head is known.
    rest: Option<u64>,
    length: u64,
    /// The connection takes no further request.
    last: bool,
    sent: Instant,
}

/// What a look at the socket has found.
#[derive(PartialEq)]
enum Progress {
    Waiting,
    Done,
}

struct Load<'a> {
    proxy: SocketAddr,
    host: &'a str,
    targets: Targets,
    request: Vec<u8>,
    left: u64,
    deadline: Instant,
    buffer: Vec<u8>,
    sink: Sink,
    tally: Tally,
    errors: u64,
    first_error: Option<String>,
}

/// Opens all connections, then lets each ask for whatever is next as soon as it has its answer, until the requests or
/// the time are used up. A connection that fails is not opened again, one that the proxy ends in order is.
pub fn load(proxy: SocketAddr, host: &str, targets: Targets, options: Options) -> io::Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut clients = Vec::with_capacity(options.connections);
    for index in 0..options.connections {
        clients.push(Some(open(proxy, &poll, index)?));
    }
    let began = Instant::now();
    let mut load = Load {
        proxy,
        host,
        targets,
        request: Vec::new(),
        left: options.requests.unwrap_or(u64::MAX),
        deadline: began + options.duration,
        buffer: vec![0; 4096],
        sink: Sink::new(),
        tally: Tally::new()?,
        errors: 0,
        first_error: None,
    };
    let mut busy = 0;
    for slot in &mut clients {
        busy += usize::from(load.begin(slot));
    }
    while busy > 0 {
        match poll.poll(&mut events, Some(PATIENCE)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        if events.is_empty() {
            load.fail(&bad("no answer"), busy as u64);
            break;
        }
        for event in &events {
            let Token(index) = event.token();
            let slot = &mut clients[index];
            if !event.is_readable() || slot.is_none() {
                continue;
            }
            if !load.turn(slot, &poll, index, event.is_read_closed()) {
                busy -= 1;
            }
        }
    }
    Ok(load.tally.outcome(began.elapsed(), load.errors, load.first_error))
}

impl Load<'_> {
    /// Takes what has come and asks for the next; false once the connection has nothing more to do.
    fn turn(&mut self, slot: &mut Option<Client>, poll: &Poll, index: usize, ending: bool) -> bool {
        let Some(client) = slot else { return false };
        match self.receive(client, ending) {
            Ok(Progress::Waiting) => return true,
            Ok(Progress::Done) => {}
            Err(error) => {
                self.fail(&error, 1);
                *slot = None;
                return false;
            }
        }
        self.tally.add(client.length, client.sent.elapsed());
        if client.last {
            match open(self.proxy, poll, index) {
                Ok(fresh) => *client = fresh,
                Err(error) => {
                    self.fail(&error, 1);
                    *slot = None;
                    return false;
                }
            }
        }
        self.begin(slot)
    }

    /// Sends the next request; false where there is none, or where it fails.
    fn begin(&mut self, slot: &mut Option<Client>) -> bool {
        let Some(client) = slot else { return false };
        let now = Instant::now();
        if self.left == 0 || now >= self.deadline {
            *slot = None;
            return false;
        }
        self.left -= 1;
        client.sent = now;
        match self.send(client) {
            Ok(()) => true,
            Err(error) => {
                self.fail(&error, 1);
                *slot = None;
                false
            }
        }
    }

    fn send(&mut self, client: &mut Client) -> io::Result<()> {
        self.request.clear();
        self.request.extend_from_slice(b"GET ");
        self.targets.write_next(&mut self.request)?;
        write!(self.request, " HTTP/1.1\r\nHost: {}\r\nUser-Agent: loadgen\r\nAccept: */*\r\n\r\n", self.host)?;
        // a socket whose last request is answered has room for one more
        client.stream.write_all(&self.request)
    }

    /// Reads until the answer is whole or the socket empty. What is left in the socket after that makes no new edge:
    /// a short read has emptied it, unless the end of the stream is among what has come.
    fn receive(&mut self, client: &mut Client, ending: bool) -> io::Result<Progress> {
        loop {
            let Some(rest) = &mut client.rest else {
                let count = match client.stream.read(&mut self.buffer) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waiting),
                    Err(error) => return Err(error),
                };
                if client.pending.is_empty() {
                    if !client.understand(&self.buffer[..count])? {
                        client.pending.extend_from_slice(&self.buffer[..count]);
                    }
                } else {
                    let mut all = std::mem::take(&mut client.pending);
                    all.extend_from_slice(&self.buffer[..count]);
                    if !client.understand(&all)? {
                        client.pending = all;
                    }
                }
                if client.rest == Some(0) {
                    client.rest = None;
                    return Ok(Progress::Done);
                }
                if count < self.buffer.len() && !ending {
                    return Ok(Progress::Waiting);
                }
                continue;
            };
            match self.sink.discard(&client.stream, *rest) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => *rest -= count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waiting),
                Err(error) => return Err(error),
            }
            if *rest == 0 {
                client.rest = None;
                return Ok(Progress::Done);
            }
        }
    }

    fn fail(&mut self, error: &io::Error, count: u64) {
        self.errors += count;
        self.first_error.get_or_insert_with(|| error.to_string());
    }
}

impl Client {
    /// Reads the head if it is whole: the status must be 200, the length told.
    fn understand(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > LONGEST_HEAD { Err(bad("an endless response head")) } else { Ok(false) };
        };
        let head = &bytes[..end + 2];
        client::check_status(head)?;
        self.last = client::asks_to_close(head);
        self.length = client::content_length(head).ok_or_else(|| bad("a response without Content-Length"))?;
        let already = (bytes.len() - end - 4) as u64;
        self.rest = Some(self.length.checked_sub(already).ok_or_else(|| bad("more bytes than Content-Length"))?);
        Ok(true)
    }
}

fn open(proxy: SocketAddr, poll: &Poll, index: usize) -> io::Result<Client> {
    let stream = client::connect(proxy)?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
    let sent = Instant::now();
    Ok(Client { stream, pending: Vec::new(), rest: None, length: 0, last: false, sent })
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn options(connections: usize, requests: u64) -> Options {
        Options { connections, duration: Duration::from_secs(60), requests: Some(requests) }
    }

    /// Serves one connection with that answer, in two pieces; the targets that were asked for.
    fn replay(targets: Targets, requests: u64, answer: &'static [u8]) -> (Outcome, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let at = listener.local_addr().expect("its address");
        let server = thread::spawn(move || {
            let mut asked = Vec::new();
            let (mut stream, _) = listener.accept().expect("a client");
            let mut lines = io::BufReader::new(stream.try_clone().expect("a second handle")).lines();
            while let Some(Ok(line)) = lines.next() {
                asked.extend(line.split(' ').nth(1).filter(|_| line.starts_with("GET ")).map(str::to_owned));
                if line.is_empty() {
                    let (first, second) = answer.split_at(answer.len() / 2);
                    stream.write_all(first).and_then(|()| stream.write_all(second)).expect("a client that reads");
                }
            }
            asked
        });
        let outcome = load(at, "a", targets, options(1, requests)).expect("a load");
        (outcome, server.join().expect("a server"))
    }

    #[test]
    fn a_list_is_asked_for_in_its_order_and_then_again() {
        let targets = Targets::listed("/a\n/b\n").expect("targets");
        let (outcome, asked) = replay(targets, 3, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef");
        assert_eq!((outcome.requests, outcome.errors, outcome.bytes), (3, 0, 18));
        assert_eq!(asked, ["/a", "/b", "/a"]);
    }

    #[test]
    fn counted_targets_never_come_twice() {
        let targets = Targets::Counted { before: "/m".into(), after: "/9".into(), next: 0 };
        let (_, asked) = replay(targets, 2, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
        assert_eq!(asked, ["/m1/9", "/m2/9"]);
    }

    #[test]
    fn what_is_not_200_is_an_error_that_names_it() {
        let targets = Targets::listed("/a").expect("targets");
        let (outcome, _) = replay(targets, 2, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        assert_eq!((outcome.requests, outcome.errors), (0, 1));
        assert!(outcome.first_error.is_some_and(|text| text.contains("503")));
    }
}
