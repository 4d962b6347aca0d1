//! The thread that empties the rings, formats and writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use reviver_plan::LogSink;

use super::clock::Clock;
use super::format::Format;
use super::output::Output;
use super::sink::{Sink, Stats, Warnings};
use super::wire;

/// How long the rings are left alone while records come, and when none do.
const BUSY: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_millis(200);
/// Batches between two looks at the commands.
const ROUNDS: usize = 32;

/// A sink to be; without an output it takes over that of the sink with the same `stats`.
#[derive(Debug)]
pub(super) struct Prepared {
    pub spec: LogSink,
    pub format: Format,
    pub output: Option<Output>,
    pub stats: Arc<Stats>,
}

#[derive(Debug)]
pub(super) enum Command {
    /// Other sinks from here on.
    Apply(Vec<Prepared>, Sender<()>),
    /// Open files anew.
    Reopen(Sender<()>),
    /// Write what is in the rings, until then at the latest, and end.
    Stop(Instant),
}

/// The reading end of a core's ring, and how many records found no room in it.
#[derive(Debug)]
pub(super) struct Source {
    pub ring: rtrb::Consumer<u8>,
    pub dropped: Arc<AtomicU64>,
}

pub(super) struct Writer {
    pub sources: Vec<Source>,
    pub sinks: Vec<Sink>,
    pub clock: Clock,
    pub commands: Receiver<Command>,
    pub warnings: Warnings,
    /// A record that lies across the end of its ring.
    pub scratch: Vec<u8>,
    /// The ring that is read first.
    pub first: usize,
}

impl Writer {
    pub fn run(mut self) {
        let mut pause = BUSY;
        let mut deadline = None;
        loop {
            self.obey(&mut deadline);
            let moved = self.round();
            let idle = self.sinks.iter().all(Sink::is_idle);
            if let Some(deadline) = deadline {
                let settled = !moved && self.sinks.iter().all(|sink| sink.is_idle() || sink.may_be_given_up());
                if settled || Instant::now() >= deadline {
                    return self.end();
                }
            }
            // an output that does not take everything is tried again soon
            pause = if moved || !idle || deadline.is_some() { BUSY } else { (pause * 2).min(IDLE) };
            std::thread::park_timeout(pause);
        }
    }

    /// Writes batches until the rings are empty or a sink is full; tells whether there were any records.
    fn round(&mut self) -> bool {
        let mut moved = false;
        for _ in 0..ROUNDS {
            let more = self.fill();
            let now = Instant::now();
            for sink in &mut self.sinks {
                sink.flush(now);
            }
            moved |= more;
            if !more {
                break;
            }
        }
        moved
    }

    /// Moves records from the rings to the sinks, as long as all sinks have room.
    fn fill(&mut self) -> bool {
        let Self { sources, sinks, clock, scratch, first, .. } = self;
        let mut moved = false;
        let count = sources.len();
        *first = (*first + 1) % count.max(1);
        for index in 0..count {
            let source = &mut sources[(index + *first) % count];
            let lost = source.dropped.swap(0, Ordering::Relaxed);
            if lost > 0 {
                sinks.iter_mut().for_each(|sink| sink.drop_records(lost));
            }
            moved |= drain(&mut source.ring, scratch, |record| {
                if !sinks.iter().all(Sink::has_room) {
                    return false;
                }
                if let Some(line) = wire::decode(record) {
                    sinks.iter_mut().for_each(|sink| sink.add(&line, clock));
                }
                true
            });
        }
        moved
    }

    fn obey(&mut self, deadline: &mut Option<Instant>) {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Apply(prepared, done)) => {
                    self.apply(prepared);
                    // who asked may have stopped waiting
                    let _ = done.send(());
                }
                Ok(Command::Reopen(done)) => {
                    self.sinks.iter_mut().for_each(Sink::reopen);
                    let _ = done.send(());
                }
                Ok(Command::Stop(at)) => *deadline = Some(at),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    deadline.get_or_insert_with(Instant::now);
                    return;
                }
            }
        }
    }

    fn apply(&mut self, prepared: Vec<Prepared>) {
        // what came before the change goes where it went before, as far as there is room
        self.round();
        let mut old = std::mem::take(&mut self.sinks);
        for Prepared { spec, format, output, stats } in prepared {
            let at = old.iter().position(|sink| Arc::ptr_eq(&sink.stats, &stats));
            if let Some(at) = at {
                let mut sink = old.swap_remove(at);
                sink.change(spec, format);
                self.sinks.push(sink);
            } else if let Some(output) = output {
                self.sinks.push(Sink::new(spec, format, output, stats, self.warnings.clone()));
            }
        }
        old.iter_mut().for_each(|sink| sink.abandon(0));
    }

    fn end(mut self) {
        let mut lost = 0;
        for source in &mut self.sources {
            drain(&mut source.ring, &mut self.scratch, |_| {
                lost += 1;
                true
            });
            lost += source.dropped.swap(0, Ordering::Relaxed);
        }
        self.sinks.iter_mut().for_each(|sink| sink.abandon(lost));
    }
}

/// Hands each record of a ring to `take` (without its length), until that does not want it; tells whether
/// it took any.
fn drain(ring: &mut rtrb::Consumer<u8>, scratch: &mut Vec<u8>, mut take: impl FnMut(&[u8]) -> bool) -> bool {
    let available = ring.slots();
    let Ok(chunk) = ring.read_chunk(available) else { return false };
    let (one, two) = chunk.as_slices();
    let mut at = 0;
    while at < available {
        let length = record_length(one, two, at);
        let end = at + length;
        // records are pushed whole, so that neither can happen
        if length <= 4 || end > available {
            at = available;
            break;
        }
        let record = if end <= one.len() {
            &one[at + 4..end]
        } else if at + 4 >= one.len() {
            &two[at + 4 - one.len()..end - one.len()]
        } else {
            scratch.clear();
            scratch.extend_from_slice(&one[at + 4..]);
            scratch.extend_from_slice(&two[..end - one.len()]);
            scratch.as_slice()
        };
        if !take(record) {
            break;
        }
        at = end;
    }
    chunk.commit(at);
    at > 0
}

fn record_length(one: &[u8], two: &[u8], at: usize) -> usize {
    let byte = |i: usize| one.get(i).or_else(|| two.get(i.wrapping_sub(one.len()))).copied().unwrap_or(0);
    u32::from_le_bytes([at, at + 1, at + 2, at + 3].map(byte)) as usize
}
