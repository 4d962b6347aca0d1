//! Which server is checked when, by one core, and who is told what has come of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reviver_plan::{Pool, Snapshot};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use xxhash_rust::xxh3::Xxh3Default;

use super::http::Scratch;
use super::schedule::{self, Key, Schedule};
use super::target::{Checks, Settings, Target};
use super::{Means, check};
use crate::core::CoreSnapshot;

/// Checks at the same time on one core. Many servers that do not answer must not hold up those that do: each such
/// check takes its whole timeout.
const MOST: usize = 256;
/// What is due within so long of each other begins together: one turn of the loop for many checks.
const GATHER: Duration = Duration::from_millis(25);

/// None: nothing was learnt.
type Outcome = Option<Result<(), String>>;
type Outcomes = Rc<RefCell<Vec<(Key, Outcome)>>>;

/// All checks of one core.
pub struct Checker {
    index: usize,
    workers: usize,
    /// Rung when an outcome is there, or another plan.
    bell: Rc<Notify>,
    known: Option<Arc<Snapshot>>,
    /// By pool.
    checks: HashMap<String, Rc<Checks>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    schedule: Schedule,
    outcomes: Outcomes,
    running: usize,
    /// None begin before, so that more can begin together.
    pause: Instant,
    scratches: Rc<RefCell<Vec<Scratch>>>,
}

/// A server, and where it stands in the plan in force.
#[derive(Default)]
struct Slot {
    generation: u32,
    target: Option<Rc<Target>>,
    pool: u32,
    server: u32,
    began: Option<Instant>,
    task: Option<JoinHandle<()>>,
}

impl Checker {
    pub fn new(index: usize, workers: usize, bell: Rc<Notify>) -> Self {
        Self {
            index,
            workers,
            bell,
            known: None,
            checks: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            schedule: Schedule::default(),
            outcomes: Rc::default(),
            running: 0,
            pause: Instant::now(),
            scratches: Rc::default(),
        }
    }

    /// Does what there is to do; gives when there will be more, if nothing is heard before.
    pub fn turn(&mut self, current: &CoreSnapshot, now: Instant) -> Option<Instant> {
        if !self.known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &current.snapshot)) {
            self.follow(&current.snapshot, now);
        }
        self.settle(&current.snapshot, now);
        if now >= self.pause && self.begin(current, now) > 0 {
            self.pause = now + GATHER;
        }
        // With as many under way as may be, an outcome comes first.
        self.schedule.next().filter(|_| self.running < MOST).map(|when| when.max(self.pause))
    }

    fn is_mine(&self, pool: &str, address: &str) -> bool {
        let mut hash = Xxh3Default::new();
        hash.update(pool.as_bytes());
        hash.update(&[0]);
        hash.update(address.as_bytes());
        hash.digest() % self.workers as u64 == self.index as u64
    }

    /// Puts another plan's servers in the place of those before; what has not changed keeps its turn.
    fn follow(&mut self, snapshot: &Arc<Snapshot>, now: Instant) {
        let pools: &[Pool] = snapshot.plan.reverse.as_ref().map_or(&[], |reverse| &reverse.pools);
        let earlier = std::mem::take(&mut self.checks);
        let (mut before, mut twice) = (HashMap::new(), Vec::new());
        for (place, slot) in (0..).zip(&self.slots) {
            if let Some(target) = &slot.target {
                twice.extend(before.insert((Rc::as_ptr(&target.checks), target.name.clone()), place));
            }
        }
        let mut new = Vec::new();
        for (pool_index, pool) in (0..).zip(pools) {
            let Some(health) = &pool.health else { continue };
            let settings = Settings::of(pool, health);
            let checks = match earlier.get(&pool.name) {
                Some(checks) if checks.settings == settings => Rc::clone(checks),
                _ => Rc::new(Checks::new(settings)),
            };
            for (server_index, server) in (0..).zip(&pool.servers) {
                if !self.is_mine(&pool.name, &server.address) {
                    continue;
                }
                match before.remove(&(Rc::as_ptr(&checks), server.address.clone())) {
                    Some(place) => {
                        let slot: &mut Slot = &mut self.slots[place as usize];
                        (slot.pool, slot.server) = (pool_index, server_index);
                    }
                    None => new.push((pool_index, server_index, Rc::new(Target::new(&checks, server)))),
                }
            }
            self.checks.insert(pool.name.clone(), checks);
        }
        for place in before.into_values().chain(twice) {
            self.drop_slot(place);
        }
        let slots = &self.slots;
        self.schedule.retain(|key| slots[key.slot as usize].generation == key.generation);
        let count = new.len();
        for (nth, (pool, server, target)) in new.into_iter().enumerate() {
            let every = Duration::from_millis(target.checks.settings.health.every_ms);
            let key = self.place(pool, server, target);
            self.schedule.push(now + schedule::lead(nth, count, every), key);
        }
        self.known = Some(Arc::clone(snapshot));
    }

    fn place(&mut self, pool: u32, server: u32, target: Rc<Target>) -> Key {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[place as usize];
        (slot.pool, slot.server, slot.target) = (pool, server, Some(target));
        Key { slot: place, generation: slot.generation }
    }

    /// A check that is under way ends, and what may have come of it is not heard.
    fn drop_slot(&mut self, place: u32) {
        let slot = &mut self.slots[place as usize];
        if let Some(task) = slot.task.take() {
            task.abort();
        }
        *slot = Slot { generation: slot.generation.wrapping_add(1), ..Slot::default() };
        self.free.push(place);
    }

    /// Tells what has come of checks, and when the next ones are due.
    fn settle(&mut self, snapshot: &Snapshot, now: Instant) {
        let mut outcomes = std::mem::take(&mut *self.outcomes.borrow_mut());
        for (key, outcome) in outcomes.drain(..) {
            self.running -= 1;
            let slot = &mut self.slots[key.slot as usize];
            let (Some(target), true) = (&slot.target, slot.generation == key.generation) else { continue };
            slot.task = None;
            let Some(pool) = snapshot.pools.get(slot.pool as usize) else { continue };
            if let Some(outcome) = &outcome {
                pool.checked(slot.server, outcome.as_ref().map(|_| ()).map_err(String::as_str), now);
            }
            let health = &target.checks.settings.health;
            let every = if pool.is_down(slot.server) { health.down_every_ms } else { health.every_ms };
            // Without random numbers intervals are as written.
            let chance = getrandom::u32().unwrap_or(u32::MAX / 2);
            let wait = schedule::interval(Duration::from_millis(every), health.jitter, chance);
            self.schedule.push(slot.began.take().unwrap_or(now) + wait, key);
        }
        *self.outcomes.borrow_mut() = outcomes;
    }

    /// Begins what is due, as far as there is room; tells how many.
    fn begin(&mut self, current: &CoreSnapshot, now: Instant) -> usize {
        let mut count = 0;
        while self.running < MOST
            && let Some(key) = self.schedule.pop(now)
        {
            let slot = &mut self.slots[key.slot as usize];
            let Some(target) = slot.target.clone() else { continue };
            let means = Means {
                resolver: Rc::clone(&current.resolver),
                tls: current.tls.pools.get(slot.pool as usize).cloned().flatten(),
                scratches: Rc::clone(&self.scratches),
            };
            let told = Told::new(key, &self.outcomes, &self.bell);
            slot.began = Some(now);
            slot.task = Some(tokio::task::spawn_local(async move {
                told.tell(check(&target, &means).await);
            }));
            self.running += 1;
            count += 1;
        }
        count
    }
}

/// Tells the outcome when it is dropped: also of a check that was broken off.
struct Told {
    key: Key,
    outcome: Outcome,
    outcomes: Outcomes,
    bell: Rc<Notify>,
}

impl Told {
    fn new(key: Key, outcomes: &Outcomes, bell: &Rc<Notify>) -> Self {
        Self { key, outcome: None, outcomes: Rc::clone(outcomes), bell: Rc::clone(bell) }
    }

    fn tell(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.outcomes.borrow_mut().push((self.key, self.outcome.take()));
        self.bell.notify_one();
    }
}
