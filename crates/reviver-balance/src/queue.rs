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
}

/// A place in the queue of a pool. Given up when it is dropped.
#[derive(Debug)]
pub struct Ticket {
    queue: Arc<Queue>,
    number: u64,
    /// The calls there had been when it was told to ask: it is told again only after another.
    asked: Option<u64>,
}

impl Queue {
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    /// None: `max` wait already.
    pub fn wait(self: &Arc<Self>, max: u32) -> Option<Ticket> {
        let mut line = lock(&self.line);
        if line.waiters.len() >= max as usize {
            return None;
        }
        let number = line.next;
        line.next += 1;
        line.waiters.push_back(Waiter { number, waker: None });
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Some(Ticket { queue: Arc::clone(self), number, asked: None })
    }

    /// Ready for the head of the queue where `room` says so, once for each call.
    pub fn poll(ticket: &mut Ticket, cx: &mut Context<'_>, room: impl FnOnce() -> bool) -> Poll<()> {
        let mut line = lock(&ticket.queue.line);
        let calls = line.calls;
        let Ok(place) = line.waiters.binary_search_by_key(&ticket.number, |w| w.number) else {
            return Poll::Ready(());
        };
        let waker = &mut line.waiters[place].waker;
        match waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        if place > 0 || ticket.asked == Some(calls) || !room() {
            return Poll::Pending;
        }
        ticket.asked = Some(calls);
        Poll::Ready(())
    }

    /// There may be room: the head, if there is one, looks again.
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
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let next = {
            let mut line = lock(&self.queue.line);
            let Ok(place) = line.waiters.binary_search_by_key(&self.number, |w| w.number) else { return };
            line.waiters.remove(place);
            self.queue.waiting.fetch_sub(1, Ordering::SeqCst);
            if place == 0 { line.call() } else { None }
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}
