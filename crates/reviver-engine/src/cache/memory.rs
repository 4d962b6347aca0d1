//! The memory tier: bounded by bytes, shared by all workers, evicting by how recent and how frequent the use is.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache as Sharded;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::object::{Object, Sets};

/// What stands under a key.
#[derive(Clone, Debug)]
pub enum Slot {
    Object(Arc<Object>),
    /// The resource varies: its responses stand under keys of their own.
    Sets(Arc<Sets>),
    /// Until then responses were found not to be storable: requests do not wait for each other.
    NotStorable {
        until_ms: u64,
    },
    /// So often the resource was asked for without being stored.
    Uses(u32),
}

#[derive(Clone)]
pub struct Weigh;

impl Weighter<u128, Slot> for Weigh {
    fn weight(&self, _: &u128, slot: &Slot) -> u64 {
        match slot {
            Slot::Object(object) => object.weight(),
            Slot::Sets(sets) => sets.weight(),
            Slot::NotStorable { .. } | Slot::Uses(_) => 96,
        }
    }
}

/// Keys are hashes already.
#[derive(Clone, Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

#[derive(Clone, Default)]
pub struct Keys;

impl BuildHasher for Keys {
    type Hasher = AsItIs;

    fn build_hasher(&self) -> AsItIs {
        AsItIs::default()
    }
}

/// Counts what goes to make room.
#[derive(Clone, Default)]
pub struct Evictions(Arc<AtomicU64>);

impl Evictions {
    fn count(&self, slot: &Slot) {
        if matches!(slot, Slot::Object(_)) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Lifecycle<u128, Slot> for Evictions {
    type RequestState = ();

    // What is replaced has not gone to make room.
    fn on_evict(&self, (): &mut (), _: u128, _: Slot) {}

    fn on_evict_cold(&self, (): &mut (), _: u128, slot: Slot) {
        self.count(&slot);
    }

    fn on_evict_hot(&self, (): &mut (), _: u128, slot: Slot) {
        self.count(&slot);
    }
}

type Tier = Sharded<u128, Slot, Weigh, Keys, Evictions>;

pub struct Memory {
    tier: Tier,
    evictions: Evictions,
}

/// A shard must have room for several of the largest objects, and a worker should rarely wait for another.
const SHARD: u64 = 16 << 20;
const MOST_SHARDS: u64 = 64;

impl Memory {
    pub fn new(capacity: u64, largest: u64) -> Self {
        let shards = (capacity / SHARD.max(largest)).clamp(1, MOST_SHARDS);
        let items = usize::try_from(capacity / 4096).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        let evictions = Evictions::default();
        let options = OptionsBuilder::new()
            .shards(usize::try_from(shards).unwrap_or(1))
            .estimated_items_capacity(items)
            .weight_capacity(capacity)
            .build();
        let tier = match options {
            Ok(options) => Sharded::with_options(options, Weigh, Keys, evictions.clone()),
            // Unreachable: all three are given.
            Err(_) => Sharded::with(items, capacity, Weigh, Keys, evictions.clone()),
        };
        Self { tier, evictions }
    }

    pub fn get(&self, key: u128) -> Option<Slot> {
        self.tier.get(&key)
    }

    /// Without counting as a use.
    pub fn peek(&self, key: u128) -> Option<Slot> {
        self.tier.peek(&key)
    }

    pub fn insert(&self, key: u128, slot: Slot) {
        self.tier.insert(key, slot);
    }

    /// Puts another in the place of what is there, if it still is.
    pub fn replace(&self, key: u128, slot: Slot) {
        let _ = self.tier.replace(key, slot, true);
    }

    pub fn remove(&self, key: u128) -> Option<Slot> {
        self.tier.remove(&key).map(|(_, slot)| slot)
    }

    pub fn resize(&self, capacity: u64) {
        self.tier.set_capacity(capacity);
    }

    pub fn clear(&self) -> u64 {
        let count = self.objects().count() as u64;
        self.tier.clear();
        count
    }

    pub fn evicted(&self) -> u64 {
        self.evictions.0.load(Ordering::Relaxed)
    }

    pub fn objects(&self) -> impl Iterator<Item = Arc<Object>> + '_ {
        self.tier.iter().filter_map(|(_, slot)| match slot {
            Slot::Object(object) => Some(object),
            _ => None,
        })
    }

    pub fn weight(&self) -> u64 {
        self.tier.weight()
    }

    pub fn capacity(&self) -> u64 {
        self.tier.capacity()
    }

    /// The most asked for.
    pub fn top(&self, count: usize) -> Vec<Arc<Object>> {
        let mut all: Vec<Arc<Object>> = self.objects().filter(|o| o.hits.load(Ordering::Relaxed) > 0).collect();
        all.sort_by_key(|object| std::cmp::Reverse(object.hits.load(Ordering::Relaxed)));
        all.truncate(count);
        all
    }
}
