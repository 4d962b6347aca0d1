//! From cores to sinks: each record once, whatever the sinks do.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, symlink};

use super::*;
use crate::log::{LogError, LogHub};

const SMALL: usize = wire::MAX_RECORD;

/// Pushes `GET /{name}/{n}` for each `n`.
fn push_all(core: &mut CoreLog, name: &str, numbers: std::ops::Range<usize>) {
    let record = record();
    for n in numbers {
        let head = request(&format!("GET /{name}/{n} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        push(core, &entry(&record, Some(&head)));
    }
}

fn paths(name: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("/{name}/{n}")).collect()
}

fn open(sinks: &[LogSink]) -> (LogHub, CoreLog) {
    let (hub, cores) = LogHub::open_with(sinks, 1, SMALL).unwrap();
    (hub, cores.into_iter().next().unwrap())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// A named pipe whose reader reads only when it is told to.
struct SlowReader(File);

impl SlowReader {
    fn new(path: &str) -> Self {
        let name = CString::new(path).unwrap();
        // SAFETY: a NUL-terminated path that lives as long as the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        Self(OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap())
    }

    /// What is in the pipe.
    fn read(&mut self, into: &mut Vec<u8>) {
        match self.0.read_to_end(into) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

#[test]
fn each_record_is_written_once_and_each_core_in_its_order() {
    let folder = Folder::new();
    let (hub, cores) = LogHub::open_with(&[sink(file(folder.path("a.log")), template("{path}"))], 2, SMALL).unwrap();
    let names = ["one", "two"];
    std::thread::scope(|scope| {
        for (mut core, name) in cores.into_iter().zip(names) {
            // many times the ring, so that records lie across its end
            scope.spawn(move || push_all(&mut core, name, 0..5000));
        }
    });
    hub.shutdown(Duration::from_secs(20));
    let written = lines(&folder.read("a.log"));
    for name in names {
        let of_core: Vec<_> = written.iter().filter(|l| l.starts_with(&format!("/{name}/"))).cloned().collect();
        assert_eq!(of_core, paths(name, 0..5000));
    }
    assert_eq!(written.len(), 10_000);
    assert_eq!(hub.status()[0].written, 10_000);
    assert_eq!(hub.take_warnings(), Vec::<String>::new());
}

#[test]
fn under_the_policy_wait_a_full_sink_fills_the_ring_and_nothing_is_lost() {
    let folder = Folder::new();
    let mut reader = SlowReader::new(&folder.path("pipe"));
    let (hub, mut core) = open(&[sink(file(folder.path("pipe")), template("{path}"))]);
    let record = record();
    let long = "x".repeat(1000);
    let (mut got, mut waits) = (Vec::new(), 0);
    for n in 0..2000 {
        let head = request(&format!("GET /{n}/{long} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        let entry = entry(&record, Some(&head));
        // read only when the core could not go on
        until("there is room", || {
            let push = core.push(&entry);
            if push == Push::Full {
                waits += 1;
                reader.read(&mut got);
            }
            push == Push::Written
        });
    }
    assert!(waits > 0, "two megabytes fit nowhere");
    until("all has been read", || {
        reader.read(&mut got);
        got.iter().filter(|b| **b == b'\n').count() == 2000
    });
    hub.shutdown(Duration::from_secs(20));
    let got = lines(std::str::from_utf8(&got).unwrap());
    assert_eq!(got, (0..2000).map(|n| format!("/{n}/{long}")).collect::<Vec<_>>());
    assert_eq!((hub.status()[0].written, hub.status()[0].dropped), (2000, 0));
}

#[test]
fn under_the_policy_drop_nobody_waits_and_each_lost_record_is_counted() {
    let folder = Folder::new();
    let mut reader = SlowReader::new(&folder.path("pipe"));
    let slow = LogSink { on_full: OnFull::Drop, ..sink(file(folder.path("pipe")), template("{path}")) };
    // beside a sink that keeps up, which gets all of them
    let (hub, mut core) = open(&[slow, sink(file(folder.path("a.log")), template("{path}"))]);
    push_all(&mut core, "x", 0..40_000);
    until("the file has all", || hub.status()[1].written == 40_000);
    let warnings = hub.take_warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].ends_with("is too slow: records are dropped and counted"), "{warnings:?}");
    let mut got = Vec::new();
    until("what was not dropped has been read", || {
        reader.read(&mut got);
        let status = &hub.status()[0];
        status.written + status.dropped == 40_000
    });
    reader.read(&mut got);
    hub.shutdown(Duration::from_secs(20));
    let status = &hub.status()[0];
    assert!(status.dropped > 0);
    assert_eq!(got.iter().filter(|b| **b == b'\n').count() as u64, status.written);
    assert_eq!(lines(&folder.read("a.log")), paths("x", 0..40_000));
    let said = format!("log file:{}: {} records were dropped", folder.path("pipe"), status.dropped);
    assert_eq!(hub.take_warnings(), [said]);
}

#[test]
fn a_full_disk_is_said_once_and_loses_nothing_once_there_is_room() {
    let folder = Folder::new();
    symlink("/dev/full", folder.path("a.log")).unwrap();
    let (hub, mut core) = open(&[sink(file(folder.path("a.log")), template("{path}"))]);
    push_all(&mut core, "x", 0..10);
    until("the sink fails", || hub.status()[0].failing.is_some());
    push_all(&mut core, "x", 10..20);
    let failing = hub.status()[0].failing.clone().unwrap();
    assert!(failing.contains("No space left on device"), "{failing}");
    let warnings = hub.take_warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("No space left on device") && warnings[0].contains("requests wait"), "{warnings:?}");
    fs::remove_file(folder.path("a.log")).unwrap();
    hub.reopen().unwrap();
    until("the sink works again", || hub.status()[0].failing.is_none());
    push_all(&mut core, "x", 20..30);
    hub.shutdown(Duration::from_secs(20));
    assert_eq!(lines(&folder.read("a.log")), paths("x", 0..30));
    let warnings = hub.take_warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].ends_with("works again; 0 records were dropped"), "{warnings:?}");
}

#[test]
fn a_full_disk_under_the_policy_drop_holds_nobody_up() {
    let full = LogSink { on_full: OnFull::Drop, ..sink(file("/dev/full".into()), LogFormat::Json) };
    let (hub, mut core) = open(&[full]);
    let (record, mut lost_at_once) = (record(), 0);
    for _ in 0..20_000 {
        match core.push(&entry(&record, None)) {
            Push::Written => {}
            Push::Dropped => lost_at_once += 1,
            Push::Full => panic!("a droppable record never waits"),
        }
    }
    hub.shutdown(Duration::ZERO);
    let status = &hub.status()[0];
    assert_eq!((status.written, status.dropped), (0, 20_000), "{lost_at_once} were lost at once");
}

#[test]
fn an_end_does_not_wait_for_a_failing_sink_whose_records_may_be_lost() {
    let folder = Folder::new();
    let full = LogSink { on_full: OnFull::Drop, ..sink(file("/dev/full".into()), template("{path}")) };
    let (hub, mut core) = open(&[full, sink(file(folder.path("a.log")), template("{path}"))]);
    push_all(&mut core, "x", 0..3);
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        hub.shutdown(Duration::from_secs(3600));
        done.send(hub.status()).unwrap();
    });
    let status = ended.recv_timeout(Duration::from_secs(20)).expect("an end long before the patience is over");
    assert_eq!((status[0].written, status[0].dropped), (0, 3));
    assert_eq!((status[1].written, status[1].dropped), (3, 0));
    assert_eq!(lines(&folder.read("a.log")), paths("x", 0..3));
}

#[test]
fn a_reload_keeps_the_handles_of_targets_that_stay() {
    let folder = Folder::new();
    let (hub, mut core) = open(&[sink(file(folder.path("a.log")), template("old {path}"))]);
    push_all(&mut core, "x", 0..1);
    fs::rename(folder.path("a.log"), folder.path("moved")).unwrap();
    hub.apply(&[
        sink(file(folder.path("b.log")), template("{path}")),
        sink(file(folder.path("a.log")), template("new {path}")),
    ])
    .unwrap();
    push_all(&mut core, "x", 1..2);
    hub.apply(&[sink(file(folder.path("b.log")), template("{path}"))]).unwrap();
    push_all(&mut core, "x", 2..3);
    hub.shutdown(Duration::from_secs(20));
    assert_eq!(folder.read("moved"), "old /x/0\nnew /x/1\n");
    assert_eq!(folder.read("b.log"), "/x/1\n/x/2\n");
    assert!(!folder.has("a.log"));
    let status = hub.status();
    assert_eq!((status.len(), status[0].written), (1, 2));
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let folder = Folder::new();
    let (hub, mut core) = open(&[sink(file(folder.path("a.log")), template("{path}"))]);
    let missing = folder.path("no/b.log");
    let error = hub.apply(&[sink(file(missing.clone()), LogFormat::Json)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("reviver.yaml:3: cannot open the log file:{missing}: No such file or directory (os error 2)")
    );
    let error = hub.apply(&[sink(file(folder.path("b.log")), template("{nope}"))]).unwrap_err();
    assert!(matches!(&error, LogError::Template { .. }), "{error}");
    assert!(!folder.has("b.log"));
    let twice = sink(file(folder.path("a.log")), LogFormat::Json);
    assert!(matches!(hub.apply(&[twice.clone(), twice]).unwrap_err(), LogError::Twice { .. }));
    push_all(&mut core, "x", 0..3);
    hub.shutdown(Duration::from_secs(20));
    assert_eq!(lines(&folder.read("a.log")), paths("x", 0..3));
}

#[test]
fn fields_that_a_reload_asks_for_are_recorded_from_then_on() {
    let folder = Folder::new();
    let (hub, mut core) = open(&[sink(file(folder.path("a.log")), template("{path}"))]);
    let (record, head) = (record(), request("GET / HTTP/1.1\r\nHost: a.example\r\nX-Id: 17\r\n\r\n"));
    hub.apply(&[sink(file(folder.path("a.log")), template("{request_headers.x-id}"))]).unwrap();
    push(&mut core, &entry(&record, Some(&head)));
    hub.shutdown(Duration::from_secs(20));
    assert_eq!(folder.read("a.log"), "17\n");
}

#[test]
fn without_sinks_and_without_a_writer_nobody_waits() {
    let record = record();
    let (hub, mut core) = open(&[]);
    assert_eq!(core.push(&entry(&record, None)), Push::Written);
    hub.shutdown(Duration::ZERO);
    let folder = Folder::new();
    let (hub, mut core) = open(&[sink(file(folder.path("a.log")), LogFormat::Json)]);
    hub.shutdown(Duration::from_secs(20));
    until("the ring is full", || core.push(&entry(&record, None)) == Push::Dropped);
}

#[test]
fn what_cannot_be_written_before_the_end_is_counted_and_said() {
    let (hub, mut core) = open(&[sink(file("/dev/full".into()), template("{path}"))]);
    push_all(&mut core, "x", 0..3);
    hub.shutdown(Duration::ZERO);
    assert_eq!(hub.status()[0].dropped, 3);
    let warnings = hub.take_warnings();
    let last = warnings.last().unwrap();
    assert_eq!(last, "log file:/dev/full: 3 records could not be written before it was closed");
}
