//! Where a sink's bytes go.
//!
//! Rule 1: no output blocks the writer thread for a reader's sake: what cannot be taken at once is
//! [`io::ErrorKind::WouldBlock`], and the rest stays in the queue. Rule 2: after an error the queue stands
//! where the writing is to go on.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::time::SystemTime;

use reviver_plan::{LogTarget, Syslog};

use super::clock::Clock;
use super::file::RotatedFile;
use super::queue::Queue;
use super::syslog::SyslogLink;

/// What a write did besides success or error.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Records written whole.
    pub written: u64,
    /// Records that this output cannot take at all.
    pub refused: u64,
    /// Sentences for the operator.
    pub notes: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Output {
    Stream(Stream),
    File(RotatedFile),
    Syslog(SyslogLink),
}

impl Output {
    pub fn open(target: &LogTarget) -> io::Result<Self> {
        Ok(match target {
            LogTarget::Stdout => Self::Stream(Stream::new(io::stdout().as_fd().try_clone_to_owned()?)?),
            LogTarget::Stderr => Self::Stream(Stream::new(io::stderr().as_fd().try_clone_to_owned()?)?),
            LogTarget::File(file) => Self::File(RotatedFile::open(file.clone(), SystemTime::now())?),
            LogTarget::Syslog(target) => Self::Syslog(SyslogLink::new(target)?),
        })
    }

    /// Appends one record as this output frames it; `line` writes it without an end.
    pub fn frame(&self, ms: u64, clock: &mut Clock, out: &mut Vec<u8>, line: impl FnOnce(&mut Clock, &mut Vec<u8>)) {
        match self {
            Self::Stream(_) | Self::File(_) => {
                line(clock, out);
                out.push(b'\n');
            }
            Self::Syslog(link) => link.frame(ms, clock, out, line),
        }
    }

    /// Writes as much of the queue as is taken.
    pub fn write(&mut self, queue: &mut Queue, now: SystemTime, report: &mut Report) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write(queue, report),
            Self::File(file) => file.write(queue, now, report),
            Self::Syslog(link) => link.write(queue, report),
        }
    }

    /// Whether this error ends the output for good: a stream whose reader has gone cannot be opened again.
    pub fn is_over(&self, error: &io::Error) -> bool {
        let closed = matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EBADF | libc::ECONNRESET | libc::EIO));
        matches!(self, Self::Stream(_)) && closed
    }
}

/// How a target is called in reports.
pub(super) fn name(target: &LogTarget) -> String {
    match target {
        LogTarget::Stdout => "stdout".into(),
        LogTarget::Stderr => "stderr".into(),
        LogTarget::File(file) => format!("file:{}", file.path),
        LogTarget::Syslog(Syslog::Udp(address)) => format!("syslog:{address}"),
        LogTarget::Syslog(Syslog::Tcp(address)) => format!("syslog+tcp:{address}"),
        LogTarget::Syslog(Syslog::Unix(path)) => format!("syslog+unix:{path}"),
    }
}

/// Whether two targets are the same place, so that an open handle can be kept.
pub(super) fn same_place(one: &LogTarget, other: &LogTarget) -> bool {
    match (one, other) {
        (LogTarget::File(one), LogTarget::File(other)) => one.path == other.path,
        _ => one == other,
    }
}

/// A pipe takes this many bytes without blocking once `poll` says that it takes any (pipe(7), PIPE_BUF).
const PIPE_BUF: usize = 4096;

/// Standard output or error. The description is shared with other processes, so it is not made non-blocking.
#[derive(Debug)]
pub(super) struct Stream {
    file: File,
    /// A pipe, a terminal or a socket: something with a reader that may be slow.
    has_reader: bool,
}

impl Stream {
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        let kind = file.metadata()?.file_type();
        let has_reader = kind.is_fifo() || kind.is_socket() || kind.is_char_device();
        Ok(Self { file, has_reader })
    }

    fn write(&mut self, queue: &mut Queue, report: &mut Report) -> io::Result<()> {
        while !queue.is_empty() {
            let mut length = queue.rest().len();
            if self.has_reader {
                if !self.takes_bytes()? {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                // whole lines, so that others who write to the same pipe do not tear them
                let whole = queue.fitting(PIPE_BUF as u64);
                length = if whole == 0 { length.min(PIPE_BUF) } else { whole };
            }
            report.written += write_some(&mut self.file, queue, length)?;
        }
        Ok(())
    }

    fn takes_bytes(&self) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: self.file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: `poll` is one valid pollfd for the length of the call.
        if unsafe { libc::poll(&mut poll, 1, 0) } < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
        }
        // an error condition counts too: the write tells which
        Ok(poll.revents != 0)
    }
}

/// Writes up to `length` bytes of the queue with one call; returns the number of records completed.
pub(super) fn write_some(writer: &mut impl Write, queue: &mut Queue, length: usize) -> io::Result<u64> {
    loop {
        match writer.write(&queue.rest()[..length]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => return Ok(queue.advance(n)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read, pipe};

    use super::*;

    fn stream() -> (PipeReader, Stream) {
        let (reader, writer) = pipe().unwrap();
        (reader, Stream::new(OwnedFd::from(writer)).unwrap())
    }

    #[test]
    fn a_pipe_that_nobody_reads_does_not_block_and_loses_nothing() {
        let (mut reader, mut stream) = stream();
        let mut queue = Queue::default();
        let line = format!("{}\n", "x".repeat(499));
        for _ in 0..1000 {
            queue.add(|out| out.extend_from_slice(line.as_bytes()));
        }
        let mut report = Report::default();
        let mut got = Vec::new();
        let mut blocked = 0;
        while let Err(error) = stream.write(&mut queue, &mut report) {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            blocked += 1;
            let mut part = vec![0; 1 << 16];
            let n = reader.read(&mut part).unwrap();
            got.extend_from_slice(&part[..n]);
        }
        assert!(blocked > 0, "a pipe holds less than 500 kB");
        drop(stream);
        reader.read_to_end(&mut got).unwrap();
        assert_eq!(got, line.repeat(1000).into_bytes());
        assert_eq!(report.written, 1000);
    }

    #[test]
    fn a_closed_reader_ends_a_stream_for_good() {
        let (reader, mut stream) = stream();
        drop(reader);
        let mut queue = Queue::default();
        queue.add(|out| out.push(b'\n'));
        let error = stream.write(&mut queue, &mut Report::default()).unwrap_err();
        assert!(Output::Stream(stream).is_over(&error), "{error}");
        assert_eq!(queue.len(), 1);
    }
}
