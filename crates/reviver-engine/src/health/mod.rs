//! Active health checks: each server is asked by one core, whichever it is, and the outcome counts for all.
//!
//! Rule 1: a server waits for its next check as an entry in a heap, not as a task. Rule 2: a check ends within its
//! timeout and never stands beside another of the same server. Rule 3: what comes of an outcome is decided where the
//! server is chosen, in `reviver-balance`.

mod checker;
mod expect;
mod grpc;
mod http;
mod http2;
mod open;
mod schedule;
mod target;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::checker::Checker;
use self::http::Scratch;
use self::target::{Kept, Kind, Target};
use crate::core::Core;
use crate::resolve::Resolver;
use crate::tls::PoolContext;

/// Spaces for answers that are kept.
const SCRATCHES: usize = 8;

/// What a check is made with, besides its target.
pub struct Means {
    pub resolver: Rc<Resolver>,
    /// None for pools without TLS.
    pub tls: Option<Arc<PoolContext>>,
    scratches: Rc<RefCell<Vec<Scratch>>>,
}

/// Why a check is not good.
pub enum Fault {
    /// The connection ended before anything came: one of before had ended without a word.
    Unheard,
    Said(String),
    /// The proxy itself lacks something, which says nothing about the server.
    Own,
}

impl Fault {
    fn said(text: &str) -> Self {
        Self::Said(text.to_owned())
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self::Said(text)
    }
}

/// Checks one server once. The error is for people; none: nothing was learnt.
pub async fn check(target: &Target, means: &Means) -> Option<Result<(), String>> {
    let limit = target.checks.timeout();
    let until = Instant::now() + limit;
    match tokio::time::timeout_at(until.into(), attempt(target, means, until)).await {
        Ok(Ok(())) => Some(Ok(())),
        Ok(Err(Fault::Said(text))) => Some(Err(text)),
        Ok(Err(Fault::Unheard)) => Some(Err("the connection was closed without an answer".to_owned())),
        Ok(Err(Fault::Own)) => None,
        Err(_) => Some(Err(format!("timed out after {}", written(limit)))),
    }
}

async fn attempt(target: &Target, means: &Means, until: Instant) -> Result<(), Fault> {
    match target.checks.kind.as_ref().map_err(Clone::clone)? {
        Kind::Tcp => return open::check_tcp(target, means).await,
        Kind::Tls(any) => return open::check_tls(target, means, any.as_ref()).await,
        Kind::Http(_) | Kind::Grpc(_) => {}
    }
    if target.authority.is_none() {
        return Err(Fault::said("the host cannot be sent"));
    }
    if let Some(kept) = target.take_kept(Instant::now()) {
        match exchange(target, means, kept, until).await {
            // The server may have closed a connection that waited, and that says nothing about it.
            Err(Fault::Unheard) => {}
            answered => return answered,
        }
    }
    // On the heap, since most checks find a connection.
    let http2 = matches!(target.checks.kind, Ok(Kind::Grpc(_)));
    let wire = Box::pin(open::speak(target, means, http2)).await?;
    exchange(target, means, Kept::new(wire, Instant::now()), until).await
}

/// Asks on a connection, and keeps it for the next check where it can be.
async fn exchange(target: &Target, means: &Means, mut kept: Kept, until: Instant) -> Result<(), Fault> {
    let mut scratch = means.scratches.borrow_mut().pop().unwrap_or_default();
    scratch.clear();
    let (wire, secure) = (&mut kept.wire, means.tls.is_some());
    let answered = match &target.checks.kind {
        Ok(Kind::Http(request)) => http::ask(target, request, secure, wire, &mut scratch, until).await,
        Ok(Kind::Grpc(message)) => grpc::ask(target, message, secure, wire, &mut scratch).await,
        _ => Err(Fault::Own),
    };
    let mut scratches = means.scratches.borrow_mut();
    if scratches.len() < SCRATCHES {
        scratches.push(scratch);
    }
    let (verdict, again) = answered?;
    if again {
        target.keep(kept);
    }
    Ok(verdict?)
}

fn written(limit: Duration) -> String {
    match limit.as_millis() {
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// Checks this core's share of the servers of the plan in force. Never returns.
pub async fn run(core: Rc<Core>, index: usize, workers: usize) {
    let mut checker = Checker::new(index, workers.max(1), Rc::clone(&core.health));
    loop {
        let next = checker.turn(&core.current(), Instant::now());
        let woken = core.health.notified();
        match next {
            None => woken.await,
            Some(when) => drop(tokio::time::timeout_at(when.into(), woken).await),
        }
    }
}
