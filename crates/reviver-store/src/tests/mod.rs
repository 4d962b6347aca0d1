//! The store as its callers see it, with real files.

mod crash;
mod damage;
mod evict;
mod faults;
mod objects;
mod restart;
mod streams;
mod threads;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::core::Tuning;
use crate::{BLOCK, Key, Options, ReadError, Store};

pub const KIB: u64 = 1024;
pub const MIB: u64 = 1024 * KIB;

/// Removed with all that is in it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("reviver-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn open(&self, size: u64) -> Arc<Store> {
        self.open_tuned(size, Tuning::new(size)).0
    }

    /// And what it warned of.
    pub fn open_tuned(&self, size: u64, tuning: Tuning) -> (Arc<Store>, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let options = Options { path: self.0.clone(), size };
        let warn = Box::new(move |text| telling.lock().unwrap().push(text));
        (Store::open_tuned(options, tuning, warn).unwrap(), told)
    }

    /// Names and lengths of the store's files.
    pub fn files(&self) -> Vec<(String, u64)> {
        let mut files: Vec<(String, u64)> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|file| file.unwrap())
            .map(|file| (file.file_name().into_string().unwrap(), file.metadata().map_or(0, |data| data.len())))
            .filter(|(name, _)| name != "lock")
            .collect();
        files.sort();
        files
    }

    pub fn bytes(&self) -> u64 {
        self.files().iter().map(|(_, len)| len).sum()
    }

    pub fn copy(&self) -> Folder {
        let copy = Folder::new();
        for (name, _) in self.files() {
            std::fs::copy(self.0.join(&name), copy.0.join(&name)).unwrap();
        }
        copy
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writing is tried again soon.
pub fn quick(size: u64) -> Tuning {
    Tuning { retry: Duration::from_millis(50), ..Tuning::new(size) }
}

/// Bytes that belong to a key, a version of it and a place.
pub fn bytes(key: Key, version: u64, len: usize) -> Vec<u8> {
    let mut state = (key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ version.wrapping_mul(0xD129_0D3A_7C51_2F6B) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

pub fn label(key: Key, version: u64) -> Vec<u8> {
    format!("label {key} {version}").into_bytes()
}

pub fn head(key: Key, version: u64) -> Vec<u8> {
    format!("head {key} {version}").into_bytes()
}

pub fn put(store: &Store, key: Key, version: u64, len: usize) -> bool {
    let body = bytes(key, version, len);
    // pieces that are no blocks
    let pieces = body.chunks(len.div_ceil(3).max(1)).map(Arc::from).collect();
    store.put(key, label(key, version), head(key, version), pieces)
}

/// Head and body, or None where they are not there.
pub fn get(store: &Store, key: Key) -> Option<(Vec<u8>, Vec<u8>)> {
    let found = store.find(key)?;
    let mut body = Vec::new();
    let read = store.read_head(&found, true).and_then(|head| {
        for index in 0..found.body_len.div_ceil(BLOCK as u64) {
            store.read_block(&found, index, &mut body, true)?;
        }
        Ok(head)
    });
    match read {
        Ok(head) => {
            assert_eq!((head.len(), body.len() as u64), (found.head_len as usize, found.body_len));
            Some((head, body))
        }
        Err(ReadError::Corrupt) => None,
        Err(error) => panic!("{error}"),
    }
}

pub fn is(store: &Store, key: Key, version: u64, len: usize) -> bool {
    get(store, key) == Some((head(key, version), bytes(key, version, len)))
}
