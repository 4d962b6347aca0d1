//! Cookies that bind a client to a server.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::Pool;

/// The cookie of each server of a pool.
///
/// A value is a message authentication code (RFC 2104, SHA-256, 128 bits of it) of the names of pool and server: it
/// cannot be made without the secret, holds over reloads, restarts and instances that share one, and tells no
/// address.
#[derive(Debug, Default)]
pub struct StickyTable {
    values: Vec<String>,
    servers: HashMap<Box<[u8]>, u32>,
}

impl StickyTable {
    /// None where the pool binds nobody.
    pub fn of(pool: &Pool) -> Option<Self> {
        let sticky = pool.sticky.as_ref()?;
        let mut table = Self::default();
        for (index, server) in (0..).zip(&pool.servers) {
            let mut mac = Hmac::<Sha256>::new_from_slice(sticky.secret.as_bytes()).ok()?;
            mac.update(pool.name.as_bytes());
            mac.update(b"\n");
            mac.update(server.address.as_bytes());
            let value = URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..16]);
            table.servers.insert(value.as_bytes().into(), index);
            table.values.push(value);
        }
        Some(table)
    }

    pub fn value(&self, server: u32) -> Option<&str> {
        self.values.get(server as usize).map(String::as_str)
    }

    /// The server that a cookie's value stands for; none: it is no value of ours, or of a server that is gone.
    pub fn server(&self, value: &[u8]) -> Option<u32> {
        self.servers.get(value).copied()
    }
}
