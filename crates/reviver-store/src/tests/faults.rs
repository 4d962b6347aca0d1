//! A disk that is full, read-only or broken.

use std::process::Command;
use std::sync::atomic::Ordering;

use super::{Folder, KIB, MIB, is, put, quick};
use crate::core::Tuning;
use crate::{BLOCK, State, Store};

/// Puts until one is written; each waits for the writer.
fn put_until_works(store: &Store, key: u128) {
    while !is(store, key, 0, 1000) {
        if !put(store, key, 0, 1000) {
            std::thread::yield_now();
        }
        store.sync();
    }
}

#[test]
fn writes_stop_when_the_disk_fails_and_go_on_when_it_works() {
    let cases = [
        (libc::ENOSPC, State::Full, "is full"),
        (libc::EDQUOT, State::Full, "is full"),
        (libc::EROFS, State::ReadOnly, "cannot be written"),
        (libc::EIO, State::Failed, "fails"),
    ];
    for (errno, state, text) in cases {
        let folder = Folder::new();
        let tuning = quick(64 * MIB);
        let (store, told) = folder.open_tuned(64 * MIB, tuning.clone());
        for key in 0..5 {
            put(&store, key, 0, 1000);
        }
        let large = store.begin(50, Vec::new(), Vec::new()).unwrap();
        store.sync();
        tuning.fault.store(errno, Ordering::SeqCst);
        put(&store, 10, 0, 1000);
        store.sync();
        assert_eq!((store.stats().state, store.stats().dropped), (state, 1));
        // what is there is read, and what is taken away stays away
        assert!(!store.contains(10) && is(&store, 1, 0, 1000));
        assert!(store.remove(1) && !store.contains(1));
        store.soften(2);
        let block: std::sync::Arc<[u8]> = vec![0; BLOCK].into();
        while large.append(block.clone()) {
            store.sync();
        }
        assert!(large.has_failed());
        // tried again, in vain: that is no news
        while store.stats().dropped < 8 {
            put(&store, 11, 0, 1000);
            store.sync();
        }
        assert_eq!(told.lock().unwrap().len(), 1);
        assert!(told.lock().unwrap()[0].contains(text), "{told:?}");
        tuning.fault.store(0, Ordering::SeqCst);
        put_until_works(&store, 12);
        assert_eq!((store.stats().state, told.lock().unwrap().len()), (State::Ok, 2));
        drop(large);
        store.close();
        let store = folder.open(64 * MIB);
        assert!(!store.contains(1) && !store.contains(10) && !store.contains(50));
        assert!(store.find(2).unwrap().softened);
        assert!(is(&store, 0, 0, 1000) && is(&store, 12, 0, 1000));
    }
}

#[test]
fn large_objects_fail_as_others_do() {
    let folder = Folder::new();
    let tuning = quick(64 * MIB);
    let (store, told) = folder.open_tuned(64 * MIB, tuning.clone());
    tuning.fault.store(libc::ENOSPC, Ordering::SeqCst);
    put(&store, 1, 0, 2 * MIB as usize);
    store.sync();
    assert_eq!((store.stats().state, store.stats().objects, folder.files().len()), (State::Full, 0, 0));
    assert_eq!((store.stats().bytes, store.stats().queued, told.lock().unwrap().len()), (0, 0, 1));
    tuning.fault.store(0, Ordering::SeqCst);
    put_until_works(&store, 12);
}

#[test]
fn a_full_queue_takes_no_more_and_lets_nobody_wait() {
    let folder = Folder::new();
    let tuning = Tuning { queue: 256 * KIB, ..Tuning::new(64 * MIB) };
    let (store, _) = folder.open_tuned(64 * MIB, tuning);
    let taken = (0..10_000).filter(|key| put(&store, *key, 0, 20_000)).count() as u64;
    assert!(store.stats().queued <= 256 * KIB);
    store.sync();
    let stats = store.stats();
    assert_eq!((stats.objects, stats.queued, stats.dropped), (taken, 0, 10_000 - taken));
    assert!(stats.dropped > 0 && taken > 10);
    assert!(!put(&store, 1, 0, 300_000), "larger than the queue");
}

/// The rest of the test, in a process whose files may not grow beyond a bound: writes are cut in the middle there.
#[test]
#[ignore = "run by the test below"]
fn limited() {
    let path = std::env::var_os("REVIVER_STORE_TEST").unwrap();
    let limit = libc::rlimit { rlim_cur: 300_000, rlim_max: 300_000 };
    // SAFETY: the limit lives for the call; a signal handler is set to a constant.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let options = crate::Options { path: path.into(), size: 64 * MIB };
    let store = Store::open(options, Box::new(|text| println!("{text}"))).unwrap();
    for key in 0..100 {
        put(&store, key, 0, 10_000);
        store.sync();
    }
    assert_eq!(store.stats().state, State::Full);
    assert!((0..20).all(|key| is(&store, key, 0, 10_000)));
}

#[test]
fn a_write_that_is_cut_leaves_what_was_written_before() {
    let folder = Folder::new();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::faults::limited", "--ignored"])
        .env("REVIVER_STORE_TEST", folder.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
    let (store, told) = folder.open_tuned(64 * MIB, Tuning::new(64 * MIB));
    let objects = store.stats().objects as u128;
    assert!((20..30).contains(&objects), "{objects}");
    assert!((0..objects).all(|key| is(&store, key, 0, 10_000)));
    assert!(told.lock().unwrap().is_empty());
    put_until_works(&store, 500);
}
