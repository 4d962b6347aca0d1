//! Damaged files: a miss, never something else.

use proptest::prelude::*;

use super::{Folder, MIB, bytes, get, head, is, label, put};
use crate::core::Tuning;
use crate::{Store, Verdict};

/// Six small objects, one of them in a second version, one removed, one with a new head; one large one.
fn sample(folder: &Folder) {
    let store = folder.open(8 * MIB);
    for key in 0..6 {
        put(&store, key, 0, 20 + key as usize * 20);
    }
    store.sync();
    put(&store, 1, 1, 70);
    store.remove(2);
    store.replace_head(3, label(3, 1), head(3, 1));
    put(&store, 6, 0, 100);
    store.sync();
    put(&store, 6, 1, 400_000);
    store.sync();
}

/// What may be found under a key of the sample, the latest first.
fn allowed(key: u128) -> Vec<(Vec<u8>, Vec<u8>)> {
    let old_len = 20 + key as usize * 20;
    match key {
        1 => vec![(head(1, 1), bytes(1, 1, 70)), (head(1, 0), bytes(1, 0, old_len))],
        3 => vec![(head(3, 1), bytes(3, 0, old_len)), (head(3, 0), bytes(3, 0, old_len))],
        6 => vec![(head(6, 1), bytes(6, 1, 400_000)), (head(6, 0), bytes(6, 0, 100))],
        _ => vec![(head(key, 0), bytes(key, 0, old_len))],
    }
}

/// How many of the latest are there. `strict`: all that is there is the latest.
fn check(store: &Store, strict: bool) -> usize {
    let mut latest = 0;
    for key in 0..8 {
        let Some(got) = get(store, key) else { continue };
        let place = allowed(key).iter().position(|pair| *pair == got);
        assert!(place.is_some(), "{key} is something else");
        assert!(!strict || place == Some(0) && key != 2, "{key} has come back");
        latest += usize::from(place == Some(0));
    }
    store.scan(&mut |key, text, _| {
        assert!([label(key, 0), label(key, 1)].contains(&text.to_vec()));
        Verdict::Keep
    });
    latest
}

#[test]
fn a_torn_tail_costs_what_it_held_at_every_byte() {
    let folder = Folder::new();
    sample(&folder);
    let copy = folder.copy();
    for (name, _) in copy.files().iter().filter(|(name, _)| name.ends_with(".index")) {
        std::fs::remove_file(copy.path().join(name)).unwrap();
    }
    let path = copy.path().join(copy.files().iter().find(|(name, _)| name.starts_with("segment")).unwrap().0.clone());
    let whole = std::fs::read(&path).unwrap();
    let mut before = 0;
    for len in 0..=whole.len() {
        let torn = Folder::new();
        std::fs::write(torn.path().join("segment-0"), &whole[..len]).unwrap();
        let (store, told) = torn.open_tuned(8 * MIB, Tuning::new(8 * MIB));
        check(&store, false);
        // 2 is there until its removal is; nothing that was whole is lost
        let objects = store.stats().objects;
        assert!(objects + 1 >= before && objects <= 7, "{objects} after {before} at {len}");
        before = objects;
        assert!(told.lock().unwrap().is_empty());
        // it goes on from there
        assert!(put(&store, 77, 0, 500));
        store.sync();
        let (again, told) = torn.copy().open_tuned(8 * MIB, Tuning::new(8 * MIB));
        assert!(is(&again, 77, 0, 500));
        assert_eq!((again.stats().objects, told.lock().unwrap().len()), (objects + 1, 0));
    }
    assert_eq!(before, 5, "without the large one and what was removed");
}

#[test]
fn torn_indexes_and_objects_cost_no_more_than_themselves() {
    let folder = Folder::new();
    sample(&folder);
    for (name, len) in folder.files() {
        if name.ends_with(".index") {
            for len in 0..len {
                let torn = folder.copy();
                std::fs::OpenOptions::new().write(true).open(torn.path().join(&name)).unwrap().set_len(len).unwrap();
                assert_eq!(check(&torn.open(8 * MIB), true), 6, "{name} cut to {len}");
            }
        }
        if name.starts_with("object") {
            for cut in (1..100).chain([1000, 200_000, len]) {
                let torn = folder.copy();
                let file = std::fs::OpenOptions::new().write(true).open(torn.path().join(&name)).unwrap();
                file.set_len(len - cut).unwrap();
                assert_eq!(check(&torn.open(8 * MIB), true), 5, "{name} without {cut}");
            }
        }
    }
}

/// With its index, or as a crash leaves it: then what follows the damage shows that something was lost.
fn flipped(sealed: bool, file: prop::sample::Index, at: prop::sample::Index, bit: u8) {
    thread_local! {
        static SAMPLES: [Folder; 2] = [true, false].map(|sealed| {
            let folder = Folder::new();
            sample(&folder);
            for (name, _) in folder.files() {
                if !sealed && name.ends_with(".index") {
                    std::fs::remove_file(folder.path().join(name)).unwrap();
                }
            }
            folder
        });
    }
    let copy = SAMPLES.with(|samples| samples[usize::from(!sealed)].copy());
    let files = copy.files();
    let (name, len) = file.get(&files);
    let path = copy.path().join(name);
    let mut content = std::fs::read(&path).unwrap();
    let place = at.index(*len as usize);
    content[place] ^= 1 << bit;
    std::fs::write(&path, content).unwrap();
    let store = copy.open(8 * MIB);
    // the last record cannot be told from a torn tail
    let last = !sealed && name.starts_with("segment") && place as u64 + 100 > *len;
    let latest = check(&store, !last);
    assert!(latest >= 4 || !sealed, "{latest} left, {place} in {name}");
    drop(store);
    check(&copy.open(8 * MIB), !last);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_anywhere_is_a_miss(
        sealed: bool, file: prop::sample::Index, at: prop::sample::Index, bit in 0u8..8,
    ) {
        flipped(sealed, file, at, bit);
    }
}

#[test]
fn what_is_damaged_is_read_as_missing_and_stays_so() {
    let folder = Folder::new();
    let store = folder.open(8 * MIB);
    put(&store, 1, 0, 1000);
    put(&store, 2, 0, 1000);
    store.sync();
    let path = folder.path().join("segment-0");
    let mut content = std::fs::read(&path).unwrap();
    let body = bytes(1, 0, 1000);
    let at = content.windows(1000).position(|window| window == body).unwrap();
    content[at + 999] ^= 1;
    // in place: the store has the file open
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::OpenOptions::new().write(true).open(&path).unwrap(),
        &content,
        0,
    )
    .unwrap();
    assert_eq!(get(&store, 1), None);
    assert!(!store.contains(1) && is(&store, 2, 0, 1000));
    store.close();
    let store = folder.open(8 * MIB);
    assert!(!store.contains(1) && is(&store, 2, 0, 1000));
}

#[test]
fn a_body_cannot_pass_for_records() {
    // whoever brings a body knows the format, but not the number that this segment has
    let other = Folder::new();
    let store = other.open(8 * MIB);
    put(&store, 666, 0, 10);
    drop(store);
    let forged = std::fs::read(other.path().join("segment-0")).unwrap();
    let folder = Folder::new();
    let store = folder.open(8 * MIB);
    put(&store, 1, 0, 100);
    store.put(2, Vec::new(), Vec::new(), vec![forged.into()]);
    put(&store, 3, 0, 100);
    store.sync();
    let copy = folder.copy();
    let path = copy.path().join("segment-0");
    let mut content = std::fs::read(&path).unwrap();
    // the record before is damaged, so that the next good one is searched for
    content[40] ^= 1;
    std::fs::write(&path, content).unwrap();
    let (store, told) = copy.open_tuned(8 * MIB, Tuning::new(8 * MIB));
    assert!(!store.contains(666));
    assert_eq!(told.lock().unwrap().len(), 1);
}
