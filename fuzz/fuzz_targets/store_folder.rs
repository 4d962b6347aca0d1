//! Whatever stands in the files of a store, what is found under a key was once put under it.

#![no_main]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use reviver_store::{Key, Options, ReadError, Store, Verdict};

const SIZE: u64 = 1 << 20;
const LARGE: usize = 200_000;

fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("reviver-fuzz-{}", std::process::id()))
}

fn open() -> Arc<Store> {
    Store::open(Options { path: folder(), size: SIZE }, Box::new(|_| {})).expect("damage is no error")
}

fn put(store: &Store, key: Key, version: u8, len: usize) {
    assert!(store.put(key, vec![key as u8; 9], vec![version; 17], vec![vec![key as u8 ^ version; len].into()]));
    store.sync();
}

/// Files of a store: sealed segments, one without an index, large objects, replaced heads, removals.
fn sample() -> &'static BTreeMap<String, Vec<u8>> {
    static SAMPLE: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let store = open();
        for key in 0..40 {
            put(&store, key, 0, 10_000);
        }
        put(&store, 40, 0, LARGE);
        put(&store, 1, 1, 10_000);
        store.replace_head(2, vec![2; 9], vec![1; 17]);
        store.remove(3);
        store.soften(4);
        store.close();
        let store = open();
        put(&store, 41, 0, 100);
        store.sync();
        let read = |file: std::io::Result<std::fs::DirEntry>| {
            let file = file.expect("listed");
            (file.file_name().into_string().expect("a name"), std::fs::read(file.path()).expect("readable"))
        };
        std::fs::read_dir(folder()).expect("there").map(read).collect()
    })
}

fn check(store: &Store) {
    for key in 0..64 {
        let Some(found) = store.find(key) else { continue };
        let head = match store.read_head(&found, true) {
            Ok(head) => head,
            Err(ReadError::Corrupt) => continue,
            Err(error) => panic!("{error}"),
        };
        assert!(key <= 41 && [vec![0; 17], vec![1; 17]].contains(&head));
        let mut body = Vec::new();
        let blocks = found.body_len.div_ceil(reviver_store::BLOCK as u64);
        let read = (0..blocks).try_for_each(|index| store.read_block(&found, index, &mut body, true));
        if read.is_ok() {
            let len = [10_000, LARGE, 100][key.saturating_sub(39) as usize];
            let version = if key == 2 { 0 } else { head[0] };
            assert!(body == vec![key as u8 ^ version; len], "{key}");
        }
    }
    store.scan(&mut |key, label, _| {
        assert!(label == [key as u8; 9]);
        Verdict::Keep
    });
}

fuzz_target!(|data: &[u8]| {
    let sample = sample();
    let _ = std::fs::remove_dir_all(folder());
    std::fs::create_dir_all(folder()).expect("a folder");
    let mut files = sample.clone();
    let mut rest = data;
    while let [which, what, a, b, c, tail @ ..] = rest {
        rest = tail;
        let name = sample.keys().nth(usize::from(*which) % sample.len()).expect("within");
        let content = files.entry(name.clone()).or_default();
        let at = (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c)) % (content.len() + 1);
        match what % 8 {
            0 => content.truncate(at),
            1 => content.extend_from_slice(tail),
            2 => {
                files.remove(name);
            }
            // near the start and the end stands what is read first
            3 if at < content.len() => content[at % 200] ^= what | 1,
            4 if at < content.len() => {
                let last = content.len() - 1 - at % 200.min(content.len());
                content[last] ^= what | 1;
            }
            5 => {
                let moved = content.split_off(at);
                content.extend_from_slice(&moved[moved.len() / 2..]);
            }
            _ if at < content.len() => content[at] ^= what | 1,
            _ => {}
        }
    }
    for (name, content) in &files {
        std::fs::write(folder().join(name), content).expect("written");
    }
    for _ in 0..2 {
        let store = open();
        check(&store);
        store.put(50, Vec::new(), Vec::new(), vec![vec![7; 10].into()]);
        store.sync();
        assert!(store.contains(50));
        store.remove(50);
        store.close();
    }
    let _ = std::fs::remove_dir_all(folder());
});
