//! What the store has and where: 40 bytes for each object, in shards that do not wait for each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use crate::found::{Found, HeadPlace};
use crate::layout::{self, Entry, Kind, Record};
use crate::segment::Segment;
use crate::{BLOCK, Key};

const SHARDS: usize = 64;
const HEAD_LEN: u32 = (1 << 26) - 1;
const HIT: u32 = 1 << 26;
const HITS: u32 = 3 * HIT;
const SOFTENED: u32 = 1 << 28;
const HEADED: u32 = 1 << 29;

/// Words of four bytes, since the sizes would add up to more with larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    key: [u32; 4],
    sequence_low: u32,
    sequence_high: u16,
    pub label_len: u16,
    pub segment: u32,
    pub offset: u32,
    /// 0 in a segment of its own: that knows it.
    body_len: u32,
    /// 26 bits; then two of uses, one for softened, one for a head that stands elsewhere.
    head: u32,
}

const _: () = assert!(size_of::<Slot>() == 40);

/// A head that was replaced, for the body that the slot of the same key names.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere {
    pub key: Key,
    pub sequence: u64,
    pub segment: u32,
    pub offset: u32,
    pub head_len: u32,
    pub label_len: u16,
}

/// What was decided about a key while objects of it are on their way to the disk.
struct Pending {
    key: Key,
    count: u32,
    removed_at: u64,
    softened_at: u64,
}

/// What became of an object that is on the disk now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is found; true: in place of another.
    Yes(bool),
    /// It was removed, or a later one came, while it was on its way.
    No,
}

fn hash(key: Key) -> u64 {
    ((key as u64) ^ ((key >> 64) as u64).rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Slot {
    pub fn new(segment: u32, entry: &Entry) -> Slot {
        let Record { key, sequence, label_len, head_len, body_len, softened, kind, .. } = entry.record;
        Slot {
            key: [key as u32, (key >> 32) as u32, (key >> 64) as u32, (key >> 96) as u32],
            sequence_low: sequence as u32,
            sequence_high: (sequence >> 32) as u16,
            label_len,
            segment,
            offset: entry.offset,
            body_len: if kind == Kind::Own { 0 } else { body_len as u32 },
            head: head_len | if softened { SOFTENED } else { 0 },
        }
    }

    pub fn key(&self) -> Key {
        self.key.iter().rev().fold(0, |key, word| key << 32 | Key::from(*word))
    }

    pub fn sequence(&self) -> u64 {
        u64::from(self.sequence_high) << 32 | u64::from(self.sequence_low)
    }

    pub fn head_len(&self) -> u32 {
        self.head & HEAD_LEN
    }

    /// How often it was asked for since it was written, up to 3.
    pub fn hits(&self) -> u32 {
        (self.head & HITS) / HIT
    }

    pub fn set_hits(&mut self, hits: u32) {
        self.head = (self.head & !HITS) | (hits.min(3) * HIT);
    }

    pub fn softened(&self) -> bool {
        self.head & SOFTENED != 0
    }

    fn set(&mut self, flag: u32, on: bool) {
        self.head = if on { self.head | flag } else { self.head & !flag };
    }

    fn headed(&self) -> bool {
        self.head & HEADED != 0
    }

    pub fn same_place(&self, other: &Slot) -> bool {
        (self.segment, self.offset) == (other.segment, other.offset)
    }

    pub fn meta_len(&self) -> usize {
        layout::RECORD + usize::from(self.label_len) + self.head_len() as usize
    }

    /// Bytes of its record; in a segment of its own the body is not counted.
    pub fn record_len(&self) -> u64 {
        let body = u64::from(self.body_len);
        self.meta_len() as u64 + 4 * body.div_ceil(BLOCK as u64) + body
    }
}

impl Elsewhere {
    fn record_len(&self) -> u64 {
        layout::RECORD as u64 + u64::from(self.label_len) + u64::from(self.head_len)
    }
}

#[derive(Default)]
pub struct Shard {
    slots: HashTable<Slot>,
    heads: HashTable<Elsewhere>,
    pending: HashTable<Pending>,
    /// By their ids; every shard has all of them, so that none looks elsewhere.
    segments: Vec<Option<Arc<Segment>>>,
}

impl Shard {
    pub fn segment(&self, id: u32) -> Option<&Arc<Segment>> {
        self.segments.get(id as usize)?.as_ref()
    }

    pub fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.iter().flatten()
    }

    pub fn slot(&self, key: Key) -> Option<&Slot> {
        self.slots.find(hash(key), |slot| slot.key() == key)
    }

    fn slot_mut(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.find_mut(hash(key), |slot| slot.key() == key)
    }

    pub fn elsewhere(&self, key: Key) -> Option<&Elsewhere> {
        self.heads.find(hash(key), |head| head.key == key)
    }

    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    pub fn heads(&self) -> impl Iterator<Item = &Elsewhere> {
        self.heads.iter()
    }

    pub fn use_slot(&mut self, key: Key) {
        if let Some(slot) = self.slot_mut(key)
            && slot.hits() < 3
        {
            slot.head += HIT;
        }
    }

    pub fn found(&self, key: Key) -> Option<Found> {
        let slot = *self.slot(key)?;
        let segment = Arc::clone(self.segment(slot.segment)?);
        let elsewhere = if slot.headed() { self.elsewhere(key) } else { None };
        let head = match elsewhere {
            None => None,
            Some(head) => Some(HeadPlace {
                segment: Arc::clone(self.segment(head.segment)?),
                at: head.offset.into(),
                label_len: head.label_len,
            }),
        };
        Some(Found {
            head_len: elsewhere.map_or(slot.head_len(), |head| head.head_len),
            body_len: segment.own.get().map_or(slot.body_len.into(), |own| own.body_len),
            softened: slot.softened(),
            record_at: segment.record_at(slot.offset),
            slot,
            segment,
            head,
        })
    }

    fn add_live(&self, segment: u32, bytes: u64) {
        if let Some(segment) = self.segment(segment) {
            segment.live.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn lose_live(&self, segment: u32, bytes: u64) {
        if let Some(segment) = self.segment(segment) {
            segment.live.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn drop_head(&mut self, key: Key) {
        if let Ok(found) = self.heads.find_entry(hash(key), |head| head.key == key) {
            let (head, _) = found.remove();
            self.lose_live(head.segment, head.record_len());
        }
    }

    pub fn take(&mut self, key: Key) -> Option<Slot> {
        let (slot, _) = self.slots.find_entry(hash(key), |slot| slot.key() == key).ok()?.remove();
        self.lose_live(slot.segment, slot.record_len());
        if slot.headed() {
            self.drop_head(key);
        }
        Some(slot)
    }

    pub fn insert(&mut self, slot: Slot) -> bool {
        let replaced = self.take(slot.key()).is_some();
        self.add_live(slot.segment, slot.record_len());
        self.slots.insert_unique(hash(slot.key()), slot, |slot| hash(slot.key()));
        replaced
    }

    /// The head belongs to the slot of its key, which has to be there.
    pub fn insert_head(&mut self, head: Elsewhere, softened: bool) {
        self.drop_head(head.key);
        self.add_live(head.segment, head.record_len());
        self.heads.insert_unique(hash(head.key), head, |head| hash(head.key));
        if let Some(slot) = self.slot_mut(head.key) {
            slot.set(HEADED, true);
            slot.set(SOFTENED, softened);
        }
    }

    /// False: there is none.
    pub fn soften(&mut self, key: Key, sequence: u64) -> bool {
        let mut there = false;
        if let Some(slot) = self.slot_mut(key) {
            slot.set(SOFTENED, true);
            there = true;
        }
        if let Some(pending) = self.pending_mut(key) {
            pending.softened_at = sequence;
            there |= pending.removed_at == 0;
        }
        there
    }

    /// Also what is still on its way. False: there is none.
    pub fn remove(&mut self, key: Key, sequence: u64) -> bool {
        let mut there = self.take(key).is_some();
        if let Some(pending) = self.pending_mut(key) {
            there |= pending.removed_at == 0;
            pending.removed_at = sequence;
        }
        there
    }

    /// Whether something of the key is there or on its way.
    pub fn knows(&self, key: Key) -> bool {
        self.slot(key).is_some() || self.pending.find(hash(key), |pending| pending.key == key).is_some()
    }

    /// The same; with `only`, whether it still is that object.
    pub fn is_meant(&self, key: Key, only: Option<&Found>) -> bool {
        match only {
            None => self.knows(key),
            Some(found) => self.slot(key).is_some_and(|slot| slot.sequence() == found.slot.sequence()),
        }
    }

    fn pending_mut(&mut self, key: Key) -> Option<&mut Pending> {
        self.pending.find_mut(hash(key), |pending| pending.key == key)
    }

    /// Something of the key is on its way; `settle` ends that.
    pub fn expect(&mut self, key: Key) {
        match self.pending.entry(hash(key), |pending| pending.key == key, |pending| hash(pending.key)) {
            Place::Occupied(mut found) => found.get_mut().count += 1,
            Place::Vacant(vacant) => {
                vacant.insert(Pending { key, count: 1, removed_at: 0, softened_at: 0 });
            }
        }
    }

    /// When it was removed and softened meanwhile.
    fn settle(&mut self, key: Key) -> (u64, u64) {
        let Ok(mut found) = self.pending.find_entry(hash(key), |pending| pending.key == key) else {
            return (0, 0);
        };
        let pending = found.get_mut();
        pending.count -= 1;
        let decided = (pending.removed_at, pending.softened_at);
        if pending.count == 0 {
            found.remove();
        }
        decided
    }
}

pub struct Table {
    shards: [Mutex<Shard>; SHARDS],
    /// What has a lower sequence is gone.
    cleared: AtomicU64,
}

impl Table {
    pub fn new(mut shards: impl FnMut() -> Shard, cleared: u64) -> Table {
        Table { shards: std::array::from_fn(|_| Mutex::new(shards())), cleared: AtomicU64::new(cleared) }
    }

    pub fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        let index = (hash(key) >> 40) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn add_segment(&self, segment: &Arc<Segment>) {
        let id = segment.id as usize;
        for mut shard in self.shards() {
            let len = shard.segments.len().max(id + 1);
            shard.segments.resize(len, None);
            shard.segments[id] = Some(Arc::clone(segment));
        }
    }

    /// Forgets the segment and what stands in it. Returns how many objects that were.
    pub fn drop_segment(&self, segment: &Segment) -> u64 {
        let (id, mut lost) = (segment.id, 0);
        for mut shard in self.shards() {
            let shard = &mut *shard;
            // an object alone is known by its key
            let mut keys: Vec<Key> = segment.own.get().map(|own| own.key).into_iter().collect();
            if !segment.alone {
                keys.extend(shard.slots().filter(|slot| slot.segment == id).map(Slot::key));
                keys.extend(shard.heads().filter(|head| head.segment == id).map(|head| head.key));
            }
            for key in keys {
                if !segment.alone || shard.slot(key).is_some_and(|slot| slot.segment == id) {
                    lost += u64::from(shard.take(key).is_some());
                }
            }
            if let Some(segment) = shard.segments.get_mut(id as usize) {
                *segment = None;
            }
        }
        lost
    }

    pub fn objects(&self) -> u64 {
        self.shards().map(|shard| shard.slots.len() as u64).sum()
    }

    /// Gone is what has a lower sequence, also when it is still on its way.
    pub fn clear(&self, sequence: u64) -> u64 {
        self.cleared.fetch_max(sequence, Ordering::SeqCst);
        let mut lost = 0;
        for mut shard in self.shards() {
            let old = |slot: &&Slot| slot.sequence() < sequence;
            let keys: Vec<Key> = shard.slots().filter(old).map(Slot::key).collect();
            for key in keys {
                lost += u64::from(shard.take(key).is_some());
            }
        }
        lost
    }

    /// Whether an object of that segment was asked for; one use is taken off.
    pub fn cool(&self, key: Key, segment: u32) -> bool {
        let mut shard = self.shard(key);
        let slot = shard.slot_mut(key).filter(|slot| slot.segment == segment && slot.hits() > 0);
        slot.map(|slot| slot.set_hits(slot.hits() - 1)).is_some()
    }

    /// It was on its way and is not any more.
    pub fn give_up(&self, key: Key) {
        self.shard(key).settle(key);
    }

    /// An object that was expected is on the disk.
    pub fn publish(&self, mut slot: Slot) -> Published {
        let (key, sequence) = (slot.key(), slot.sequence());
        let mut shard = self.shard(key);
        let (removed_at, softened_at) = shard.settle(key);
        if removed_at > sequence || self.cleared.load(Ordering::SeqCst) > sequence {
            return Published::No;
        }
        if shard.slot(key).is_some_and(|there| there.sequence() > sequence) {
            return Published::No;
        }
        slot.set(SOFTENED, softened_at > sequence);
        Published::Yes(shard.insert(slot))
    }

    /// A head that was expected is on the disk; `body` is the sequence of what it belongs to.
    pub fn publish_head(&self, head: Elsewhere, body: u64) {
        let mut shard = self.shard(head.key);
        let (_, softened_at) = shard.settle(head.key);
        if shard.slot(head.key).is_some_and(|slot| slot.sequence() == body) {
            shard.insert_head(head, softened_at > head.sequence);
        }
    }

    /// A copy is on the disk. What was decided about the object meanwhile holds for the copy.
    pub fn relocate(&self, from: &Slot, mut to: Slot) {
        let mut shard = self.shard(from.key());
        let Some(there) = shard.slot(from.key()).copied().filter(|there| there.same_place(from)) else {
            return;
        };
        to.set(SOFTENED, there.softened());
        to.set_hits(there.hits().saturating_sub(1));
        shard.insert(to);
    }

    /// The same for a head whose body stays where it is.
    pub fn relocate_head(&self, from: &Elsewhere, to: Elsewhere) {
        let mut shard = self.shard(from.key);
        let Some(softened) = shard.slot(from.key).map(Slot::softened) else {
            return;
        };
        if shard.elsewhere(from.key).is_some_and(|there| there.sequence == from.sequence) {
            shard.insert_head(to, softened);
        }
    }
}
