//! One coarse wheel of deadlines per core.
//!
//! Arming is a store in the common case: an entry stays in the bucket of an earlier deadline and is moved on
//! when that bucket comes up. So a connection that alternates between waiting for a request and for a
//! response touches the wheel a few times a second at most, however many requests it carries.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Resolution of all timeouts.
pub const TICK: Duration = Duration::from_millis(50);
const TICK_MS: u64 = TICK.as_millis() as u64;
const BUCKETS: usize = 1024;
/// Ticks are counted in 32 bits: enough for six years, and an idle connection holds a slot.
const NEVER: u32 = u32::MAX;

#[derive(Debug)]
struct Slot {
    /// Tick at which the holder wants to be woken.
    deadline: u32,
    /// Tick of the bucket where the live entry lies; `NEVER` when there is none.
    queued: u32,
    generation: u32,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Wheel {
    slots: Vec<Slot>,
    free: Vec<u32>,
    buckets: Vec<Vec<(u32, u32)>>,
    entries: usize,
}

/// Ticks since the wheel was made, and one.
pub type Ticks = std::num::NonZeroU32;

/// The wheel of one core.
#[derive(Debug)]
pub struct Timers {
    base: Instant,
    tick: Cell<u32>,
    wheel: RefCell<Wheel>,
    armed: Notify,
}

impl Timers {
    pub fn new(now: Instant) -> Rc<Self> {
        let wheel = Wheel { buckets: vec![Vec::new(); BUCKETS], ..Wheel::default() };
        Rc::new(Self { base: now, tick: Cell::new(0), wheel: RefCell::new(wheel), armed: Notify::new() })
    }

    pub fn timer(self: &Rc<Self>) -> Timer {
        let mut wheel = self.wheel.borrow_mut();
        let index = match wheel.free.pop() {
            Some(index) => index,
            None => {
                wheel.slots.push(Slot { deadline: NEVER, queued: NEVER, generation: 0, waker: None });
                (wheel.slots.len() - 1) as u32
            }
        };
        Timer { timers: Rc::clone(self), index }
    }

    /// A moment in four bytes, as coarse as all timeouts.
    pub fn now(&self, now: Instant) -> Ticks {
        Ticks::MIN.saturating_add(self.tick_at(now))
    }

    fn tick_at(&self, when: Instant) -> u32 {
        let ticks = when.saturating_duration_since(self.base).as_millis() as u64 / TICK_MS;
        u32::try_from(ticks).unwrap_or(NEVER - 1).min(NEVER - 1)
    }

    fn queue(&self, wheel: &mut Wheel, index: u32, deadline: u32) {
        // A deadline beyond the wheel's turn waits in its furthest bucket and is moved on from there.
        let at = deadline.clamp(self.tick.get() + 1, self.tick.get() + BUCKETS as u32 - 1);
        let slot = &mut wheel.slots[index as usize];
        slot.queued = at;
        let generation = slot.generation;
        wheel.buckets[at as usize % BUCKETS].push((index, generation));
        wheel.entries += 1;
        if wheel.entries == 1 {
            self.armed.notify_one();
        }
    }

    /// Wakes everything that is due at `now`.
    fn advance(&self, now: Instant) {
        let target = self.tick_at(now);
        while self.tick.get() < target {
            let tick = self.tick.get() + 1;
            self.tick.set(tick);
            let mut wheel = self.wheel.borrow_mut();
            if wheel.entries == 0 {
                self.tick.set(target);
                return;
            }
            let bucket = tick as usize % BUCKETS;
            let mut due = std::mem::take(&mut wheel.buckets[bucket]);
            wheel.entries -= due.len();
            for (index, generation) in due.drain(..) {
                let slot = &mut wheel.slots[index as usize];
                if slot.generation != generation || slot.queued != tick {
                    continue;
                }
                slot.queued = NEVER;
                if slot.deadline <= tick {
                    if let Some(waker) = slot.waker.take() {
                        waker.wake();
                    }
                } else if slot.deadline != NEVER {
                    let deadline = slot.deadline;
                    self.queue(&mut wheel, index, deadline);
                }
            }
            if wheel.buckets[bucket].is_empty() {
                wheel.buckets[bucket] = due;
            }
        }
    }

    /// Wakes every task that waits on a timer, due or not.
    pub fn wake_all(&self) {
        for slot in &mut self.wheel.borrow_mut().slots {
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    /// Turns the wheel; sleeps while nothing is armed. Never returns.
    pub async fn run(self: Rc<Self>) {
        loop {
            let idle = self.wheel.borrow().entries == 0;
            if idle {
                self.armed.notified().await;
            }
            tokio::time::sleep(TICK).await;
            self.advance(Instant::now());
        }
    }
}

/// One deadline, held by one task.
#[derive(Debug)]
pub struct Timer {
    timers: Rc<Timers>,
    index: u32,
}

impl Timer {
    /// Moves the deadline to `after` from `now`; zero never expires.
    pub fn set(&self, now: Instant, after: Duration) {
        if after.is_zero() {
            return self.clear();
        }
        // Rounded up, so that nothing expires early.
        let deadline = self.timers.tick_at(now + after).saturating_add(1).min(NEVER - 1);
        if self.timers.wheel.borrow().entries == 0 {
            self.timers.tick.set(self.timers.tick.get().max(self.timers.tick_at(now)));
        }
        self.arm(deadline);
    }

    /// Like [`Self::set`], counted from an earlier [`Timers::now`].
    pub fn set_from(&self, now: Instant, since: Ticks, after: Duration) {
        let waited = u64::from(self.timers.tick_at(now).saturating_sub(since.get())) * TICK_MS;
        let left = after.saturating_sub(Duration::from_millis(waited));
        self.set(now, left.max(Duration::from_millis(1)));
    }

    /// Like [`Self::set`] from about now, without reading the clock: up to a tick early.
    pub fn set_roughly(&self, after: Duration) {
        let timers = &self.timers;
        if timers.wheel.borrow().entries == 0 {
            return self.set(Instant::now(), after);
        }
        let ticks = u32::try_from(after.as_millis() as u64 / TICK_MS).unwrap_or(NEVER / 2);
        self.arm(timers.tick.get().saturating_add(ticks + 1).min(NEVER - 1));
    }

    fn arm(&self, deadline: u32) {
        let mut wheel = self.timers.wheel.borrow_mut();
        let slot = &mut wheel.slots[self.index as usize];
        slot.deadline = deadline;
        if slot.queued > deadline {
            self.timers.queue(&mut wheel, self.index, deadline);
        }
    }

    pub fn clear(&self) {
        self.timers.wheel.borrow_mut().slots[self.index as usize].deadline = NEVER;
    }

    /// Whether the deadline has passed; if not, the task is woken when it does.
    pub fn poll_expired(&self, cx: &Context<'_>) -> bool {
        let mut wheel = self.timers.wheel.borrow_mut();
        let slot = &mut wheel.slots[self.index as usize];
        if slot.deadline == NEVER {
            return false;
        }
        if slot.deadline <= self.timers.tick.get() {
            return true;
        }
        if !slot.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        false
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut wheel = self.timers.wheel.borrow_mut();
        let slot = &mut wheel.slots[self.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.deadline = NEVER;
        slot.queued = NEVER;
        slot.waker = None;
        wheel.free.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Bench {
        start: Instant,
        timers: Rc<Timers>,
        count: Arc<Count>,
        waker: Waker,
    }

    impl Bench {
        fn new() -> Self {
            let start = Instant::now();
            let count = Arc::new(Count::default());
            Self { start, timers: Timers::new(start), waker: Waker::from(Arc::clone(&count)), count }
        }

        fn expired(&self, timer: &Timer) -> bool {
            timer.poll_expired(&Context::from_waker(&self.waker))
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn wakes(&self) -> usize {
            self.count.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_deadline_wakes_once_and_never_early() {
        let bench = Bench::new();
        let timer = bench.timers.timer();
        timer.set(bench.start, Duration::from_millis(200));
        assert!(!bench.expired(&timer));
        bench.timers.advance(bench.at(200));
        assert!(!bench.expired(&timer));
        bench.timers.advance(bench.at(260));
        assert_eq!(bench.wakes(), 1);
        assert!(bench.expired(&timer));
    }

    #[test]
    fn a_later_deadline_moves_the_entry_on() {
        let bench = Bench::new();
        let timer = bench.timers.timer();
        timer.set(bench.start, Duration::from_millis(100));
        assert!(!bench.expired(&timer));
        timer.set(bench.start, Duration::from_secs(300));
        bench.timers.advance(bench.at(299_900));
        assert_eq!((bench.wakes(), bench.expired(&timer)), (0, false));
        bench.timers.advance(bench.at(300_200));
        assert_eq!((bench.wakes(), bench.expired(&timer)), (1, true));
    }

    #[test]
    fn an_earlier_deadline_is_not_missed() {
        let bench = Bench::new();
        let timer = bench.timers.timer();
        timer.set(bench.start, Duration::from_secs(60));
        timer.set(bench.start, Duration::from_millis(100));
        assert!(!bench.expired(&timer));
        bench.timers.advance(bench.at(200));
        assert_eq!(bench.wakes(), 1);
    }

    #[test]
    fn a_cleared_or_dropped_timer_stays_silent() {
        let bench = Bench::new();
        let cleared = bench.timers.timer();
        cleared.set(bench.start, Duration::from_millis(100));
        assert!(!bench.expired(&cleared));
        cleared.clear();
        let dropped = bench.timers.timer();
        dropped.set(bench.start, Duration::from_millis(100));
        assert!(!bench.expired(&dropped));
        drop(dropped);
        let next = bench.timers.timer();
        bench.timers.advance(bench.at(500));
        assert_eq!(bench.wakes(), 0);
        assert!(!bench.expired(&cleared) && !bench.expired(&next));
    }
}
