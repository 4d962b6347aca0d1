//! The cache that all workers and both directions share.
//!
//! Rule 1: a hit takes one lock of one shard, and only for the time of a look. Rule 2: what is stored is never changed:
//! another object takes its place. Rule 3: whether something may be stored or served is decided by the flow; here it is
//! only kept. Rule 4: keys are hashes, but an object is served only where its key's text is the request's.

mod bans;
mod control;
mod counters;
mod disk;
mod fill;
mod flight;
mod growing;
mod lookup;
mod memory;
mod object;
mod parts;
mod renew;
mod serve;
mod shape;
mod slices;
mod store;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reviver_cache::write_selecting;
use reviver_http::RequestHead;
use reviver_plan::Plan;
use reviver_store::{Found, Store};
use xxhash_rust::xxh3::xxh3_128;

pub use control::CacheError;
pub use counters::{CacheCounters, CacheSummary};
pub use fill::{fill_slice, relay, relay_slice};
pub use flight::Flights;
pub use lookup::{Lookup, look_up};
pub use renew::{compare, freshen};
pub use serve::{Served, serve};
pub use slices::{Job, first_slice, slice_range, slicing_of};
pub use store::{Fetched, Permit, fits_buffer, invalidate, is_plain, store_whole};

pub use object::Object;

use bans::Bans;
use disk::{disk_form, fields_on_disk, packed_of, sliced_of, split_head};
use memory::{Memory, Slot};
use object::{Body, SETS_STATUS, Sets, read_label};

/// So many keys are remembered.
const MOST_VERIFIED: usize = 1 << 16;
/// How long requests do not wait for one another after a response was found not to be storable.
const NOT_STORABLE_MS: u64 = 120_000;

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub stored: AtomicU64,
    pub purged: AtomicU64,
}

pub struct Cache {
    memory: Memory,
    disk: Option<Arc<Store>>,
    pub flights: Arc<Flights>,
    bans: Bans,
    /// Bytes set aside for bodies that are arriving.
    under_way: AtomicU64,
    /// A thread carries out purges.
    sweeping: AtomicBool,
    /// Something was stored under a key that is more than a URL.
    keys_have_lines: AtomicBool,
    /// The same of what the disk had at the start; true until it has been looked through.
    disk_may_have_lines: AtomicBool,
    /// Large bodies on disk that were read through since the start.
    verified: Mutex<HashSet<u128>>,
    /// Bodies up to this size are kept in memory.
    most_in_memory: u64,
    plan: reviver_plan::Cache,
    pub counts: Counts,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache({} bytes)", self.memory.weight())
    }
}

/// What stands under a key.
pub enum Finding {
    Object(Arc<Object>),
    Nothing {
        varies: bool,
    },
    NotStorable,
    /// It is on disk; with [`Bans::horizon`] before it was found.
    OnDisk(u128, Found, u64),
}

/// A request's place in the store.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub space: &'a [u8],
    pub key: &'a [u8],
    pub primary: u128,
}

impl<'a> Place<'a> {
    /// `text` is the space, a line break, and the key.
    pub fn of(text: &'a [u8], space: usize) -> Self {
        Self { space: &text[..space], key: &text[space + 1..], primary: xxh3_128(text) }
    }
}

impl Cache {
    /// The cache of a plan: the running one where it can go on. What is stored on disk outlives a change of memory.
    pub fn prepare(plan: &Plan, running: Option<&Arc<Self>>) -> Result<Option<Arc<Self>>, String> {
        let Some(wanted) = &plan.cache else { return Ok(None) };
        if let Some(running) =
            running.filter(|r| r.plan.disk.as_ref().map(|d| &d.path) == wanted.disk.as_ref().map(|d| &d.path))
        {
            return Ok(Some(Arc::clone(running)));
        }
        let warnings = Arc::<Mutex<Vec<String>>>::default();
        let disk = wanted.disk.as_ref().and_then(|disk| {
            let heard = Arc::clone(&warnings);
            let warn = move |text: String| heard.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            let opening = warn.clone();
            let options = reviver_store::Options { path: disk.path.clone().into(), size: disk.size };
            match Store::open(options, Box::new(warn)) {
                Ok(store) => Some(store),
                Err(error) => {
                    // Without a disk the cache is as good, and forgets.
                    opening(format!("{}: the cache goes on without a disk: {error}", disk.at));
                    None
                }
            }
        });
        let largest = plan.cache_objects().max().unwrap_or(0);
        let most_in_memory = if disk.is_some() { wanted.memory / 8 } else { wanted.memory / 10 * 9 };
        let begins_empty = disk.as_ref().is_none_or(|disk| disk.stats().objects == 0);
        let cache = Arc::new(Self {
            memory: Memory::new(wanted.memory, largest.min(most_in_memory)),
            disk,
            flights: Arc::default(),
            bans: Bans::default(),
            under_way: AtomicU64::new(0),
            verified: Mutex::default(),
            sweeping: AtomicBool::new(false),
            keys_have_lines: AtomicBool::new(false),
            disk_may_have_lines: AtomicBool::new(!begins_empty),
            most_in_memory,
            plan: wanted.clone(),
            counts: Counts::default(),
            warnings,
        });
        if !begins_empty {
            cache.look_for_lines();
        }
        Ok(Some(cache))
    }

    /// Finds out whether keys on disk are more than URLs; until that is known they are taken to be.
    fn look_for_lines(self: &Arc<Self>) {
        let cache = Arc::clone(self);
        let look = move || {
            let Some(disk) = &cache.disk else { return };
            let mut found = false;
            disk.scan(&mut |_, label, _| {
                found |= read_label(label).is_some_and(|(_, parts)| parts.key.contains(&b'\n'));
                reviver_store::Verdict::Keep
            });
            if !found {
                cache.disk_may_have_lines.store(false, Ordering::Relaxed);
            }
        };
        // Without a thread it stays as it is: more is looked at than has to be.
        let _ = std::thread::Builder::new().name("reviver-look".to_owned()).spawn(look);
    }

    /// Takes what can be changed while it runs.
    pub fn adopt(&self, plan: &reviver_plan::Cache) {
        let size = |cache: &reviver_plan::Cache| cache.disk.as_ref().map(|disk| disk.size);
        if let (Some(disk), true) = (&plan.disk, size(plan) != size(&self.plan)) {
            self.warn(format!("{}: another size of the disk takes effect at the next start", disk.at));
        }
        if plan.memory != self.memory.capacity() {
            self.memory.resize(plan.memory);
        }
    }

    /// Sets memory aside for a body that arrives: all together as much as half of what is kept, and never less than a
    /// few small ones.
    fn reserve(&self, bytes: u64) -> bool {
        let most = (self.memory.capacity() / 2).max(16 << 20);
        let before = self.under_way.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= most {
            return true;
        }
        self.release(bytes);
        false
    }

    fn release(&self, bytes: u64) {
        self.under_way.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn warn(&self, text: String) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// The number of the latest purge.
    pub fn latest_purge(&self) -> u64 {
        self.bans.now()
    }

    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks in memory, and whether the disk has it.
    pub fn find(&self, place: Place<'_>, request: &RequestHead, scratch: &mut Vec<u8>) -> Finding {
        // A purge that was told of before this request came may be carried out between two looks.
        let purging = self.bans.are_pending();
        match self.memory.get(place.primary) {
            Some(Slot::Object(object)) if object.is_of(place.space, place.key) => self.living(object, purging),
            Some(Slot::Sets(sets)) if sets.label.is_of(place.space, place.key) => {
                self.find_variant(&sets, request, scratch, purging)
            }
            Some(Slot::NotStorable { .. }) => Finding::NotStorable,
            Some(_) => Finding::Nothing { varies: false },
            None => self.on_disk(place.primary).unwrap_or(Finding::Nothing { varies: false }),
        }
    }

    fn find_variant(&self, sets: &Sets, request: &RequestHead, scratch: &mut Vec<u8>, purging: bool) -> Finding {
        for names in &sets.sets {
            let key = variant_key(sets, names, request, scratch);
            match self.memory.get(key) {
                Some(Slot::Object(object)) if object.parts().selecting == &scratch[SELECTING..] => {
                    return self.living(object, purging);
                }
                Some(Slot::NotStorable { .. }) => return Finding::NotStorable,
                Some(_) => {}
                None => {
                    if let Some(finding) = self.on_disk(key) {
                        return finding;
                    }
                }
            }
        }
        Finding::Nothing { varies: true }
    }

    fn living(&self, object: Arc<Object>, purging: bool) -> Finding {
        if (purging || self.bans.are_pending()) && self.bans.covers(&object) {
            return Finding::Nothing { varies: false };
        }
        Finding::Object(object)
    }

    fn on_disk(&self, key: u128) -> Option<Finding> {
        let disk = self.disk.as_ref()?;
        let since = self.bans.horizon();
        Some(Finding::OnDisk(key, disk.find(key)?, since))
    }

    /// What came from the disk goes to memory. False where it cannot be read as what it should be.
    /// `since`: [`Bans::horizon`] before it was read.
    fn admit(&self, key: u128, found: &Found, head: &[u8], body: Option<Vec<u8>>, since: u64) -> bool {
        let Some((meta, label, fields)) = split_head(head) else { return false };
        let slot = if meta.status == SETS_STATUS {
            let Some(sets) = Sets::read(key, label, fields) else { return false };
            Slot::Sets(Arc::new(sets))
        } else {
            let meta = reviver_cache::Meta { purged: meta.purged || found.softened, ..meta };
            let (sliced, fields) = sliced_of(fields);
            let (packed, fields) = packed_of(fields);
            let body = match body {
                _ if sliced.is_some() => sliced.map_or(Body::None, |slicing| Body::Sliced(Arc::new(slicing))),
                Some(bytes) => match packed {
                    Some(length) => Body::Packed(bytes.into(), length),
                    None => Body::One(bytes.into()),
                },
                None if found.body_len == 0 => Body::None,
                None => Body::Disk(found.body_len),
            };
            let object = Object::new(key, label.bytes(), meta, fields, body).born_at(since);
            Slot::Object(Arc::new(object))
        };
        self.memory.insert(key, slot.clone());
        match slot {
            Slot::Object(object) => !self.goes(&object),
            _ => true,
        }
    }

    /// Whether an object that has just been put here was purged meanwhile; it goes then. Looking before it is there would
    /// leave a gap.
    fn goes(&self, object: &Object) -> bool {
        let purged = self.bans.overtook(object);
        if purged {
            self.forget(object.key);
        }
        purged
    }

    /// Keeps an object, and writes it to disk unless it has gone there already. False where it was purged meanwhile.
    fn keep(&self, object: &Arc<Object>, written: bool) -> bool {
        if let Some(disk) = self.disk.as_ref().filter(|_| !written) {
            let (label, head) = disk_form(&object.meta, object.label(), &fields_on_disk(object));
            let body = match &object.body {
                Body::Inline => vec![Arc::from(object.inline_body())],
                Body::One(block) | Body::Packed(block, _) => vec![Arc::clone(block)],
                Body::Many(blocks) => blocks.blocks.clone(),
                _ => Vec::new(),
            };
            disk.put(object.key, label, head, body);
        }
        self.memory.insert(object.key, Slot::Object(Arc::clone(object)));
        let kept = !self.goes(object);
        self.counts.stored.fetch_add(u64::from(kept), Ordering::Relaxed);
        kept
    }

    /// Takes the place of an object whose body stays where it is.
    fn renew(&self, object: &Arc<Object>) {
        if let Some(disk) = &self.disk {
            let (label, head) = disk_form(&object.meta, object.label(), &fields_on_disk(object));
            disk.replace_head(object.key, label, head);
        }
        self.memory.insert(object.key, Slot::Object(Arc::clone(object)));
        self.goes(object);
    }

    /// In memory only.
    fn show(&self, object: Arc<Object>) {
        self.memory.replace(object.key, Slot::Object(object));
    }

    /// Whether what stands on disk under a key is still to be read through. It is looked at once.
    fn verify(&self, key: u128) -> bool {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= MOST_VERIFIED {
            verified.clear();
        }
        verified.insert(key)
    }

    pub fn forget(&self, key: u128) -> bool {
        let held = self.memory.remove(key).is_some_and(|slot| matches!(slot, Slot::Object(_) | Slot::Sets(_)));
        self.disk.as_ref().is_some_and(|disk| disk.remove(key)) || held
    }

    /// Requests for it wait for each other no more, for a while.
    pub fn not_storable(&self, key: u128, now_ms: u64) {
        // One client's request must not drive out what is there for others.
        if !matches!(self.memory.peek(key), Some(Slot::Sets(_) | Slot::Object(_))) {
            self.memory.insert(key, Slot::NotStorable { until_ms: now_ms + NOT_STORABLE_MS });
        }
    }

    /// Whether that time is over.
    pub fn is_over(&self, key: u128, now_ms: u64) -> bool {
        match self.memory.peek(key) {
            Some(Slot::NotStorable { until_ms }) => until_ms <= now_ms,
            _ => true,
        }
    }

    /// Counts a use of something that is not stored; true once there were as many.
    pub fn counts_up(&self, key: u128, uses: u32) -> bool {
        let so_far = match self.memory.get(key) {
            Some(Slot::Uses(count)) => count,
            Some(Slot::Object(_) | Slot::Sets(_)) => return true,
            _ => 0,
        };
        if so_far + 1 >= uses {
            return true;
        }
        self.memory.insert(key, Slot::Uses(so_far + 1));
        false
    }

    pub fn close(&self) {
        if let Some(disk) = &self.disk {
            disk.close();
        }
    }
}

/// Where the selecting text begins in what a variant's key is made of: behind the primary key and the generation.
const SELECTING: usize = 16 + 8;

/// Key of the variant that a request selects. `scratch` holds afterwards what it is made of.
fn variant_key(sets: &Sets, names: &[String], request: &RequestHead, scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    scratch.extend_from_slice(&sets.key.to_le_bytes());
    scratch.extend_from_slice(&sets.generation.to_le_bytes());
    write_selecting(names, request, scratch);
    xxh3_128(scratch)
}
