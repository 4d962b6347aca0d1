//! Many callers at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::{Folder, MIB, bytes, get, head, label};
use crate::{BLOCK, Verdict};

const KEYS: u128 = 200;
const LENGTHS: [usize; 4] = [100, 5_000, 70_000, 300_000];

/// The head names the version that the body has to be of.
fn version_of(key: u128, head_bytes: &[u8]) -> u64 {
    let text = std::str::from_utf8(head_bytes).unwrap();
    let version = text.rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(head_bytes, head(key, version));
    version
}

#[test]
fn whatever_callers_do_at_a_time_bodies_go_with_their_heads() {
    let folder = Folder::new();
    // small, so that objects are evicted and written anew meanwhile
    let store = folder.open(16 * MIB);
    let (version, reads) = (AtomicU64::new(1), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..8u64 {
            let (store, version, reads, over) = (&store, &version, &reads, &over);
            scope.spawn(move || {
                let mut random = number + 1;
                while !over.load(Ordering::Relaxed) {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let key = u128::from(random >> 8) % KEYS;
                    match random % 16 {
                        0..4 => {
                            let version = version.fetch_add(1, Ordering::Relaxed);
                            let body = bytes(key, version, LENGTHS[version as usize % 4]);
                            store.put(key, label(key, version), head(key, version), vec![body.into()]);
                        }
                        4 => {
                            let version = version.fetch_add(1, Ordering::Relaxed);
                            let body = bytes(key, version, LENGTHS[version as usize % 4]);
                            if let Some(incoming) = store.begin(key, label(key, version), head(key, version))
                                && body.chunks(BLOCK).all(|block| incoming.append(block.into()))
                                && random & 32 == 0
                            {
                                incoming.finish(None, None);
                            }
                        }
                        5 => {
                            store.remove(key);
                        }
                        6 => store.soften(key),
                        7 if random >> 40 & 0xff == 0 => {
                            store.scan(&mut |key, text, _| {
                                assert!(text.starts_with(format!("label {key} ").as_bytes()));
                                if key % 7 == 0 { Verdict::Remove } else { Verdict::Keep }
                            });
                        }
                        7 if random >> 40 & 0xfff == 1 => {
                            store.clear();
                        }
                        _ => {
                            let Some((head_bytes, body)) = get(store, key) else { continue };
                            let version = version_of(key, &head_bytes);
                            assert!(body == bytes(key, version, LENGTHS[version as usize % 4]), "{key} {version}");
                            if reads.fetch_add(1, Ordering::Relaxed) > 2_000 {
                                over.store(true, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    store.sync();
    let stats = store.stats();
    let there: Vec<_> = (0..KEYS).map(|key| get(&store, key)).collect();
    assert_eq!(stats.objects, there.iter().flatten().count() as u64, "none was damaged");
    assert_eq!(stats.queued, 0);
    store.close();
    assert_eq!(folder.bytes(), store.stats().bytes);
    assert!(folder.bytes() <= 16 * MIB);
    let store = folder.open(16 * MIB);
    for (key, before) in (0..).zip(there) {
        assert!(get(&store, key) == before, "{key}");
    }
}

#[test]
fn a_removal_is_never_overtaken() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    thread::scope(|scope| {
        for number in 0..4u128 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..500 {
                    let key = number * 1000 + round % 10;
                    super::put(store, key, round as u64, 2000);
                    if round % 3 == 0 {
                        store.sync();
                    }
                    store.remove(key);
                    assert!(!store.contains(key));
                    if round % 5 == 0 {
                        store.sync();
                        assert!(!store.contains(key), "it was on its way");
                    }
                }
            });
        }
    });
    store.sync();
    assert_eq!(store.stats().objects, 0);
    store.close();
    assert_eq!(folder.open(64 * MIB).stats().objects, 0);
}
