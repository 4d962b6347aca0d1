//! The bound, and what stays.

use super::{Folder, KIB, MIB, bytes, get, head, is, label, put};
use crate::{BLOCK, Store};

/// Waits after each `step`, so that nothing is lost by a full queue.
fn put_many(store: &Store, folder: &Folder, keys: std::ops::Range<u128>, len: impl Fn(u128) -> usize) {
    let limit = store.stats().limit;
    for key in keys {
        put(store, key, 0, len(key));
        if key % 32 == 0 {
            store.sync();
            assert!(folder.bytes() <= limit, "{} of {limit}", folder.bytes());
            assert!(store.stats().bytes <= limit);
        }
    }
    store.sync();
}

#[test]
fn the_bound_holds_and_is_used() {
    let folder = Folder::new();
    let store = folder.open(32 * MIB);
    put_many(&store, &folder, 0..20_000, |key| 1 + (key as usize * 7919) % 20_000);
    let stats = store.stats();
    assert!(stats.bytes > 32 * MIB * 93 / 100, "{stats:?}");
    assert_eq!(stats.evicted + stats.objects, 20_000);
    assert!((stats.bytes as i64 - folder.bytes() as i64).abs() < 64 * KIB as i64);
    assert!((19_000..20_000).all(|key| is(&store, key, 0, 1 + (key as usize * 7919) % 20_000)));
    store.close();
    assert!(folder.bytes() <= 32 * MIB);
}

#[test]
fn the_bound_holds_with_large_objects() {
    let folder = Folder::new();
    let store = folder.open(32 * MIB);
    put_many(&store, &folder, 0..400, |key| if key % 3 == 0 { 900_000 } else { 30_000 });
    assert!(is(&store, 399, 0, 900_000) && is(&store, 398, 0, 30_000) && !store.contains(0));
    assert!(store.stats().bytes > 28 * MIB, "{:?}", store.stats());
}

#[test]
fn what_is_asked_for_stays() {
    let folder = Folder::new();
    let store = folder.open(32 * MIB);
    // among others, since of one segment no more than half stays
    put_many(&store, &folder, 0..1200, |_| 10_000);
    let hot = || (0..1200).step_by(4);
    put(&store, 9000, 0, 2 * MIB as usize);
    put(&store, 9001, 0, 2 * MIB as usize);
    store.sync();
    store.replace_head(4, label(4, 3), head(4, 3));
    store.replace_head(9000, label(9000, 3), head(9000, 3));
    store.soften(8);
    for round in 0..20 {
        for key in hot().chain([9000]) {
            assert!(store.find(key).is_some(), "{key} in round {round}");
        }
        let from = 10_000 + round * 1000;
        put_many(&store, &folder, from..from + 1000, |_| 10_000);
    }
    assert!(!store.contains(9001), "nobody asked for it");
    for store in [store.clone(), {
        store.close();
        folder.open(32 * MIB)
    }] {
        for key in hot().filter(|key| *key != 4) {
            assert!(is(&store, key, 0, 10_000), "{key}");
            assert_eq!(store.find(key).unwrap().softened, key == 8);
        }
        assert_eq!(get(&store, 4), Some((head(4, 3), bytes(4, 0, 10_000))));
        assert_eq!(get(&store, 9000), Some((head(9000, 3), bytes(9000, 0, 2 * MIB as usize))));
    }
}

#[test]
fn an_older_head_does_not_come_back_when_a_newer_one_was_merged() {
    let folder = Folder::new();
    let store = folder.open(16 * MIB);
    put_many(&store, &folder, 0..150, |_| 10_000);
    store.replace_head(1, label(1, 1), head(1, 1));
    put_many(&store, &folder, 1000..1350, |_| 10_000);
    store.replace_head(1, label(1, 2), head(1, 2));
    put_many(&store, &folder, 1350..1500, |_| 10_000);
    // nothing but the newer head is found in its segment
    for key in 1150..1500 {
        store.remove(key);
    }
    let mut next = 3000;
    while store.contains(0) {
        assert!(store.find(1).is_some());
        put_many(&store, &folder, next..next + 10, |_| 10_000);
        next += 10;
    }
    assert!(store.contains(1000), "the older head is still on the disk");
    store.close();
    let store = folder.open(16 * MIB);
    assert_eq!(get(&store, 1), Some((head(1, 2), bytes(1, 0, 10_000))));
}

#[test]
fn a_softened_large_object_stays_so_when_the_note_of_it_is_evicted() {
    let folder = Folder::new();
    let mut store = folder.open(16 * MIB);
    put(&store, 1, 0, 2 * MIB as usize);
    store.sync();
    store.soften(1);
    for round in 0..10 {
        if round == 1 {
            store.close();
            store = folder.open(16 * MIB);
        }
        assert!(store.find(1).unwrap().softened);
        let from = 1000 + round * 1000;
        put_many(&store, &folder, from..from + 1000, |_| 10_000);
    }
    store.close();
    let store = folder.open(16 * MIB);
    assert!(store.find(1).unwrap().softened && is(&store, 1, 0, 2 * MIB as usize));
}

#[test]
fn what_was_removed_does_not_come_back_when_the_note_of_it_could_go() {
    let folder = Folder::new();
    let store = folder.open(32 * MIB);
    put_many(&store, &folder, 0..300, |_| 10_000);
    // the note stands in a segment in which nothing is found any more
    store.remove(0);
    put_many(&store, &folder, 1000..1300, |_| 10_000);
    for key in 1000..1300 {
        store.remove(key);
    }
    put_many(&store, &folder, 2000..2300, |_| 10_000);
    store.close();
    let store = folder.open(32 * MIB);
    assert!(!store.contains(0) && is(&store, 1, 0, 10_000) && is(&store, 2299, 0, 10_000));
    assert!((1000..1300).all(|key| !store.contains(key)));
}

#[test]
fn segments_without_anything_alive_go_at_once() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for round in 0..20 {
        for key in 0..300 {
            put(&store, key, round, 10_000);
        }
        put(&store, 900, round, 2 * MIB as usize);
        store.sync();
    }
    assert!(folder.bytes() < 14 * MIB, "{}", folder.bytes());
    assert!((0..300).all(|key| is(&store, key, 19, 10_000)));
    store.clear();
    store.sync();
    assert!(folder.bytes() < 4 * KIB, "{:?}", folder.files());
    assert_eq!(store.stats().evicted, 0);
}

#[test]
fn a_stream_makes_room_while_it_arrives() {
    let folder = Folder::new();
    let store = folder.open(32 * MIB);
    put_many(&store, &folder, 0..4000, |_| 10_000);
    let incoming = store.begin(9000, label(9000, 0), head(9000, 0)).unwrap();
    let body = bytes(9000, 0, 12 * MIB as usize);
    for block in body.chunks(BLOCK) {
        assert!(incoming.append(block.into()));
        store.sync();
        assert!(folder.bytes() <= 32 * MIB);
    }
    incoming.finish(None, None);
    store.sync();
    assert!(is(&store, 9000, 0, body.len()) && is(&store, 3999, 0, 10_000));
}
