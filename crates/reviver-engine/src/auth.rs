//! Passwords: checked on another thread, remembered on this one.
//!
//! The hash functions of password files are slow by design. A pair that was found right (or wrong) is
//! remembered under a keyed digest, so that only its first use pays; neither the pair nor an unkeyed digest
//! stays in memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reviver_flow::Credentials;
use reviver_plan::BasicAuth;
use sha2::{Digest, Sha256};

/// Checks a password against a hash of a password file. Called on a thread that may block.
pub trait PasswordCheck: Send + Sync {
    fn check(&self, hash: &str, password: &[u8]) -> bool;
}

const REMEMBER_RIGHT: Duration = Duration::from_secs(600);
const REMEMBER_WRONG: Duration = Duration::from_secs(5);
const REMEMBERED: usize = 4096;

type Key = [u8; 32];

/// The memory of one core.
pub struct Authenticator {
    checker: Arc<dyn PasswordCheck>,
    secret: [u8; 32],
    remembered: RefCell<HashMap<Key, (bool, Instant)>>,
}

impl Authenticator {
    /// `secret` is random and known to this process only.
    pub fn new(checker: Arc<dyn PasswordCheck>, secret: [u8; 32]) -> Self {
        Self { checker, secret, remembered: RefCell::default() }
    }

    pub async fn check(&self, auth: &BasicAuth, credentials: &Credentials, now: Instant) -> bool {
        let user = std::str::from_utf8(&credentials.user).ok();
        let hash = user.and_then(|u| auth.users.get(u));
        let key = self.key(credentials, hash.map_or("", String::as_str));
        if let Some((good, until)) = self.remembered.borrow().get(&key)
            && now < *until
        {
            return *good;
        }
        // An unknown user takes as long as a known one with a wrong password.
        let Some(checked) = hash.or_else(|| auth.users.values().next()) else { return false };
        let (checker, checked, password) = (Arc::clone(&self.checker), checked.clone(), credentials.password.clone());
        let matches = tokio::task::spawn_blocking(move || checker.check(&checked, &password)).await.unwrap_or(false);
        let good = matches && hash.is_some();
        let mut remembered = self.remembered.borrow_mut();
        if remembered.len() >= REMEMBERED {
            remembered.retain(|_, (_, until)| now < *until);
        }
        if remembered.len() < REMEMBERED {
            remembered.insert(key, (good, now + if good { REMEMBER_RIGHT } else { REMEMBER_WRONG }));
        }
        good
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
