//! Looking through everything.

use std::collections::HashSet;
use std::sync::Arc;

use crate::core::Core;
use crate::found::Found;
use crate::segment::Segment;
use crate::{Key, Verdict, load};

impl Core {
    /// Objects move only to younger segments, so the oldest is looked at first, and again until nothing is new.
    pub fn scan(&self, visit: &mut dyn FnMut(Key, &[u8], &Found) -> Verdict) -> u64 {
        self.queue.sync();
        let (mut seen, mut count) = (HashSet::new(), 0);
        loop {
            let mut segments: Vec<Arc<Segment>> = self.table.shard(0).segments().cloned().collect();
            segments.retain(|segment| seen.insert((segment.id, segment.nonce)));
            if segments.is_empty() {
                return count;
            }
            segments.sort_by_key(|segment| segment.number());
            for segment in segments {
                count += self.scan_segment(&segment, visit);
            }
        }
    }

    fn scan_segment(&self, segment: &Arc<Segment>, visit: &mut dyn FnMut(Key, &[u8], &Found) -> Verdict) -> u64 {
        let mut count = 0;
        let mut show = |found: &Found, label: &[u8]| {
            let key = found.slot.key();
            let done = match visit(key, label, found) {
                Verdict::Keep => false,
                Verdict::Remove => self.remove(key, Some(found)),
                Verdict::Soften => !found.softened && self.soften(key, Some(found)),
            };
            count += u64::from(done);
        };
        let open = segment
            .rest()
            .index
            .as_ref()
            .map(|index| index.iter().map(|(entry, label)| (*entry, label.to_vec())).collect::<Vec<_>>());
        if let Some(index) = open {
            for (entry, label) in index {
                if let Some(found) = self.stands(entry.record.key, segment, entry.offset) {
                    show(&found, &label);
                }
            }
        } else if !segment.alone
            && let Ok(Some(index)) = load::read_index(&self.folder, segment)
        {
            for (entry, label) in index.iter() {
                if let Some(found) = self.stands(entry.record.key, segment, entry.offset) {
                    show(&found, label);
                }
            }
        } else {
            // an object alone, or the index cannot be read: each record has its label too
            for key in self.keys_of(segment) {
                let Some(found) = self.table.shard(key).found(key) else {
                    continue;
                };
                if let Ok((label, _)) = self.judge(&found, found.read_meta(true)) {
                    show(&found, &label);
                }
            }
        }
        count
    }

    /// The object whose label stands there, if it still does.
    fn stands(&self, key: Key, segment: &Arc<Segment>, offset: u32) -> Option<Found> {
        let found = self.table.shard(key).found(key)?;
        let (holder, at) = match &found.head {
            Some(head) => (&head.segment, head.at),
            None => (&found.segment, found.record_at),
        };
        (Arc::ptr_eq(holder, segment) && at == u64::from(offset)).then_some(found)
    }

    fn keys_of(&self, segment: &Segment) -> Vec<Key> {
        let mut keys = Vec::new();
        for shard in self.table.shards() {
            keys.extend(
                shard
                    .slots()
                    .filter(|slot| match shard.elsewhere(slot.key()) {
                        Some(head) => head.segment == segment.id,
                        None => slot.segment == segment.id,
                    })
                    .map(|slot| slot.key()),
            );
        }
        keys
    }
}
