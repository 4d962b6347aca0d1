//! A process that is killed while it writes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::{Folder, MIB, bytes, get, head, is, label, put, quick};
use crate::{BLOCK, Options, Store};

const KEYS: u64 = 500;
const LENGTHS: [usize; 5] = [10, 3_000, 60_000, 200_000, 1_500_000];

/// Writes until it is killed, and tells what it did: `put KEY VERSION`, `gone KEY VERSION` once that is on its way,
/// `synced` when all before it is written.
#[test]
#[ignore = "run by the tests below"]
fn writing() {
    let path = std::env::var_os("REVIVER_STORE_TEST").unwrap();
    let store = Store::open(Options { path: path.into(), size: 32 * MIB }, Box::new(|_| {})).unwrap();
    let mut out = std::io::stdout().lock();
    for version in 1.. {
        let key = (version * 7919) % KEYS;
        let len = LENGTHS[version as usize % 5];
        match version % 11 {
            0 => {
                store.remove(key.into());
                writeln!(out, "gone {key} {version}").unwrap();
            }
            1 => {
                let key = u128::from(key);
                let incoming = store.begin(key, label(key, version), head(key, version)).unwrap();
                if bytes(key, version, len).chunks(BLOCK).all(|block| incoming.append(block.into())) {
                    incoming.finish(None, None);
                    writeln!(out, "put {key} {version}").unwrap();
                }
            }
            _ => {
                if put(&store, key.into(), version, len) {
                    writeln!(out, "put {key} {version}").unwrap();
                }
            }
        }
        store.find((version * 31 % KEYS).into());
        if version % 50 == 0 {
            store.sync();
            writeln!(out, "synced").unwrap();
            out.flush().unwrap();
        }
    }
}

#[test]
fn after_a_kill_every_object_is_right_or_missing() {
    for rounds in [1, 2, 7, 23] {
        let folder = Folder::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::crash::writing", "--ignored", "--nocapture"])
            .env("REVIVER_STORE_TEST", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // for each key the last version that was put or removed for sure, and those after that
        let mut sure = vec![0u64; KEYS as usize];
        let mut since: Vec<Vec<u64>> = vec![Vec::new(); KEYS as usize];
        let mut synced = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["put" | "gone", key, version] => {
                    since[key.parse::<usize>().unwrap()].push(version.parse().unwrap());
                }
                ["synced"] => {
                    for (sure, since) in sure.iter_mut().zip(&mut since) {
                        *sure = since.drain(..).next_back().unwrap_or(*sure);
                    }
                    synced += 1;
                    if synced == rounds {
                        child.kill().unwrap();
                    }
                }
                _ => {}
            }
        }
        assert!(!child.wait().unwrap().success() && synced >= rounds);
        let (store, told) = folder.open_tuned(32 * MIB, quick(32 * MIB));
        assert!(told.lock().unwrap().is_empty(), "{told:?}");
        assert!(folder.bytes() <= 32 * MIB);
        let (objects, mut kept) = (store.stats().objects, 0);
        for key in 0..KEYS {
            let Some((head_bytes, body)) = get(&store, key.into()) else { continue };
            let text = String::from_utf8(head_bytes).unwrap();
            let version: u64 = text.rsplit(' ').next().unwrap().parse().unwrap();
            let sure = sure[key as usize];
            assert!(version >= sure, "{key}: {version} after {sure}");
            assert!(body == bytes(key.into(), version, LENGTHS[version as usize % 5]), "{key} {version}");
            kept += 1;
        }
        assert!(kept > 10, "{kept} kept");
        assert_eq!(objects, kept, "none is damaged");
    }
}

#[test]
fn what_was_written_before_a_kill_is_there() {
    let folder = Folder::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crash::few", "--ignored", "--nocapture"])
        .env("REVIVER_STORE_TEST", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("written")));
    child.kill().unwrap();
    child.wait().unwrap();
    let store = folder.open(64 * MIB);
    assert!((0..100).all(|key| is(&store, key, 3, 5_000)));
    assert!(is(&store, 100, 3, 3 * MIB as usize));
}

/// Writes and is found when all of it is visible, without `sync`.
#[test]
#[ignore = "run by the test above"]
fn few() {
    let path = std::env::var_os("REVIVER_STORE_TEST").unwrap();
    let store = Store::open(Options { path: path.into(), size: 64 * MIB }, Box::new(|_| {})).unwrap();
    for key in 0..100 {
        put(&store, key, 3, 5_000);
    }
    put(&store, 100, 3, 3 * MIB as usize);
    while !(0..=100).all(|key| store.contains(key)) {
        std::thread::yield_now();
    }
    println!("written");
    loop {
        std::thread::park();
    }
}
