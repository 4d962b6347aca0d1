//! Log files: appended to, opened anew when told, rotated by size or age.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use reviver_plan::LogFile;

use super::output::{Report, write_some};
use super::queue::Queue;

/// A rotation that failed is not tried again for so long; the file goes on growing meanwhile.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct RotatedFile {
    spec: LogFile,
    file: File,
    /// Only a regular file is rotated; not a pipe or a device.
    regular: bool,
    size: u64,
    born: SystemTime,
    not_before: Option<SystemTime>,
}

impl RotatedFile {
    /// Opens for appending; creates with mode 0640, but no folders.
    pub fn open(spec: LogFile, now: SystemTime) -> io::Result<Self> {
        let (file, regular, size, born) = open(&spec.path, now)?;
        Ok(Self { spec, file, regular, size, born, not_before: None })
    }

    /// Takes over another rotation policy for the same path.
    pub fn set_policy(&mut self, spec: LogFile) {
        self.spec = spec;
    }

    /// Opens the path anew; on an error the file at hand stays in use.
    pub fn reopen(&mut self, now: SystemTime) -> io::Result<()> {
        (self.file, self.regular, self.size, self.born) = open(&self.spec.path, now)?;
        self.not_before = None;
        Ok(())
    }

    /// Writes the queue, and rotates between records.
    pub fn write(&mut self, queue: &mut Queue, now: SystemTime, report: &mut Report) -> io::Result<()> {
        while !queue.is_empty() {
            let length = if queue.is_within_record() {
                queue.record_rest()
            } else if self.rotates(now) {
                let room = match self.spec.rotate_size {
                    0 => u64::MAX,
                    bound => bound.saturating_sub(self.size),
                };
                let fitting = queue.fitting(room);
                // an empty file is not rotated: a record larger than the bound gets a file of its own
                if self.size > 0 && (fitting == 0 || self.is_old(now)) {
                    if let Err(error) = self.rotate(now) {
                        report.notes.push(format!("cannot rotate {}: {error}; it goes on growing", self.spec.path));
                        self.not_before = Some(now + ROTATE_AGAIN);
                    }
                    continue;
                }
                fitting.max(queue.record_rest())
            } else {
                queue.rest().len()
            };
            let before = self.size + queue.rest().len() as u64;
            report.written += write_some(&mut self.file, queue, length)?;
            self.size = before - queue.rest().len() as u64;
        }
        Ok(())
    }

    fn rotates(&self, now: SystemTime) -> bool {
        self.regular && self.not_before.is_none_or(|at| now >= at)
    }

    fn is_old(&self, now: SystemTime) -> bool {
        let age = now.duration_since(self.born).unwrap_or_default();
        self.spec.rotate_every_ms > 0 && age >= Duration::from_millis(self.spec.rotate_every_ms)
    }

    /// `path` becomes `path.1`, `path.1` becomes `path.2` and so on; what is beyond `keep` goes.
    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        let keep = self.spec.keep;
        if keep == 0 {
            self.file.set_len(0)?;
            (self.size, self.born) = (0, now);
            return Ok(());
        }
        let gap = (1..keep).find(|n| !self.numbered(*n).exists()).unwrap_or(keep);
        for n in (1..gap).rev() {
            fs::rename(self.numbered(n), self.numbered(n + 1))?;
        }
        fs::rename(&self.spec.path, self.numbered(1))?;
        let opened = open(&self.spec.path, now);
        if opened.is_err() {
            // the path keeps naming the file that is written to
            fs::rename(self.numbered(1), &self.spec.path)?;
        }
        (self.file, self.regular, self.size, _) = opened?;
        self.born = now;
        let surplus = (keep + 1..).map(|n| self.numbered(n)).take_while(|path| path.exists());
        for path in surplus {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    fn numbered(&self, n: u32) -> PathBuf {
        format!("{}.{n}", self.spec.path).into()
    }
}

fn open(path: &str, now: SystemTime) -> io::Result<(File, bool, u64, SystemTime)> {
    // O_NONBLOCK: a named pipe without a reader is an error, and one with a slow reader does not block
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    let born = if metadata.len() == 0 { now } else { metadata.created().unwrap_or(now) };
    Ok((file, metadata.is_file(), metadata.len(), born))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::log::tests::Folder;

    fn spec(folder: &Folder, rotate_size: u64, rotate_every_ms: u64, keep: u32) -> LogFile {
        LogFile { path: folder.path("a.log"), rotate_size, rotate_every_ms, keep }
    }

    fn write(file: &mut RotatedFile, lines: &[&str], now: SystemTime) -> Report {
        let (mut queue, mut report) = (Queue::default(), Report::default());
        for line in lines {
            queue.add(|out| out.extend_from_slice(line.as_bytes()));
        }
        file.write(&mut queue, now, &mut report).unwrap();
        assert!(queue.is_empty());
        report
    }

    #[test]
    fn a_file_is_rotated_before_it_would_grow_past_its_bound() {
        let folder = Folder::new();
        let now = SystemTime::now();
        let mut file = RotatedFile::open(spec(&folder, 8, 0, 2), now).unwrap();
        let report = write(&mut file, &["aaa\n", "bbb\n", "ccc\n", "longer than eight\n", "ddd\n"], now);
        assert_eq!(report.written, 5);
        assert_eq!(folder.read("a.log"), "ddd\n");
        assert_eq!(folder.read("a.log.1"), "longer than eight\n");
        assert_eq!(folder.read("a.log.2"), "ccc\n");
        assert!(!folder.has("a.log.3"), "only two are kept");
    }

    #[test]
    fn a_file_is_rotated_when_it_is_old_enough() {
        let folder = Folder::new();
        let now = SystemTime::now();
        let mut file = RotatedFile::open(spec(&folder, 0, 60_000, 7), now).unwrap();
        write(&mut file, &["a\n"], now);
        write(&mut file, &["b\n"], now + Duration::from_secs(59));
        assert!(!folder.has("a.log.1"));
        write(&mut file, &["c\n"], now + Duration::from_secs(61));
        assert_eq!((folder.read("a.log"), folder.read("a.log.1")), ("c\n".into(), "a\nb\n".into()));
    }

    #[test]
    fn nothing_is_kept_where_none_is_wanted() {
        let folder = Folder::new();
        let now = SystemTime::now();
        let mut file = RotatedFile::open(spec(&folder, 4, 0, 0), now).unwrap();
        write(&mut file, &["a\n", "b\n", "c\n"], now);
        assert_eq!(folder.read("a.log"), "c\n");
        assert!(!folder.has("a.log.1"));
    }

    #[test]
    fn what_was_there_is_kept_and_counts() {
        let folder = Folder::new();
        fs::write(folder.path("a.log"), "old\n").unwrap();
        let now = SystemTime::now();
        let mut file = RotatedFile::open(spec(&folder, 6, 0, 3), now).unwrap();
        write(&mut file, &["a\n", "b\n"], now);
        assert_eq!((folder.read("a.log.1"), folder.read("a.log")), ("old\na\n".into(), "b\n".into()));
    }

    #[test]
    fn a_rotation_that_fails_is_said_and_loses_nothing() {
        let folder = Folder::new();
        // a folder stands where the rotated file would go
        fs::create_dir_all(folder.path("a.log.1/x")).unwrap();
        let now = SystemTime::now();
        let mut file = RotatedFile::open(spec(&folder, 4, 0, 1), now).unwrap();
        let report = write(&mut file, &["a\n", "b\n", "c\n", "d\n"], now);
        assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
        assert_eq!(folder.read("a.log"), "a\nb\nc\nd\n");
        fs::remove_dir_all(folder.path("a.log.1")).unwrap();
        write(&mut file, &["e\n"], now + ROTATE_AGAIN);
        assert_eq!(folder.read("a.log"), "e\n");
    }

    #[test]
    fn a_reopened_file_is_a_new_one_that_others_cannot_read() {
        let folder = Folder::new();
        let now = SystemTime::now();
        let mut file = RotatedFile::open(spec(&folder, 0, 0, 7), now).unwrap();
        write(&mut file, &["a\n"], now);
        fs::rename(folder.path("a.log"), folder.path("moved")).unwrap();
        write(&mut file, &["b\n"], now);
        file.reopen(now).unwrap();
        write(&mut file, &["c\n"], now);
        assert_eq!((folder.read("moved"), folder.read("a.log")), ("a\nb\n".into(), "c\n".into()));
        let mode = fs::metadata(folder.path("a.log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
    }

    #[test]
    fn folders_are_not_made() {
        let folder = Folder::new();
        let missing = LogFile { path: folder.path("no/a.log"), rotate_size: 0, rotate_every_ms: 0, keep: 1 };
        let error = RotatedFile::open(missing, SystemTime::now()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
