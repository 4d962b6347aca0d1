//! Requests that wait until a server has room, first come first served, whichever worker carries them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::lock;

/// Who waits. It outlives a pool, so that a server that is released by a flow of the new plan wakes one of the old.
///
/// No call is lost: who waits is counted before it looks for room, and who makes room does so before it looks
/// whether somebody waits, all in one order (`SeqCst`).
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Queue {
    waiting: AtomicU32,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// How often there may have come room.
    calls: u64,
    /// In the order of their numbers.
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    waker: Option<Waker>,
    /// The call for which it was told to ask.
    told: Option<u64>,
    /// The call at which it could not use what there was: it has tried the servers with room, say. Then it is the
    /// next one's turn, until the next call.
    declined: Option<u64>,
    /// Told apart from others by its address.
    alike: Arc<AtomicU32>,
}

/// A place in the queue of a pool. Given up when it is dropped.
#[derive(Debug)]
pub struct Ticket {
    queue: Arc<Queue>,
    number: u64,
    /// How many wait who know of the same servers.
    alike: Arc<AtomicU32>,
}

impl Queue {
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    /// None: `max` wait already.
    pub fn wait(self: &Arc<Self>, max: u32, alike: &Arc<AtomicU32>) -> Option<Ticket> {
        let mut line = lock(&self.line);
        if line.waiters.len() >= max as usize {
            return None;
        }
        let number = line.next;
        line.next += 1;
        line.waiters.push_back(Waiter { number, waker: None, told: None, declined: None, alike: Arc::clone(alike) });
        self.waiting.fetch_add(1, Ordering::SeqCst);
        alike.fetch_add(1, Ordering::SeqCst);
        Some(Ticket { queue: Arc::clone(self), number, alike: Arc::clone(alike) })
    }

    /// Ready for the first that has not declined, where `room` says so; whoever then asks again for a turn without
    /// having left declines.
    pub fn poll(ticket: &Ticket, cx: &mut Context<'_>, room: impl FnOnce() -> bool) -> Poll<()> {
        let next = {
            let mut line = lock(&ticket.queue.line);
            let calls = line.calls;
            let (turn, Some(place)) = (line.turn(), line.place(ticket.number)) else { return Poll::Ready(()) };
            let waiter = &mut line.waiters[place];
            match &mut waiter.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => waiter.waker = Some(cx.waker().clone()),
            }
            if place != turn {
                return Poll::Pending;
            }
            if waiter.told != Some(calls) {
                if room() {
                    waiter.told = Some(calls);
                    return Poll::Ready(());
                }
                // For one who knows of other servers since a reload there may be.
                let alike = Arc::clone(&waiter.alike);
                let others = line.waiters.iter().skip(place).position(|w| !Arc::ptr_eq(&w.alike, &alike));
                let Some(others) = others.map(|index| place + index) else { return Poll::Pending };
                line.waiters.range_mut(place..others).for_each(|w| w.declined = Some(calls));
                line.waiters[others].waker.take()
            } else {
                waiter.declined = Some(calls);
                line.waiters.get_mut(place + 1).and_then(|next| next.waker.take())
            }
        };
        if let Some(waker) = next {
            waker.wake();
        }
        Poll::Pending
    }

    /// There may be room: who waits, if somebody does, looks again, from the head on.
    pub fn call(&self) {
        if self.waiting() == 0 {
            return;
        }
        let head = lock(&self.line).call();
        if let Some(waker) = head {
            waker.wake();
        }
    }
}

impl Line {
    /// Whom to wake, when the line is no longer locked.
    fn call(&mut self) -> Option<Waker> {
        self.calls += 1;
        self.waiters.front_mut()?.waker.take()
    }

    /// The place of the first that has not declined.
    fn turn(&self) -> usize {
        self.waiters.iter().take_while(|waiter| waiter.declined == Some(self.calls)).count()
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.waiters.binary_search_by_key(&number, |waiter| waiter.number).ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let next = {
            let mut line = lock(&self.queue.line);
            let (turn, Some(place)) = (line.turn(), line.place(self.number)) else { return };
            line.waiters.remove(place);
            self.queue.waiting.fetch_sub(1, Ordering::SeqCst);
            self.alike.fetch_sub(1, Ordering::SeqCst);
            if place <= turn { line.call() } else { None }
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}
