//! Putting, finding, reading, replacing and removing.

use std::sync::{Arc, mpsc};

use super::{Folder, MIB, bytes, get, head, is, label, put};
use crate::{BLOCK, OpenError, Options, Part, ReadError, State, Store, Verdict};

const LENGTHS: [usize; 9] = [0, 1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 5 * BLOCK + 17, 3 * MIB as usize + 5];

#[test]
fn what_is_put_is_read_back_whatever_its_length() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for (key, len) in (0..).zip(LENGTHS) {
        assert!(put(&store, key, 0, len));
    }
    store.sync();
    for (key, len) in (0..).zip(LENGTHS) {
        assert!(is(&store, key, 0, len), "{len}");
        assert!(store.contains(key));
    }
    assert!(store.find(99).is_none() && !store.contains(99));
    let stats = store.stats();
    assert_eq!((stats.objects, stats.state, stats.queued), (9, State::Ok, 0));
    let on_disk = folder.bytes();
    // the index of the segment that is written to is still in memory
    assert!(stats.bytes >= on_disk && stats.bytes < on_disk + 4096, "{} {on_disk}", stats.bytes);
}

#[test]
fn a_later_put_replaces() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for version in 0..5 {
        assert!(put(&store, 1, version, 1000 * version as usize));
    }
    // large and small ones of one key replace each other too
    assert!(put(&store, 2, 0, 2 * MIB as usize) && put(&store, 2, 1, 10));
    assert!(put(&store, 3, 0, 10) && put(&store, 3, 1, 2 * MIB as usize));
    store.sync();
    assert!(is(&store, 1, 4, 4000) && is(&store, 2, 1, 10) && is(&store, 3, 1, 2 * MIB as usize));
    assert_eq!(store.stats().objects, 3);
    assert_eq!(folder.files().iter().filter(|(name, _)| name.starts_with("object")).count(), 1);
}

#[test]
fn what_is_removed_is_gone_at_once_also_when_it_was_not_written_yet() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for key in 0..100 {
        put(&store, key, 0, 10_000);
    }
    store.sync();
    for key in 0..50 {
        assert!(store.remove(key));
        assert!(!store.contains(key) && !store.remove(key));
    }
    for key in 100..200 {
        put(&store, key, 0, 10_000);
        assert!(store.remove(key), "still on its way");
        assert!(!store.remove(key));
    }
    for key in 150..200 {
        put(&store, key, 1, 10_000);
    }
    store.sync();
    for key in 0..200 {
        let version = u64::from(key >= 150);
        let there = (50..100).contains(&key) || key >= 150;
        assert_eq!(is(&store, key, version, 10_000), there, "{key}");
    }
    assert_eq!(store.clear(), 100);
    assert_eq!((store.stats().objects, store.find(60).is_some()), (0, false));
}

#[test]
fn clear_holds_against_what_is_on_its_way() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    put(&store, 1, 0, 10);
    put(&store, 2, 0, 2 * MIB as usize);
    let incoming = store.begin(3, Vec::new(), Vec::new()).unwrap();
    store.clear();
    incoming.finish(None, None);
    put(&store, 4, 0, 10);
    store.sync();
    assert_eq!((1..5).map(|key| store.contains(key)).collect::<Vec<_>>(), [false, false, false, true]);
    assert!(folder.bytes() < 4096, "{:?}", folder.files());
}

#[test]
fn softened_is_seen_at_once_and_until_a_new_head_or_object() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    let softened = |key| store.find(key).unwrap().softened;
    put(&store, 1, 0, 10);
    store.sync();
    assert!(!softened(1));
    store.soften(1);
    assert!(softened(1));
    assert!(store.replace_head(1, label(1, 1), head(1, 1)));
    store.sync();
    assert!(!softened(1));
    put(&store, 2, 0, 10);
    store.soften(2);
    store.sync();
    assert!(softened(2), "it was on its way");
    put(&store, 2, 1, 10);
    store.sync();
    assert!(!softened(2));
    // a new head that is on its way
    assert!(store.replace_head(2, label(2, 1), head(2, 1)));
    store.soften(2);
    store.sync();
    assert!(softened(2));
}

#[test]
fn a_new_head_stands_with_the_old_body() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for (key, len) in [(1, 1000), (2, 2 * MIB as usize)] {
        put(&store, key, 0, len);
        store.sync();
        for version in 1..4 {
            assert!(store.replace_head(key, label(key, version), head(key, version)));
            store.sync();
            assert_eq!(get(&store, key), Some((head(key, version), bytes(key, 0, len))));
        }
    }
    assert!(!store.replace_head(3, Vec::new(), Vec::new()));
    // one that was made for a body that is replaced meanwhile goes with it
    assert!(store.replace_head(1, label(1, 9), head(1, 9)));
    put(&store, 1, 5, 20);
    store.sync();
    assert!(is(&store, 1, 5, 20));
    put(&store, 1, 6, 20);
    store.replace_head(1, label(1, 9), head(1, 9));
    store.sync();
    assert!(is(&store, 1, 6, 20));
}

#[test]
fn scan_shows_every_label_once_and_does_as_it_is_told() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for key in 0..4000 {
        put(&store, key, 0, 1500);
    }
    put(&store, 4000, 0, 2 * MIB as usize);
    put(&store, 7, 1, 1500);
    store.sync();
    store.replace_head(8, label(8, 2), head(8, 2));
    store.replace_head(4000, label(4000, 2), head(4000, 2));
    store.remove(9);
    let mut seen = std::collections::BTreeMap::new();
    let done = store.scan(&mut |key, label, found| {
        assert_eq!(found.body_len, if key == 4000 { 2 * MIB } else { 1500 });
        assert!(seen.insert(key, String::from_utf8(label.to_vec()).unwrap()).is_none());
        match key % 4 {
            0 => Verdict::Keep,
            1 => Verdict::Remove,
            _ => Verdict::Soften,
        }
    });
    assert_eq!((seen.len(), done), (4000, 2999));
    let version = |key| match key {
        7 => 1,
        8 | 4000 => 2,
        _ => 0,
    };
    assert!(seen.iter().all(|(key, text)| *text.as_bytes() == label(*key, version(*key))));
    for key in 0..4000 {
        assert_eq!(
            store.find(key).map(|found| found.softened),
            [Some(false), None, Some(true), Some(true)][key as usize % 4]
        );
    }
    // all that a purge has chosen is softened already
    assert_eq!(store.scan(&mut |_, _, found| if found.softened { Verdict::Soften } else { Verdict::Keep }), 0);
}

#[test]
fn a_found_object_is_readable_when_it_is_gone() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    put(&store, 1, 0, 2 * MIB as usize);
    put(&store, 2, 0, 1000);
    store.sync();
    let found = [store.find(1).unwrap(), store.find(2).unwrap()];
    store.clear();
    store.sync();
    let mut out = Vec::new();
    store.read_block(&found[0], 31, &mut out, true).unwrap();
    store.read_block(&found[1], 0, &mut out, true).unwrap();
    assert_eq!(out, [&bytes(1, 0, 2 * MIB as usize)[31 * BLOCK..], &bytes(2, 0, 1000)].concat());
}

#[test]
fn threads_of_the_store_read_for_those_who_cannot_wait() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    put(&store, 1, 0, 3 * BLOCK);
    store.sync();
    let found = store.find(1).unwrap();
    let (send, receive) = mpsc::channel();
    for part in [Part::Head, Part::Block(0), Part::Block(1), Part::Block(2), Part::Block(3)] {
        let send = send.clone();
        store.read_later(found.clone(), part, Box::new(move |read| send.send((part, read)).unwrap()));
    }
    let body = bytes(1, 0, 3 * BLOCK);
    for _ in 0..5 {
        match receive.recv().unwrap() {
            (Part::Head, read) => assert_eq!(read.unwrap(), head(1, 0)),
            (Part::Block(3), read) => assert!(matches!(read, Err(ReadError::Io(_)))),
            (Part::Block(index), read) => assert_eq!(read.unwrap(), body[index as usize * BLOCK..][..BLOCK]),
        }
    }
    // what was just written is in the page cache, where the file system can tell
    match store.read_head(&found, false) {
        Ok(read) => assert_eq!(read, head(1, 0)),
        Err(error) => assert!(matches!(error, ReadError::WouldBlock), "{error}"),
    }
    // the last owner may be a thread of the store
    let last = Arc::clone(&store);
    let (send, receive) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    store.read_later(
        found,
        Part::Head,
        Box::new(move |_| {
            wait.recv().unwrap();
            drop(last);
            send.send(()).unwrap();
        }),
    );
    drop(store);
    go.send(()).unwrap();
    receive.recv().unwrap();
}

#[test]
fn a_second_store_in_the_folder_is_refused() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    let again = Store::open(Options { path: folder.path().into(), size: MIB }, Box::new(|_| {}));
    let Err(OpenError::Locked { path }) = again else { panic!("it was opened") };
    assert_eq!(path, folder.path());
    drop(store);
    folder.open(64 * MIB);
}

#[test]
fn what_cannot_be_kept_is_not_taken() {
    let folder = Folder::new();
    let store = folder.open(8 * MIB);
    assert!(!put(&store, 1, 0, 5 * MIB as usize));
    assert!(!store.put(1, vec![0; 70_000], Vec::new(), Vec::new()));
    assert_eq!(store.stats().dropped, 2);
    store.close();
    assert!(!put(&store, 1, 0, 10));
    assert!(store.begin(1, Vec::new(), Vec::new()).is_none_or(|incoming| {
        incoming.finish(None, None);
        !store.contains(1)
    }));
    store.sync();
}
