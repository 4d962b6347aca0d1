//! What the tests of the log share.

mod flow;
mod formats;
mod syslog;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reviver_flow::{Ending, Record, Slug, Times, Via};
use reviver_http::{HeadLimits, Method, RequestHead, ResponseHead, decode_request, decode_response};
use reviver_plan::{LogFile, LogFormat, LogSink, LogTarget, OnFull};

use super::clock::Clock;
use super::format::Format;
use super::wire::{self, Selection};
use super::{CoreLog, Entry, Push};

/// A folder of its own, gone with the value.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("reviver-log-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const LIMITS: HeadLimits = HeadLimits { head: 128 << 10, fields: 100, target: 64 << 10 };

pub(super) fn request(text: &str) -> RequestHead {
    let mut head = RequestHead::default();
    decode_request(text.as_bytes(), &LIMITS, &mut head).unwrap();
    head
}

pub(super) fn response(text: &str) -> ResponseHead {
    let mut head = ResponseHead::default();
    decode_response(text.as_bytes(), Method::Get, &LIMITS, &mut head).unwrap();
    head
}

/// A request that was passed on to a pool and answered.
pub(super) fn record() -> Record {
    Record {
        cache: None,
        chosen: None,
        started_ms: 1_767_323_045_678,
        listener: 0,
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        client_port: 50_123,
        route: Some(0),
        pool: Some(0),
        server: Some(0),
        upstream: Some(SocketAddr::from(([127, 0, 0, 1], 9001))),
        upstream_via: Via::New,
        status: 200,
        upstream_status: 200,
        reason: Slug::Forwarded.into(),
        ending: Ending::Complete,
        attempts: 1,
        tunnel: false,
        bytes_in: 310,
        bytes_out: 1224,
        request_body: 0,
        response_body: 1024,
        times: Times { head: 12, decide: 3, connect: 250, first_byte: Some(1500), total: 2345 },
    }
}

pub(super) fn entry<'a>(record: &'a Record, head: Option<&'a RequestHead>) -> Entry<'a> {
    Entry {
        record,
        listener: "web",
        route: Some("api"),
        pool: Some("backend"),
        server: Some("localhost:9001"),
        place: Some("reviver.yaml:12"),
        variant: None,
        limit: None,
        reason_detail: "",
        head,
        response: None,
        user: None,
        socks: false,
        tls: None,
    }
}

/// A flow whose head could not be read.
pub(super) fn headless(record: &mut Record) -> Entry<'_> {
    record.reason = Slug::BadRequest.into();
    (record.status, record.upstream_status) = (400, 0);
    (record.route, record.pool, record.server, record.upstream) = (None, None, None, None);
    (record.upstream_via, record.times.first_byte, record.times.connect) = (Via::None, None, 0);
    Entry { route: None, pool: None, server: None, place: None, reason_detail: "bare_lf", ..entry(record, None) }
}

pub(super) fn sink(to: LogTarget, format: LogFormat) -> LogSink {
    LogSink {
        at: "reviver.yaml:3".into(),
        to,
        format,
        on_full: OnFull::Wait,
        redact: vec!["token".into(), "password".into()],
        request_headers: Vec::new(),
        response_headers: Vec::new(),
    }
}

pub(super) fn file(path: String) -> LogTarget {
    LogTarget::File(LogFile { path, rotate_size: 0, rotate_every_ms: 0, keep: 7 })
}

pub(super) fn template(text: &str) -> LogFormat {
    LogFormat::Template(text.into())
}

/// The line that a sink makes of an entry, local time two hours east.
pub(super) fn line(sink: &LogSink, entry: &Entry<'_>) -> String {
    let names = |names: &[String]| names.iter().map(|n| n.as_bytes().into()).collect();
    let selection = Selection {
        active: true,
        droppable: false,
        request: names(&sink.request_headers),
        response: names(&sink.response_headers),
    };
    let mut bytes = Vec::new();
    wire::encode(entry, &selection, &mut bytes);
    assert!(bytes.len() <= wire::MAX_RECORD);
    let mut clock = Clock::new(jiff::tz::TimeZone::fixed(jiff::tz::offset(2)));
    let mut out = Vec::new();
    Format::new(sink).unwrap().write(&wire::decode(&bytes[4..]).unwrap(), &mut clock, &mut out);
    String::from_utf8(out).unwrap()
}

/// Pushes as a core does under the policy `wait`.
pub(super) fn push(core: &mut CoreLog, entry: &Entry<'_>) {
    until("there is room in the ring", || core.push(entry) == Push::Written);
}

/// Waits for something that another thread does.
pub(super) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::yield_now();
    }
}
