//! What the clients share: connections, response heads, bodies that are thrown away, and the result.

use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memchr::memmem;
use serde::Serialize;
use socket2::SockRef;

use crate::Options;

/// Longer than any healthy answer takes: a peer that hangs becomes an error and not a hanging benchmark.
pub const PATIENCE: Duration = Duration::from_secs(20);
const LONGEST_HEAD: usize = 16 * 1024;

/// What one run of a load did.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub requests: u64,
    pub errors: u64,
    pub bytes: u64,
    pub seconds: f64,
    pub p50_us: u64,
    pub p99_us: u64,
    /// The first error, for a person.
    pub first_error: Option<String>,
}

/// What one connection did.
pub struct Tally {
    pub requests: u64,
    pub bytes: u64,
    latency: Histogram<u64>,
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> io::Result<Self> {
        let latency =
            Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { requests: 0, bytes: 0, latency })
    }

    /// The result of a load that kept one account for all its connections.
    pub fn outcome(&self, took: Duration, errors: u64, first_error: Option<String>) -> Outcome {
        Outcome {
            requests: self.requests,
            errors,
            bytes: self.bytes,
            seconds: took.as_secs_f64(),
            p50_us: self.latency.value_at_quantile(0.50),
            p99_us: self.latency.value_at_quantile(0.99),
            first_error,
        }
    }

    /// Takes over what another has counted.
    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.latency += &other.latency;
    }

    /// Counts one exchange.
    pub fn add(&mut self, bytes: u64, took: Duration) {
        self.requests += 1;
        self.bytes += bytes;
        self.latency.saturating_record(took.as_micros().try_into().unwrap_or(u64::MAX));
    }
}

/// Runs `work` on as many threads as there are connections, from a common start to a common deadline.
///
/// A thread for each connection, and blocking calls: exchanges here are long (large bodies) or few.
pub fn run<F>(options: Options, work: F) -> io::Result<Outcome>
where
    F: Fn(&mut Tally, Instant, u64) -> io::Result<()> + Sync,
{
    let start = Barrier::new(options.connections + 1);
    let mut all = Tally::new()?;
    let (mut errors, mut first_error) = (0, None);
    let began = thread::scope(|scope| {
        let mut threads = Vec::with_capacity(options.connections);
        for index in 0..options.connections as u64 {
            let mut tally = Tally::new()?;
            let connections = options.connections as u64;
            let share =
                options.requests.map_or(u64::MAX, |all| all / connections + u64::from(index < all % connections));
            let (start, work) = (&start, &work);
            threads.push(scope.spawn(move || {
                start.wait();
                let result = work(&mut tally, Instant::now() + options.duration, share);
                (tally, result)
            }));
        }
        start.wait();
        let began = Instant::now();
        for thread in threads {
            let (tally, result) = thread.join().map_err(|_| io::Error::other("a client thread panicked"))?;
            all.merge(&tally);
            if let Err(error) = result {
                errors += 1;
                first_error.get_or_insert_with(|| error.to_string());
            }
        }
        Ok::<_, io::Error>(began)
    })?;
    Ok(all.outcome(began.elapsed(), errors, first_error))
}

/// A connected stream with `TCP_NODELAY` and bounded waits.
pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    configure(&stream)?;
    Ok(stream)
}

/// Sets what [`connect`] promises.
pub fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// What is known of a response whose body was thrown away.
pub struct Response {
    pub length: u64,
    /// The connection takes no further request.
    pub last: bool,
}

/// Reads one response that must be 200; its body is discarded.
pub fn response(stream: &mut TcpStream, buffer: &mut [u8], sink: &mut Sink) -> io::Result<Response> {
    let (head, filled) = head(stream, buffer)?;
    let last = asks_to_close(&buffer[..head]);
    let length = content_length(&buffer[..head]).ok_or_else(|| bad("a response without Content-Length"))?;
    let already = (filled - head) as u64;
    let rest = length.checked_sub(already).ok_or_else(|| bad("more bytes than Content-Length"))?;
    sink.discard_exactly(stream, rest)?;
    Ok(Response { length, last })
}

/// Opens a tunnel by CONNECT; returns the stream behind the answer, which must have no body.
pub fn tunnel(proxy: SocketAddr, authority: &str) -> io::Result<TcpStream> {
    let mut stream = connect(proxy)?;
    stream.write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes())?;
    // one byte at a time: what follows the head belongs to the tunnel
    let mut head = Vec::with_capacity(256);
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > LONGEST_HEAD {
            return Err(bad("an endless response head"));
        }
    }
    check_status(&head)?;
    Ok(stream)
}

/// Where bytes go that nobody reads. Its memory is never written to, so it costs address space only.
pub struct Sink(Box<[MaybeUninit<u8>]>);

impl Sink {
    pub fn new() -> Self {
        Self(Box::new_uninit_slice(1 << 20))
    }

    /// Throws away up to `limit` bytes without copying them out of the kernel (`MSG_TRUNC`, tcp(7)). 0 is the end.
    pub fn discard(&mut self, stream: &impl AsFd, limit: u64) -> io::Result<usize> {
        let size = usize::try_from(limit).unwrap_or(usize::MAX).min(self.0.len());
        SockRef::from(stream).recv_with_flags(&mut self.0[..size], libc::MSG_TRUNC)
    }

    fn discard_exactly(&mut self, stream: &TcpStream, mut rest: u64) -> io::Result<()> {
        while rest > 0 {
            match self.discard(stream, rest)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => rest -= count as u64,
            }
        }
        Ok(())
    }
}

/// Reads until a head is whole; returns its length and how much of the buffer is filled.
pub fn head(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..])? {
            0 if filled == buffer.len() => return Err(bad("an endless response head")),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        if let Some(end) = memmem::find(&buffer[..filled], b"\r\n\r\n") {
            check_status(&buffer[..end])?;
            return Ok((end + 4, filled));
        }
    }
}

/// Any status but 200 is an error that names it.
pub fn check_status(head: &[u8]) -> io::Result<()> {
    if head.starts_with(b"HTTP/1.") && head.get(8..12) == Some(b" 200") {
        return Ok(());
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Err(bad(&format!("answer {}", String::from_utf8_lossy(line))))
}

/// Whether a head says that the connection is closed after it.
pub fn asks_to_close(head: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').any(|line| line.trim_ascii().eq_ignore_ascii_case(b"connection: close"))
}

/// What `Content-Length` says in that head.
pub fn content_length(head: &[u8]) -> Option<u64> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        name.eq_ignore_ascii_case(b"content-length:").then_some(value)?;
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    })
}

/// An error of what was received, in words for a person.
pub fn bad(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_found_whatever_its_case_and_place() {
        assert_eq!(content_length(b"HTTP/1.1 200 OK\r\ncontent-LENGTH:  12 \r\nX: 1\r\n\r\n"), Some(12));
        assert_eq!(content_length(b"HTTP/1.1 200 OK\r\nX-Content-Length: 12\r\n\r\n"), None);
    }

    #[test]
    fn a_head_that_ends_its_connection_is_known_whatever_its_case() {
        assert!(asks_to_close(b"HTTP/1.1 200 OK\r\nconnection: Close\r\n\r\n"));
        assert!(!asks_to_close(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn any_status_but_200_is_an_error_that_names_it() {
        assert!(check_status(b"HTTP/1.1 200 OK\r\n").is_ok());
        let error = check_status(b"HTTP/1.1 503 Service Unavailable\r\nX: 1").expect_err("503 is no success");
        assert!(error.to_string().contains("503 Service Unavailable"));
    }
}
