//! The system calls, and the names of files.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::ReadError;

/// Vectors that one call takes.
const MAX_VECTORS: usize = 1024;

pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What a file of the store is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A segment of many records.
    Segment(u64),
    /// What it holds.
    Index(u64),
    /// A segment of one object.
    Object(u64),
}

impl Name {
    pub fn number(self) -> u64 {
        let (Name::Segment(number) | Name::Index(number) | Name::Object(number)) = self;
        number
    }

    pub fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Name::Segment(number) => format!("segment-{number}"),
            Name::Index(number) => format!("segment-{number}.index"),
            Name::Object(number) => format!("object-{number}"),
        })
    }

    /// None: a file of somebody else.
    pub fn parse(name: &str) -> Option<Name> {
        let (kind, rest) = name.split_once('-')?;
        let number: u64 = rest.strip_suffix(".index").unwrap_or(rest).parse().ok()?;
        // so many are never reached by counting
        let number = Some(number).filter(|number| *number < 1 << 60)?;
        let parsed = match kind {
            "segment" if rest.ends_with(".index") => Name::Index(number),
            "segment" => Name::Segment(number),
            _ => Name::Object(number),
        };
        (parsed.path(Path::new("")).to_str() == Some(name)).then_some(parsed)
    }
}

/// Whether the file is gone now.
pub fn remove(path: &Path) -> bool {
    match std::fs::remove_file(path) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(()) => true,
    }
}

pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

/// None: another process holds the lock.
pub fn lock(path: &Path) -> io::Result<Option<File>> {
    let made = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    let file = match made {
        Err(error) if is_read_only(&error) => File::open(path).map_err(|_| error)?,
        made => made?,
    };
    // SAFETY: flock takes a descriptor that `file` keeps open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(Some(file));
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EWOULDBLOCK) => Ok(None),
        error => Err(error),
    }
}

/// At once: a child that was forked and has not executed anything yet would hold it as long as it has the descriptor.
pub fn unlock(file: &File) {
    // SAFETY: flock takes a descriptor that `file` keeps open.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
}

pub fn is_read_only(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EROFS | libc::EACCES | libc::EPERM))
}

/// The process has no more of something; the file may be all right.
pub fn is_short(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

pub fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG))
}

/// Whether the file stands on a tmpfs.
fn is_memory(file: &File) -> bool {
    // SAFETY: a zeroed statfs is a valid one, and the call writes no more than that.
    let mut facts: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open for the length of the call, and `facts` is a statfs.
    let known = unsafe { libc::fstatfs(file.as_raw_fd(), &mut facts) } == 0;
    known && facts.f_type == libc::TMPFS_MAGIC
}

/// Fills `first` with what stands at `at` and appends the `len` bytes behind it to `out`, or nothing. A file that is too
/// short is damaged. Without `wait` only what the page cache holds is read.
pub fn read(
    file: &File,
    at: u64,
    first: &mut [u8],
    len: usize,
    out: &mut Vec<u8>,
    wait: bool,
) -> Result<(), ReadError> {
    let (start, total) = (out.len(), first.len() + len);
    let (mut done, mut flags) = (0, if wait { 0 } else { libc::RWF_NOWAIT });
    out.reserve(len);
    while done < total {
        let head = &mut first[done.min(total - len)..];
        let missing = total - done - head.len();
        let vectors = [
            libc::iovec { iov_base: head.as_mut_ptr().cast(), iov_len: head.len() },
            libc::iovec { iov_base: out.spare_capacity_mut().as_mut_ptr().cast(), iov_len: missing },
        ];
        let from = at.saturating_add(done as u64) as libc::off_t;
        // SAFETY: the vectors name `head` and `missing` bytes of spare capacity, reserved above, and live for the call.
        let got = unsafe { libc::preadv2(file.as_raw_fd(), vectors.as_ptr(), 2, from, flags) };
        let error = match got {
            0 => ReadError::Corrupt,
            1.. => {
                done += got as usize;
                // SAFETY: the kernel has filled `head` first, and then that many bytes behind the old length.
                unsafe { out.set_len(start + done.saturating_sub(total - len)) };
                continue;
            }
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                // A file system that is memory does not know the flag, and does not need it.
                error if flags != 0 && error.raw_os_error() == Some(libc::EOPNOTSUPP) && is_memory(file) => {
                    flags = 0;
                    continue;
                }
                error if !wait && matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EOPNOTSUPP)) => {
                    ReadError::WouldBlock
                }
                error => ReadError::Io(error),
            },
        };
        out.truncate(start);
        return Err(error);
    }
    Ok(())
}

/// Writes all of `parts` from `at` on.
pub fn write(file: &File, at: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    let mut at = at;
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let count = parts.len().min(MAX_VECTORS) as libc::c_int;
        // SAFETY: IoSlice has the layout of iovec, and the slices live for the call.
        let done = unsafe { libc::pwritev(file.as_raw_fd(), parts.as_ptr().cast(), count, at as libc::off_t) };
        match done {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            1.. => {
                at += done as u64;
                IoSlice::advance_slices(&mut parts, done as usize);
            }
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}
