//! The store: what callers hold.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::core::{Core, Tuning};
use crate::found::Found;
use crate::health::Health;
use crate::incoming::Incoming;
use crate::queue::{Op, Queue};
use crate::readers::{self, Readers};
use crate::table::Table;
use crate::writer::{self, Writer};
use crate::{Key, OpenError, Options, Part, ReadError, Stats, Verdict, disk, layout, load};

pub struct Store {
    core: Arc<Core>,
    readers: Arc<Readers>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held until it is closed.
    lock: Mutex<Option<File>>,
}

impl Store {
    /// Reads the folder's index. `warn` gets a text for people when a state changes or something was lost.
    pub fn open(options: Options, warn: Box<dyn Fn(String) + Send + Sync>) -> Result<Arc<Store>, OpenError> {
        let tuning = Tuning::new(options.size);
        Store::open_tuned(options, tuning, warn)
    }

    pub(crate) fn open_tuned(
        options: Options,
        tuning: Tuning,
        warn: Box<dyn Fn(String) + Send + Sync>,
    ) -> Result<Arc<Store>, OpenError> {
        let Options { path, size } = options;
        let failed = |why| OpenError::Io { path: path.clone(), why };
        disk::make_folder(&path).map_err(failed)?;
        let lock = match disk::lock(&path.join("lock")).map_err(failed)? {
            Some(file) => file,
            None => return Err(OpenError::Locked { path }),
        };
        let mut loaded = load::load(&path, tuning.segment).map_err(failed)?;
        let core = Arc::new(Core {
            folder: path.clone(),
            limit: size,
            table: std::mem::replace(&mut loaded.table, Table::new(Default::default, 0)),
            queue: Queue::new(loaded.sequence, tuning.queue),
            health: Health::new(tuning.retry),
            bytes: AtomicU64::new(loaded.bytes),
            dropped: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            warn,
            tuning,
        });
        for news in std::mem::take(&mut loaded.news) {
            core.tell(&news);
        }
        if loaded.read_only {
            core.failed(&std::io::Error::from_raw_os_error(libc::EROFS));
        }
        let readers = Arc::new(Readers::default());
        let store = Arc::new(Store {
            core: Arc::clone(&core),
            readers: Arc::clone(&readers),
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        });
        let mut threads = Vec::new();
        let writer = Writer::new(Arc::clone(&core), loaded);
        threads.push(spawn("store-write", move || writer.run()).map_err(failed)?);
        for _ in 0..readers::THREADS {
            let (core, readers) = (Arc::clone(&core), Arc::clone(&readers));
            threads.push(spawn("store-read", move || readers.run(&core)).map_err(failed)?);
        }
        *store.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        Ok(store)
    }

    /// From memory alone; counts as a use.
    pub fn find(&self, key: Key) -> Option<Found> {
        let mut shard = self.core.table.shard(key);
        shard.use_slot(key);
        shard.found(key)
    }

    /// Does not count as a use.
    pub fn contains(&self, key: Key) -> bool {
        self.core.table.shard(key).slot(key).is_some()
    }

    /// `wait`: false takes it only from the page cache.
    pub fn read_head(&self, found: &Found, wait: bool) -> Result<Vec<u8>, ReadError> {
        self.core.judge(found, found.read_meta(wait)).map(|(_, head)| head)
    }

    /// Appends a whole block to `out`: `BLOCK` bytes, the last one what remains.
    pub fn read_block(&self, found: &Found, index: u64, out: &mut Vec<u8>, wait: bool) -> Result<(), ReadError> {
        self.core.judge(found, found.read_block(index, out, wait))
    }

    /// Waits on a thread of the store; `done` is called there.
    pub fn read_later(
        self: &Arc<Self>,
        found: Found,
        what: Part,
        done: Box<dyn FnOnce(Result<Vec<u8>, ReadError>) + Send>,
    ) {
        self.readers.push(found, what, done);
    }

    /// Body in pieces of any size. Found when written. False: not taken, since it is too large, the queue is full or
    /// writing fails.
    pub fn put(&self, key: Key, label: Vec<u8>, head: Vec<u8>, body: Vec<Arc<[u8]>>) -> bool {
        let bytes = writer::put_len(&label, &head, &body);
        let taken = self.takes(&label, &head) && bytes <= self.core.max_object() && self.core.queue.reserve(bytes, 1);
        if taken {
            let mut shard = self.core.table.shard(key);
            if self.core.queue.push(false, |sequence| Op::Put { key, sequence, label, head, body }) {
                shard.expect(key);
                return true;
            }
            self.core.queue.release(bytes);
        }
        self.core.drop_one();
        false
    }

    fn takes(&self, label: &[u8], head: &[u8]) -> bool {
        label.len() <= usize::from(u16::MAX) && head.len() <= layout::MAX_HEAD && self.core.health.accepts()
    }

    /// An object that is large or of unknown length, written while it arrives.
    pub fn begin(self: &Arc<Self>, key: Key, label: Vec<u8>, head: Vec<u8>) -> Option<Incoming> {
        if !self.takes(&label, &head) {
            self.core.drop_one();
            return None;
        }
        Some(Incoming::new(&self.core, key, label, head))
    }

    /// A new label and head for the body that is there; softened no more. False: there is none, or a newer one is on
    /// its way, or nothing can be written.
    pub fn replace_head(&self, key: Key, label: Vec<u8>, head: Vec<u8>) -> bool {
        let bytes = writer::put_len(&label, &head, &[]);
        if !self.takes(&label, &head) || bytes > self.core.own_from() || !self.core.queue.reserve(bytes, 1) {
            self.core.drop_one();
            return false;
        }
        let mut shard = self.core.table.shard(key);
        if let Some(body) = shard.slot(key).map(|slot| slot.sequence())
            && self.core.queue.push(false, |sequence| Op::Head { key, sequence, label, head, body })
        {
            shard.expect(key);
            return true;
        }
        self.core.queue.release(bytes);
        false
    }

    pub fn soften(&self, key: Key) {
        self.core.soften(key, None);
    }

    /// Whether there was one.
    pub fn remove(&self, key: Key) -> bool {
        self.core.remove(key, None)
    }

    /// Shows every object with its label. Returns how many were removed or softened. Reads from the disk. Objects that
    /// are still being brought are not shown.
    pub fn scan(&self, visit: &mut dyn FnMut(Key, &[u8], &Found) -> Verdict) -> u64 {
        self.core.scan(visit)
    }

    /// Removes everything; returns how many there were.
    pub fn clear(&self) -> u64 {
        let sequence = self.core.queue.next_sequence();
        let count = self.core.table.clear(sequence);
        self.core.queue.push(false, |_| Op::Clear { sequence });
        count
    }

    pub fn stats(&self) -> Stats {
        let core = &self.core;
        Stats {
            objects: core.table.objects(),
            bytes: core.bytes.load(Ordering::Relaxed),
            limit: core.limit,
            segments: core.table.shard(0).segments().count() as u64,
            state: core.health.state(),
            queued: core.queue.bytes(),
            dropped: core.dropped.load(Ordering::Relaxed),
            evicted: core.evicted.load(Ordering::Relaxed),
        }
    }

    /// Waits until what was put before is written or given up.
    pub fn sync(&self) {
        self.core.queue.sync();
    }

    /// Seals, writes the index and joins the threads; done on drop too. What is put afterwards is not taken.
    pub fn close(&self) {
        self.core.queue.close();
        self.readers.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in threads {
            // the last owner may be what a reader calls
            if handle.thread().id() != thread::current().id() {
                // a panic has been told already
                let _ = handle.join();
            }
        }
        if let Some(lock) = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take() {
            disk::unlock(&lock);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}
