//! What is there after a restart.

use std::time::Instant;

use super::{Folder, KIB, MIB, bytes, get, head, is, label, put, quick};
use crate::core::Tuning;
use crate::layout::SegmentHeader;
use crate::{Store, Verdict};

fn fill(store: &Store) {
    for key in 0..500 {
        put(store, key, 0, 10_000);
    }
    put(store, 500, 0, 2 * MIB as usize);
    put(store, 501, 0, 2 * MIB as usize);
    store.sync();
    for key in 0..100 {
        put(store, key, 1, 5_000);
    }
    for key in 100..200 {
        store.remove(key);
    }
    for key in 200..300 {
        store.replace_head(key, label(key, 2), head(key, 2));
    }
    for key in (290..400).chain([500]) {
        store.soften(key);
    }
    store.replace_head(501, label(501, 2), head(501, 2));
    store.sync();
}

fn check(store: &Store) {
    for key in 0..500 {
        let found = store.find(key);
        assert_eq!(found.is_some(), !(100..200).contains(&key), "{key}");
        assert_eq!(found.is_some_and(|found| found.softened), (290..400).contains(&key), "{key}");
        match key {
            0..100 => assert!(is(store, key, 1, 5_000)),
            200..300 => assert_eq!(get(store, key), Some((head(key, 2), bytes(key, 0, 10_000)))),
            300.. => assert!(is(store, key, 0, 10_000)),
            _ => {}
        }
    }
    assert!(store.find(500).unwrap().softened && is(store, 500, 0, 2 * MIB as usize));
    assert!(!store.find(501).unwrap().softened);
    assert_eq!(get(store, 501), Some((head(501, 2), bytes(501, 0, 2 * MIB as usize))));
    let mut labels = 0;
    store.scan(&mut |key, text, _| {
        let version = if key < 100 {
            1
        } else if key < 300 || key == 501 {
            2
        } else {
            0
        };
        assert_eq!(text, label(key, version));
        labels += 1;
        Verdict::Keep
    });
    assert_eq!((labels, store.stats().objects), (402, 402));
}

#[test]
fn everything_is_as_it_was_after_it_was_closed() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    fill(&store);
    check(&store);
    for _ in 0..3 {
        store.close();
        let (bytes, stats) = (folder.bytes(), store.stats());
        assert_eq!(bytes, stats.bytes);
        let store = folder.open(64 * MIB);
        check(&store);
        assert_eq!(store.stats().bytes.max(bytes) - store.stats().bytes.min(bytes), 0);
    }
}

#[test]
fn everything_is_as_it_was_without_any_index() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    fill(&store);
    store.close();
    for (name, _) in folder.files() {
        if name.ends_with(".index") {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
    }
    let (store, told) = folder.open_tuned(64 * MIB, Tuning::new(64 * MIB));
    check(&store);
    store.close();
    assert_eq!(*told.lock().unwrap(), [""; 0]);
    check(&folder.open(64 * MIB));
}

#[test]
fn everything_is_as_it_was_after_it_was_copied_in_full_swing() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    fill(&store);
    check(&folder.copy().open(64 * MIB));
    check(&store);
}

#[test]
fn restarts_leave_no_heap_of_short_segments() {
    let folder = Folder::new();
    for key in 0..50 {
        let store = folder.open(64 * MIB);
        assert!(put(&store, key, 0, 100));
    }
    let store = folder.open(64 * MIB);
    assert!((0..50).all(|key| is(&store, key, 0, 100)));
    assert_eq!(store.stats().segments, 1);
}

#[test]
fn a_smaller_bound_holds_after_the_restart() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for key in 0..3000 {
        put(&store, key, 0, 10_000);
        if key % 500 == 0 {
            store.sync();
        }
    }
    store.close();
    let store = folder.open(16 * MIB);
    store.sync();
    put(&store, 9999, 0, 10);
    store.sync();
    assert!(folder.bytes() <= 16 * MIB, "{}", folder.bytes());
    assert!(is(&store, 2999, 0, 10_000) && !store.contains(0));
}

#[test]
fn files_of_others_are_left_alone_and_those_of_other_versions_are_not() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    put(&store, 1, 0, 10);
    store.close();
    let mut foreign = SegmentHeader::encode(false, 7).to_vec();
    foreign[8] = 2;
    let sum = crc32c::crc32c(&foreign[..24]);
    foreign[24..28].copy_from_slice(&sum.to_le_bytes());
    for name in ["segment-900", "object-901"] {
        std::fs::write(folder.path().join(name), &foreign).unwrap();
    }
    let others = [
        "notes.txt",
        "segment-x",
        "segment-07",
        "object-1.index",
        "segment-3.index.bak",
        "segment-18446744073709551615",
    ];
    for name in others {
        std::fs::write(folder.path().join(name), b"mine").unwrap();
    }
    std::fs::create_dir(folder.path().join("segment-905")).unwrap();
    std::os::unix::fs::symlink("segment-0", folder.path().join("segment-906")).unwrap();
    let (store, told) = folder.open_tuned(64 * MIB, quick(64 * MIB));
    assert!(is(&store, 1, 0, 10));
    let told = told.lock().unwrap();
    assert!(told.len() == 1 && told[0].contains("another version"), "{told:?}");
    let names: Vec<String> = folder.files().into_iter().map(|(name, _)| name).collect();
    assert!(others.iter().all(|name| names.iter().any(|other| other == name)), "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with("900") || name.ends_with("901")), "{names:?}");
    assert!(names.contains(&"segment-905".to_owned()) && names.contains(&"segment-906".to_owned()));
    // what is written next stands in none of them
    assert!(put(&store, 2, 0, 10));
    drop(store);
    assert!(is(&folder.open(64 * MIB), 2, 0, 10));
}

/// Seconds that this thread has computed.
fn computed() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills `time`, which lives for it.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds until a store with so many objects is open, and those of them that were computed.
fn many(count: u128, size: u64) -> (f64, f64) {
    let folder = Folder::new();
    let store = folder.open(size);
    for key in 0..count {
        // spread, as hashes are
        let key = key.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        while !store.put(key, bytes(key, 0, 60), bytes(key, 1, 100), vec![bytes(key, 2, 200).into()]) {
            store.sync();
        }
    }
    store.close();
    let (start, before) = (Instant::now(), computed());
    let store = folder.open(size);
    let took = (start.elapsed().as_secs_f64(), computed() - before);
    assert_eq!(store.stats().objects as u128, count);
    for key in (0..count).step_by(997) {
        let key = key.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        assert_eq!(get(&store, key), Some((bytes(key, 1, 100), bytes(key, 2, 200))));
    }
    took
}

#[test]
fn a_hundred_thousand_objects_come_back() {
    many(100_000, 256 * MIB);
}

/// `cargo test --release -p reviver-store -- --ignored --nocapture million`
#[test]
#[ignore = "measures, and writes half a gigabyte"]
fn a_million_objects_come_back() {
    let (all, computed) = many(1_000_000, 2048 * MIB);
    println!("a million objects in {all:.3} s, of which {computed:.3} s were computed");
}

#[test]
fn small_stores_work() {
    let folder = Folder::new();
    for size in [64 * KIB, 256 * KIB, MIB, 3 * MIB] {
        let store = folder.open(size);
        for key in 0..2000 {
            put(&store, key, 0, 1000);
            if key % 20 == 0 {
                store.sync();
                assert!(store.stats().bytes <= size, "{} of {size}", store.stats().bytes);
            }
        }
        store.sync();
        assert!(is(&store, 1999, 0, 1000), "{size}");
    }
}
