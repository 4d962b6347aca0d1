//! `max_connections`, and who waits for room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use reviver_balance::{Algorithm, Ask, Choice, Lease, Pool, PoolSpec, Ticket};

use crate::common::{ALGORITHMS, ask, seconds, spec, take};

fn bounded(algorithm: Algorithm, limits: &[u32], queue_max: u32) -> PoolSpec {
    let mut spec = spec(algorithm, &vec![1; limits.len()]);
    spec.members.iter_mut().zip(limits).for_each(|(m, &limit)| m.max_connections = limit);
    PoolSpec { queue_max, ..spec }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub struct Waiter {
    ticket: Ticket,
    bell: Arc<Bell>,
}

impl Waiter {
    pub fn new(pool: &Pool) -> Self {
        Self { ticket: pool.wait().expect("a place"), bell: Arc::default() }
    }

    pub fn is_turn(&mut self, pool: &Pool) -> bool {
        let waker = Waker::from(Arc::clone(&self.bell));
        pool.poll_turn(&mut self.ticket, &mut Context::from_waker(&waker)) == Poll::Ready(())
    }

    pub fn rings(&self) -> usize {
        self.bell.0.swap(0, Ordering::SeqCst)
    }
}

fn queued() -> Ask<'static> {
    Ask { queued: true, ..ask() }
}

#[test]
fn a_full_server_is_passed_over_and_a_full_pool_says_so() {
    for algorithm in ALGORITHMS {
        let pool = Pool::new(bounded(algorithm, &[1, 2], 0), None);
        let mut leases: Vec<_> = (0..3).map(|hash| take(&pool, &Ask { hash, ..ask() })).collect();
        assert_eq!(leases.iter().filter(|l| l.index() == 0).count(), 1, "{algorithm:?}");
        assert!(matches!(pool.choose(&ask()), Choice::Full), "{algorithm:?}");
        assert!(matches!(pool.choose(&Ask { tried: &[0, 1], ..ask() }), Choice::None), "{algorithm:?}");
        let freed = leases.pop().expect("a lease").index();
        assert_eq!(take(&pool, &ask()).index(), freed, "{algorithm:?}");
    }
}

#[test]
fn limits_hold_over_all_workers_and_every_lease_is_released() {
    for algorithm in ALGORITHMS {
        let pool = Pool::new(bounded(algorithm, &[1, 2, 3], 0), None);
        let carried: [AtomicU32; 3] = Default::default();
        let worker = |seed: u64| {
            let mut held = Vec::new();
            for i in 0..2000 {
                if let Choice::Server(lease) = pool.choose(&Ask { hash: seed << 32 | i, ..ask() }) {
                    let server = lease.index();
                    let before = carried[server as usize].fetch_add(1, Ordering::SeqCst);
                    assert!(before <= server, "{algorithm:?}: {} on {server}", before + 1);
                    held.push(lease);
                }
                if held.len() > (i % 3) as usize {
                    let lease = held.swap_remove(0);
                    carried[lease.index() as usize].fetch_sub(1, Ordering::SeqCst);
                    drop(lease);
                }
            }
            for lease in held {
                carried[lease.index() as usize].fetch_sub(1, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|seed| drop(scope.spawn(move || worker(seed)))));
        let status = pool.status(seconds(0.0));
        assert!(status.iter().all(|s| s.in_flight == 0), "{status:?}");
        assert!(status.iter().map(|s| s.requests).sum::<u64>() > 4000, "{status:?}");
    }
}

#[test]
fn who_waits_is_served_in_order_and_nobody_overtakes() {
    let pool = Pool::new(bounded(Algorithm::RoundRobin, &[1], 2), None);
    let lease = take(&pool, &ask());
    let (mut first, mut second) = (Waiter::new(&pool), Waiter::new(&pool));
    assert!(pool.wait().is_none(), "two may wait");
    assert_eq!(pool.waiting(), 2);
    assert!(!second.is_turn(&pool) && !first.is_turn(&pool));
    drop(lease);
    assert_eq!((first.rings(), second.rings()), (1, 0));
    assert!(matches!(pool.choose(&ask()), Choice::Full), "others wait already");
    assert!(!second.is_turn(&pool));
    assert!(first.is_turn(&pool));
    let lease = take(&pool, &queued());
    drop(first);
    assert_eq!(second.rings(), 1, "it is the head now");
    assert!(!second.is_turn(&pool), "and has no room yet");
    drop(lease);
    assert_eq!(second.rings(), 1);
    assert!(second.is_turn(&pool));
    drop(second);
    assert_eq!(pool.waiting(), 0);
    take(&pool, &ask());
}

#[test]
fn who_gives_up_passes_its_turn_on() {
    let pool = Pool::new(bounded(Algorithm::RoundRobin, &[1], 9), None);
    let lease = take(&pool, &ask());
    let mut waiters: Vec<_> = (0..3).map(|_| Waiter::new(&pool)).collect();
    assert!(waiters.iter_mut().all(|w| !w.is_turn(&pool)));
    waiters.remove(1);
    drop(lease);
    assert_eq!(waiters[0].rings(), 1);
    drop(waiters.remove(0));
    assert_eq!(waiters[0].rings(), 1);
    assert!(waiters[0].is_turn(&pool));
}

#[test]
fn who_cannot_use_the_room_there_is_asks_once_for_each_change() {
    let pool = Pool::new(bounded(Algorithm::RoundRobin, &[1, 1], 9), None);
    let leases = [take(&pool, &ask()), take(&pool, &ask())];
    let [free, held] = leases;
    let (free, held) = if free.index() == 0 { (free, held) } else { (held, free) };
    let mut waiter = Waiter::new(&pool);
    assert!(!waiter.is_turn(&pool));
    drop(free);
    assert_eq!(waiter.rings(), 1);
    assert!(waiter.is_turn(&pool));
    // server 0 has room, but was tried
    assert!(matches!(pool.choose(&Ask { tried: &[0], ..queued() }), Choice::Full));
    assert!(!waiter.is_turn(&pool), "it would ask again and again");
    drop(held);
    assert_eq!(waiter.rings(), 1);
    assert!(waiter.is_turn(&pool));
    assert_eq!(take(&pool, &Ask { tried: &[0], ..queued() }).index(), 1);
}

#[test]
fn who_cannot_use_the_room_there_is_lets_the_next_have_it() {
    let pool = Pool::new(bounded(Algorithm::First, &[1, 1], 9), None);
    let (free, held) = (take(&pool, &ask()), take(&pool, &ask()));
    let mut waiters: Vec<_> = (0..3).map(|_| Waiter::new(&pool)).collect();
    assert!(waiters.iter_mut().all(|w| !w.is_turn(&pool)));
    drop(free);
    assert!(waiters[0].is_turn(&pool));
    assert!(!waiters[1].is_turn(&pool), "the head is asking");
    assert!(matches!(pool.choose(&Ask { tried: &[0], ..queued() }), Choice::Full));
    assert!(!waiters[0].is_turn(&pool));
    assert_eq!((waiters[1].rings(), waiters[2].rings()), (1, 0));
    assert!(!waiters[2].is_turn(&pool));
    assert!(waiters[1].is_turn(&pool));
    let second = take(&pool, &queued());
    waiters.remove(1);
    // whatever becomes free next is the head's again
    waiters[0].rings();
    assert!(waiters.iter_mut().all(|w| !w.is_turn(&pool)));
    drop(held);
    assert_eq!((waiters[0].rings(), waiters[1].rings()), (1, 0));
    assert!(!waiters[1].is_turn(&pool) && waiters[0].is_turn(&pool));
    assert_eq!(take(&pool, &Ask { tried: &[0], ..queued() }).index(), 1);
    drop(second);
}

#[test]
fn a_reload_keeps_who_waits_and_what_is_carried() {
    let old = Pool::new(bounded(Algorithm::RoundRobin, &[1], 9), None);
    let lease = take(&old, &ask());
    let mut waiter = Waiter::new(&old);
    assert!(!waiter.is_turn(&old));
    let new = Pool::new(bounded(Algorithm::RoundRobin, &[2], 9), Some(&old));
    assert_eq!((new.waiting(), new.status(seconds(0.0))[0].in_flight), (1, 1));
    assert_eq!(waiter.rings(), 1, "the limit is higher now");
    assert!(waiter.is_turn(&old));
    let second = take(&old, &queued());
    assert!(matches!(new.choose(&queued()), Choice::Full), "both plans carry two in sum");
    drop(waiter);

    let mut waiter = Waiter::new(&old);
    assert!(!waiter.is_turn(&old));
    drop(second);
    assert_eq!(waiter.rings(), 1);
    let third = take(&new, &queued());
    assert!(!waiter.is_turn(&old));
    drop(third);
    assert_eq!(waiter.rings(), 1, "by a flow of the new plan");
    drop(lease);
}

#[test]
fn who_waits_hears_that_there_is_nothing_to_wait_for() {
    let pool = Pool::new(bounded(Algorithm::RoundRobin, &[1], 9), None);
    let _lease = take(&pool, &ask());
    let mut waiter = Waiter::new(&pool);
    assert!(!waiter.is_turn(&pool));
    pool.checked(0, Err("connection refused"), seconds(1.0));
    assert_eq!(waiter.rings(), 1);
    assert!(waiter.is_turn(&pool));
    assert!(matches!(pool.choose(&queued()), Choice::None));
}

#[test]
fn many_workers_that_wait_are_all_served() {
    let pool = Pool::new(bounded(Algorithm::RoundRobin, &[1, 1], 1000), None);
    let served = AtomicUsize::new(0);
    let worker = || {
        for _ in 0..500 {
            let lease = match pool.choose(&ask()) {
                Choice::Server(lease) => lease,
                Choice::Full => wait(&pool, &queued()),
                other => panic!("{other:?}"),
            };
            served.fetch_add(1, Ordering::Relaxed);
            drop(lease);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(worker))));
    assert_eq!(served.into_inner(), 2000);
    assert_eq!(pool.waiting(), 0);
}

/// As a worker does it, with a thread that sleeps until it is woken.
pub fn wait<'p>(pool: &'p Pool, ask: &Ask<'_>) -> Lease<'p> {
    struct Thread(std::thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut ticket = pool.wait().expect("a place");
    loop {
        match pool.poll_turn(&mut ticket, &mut Context::from_waker(&waker)) {
            Poll::Pending => std::thread::park(),
            Poll::Ready(()) => match pool.choose(ask) {
                Choice::Server(lease) => return lease,
                Choice::Full => {}
                other => panic!("{other:?}"),
            },
        }
    }
}
