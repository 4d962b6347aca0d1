//! A byte stream to a client or an upstream, and `splice` between two that are plain TCP.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderMap;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::buffers::Buf;
use crate::cache::Job;
use crate::http2::Http2Stream;

/// The kinds of transport below a connection.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// The content of one message over HTTP/2; heads go their own ways.
    Http2(Box<Http2Stream>),
    /// Another owner has it.
    Taken,
    /// There is no client: the request is the proxy's own. Nothing ever comes, and what is written is gone.
    Nobody(Box<Job>),
}

impl Stream {
    /// Reads into the free space of `buf`. `Ok(0)` is the end of the stream; the buffer must not be full.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Buf) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(buf.space());
        match self {
            Self::Tcp(stream) => ready!(Pin::new(stream).poll_read(cx, &mut space))?,
            Self::Tls(stream) => ready!(Pin::new(stream).poll_read(cx, &mut space))?,
            Self::Http2(stream) => ready!(stream.poll_read(cx, &mut space))?,
            Self::Taken => return Poll::Ready(Ok(0)),
            Self::Nobody(_) => return Poll::Pending,
        }
        let count = space.filled().len();
        buf.filled(count);
        Poll::Ready(Ok(count))
    }

    /// `last`: nothing follows these bytes, trailers neither.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8], last: bool) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Http2(stream) => stream.poll_write(cx, bytes, last),
            Self::Taken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Self::Nobody(job) => {
                job.written(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    /// Writes of two runs of bytes as much as goes at once; at least one must not be empty.
    pub fn poll_write_both(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
        last: bool,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) if !first.is_empty() && !second.is_empty() => {
                Pin::new(stream).poll_write_vectored(cx, &[io::IoSlice::new(first), io::IoSlice::new(second)])
            }
            _ if first.is_empty() => self.poll_write(cx, second, last),
            _ => self.poll_write(cx, first, last && second.is_empty()),
        }
    }

    /// Brings what was written on its way, where something in between holds it.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Ends the message, where its end is not told by its framing.
    pub fn finish(&mut self, trailers: Option<Box<HeaderMap>>) -> io::Result<()> {
        match self {
            Self::Http2(stream) => stream.finish(trailers),
            _ => Ok(()),
        }
    }

    /// Ends the writing side; the peer reads the end of the stream.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Http2(stream) => Poll::Ready(stream.finish(None)),
            Self::Taken | Self::Nobody(_) => Poll::Ready(Ok(())),
        }
    }

    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Http2(_) | Self::Taken | Self::Nobody(_) => None,
        }
    }

    pub fn local(&self) -> Option<SocketAddr> {
        self.socket()?.local_addr().ok()
    }

    /// Registers interest in reading without reading. Only where all that came before has been read.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().map_or(Poll::Ready(Ok(())), |socket| socket.poll_read_ready(cx))
    }

    /// The socket, where bytes on it are the bytes of the stream.
    pub fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            _ => None,
        }
    }

    pub fn http2(&mut self) -> Option<&mut Http2Stream> {
        match self {
            Self::Http2(stream) => Some(stream),
            _ => None,
        }
    }

    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether a kept connection is still silent and open. Costs a system call only where something has come
    /// in since it was last read.
    pub fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if let Self::Tls(stream) = self {
            // What has been decrypted already is not on the socket; what is there may be no content.
            let mut byte = [0; 1];
            return Pin::new(stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending();
        }
        let Some(stream) = self.socket() else { return false };
        match stream.poll_read_ready(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(Err(_)) => false,
            Poll::Ready(Ok(())) => {
                let mut byte = [0; 1];
                matches!(stream.try_read(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
            }
        }
    }

    /// The peer has ended its writing side. Probes find out within about two seconds whether its host still
    /// answers; [`Self::is_dead`] tells.
    pub fn probe(&self) {
        let Some(stream) = self.socket() else { return };
        let probes =
            TcpKeepalive::new().with_time(Duration::from_secs(1)).with_interval(Duration::from_secs(1)).with_retries(1);
        // Without probes a vanished client is noticed when the response is written.
        let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
    }

    /// Whether the connection has failed (reset, or probes unanswered).
    pub fn is_dead(&self) -> bool {
        self.socket().is_some_and(|stream| !matches!(stream.take_error(), Ok(None)))
    }
}

/// A pipe through which `splice` moves bytes without copying them to user space.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    /// Bytes in the pipe.
    held: usize,
    /// The last filling took all that was asked for: more is there already.
    filled: bool,
}

/// Bytes asked of one `splice`; the pipe is grown to hold as much.
const PIPE_SIZE: usize = 1 << 20;

impl Pipe {
    pub fn new() -> io::Result<Self> {
        let mut fds = [0; 2];
        // SAFETY: `fds` has room for the two descriptors that pipe2 writes.
        if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both descriptors are new and owned by nobody else.
        let (read, write) = unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) };
        // Refused beyond the user's share of pipe memory; then the pipe keeps its default size.
        // SAFETY: the descriptor is a pipe.
        unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_SIZE as libc::c_int) };
        Ok(Self { read, write, held: 0, filled: false })
    }

    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Fills the empty pipe from a socket; `Ok(0)` is the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream, limit: u64) -> Poll<io::Result<usize>> {
        let count = usize::try_from(limit).unwrap_or(PIPE_SIZE).min(PIPE_SIZE);
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || splice(from, &self.write, count, false)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    let filled = *result.as_ref().unwrap_or(&0);
                    self.held += filled;
                    self.filled = filled == PIPE_SIZE;
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Empties the pipe into a socket.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<()>> {
        while self.held > 0 {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || splice(&self.read, to, self.held, self.filled)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.held -= count,
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn splice(from: &impl AsFd, to: &impl AsFd, count: usize, more: bool) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK | if more { libc::SPLICE_F_MORE } else { 0 };
    // SAFETY: both descriptors are open for the length of the call; no offsets are given.
    let moved = unsafe {
        libc::splice(
            from.as_fd().as_raw_fd(),
            std::ptr::null_mut(),
            to.as_fd().as_raw_fd(),
            std::ptr::null_mut(),
            count,
            flags,
        )
    };
    usize::try_from(moved).map_err(|_| io::Error::last_os_error())
}
