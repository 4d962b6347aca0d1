//! Bodies that are written while they arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use super::{Folder, KIB, MIB, bytes, head, is, label, put};
use crate::core::Tuning;
use crate::{BLOCK, Incoming, Key, ReadError, State, Store};

#[derive(Default)]
struct Woken(AtomicU64, std::sync::Condvar, std::sync::Mutex<()>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        let _guard = self.2.lock().unwrap();
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.notify_all();
    }
}

/// Waits until so much can be read back, or it failed.
fn wait_for(incoming: &Incoming, bytes: u64) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    loop {
        let before = woken.0.load(Ordering::SeqCst);
        incoming.wake_when_written(&waker);
        if incoming.written() >= bytes || incoming.has_failed() {
            return;
        }
        let guard = woken.2.lock().unwrap();
        drop(woken.1.wait_while(guard, |_| woken.0.load(Ordering::SeqCst) == before).unwrap());
    }
}

fn begin(store: &Arc<Store>, key: Key) -> Incoming {
    store.begin(key, label(key, 0), head(key, 0)).unwrap()
}

fn bring(incoming: &Incoming, body: &[u8]) {
    for block in body.chunks(BLOCK) {
        assert!(incoming.append(block.into()));
    }
}

fn read_all(incoming: &Incoming, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for index in 0..len.div_ceil(BLOCK) as u64 {
        incoming.read_block(index, &mut out).unwrap();
    }
    out
}

#[test]
fn a_stream_of_any_length_is_read_while_it_arrives_and_after() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for (key, len) in (0..).zip([0, 1, BLOCK, 4 * BLOCK, 4 * BLOCK + 1, 7 * BLOCK + 9, 20 * BLOCK, 100 * BLOCK + 1]) {
        let (body, incoming) = (bytes(key, 0, len), begin(&store, key));
        bring(&incoming, &body);
        wait_for(&incoming, len as u64);
        assert_eq!(incoming.written(), len as u64);
        assert!(read_all(&incoming, len) == body);
        let more = incoming.read_block(len.div_ceil(BLOCK) as u64, &mut Vec::new());
        assert!(matches!(more, Err(ReadError::WouldBlock)));
        assert!(!store.contains(key));
        incoming.finish(None, None);
        store.sync();
        assert!(is(&store, key, 0, len), "{len}");
        assert!(read_all(&incoming, len) == body, "a reader that is not done yet");
        assert!(!incoming.append(vec![0].into()), "it is over");
    }
    // only what is longer than a quarter of a segment keeps a file
    assert_eq!(folder.files().iter().filter(|(name, _)| name.starts_with("object")).count(), 2);
    store.close();
    let store = folder.open(64 * MIB);
    assert!(is(&store, 3, 0, 4 * BLOCK) && is(&store, 7, 0, 100 * BLOCK + 1));
    assert_eq!(store.stats().objects, 8);
}

#[test]
fn head_and_label_may_be_known_at_the_end_only() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for (key, len) in [(1, 10), (2, 6 * BLOCK), (3, 50 * BLOCK)] {
        let incoming = store.begin(key, Vec::new(), Vec::new()).unwrap();
        bring(&incoming, &bytes(key, 5, len));
        incoming.finish(Some(head(key, 5)), Some(label(key, 5)));
        store.sync();
        assert!(is(&store, key, 5, len));
    }
    let mut labels = Vec::new();
    store.scan(&mut |_, label, _| {
        labels.push(label.to_vec());
        crate::Verdict::Keep
    });
    labels.sort();
    assert_eq!(labels, [1, 2, 3].map(|key| label(key, 5)));
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for (key, len) in [(1, 0), (2, 10), (3, 50 * BLOCK)] {
        let incoming = begin(&store, key);
        bring(&incoming, &bytes(key, 0, len));
        wait_for(&incoming, len as u64);
        if key == 2 {
            incoming.abort();
            assert!(incoming.has_failed() && !incoming.append(vec![0].into()));
        }
        drop(incoming);
        store.sync();
    }
    assert_eq!((store.stats().objects, store.stats().bytes, store.stats().queued), (0, 0, 0));
    // nor when the process ends meanwhile
    let incoming = begin(&store, 4);
    bring(&incoming, &bytes(4, 0, 50 * BLOCK));
    wait_for(&incoming, 50 * BLOCK as u64);
    assert_eq!(folder.files().len(), 1);
    let copy = folder.copy();
    let reopened = copy.open(64 * MIB);
    assert_eq!((reopened.stats().objects, copy.files().len()), (0, 0));
}

#[test]
fn what_is_removed_or_put_anew_while_it_arrives_does_not_come_back() {
    let folder = Folder::new();
    let store = folder.open(64 * MIB);
    for len in [10, 50 * BLOCK] {
        let (removed, replaced, later) = (begin(&store, 1), begin(&store, 2), begin(&store, 3));
        for (incoming, key) in [(&removed, 1), (&replaced, 2), (&later, 3)] {
            bring(incoming, &bytes(key, 0, len));
        }
        assert!(store.remove(1));
        put(&store, 2, 7, 100);
        store.soften(3);
        store.sync();
        removed.finish(None, None);
        replaced.finish(None, None);
        later.finish(None, None);
        store.sync();
        assert!(!store.contains(1) && is(&store, 2, 7, 100));
        assert!(is(&store, 3, 0, len) && store.find(3).unwrap().softened);
    }
    assert_eq!(folder.files().iter().filter(|(name, _)| name.starts_with("object")).count(), 1);
    store.close();
    let store = folder.open(64 * MIB);
    assert!(!store.contains(1) && is(&store, 2, 7, 100) && store.find(3).unwrap().softened);
}

#[test]
fn a_stream_that_outgrows_the_store_is_given_up() {
    let folder = Folder::new();
    let store = folder.open(8 * MIB);
    put(&store, 9, 0, 100);
    let (incoming, block) = (begin(&store, 1), Arc::<[u8]>::from(vec![1; BLOCK]));
    let mut taken = 0;
    while incoming.append(Arc::clone(&block)) {
        taken += BLOCK as u64;
        wait_for(&incoming, taken);
    }
    assert_eq!(taken, 4 * MIB);
    incoming.finish(None, None);
    store.sync();
    assert!(!store.contains(1));
    assert_eq!((store.stats().state, store.stats().dropped), (State::Ok, 1));
    assert!(store.stats().bytes < MIB && store.stats().queued == 0, "{:?}", store.stats());
    assert!(put(&store, 2, 0, 100));
    store.sync();
    assert!(is(&store, 2, 0, 100));
}

#[test]
fn many_slow_streams_do_not_take_the_queue_from_others() {
    let folder = Folder::new();
    let tuning = Tuning { queue: 512 * KIB, ..Tuning::new(64 * MIB) };
    let (store, _) = folder.open_tuned(64 * MIB, tuning);
    let streams: Vec<Incoming> = (0..50).map(|key| begin(&store, key)).collect();
    for (key, incoming) in (0..).zip(&streams) {
        bring(incoming, &bytes(key, 0, BLOCK));
        wait_for(incoming, BLOCK as u64);
        assert!(!incoming.has_failed());
    }
    store.sync();
    assert!(store.stats().queued <= 512 * KIB, "{:?}", store.stats());
    assert!(put(&store, 100, 0, 100_000));
    for (key, incoming) in (0..).zip(&streams) {
        bring(incoming, &bytes(key, 0, 2 * BLOCK)[BLOCK..][..100]);
        incoming.finish(None, None);
        store.sync();
        assert!(is(&store, key, 0, BLOCK + 100));
    }
    assert!(is(&store, 100, 0, 100_000));
    assert_eq!((store.stats().queued, store.stats().objects), (0, 51));
}
