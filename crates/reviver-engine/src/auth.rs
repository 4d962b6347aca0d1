//! Passwords: checked on another thread, remembered on this one.
//!
//! The hash functions of password files are slow by design. A pair that was found right (or wrong) is
//! remembered under a keyed digest, so that only its first use pays; neither the pair nor an unkeyed digest
//! stays in memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use reviver_flow::Credentials;
use reviver_plan::BasicAuth;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

/// Checks a password against a hash of a password file. Called on a thread that may block.
pub trait PasswordCheck: Send + Sync {
    fn check(&self, hash: &str, password: &[u8]) -> bool;
}

const REMEMBER_RIGHT: Duration = Duration::from_secs(600);
const REMEMBER_WRONG: Duration = Duration::from_secs(5);
const REMEMBERED: usize = 4096;
/// Checks that wait at one time, in all and for one client: guesses must not keep others from their log-in.
const PENDING: usize = 64;
const PENDING_OF_CLIENT: usize = 8;

type Key = [u8; 32];

/// The memory of one core.
pub struct Authenticator {
    checker: Arc<dyn PasswordCheck>,
    secret: [u8; 32],
    remembered: RefCell<HashMap<Key, (bool, Instant)>>,
    /// Clients of the checks that wait.
    pending: RefCell<Vec<IpAddr>>,
}

/// A check that is under way; dropped, it is given up (and not begun, if it still waits for its turn).
pub struct Check<'a> {
    auth: &'a Authenticator,
    client: IpAddr,
    key: Key,
    /// The user exists.
    known: bool,
    task: JoinHandle<bool>,
}

/// What is known at once.
pub enum Known<'a> {
    Yes(bool),
    NotYet(Check<'a>),
    /// Too many checks wait.
    Busy,
}

impl Authenticator {
    pub fn new(checker: Arc<dyn PasswordCheck>, secret: [u8; 32]) -> Self {
        Self { checker, secret, remembered: RefCell::default(), pending: RefCell::default() }
    }

    pub fn check(&self, auth: &BasicAuth, credentials: &Credentials, client: IpAddr, now: Instant) -> Known<'_> {
        let user = std::str::from_utf8(&credentials.user).ok();
        let hash = user.and_then(|u| auth.users.get(u));
        let key = self.key(credentials, hash.map_or("", String::as_str));
        if let Some((good, until)) = self.remembered.borrow().get(&key)
            && now < *until
        {
            return Known::Yes(*good);
        }
        // An unknown user takes as long as a known one with a wrong password.
        let Some(checked) = hash.or_else(|| auth.users.values().next()) else { return Known::Yes(false) };
        let mut pending = self.pending.borrow_mut();
        if pending.len() >= PENDING || pending.iter().filter(|c| **c == client).count() >= PENDING_OF_CLIENT {
            return Known::Busy;
        }
        pending.push(client);
        let (checker, checked, password) = (Arc::clone(&self.checker), checked.clone(), credentials.password.clone());
        let task = tokio::task::spawn_blocking(move || checker.check(&checked, &password));
        Known::NotYet(Check { auth: self, client, key, known: hash.is_some(), task })
    }

    fn remember(&self, key: Key, good: bool, now: Instant) {
        let mut remembered = self.remembered.borrow_mut();
        if remembered.len() >= REMEMBERED {
            remembered.retain(|_, (_, until)| now < *until);
        }
        if remembered.len() >= REMEMBERED {
            // Guesses must not displace those who are known.
            remembered.retain(|_, (good, _)| *good);
        }
        if remembered.len() < REMEMBERED {
            remembered.insert(key, (good, now + if good { REMEMBER_RIGHT } else { REMEMBER_WRONG }));
        }
    }

    /// The stored hash is part of the key: a changed password file forgets what it changes.
    fn key(&self, credentials: &Credentials, hash: &str) -> Key {
        let mut digest = Sha256::new_with_prefix(self.secret);
        for part in [&credentials.user[..], &credentials.password, hash.as_bytes()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

impl Check<'_> {
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let matches = ready!(Pin::new(&mut self.task).poll(cx)).unwrap_or(false);
        let good = matches && self.known;
        self.auth.remember(self.key, good, Instant::now());
        Poll::Ready(good)
    }
}

impl Drop for Check<'_> {
    fn drop(&mut self) {
        self.task.abort();
        let mut pending = self.auth.pending.borrow_mut();
        if let Some(index) = pending.iter().position(|c| *c == self.client) {
            pending.swap_remove(index);
        }
    }
}
