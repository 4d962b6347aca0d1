//! The control plane's end of the log.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::tz::TimeZone;
use reviver_plan::{LogSink, LogTarget, OnFull};
use serde::Serialize;

use super::clock::Clock;
use super::format::Format;
use super::output::{self, Output};
use super::ring::CoreLog;
use super::sink::{Sink, Stats, Warnings};
use super::wire::{self, Selection};
use super::writer::{Command, Prepared, Source, Writer};
use super::{LogError, RING};

/// How long a hub that is dropped without [`LogHub::shutdown`] waits for its sinks.
const PATIENCE: Duration = Duration::from_secs(1);

/// All sinks, and the thread that writes to them.
pub struct LogHub {
    sinks: Mutex<Vec<(LogSink, &'static str, Arc<Stats>)>>,
    selection: Arc<ArcSwap<Selection>>,
    commands: Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
    writer: Thread,
    warnings: Warnings,
}

/// How a sink does, for status reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SinkStatus {
    /// `stdout`, `stderr`, `file:PATH`, `syslog:HOST:PORT`, `syslog+tcp:HOST:PORT` or `syslog+unix:PATH`.
    pub to: String,
    /// `json`, `combined`, `common`, `squid` or `template`.
    pub format: &'static str,
    pub on_full: OnFull,
    /// Records written since the target was first opened.
    pub written: u64,
    /// Records lost since then.
    pub dropped: u64,
    /// Why it does not take records at the moment.
    pub failing: Option<String>,
}

impl LogHub {
    /// Opens the sinks and starts the writer; one [`CoreLog`] for each core.
    ///
    /// Files and standard streams are opened here. A syslog collector is connected to when there is
    /// something to say, and may be down until then.
    ///
    /// # Errors
    /// The first sink that cannot be opened, with the place that asked for it.
    pub fn open(sinks: &[LogSink], cores: usize) -> Result<(Self, Vec<CoreLog>), LogError> {
        Self::open_with(sinks, cores, RING)
    }

    /// As [`Self::open`], with rings of another size in bytes.
    pub(super) fn open_with(sinks: &[LogSink], cores: usize, ring: usize) -> Result<(Self, Vec<CoreLog>), LogError> {
        let prepared = prepare(sinks, &[])?;
        let selection = Arc::new(ArcSwap::from_pointee(selection(&prepared)));
        let known = known(&prepared);
        let warnings = Warnings::default();
        let (commands, receiver) = channel();
        let mut producers = Vec::new();
        let mut sources = Vec::new();
        for _ in 0..cores {
            let (producer, ring) = rtrb::RingBuffer::new(ring.max(wire::MAX_RECORD));
            let source = Source { ring, dropped: Arc::default() };
            producers.push((producer, source.dropped.clone()));
            sources.push(source);
        }
        let opened = prepared
            .into_iter()
            .filter_map(|p| p.output.map(|output| Sink::new(p.spec, p.format, output, p.stats, warnings.clone())));
        let writer = Writer {
            sources,
            sinks: opened.collect(),
            clock: Clock::new(TimeZone::system()),
            commands: receiver,
            warnings: warnings.clone(),
            scratch: Vec::new(),
            first: 0,
        };
        let thread = std::thread::Builder::new()
            .name("reviver-log".into())
            .spawn(move || writer.run())
            .map_err(LogError::Thread)?;
        let writer = thread.thread().clone();
        let cores = producers
            .into_iter()
            .map(|(ring, dropped)| CoreLog::new(ring, selection.clone(), writer.clone(), dropped))
            .collect();
        let thread = Mutex::new(Some(thread));
        Ok((Self { sinks: Mutex::new(known), selection, commands, thread, writer, warnings }, cores))
    }

    /// Goes over to other sinks: what is new is opened first, a target that stays keeps its handle and its
    /// counts, and what is gone is flushed and closed.
    ///
    /// # Errors
    /// As [`Self::open`]; then nothing has changed.
    pub fn apply(&self, sinks: &[LogSink]) -> Result<(), LogError> {
        let mut current = self.lock();
        let prepared = prepare(sinks, &current)?;
        let selection = selection(&prepared);
        let known = known(&prepared);
        self.order(|done| Command::Apply(prepared, done))?;
        self.selection.store(Arc::new(selection));
        *current = known;
        Ok(())
    }

    /// Opens all files anew, after something else has renamed them. A file that cannot be opened stays as
    /// it is, and [`Self::take_warnings`] tells.
    ///
    /// # Errors
    /// Only where the writer has ended.
    pub fn reopen(&self) -> Result<(), LogError> {
        self.order(Command::Reopen)
    }

    /// The sinks in the order of the configuration.
    pub fn status(&self) -> Vec<SinkStatus> {
        use std::sync::atomic::Ordering::Relaxed;
        let status = |(sink, format, stats): &(LogSink, &'static str, Arc<Stats>)| SinkStatus {
            to: output::name(&sink.to),
            format,
            on_full: sink.on_full,
            written: stats.written.load(Relaxed),
            dropped: stats.dropped.load(Relaxed),
            failing: stats.failing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        self.lock().iter().map(status).collect()
    }

    /// What the operator should know since the last call: each sink that began to fail, or recovered.
    pub fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// Writes all that the cores have pushed and ends the writer. Blocks, at most for about `patience`
    /// longer than one write; records that cannot be written until then are counted as dropped. To be
    /// called when the cores have ended; a second call does nothing.
    pub fn shutdown(&self, patience: Duration) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // the writer may have ended by itself; joining tells
        let _ = self.commands.send(Command::Stop(Instant::now() + patience));
        self.writer.unpark();
        if thread.join().is_err() {
            self.warnings.add("the thread that writes the logs has failed".into());
        }
    }

    fn order(&self, command: impl FnOnce(Sender<()>) -> Command) -> Result<(), LogError> {
        let (done, wait) = channel();
        self.commands.send(command(done)).map_err(|_| LogError::Ended)?;
        self.writer.unpark();
        wait.recv().map_err(|_| LogError::Ended)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(LogSink, &'static str, Arc<Stats>)>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LogHub {
    fn drop(&mut self) {
        self.shutdown(PATIENCE);
    }
}

impl std::fmt::Debug for LogHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogHub").field("sinks", &self.status()).finish_non_exhaustive()
    }
}

fn prepare(sinks: &[LogSink], current: &[(LogSink, &'static str, Arc<Stats>)]) -> Result<Vec<Prepared>, LogError> {
    let mut left: Vec<_> = current.iter().collect();
    let mut prepared: Vec<Prepared> = Vec::with_capacity(sinks.len());
    for sink in sinks {
        let (at, to) = (sink.at.clone(), output::name(&sink.to));
        // two handles on one file would rotate it under each other
        let same = |other: &Prepared| output::same_place(&other.spec.to, &sink.to);
        if matches!(sink.to, LogTarget::File(_)) && prepared.iter().any(same) {
            return Err(LogError::Twice { at, to });
        }
        let format = match Format::new(sink) {
            Ok(format) => format,
            Err(message) => return Err(LogError::Template { at, to, message }),
        };
        let kept = left.iter().position(|(known, ..)| output::same_place(&known.to, &sink.to));
        let (output, stats) = match kept.map(|index| left.swap_remove(index)) {
            Some((.., stats)) => (None, stats.clone()),
            None => {
                let output = Output::open(&sink.to).map_err(|source| LogError::Open { at, to, source })?;
                (Some(output), Arc::default())
            }
        };
        prepared.push(Prepared { spec: sink.clone(), format, output, stats });
    }
    Ok(prepared)
}

fn known(prepared: &[Prepared]) -> Vec<(LogSink, &'static str, Arc<Stats>)> {
    prepared.iter().map(|p| (p.spec.clone(), p.format.name(), p.stats.clone())).collect()
}

fn selection(prepared: &[Prepared]) -> Selection {
    let mut selection = Selection {
        active: !prepared.is_empty(),
        droppable: prepared.iter().all(|p| p.spec.on_full == OnFull::Drop),
        ..Selection::default()
    };
    for sink in prepared {
        let (request, response) = sink.format.template_fields();
        let sides = [
            (&mut selection.request, [&sink.spec.request_headers[..], request]),
            (&mut selection.response, [&sink.spec.response_headers[..], response]),
        ];
        for (wanted, names) in sides {
            for name in names.into_iter().flatten() {
                let name = name.to_ascii_lowercase().into_bytes().into_boxed_slice();
                if !wanted.contains(&name) {
                    wanted.push(name);
                }
            }
        }
    }
    selection
}
