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
    /// Takes records, but more slowly than they come, and drops the rest.
    Slow {
        dropped: u64,
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

    /// Counts records that never came here because there was no room in a ring.
    pub fn drop_records(&mut self, count: u64) {
        let before = self.stats.dropped.fetch_add(count, Ordering::Relaxed);
        if matches!(self.health, Health::Good) {
            self.health = Health::Slow { dropped: before };
            self.warn("is too slow: records are dropped and counted");
        }
    }

    /// Writes what the output takes.
    pub fn flush(&mut self, now: Instant) {
        if matches!(self.health, Health::Failing { again, .. } if now < again) {
            return;
        }
        if self.queue.is_empty() {
            return self.recover();
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
            Ok(()) => self.recover(),
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

    /// Gives up what is queued; `lost` more records are on their way.
    pub fn abandon(&mut self, lost: u64) {
        let lost = lost + self.queue.len() as u64;
        if lost > 0 {
            self.stats.dropped.fetch_add(lost, Ordering::Relaxed);
            self.warn(&format!("{lost} records could not be written before it was closed"));
        }
        self.queue = Queue::default();
    }

    fn recover(&mut self) {
        let dropped = self.stats.dropped.load(Ordering::Relaxed);
        match std::mem::replace(&mut self.health, Health::Good) {
            Health::Good => {}
            Health::Over => self.health = Health::Over,
            Health::Slow { dropped: before } => {
                self.warn(&format!("keeps up again; {} records were dropped", dropped - before))
            }
            Health::Failing { dropped: before, .. } => {
                self.set_failing(None);
                self.warn(&format!("works again; {} records were dropped", dropped - before));
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
            Health::Slow { dropped } => (FIRST_PAUSE, dropped),
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
