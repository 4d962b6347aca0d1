//! One sink: format, queue, output, and what happens when the output does not take what it gets.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use reviver_plan::{LogSink, LogTarget, OnFull};

use super::clock::Clock;
use super::format::Format;
use super::output::{self, Output, Report};
use super::queue::Queue;
use super::wire::Line;

/// Pauses between attempts to write to an output that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A sink keeps up again when it has lost nothing for so long.
const QUIET: Duration = Duration::from_secs(10);
/// Warnings that wait to be taken; more are not remembered.
const MAX_WARNINGS: usize = 100;

/// Sentences for the operator, taken by the control plane.
#[derive(Clone, Debug, Default)]
pub(super) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    pub fn add(&self, warning: String) {
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MAX_WARNINGS {
            warnings.push(warning);
        }
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is counted of a sink; lives as long as its target is configured.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub written: AtomicU64,
    pub dropped: AtomicU64,
    pub failing: Mutex<Option<String>>,
}

#[derive(Debug)]
enum Health {
    Good,
    /// Tried again at `again`; `dropped` is the count when the trouble began.
    Failing {
        again: Instant,
        pause: Duration,
        dropped: u64,
    },
    /// Takes records, but more slowly than they come, and drops the rest; `quiet` since it last did.
    Slow {
        dropped: u64,
        quiet: Option<Instant>,
    },
    /// Will never take anything again: drops all.
    Over,
}

#[derive(Debug)]
pub(super) struct Sink {
    pub stats: Arc<Stats>,
    spec: LogSink,
    name: String,
    format: Format,
    output: Output,
    queue: Queue,
    health: Health,
    warnings: Warnings,
}

impl Sink {
    pub fn new(spec: LogSink, format: Format, output: Output, stats: Arc<Stats>, warnings: Warnings) -> Self {
        let name = output::name(&spec.to);
        Self { stats, spec, name, format, output, queue: Queue::default(), health: Health::Good, warnings }
    }

    /// Goes on with the same target under other settings.
    pub fn change(&mut self, spec: LogSink, format: Format) {
        if let (Output::File(file), LogTarget::File(policy)) = (&mut self.output, &spec.to) {
            file.set_policy(policy.clone());
        }
        self.spec = spec;
        self.format = format;
    }

    /// Whether a record can be added without losing it, or may be lost.
    pub fn has_room(&self) -> bool {
        self.spec.on_full == OnFull::Drop || matches!(self.health, Health::Over) || !self.queue.is_full()
    }

    /// Whether nothing waits to be written.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether an end need not wait for it: it fails, and its records may be lost.
    pub fn may_be_given_up(&self) -> bool {
        self.spec.on_full == OnFull::Drop && matches!(self.health, Health::Failing { .. })
    }

    /// Queues a record, or counts it as dropped.
    pub fn add(&mut self, line: &Line<'_>, clock: &mut Clock) {
        if self.queue.is_full() || matches!(self.health, Health::Over) {
            return self.drop_records(1);
        }
        let (format, output) = (&self.format, &self.output);
        self.queue.add(|out| {
            output.frame(line.started_ms, clock, out, |clock, out| format.write(line, clock, out));
        });
    }

    /// Counts records that are lost because there was no room.
    pub fn drop_records(&mut self, count: u64) {
        let before = self.stats.dropped.fetch_add(count, Ordering::Relaxed);
        match &mut self.health {
            Health::Slow { quiet, .. } => *quiet = None,
            Health::Failing { .. } | Health::Over => {}
            Health::Good => {
                self.health = Health::Slow { dropped: before, quiet: None };
                self.warn("is too slow: records are dropped and counted");
            }
        }
    }

    /// Writes what the output takes.
    pub fn flush(&mut self, now: Instant) {
        if matches!(self.health, Health::Failing { again, .. } if now < again) {
            return;
        }
        if self.queue.is_empty() {
            return self.recover(now);
        }
        let mut report = Report::default();
        let outcome = self.output.write(&mut self.queue, SystemTime::now(), &mut report);
        self.stats.written.fetch_add(report.written, Ordering::Relaxed);
        if report.refused > 0 {
            self.stats.dropped.fetch_add(report.refused, Ordering::Relaxed);
            self.warn(&format!("{} records were too long for it and are lost", report.refused));
        }
        for note in report.notes {
            self.warnings.add(note);
        }
        match outcome {
            Ok(()) => self.recover(now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.fail(&error, now),
        }
    }

    /// Opens a file anew; the line in hand goes there whole.
    pub fn reopen(&mut self) {
        let Output::File(file) = &mut self.output else { return };
        match file.reopen(SystemTime::now()) {
            Ok(()) => {
                self.queue.rewind();
                // the new file may be on another disk
                if let Health::Failing { again, .. } = &mut self.health {
                    *again = Instant::now();
                }
            }
            Err(error) => self.warn(&format!("cannot be opened again: {error}; the open file stays in use")),
        }
    }

    /// Gives up what is queued, and `lost` more records that will not come; the sink is closed after this.
    pub fn abandon(&mut self, lost: u64) {
        if let Health::Slow { dropped: before, .. } = self.health {
            let dropped = self.stats.dropped.load(Ordering::Relaxed) - before;
            self.warn(&format!("{dropped} records were dropped"));
        }
        let lost = lost + self.queue.len() as u64;
        if lost > 0 {
            self.stats.dropped.fetch_add(lost, Ordering::Relaxed);
            self.warn(&format!("{lost} records could not be written before it was closed"));
        }
        self.queue = Queue::default();
    }

    fn recover(&mut self, now: Instant) {
        let dropped = self.stats.dropped.load(Ordering::Relaxed);
        match &mut self.health {
            Health::Good | Health::Over => {}
            Health::Slow { dropped: before, quiet } => {
                if now.duration_since(*quiet.get_or_insert(now)) >= QUIET {
                    let lost = dropped - *before;
                    self.health = Health::Good;
                    self.warn(&format!("keeps up again; {lost} records were dropped"));
                }
            }
            Health::Failing { dropped: before, .. } => {
                let lost = dropped - *before;
                self.health = Health::Good;
                self.set_failing(None);
                self.warn(&format!("works again; {lost} records were dropped"));
            }
        }
    }

    fn fail(&mut self, error: &io::Error, now: Instant) {
        if self.output.is_over(error) {
            self.health = Health::Over;
            self.set_failing(Some(error.to_string()));
            self.warn(&format!("{error}; it cannot be opened again: records are dropped and counted from here on"));
            self.drop_records(self.queue.len() as u64);
            self.queue = Queue::default();
            return;
        }
        let policy = match self.spec.on_full {
            OnFull::Wait => "when its queue is full, requests wait for it",
            OnFull::Drop => "when its queue is full, records are dropped and counted",
        };
        let (pause, dropped) = match self.health {
            Health::Failing { pause, dropped, .. } => ((pause * 2).min(LONGEST_PAUSE), dropped),
            Health::Slow { dropped, .. } => (FIRST_PAUSE, dropped),
            Health::Good | Health::Over => (FIRST_PAUSE, self.stats.dropped.load(Ordering::Relaxed)),
        };
        if !matches!(self.health, Health::Failing { .. }) {
            self.warn(&format!("{error}; {policy}"));
        }
        self.set_failing(Some(error.to_string()));
        self.health = Health::Failing { again: now + pause, pause, dropped };
    }

    fn set_failing(&self, failing: Option<String>) {
        *self.stats.failing.lock().unwrap_or_else(PoisonError::into_inner) = failing;
    }

    fn warn(&self, what: &str) {
        self.warnings.add(format!("log {}: {what}", self.name));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read, pipe};
    use std::os::fd::OwnedFd;

    use reviver_plan::LogFormat;

    use super::*;
    use crate::log::output::Stream;
    use crate::log::tests::{entry, record, sink};
    use crate::log::wire::{self, Selection};

    fn on_pipe(on_full: OnFull) -> (PipeReader, Sink, Warnings) {
        let (reader, writer) = pipe().unwrap();
        let spec = LogSink { on_full, ..sink(LogTarget::Stdout, LogFormat::Json) };
        let output = Output::Stream(Stream::new(OwnedFd::from(writer)).unwrap());
        let (format, warnings) = (Format::new(&spec).unwrap(), Warnings::default());
        (reader, Sink::new(spec, format, output, Arc::default(), warnings.clone()), warnings)
    }

    fn add(sink: &mut Sink, count: usize) {
        let mut bytes = Vec::new();
        wire::encode(&entry(&record(), None), &Selection::default(), &mut bytes);
        let line = wire::decode(&bytes[4..]).unwrap();
        let mut clock = Clock::new(jiff::tz::TimeZone::UTC);
        for _ in 0..count {
            sink.add(&line, &mut clock);
        }
    }

    #[test]
    fn a_closed_stream_drops_and_counts_even_where_requests_would_wait() {
        let (reader, mut sink, warnings) = on_pipe(OnFull::Wait);
        add(&mut sink, 3);
        drop(reader);
        sink.flush(Instant::now());
        add(&mut sink, 10_000);
        assert!(sink.has_room() && sink.is_idle());
        assert_eq!(sink.stats.dropped.load(Ordering::Relaxed), 10_003);
        let warnings = warnings.take();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("log stdout: Broken pipe"), "{warnings:?}");
        assert!(sink.stats.failing.lock().unwrap().is_some());
    }

    #[test]
    fn slowness_is_said_once_until_nothing_was_lost_for_a_while() {
        let (mut reader, mut sink, warnings) = on_pipe(OnFull::Drop);
        let now = Instant::now();
        add(&mut sink, 200);
        sink.flush(now);
        let lost = sink.stats.dropped.load(Ordering::Relaxed);
        assert!(lost > 0, "200 records are more than a batch");
        assert_eq!(warnings.take(), ["log stdout: is too slow: records are dropped and counted"]);
        sink.drop_records(1);
        // a pipe takes somewhat less than a batch at once
        assert!(reader.read(&mut [0; 1 << 15]).unwrap() > 0);
        sink.flush(now + QUIET);
        assert!(sink.is_idle());
        sink.flush(now + QUIET * 2 - Duration::from_millis(1));
        assert_eq!(warnings.take(), Vec::<String>::new());
        sink.flush(now + QUIET * 2);
        assert_eq!(warnings.take(), [format!("log stdout: keeps up again; {} records were dropped", lost + 1)]);
    }
}
