//! How many connections each client has open.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reviver_policy::client_key;

type Counts = Mutex<HashMap<(SocketAddr, u64), u32>>;

/// Open connections by listener and client, over all cores. Asked once for each connection, and only where a listener
/// has such a limit.
#[derive(Debug, Default)]
pub struct Clients(Arc<Counts>);

/// One connection more of a client, until it is dropped.
#[derive(Debug)]
pub struct Counted {
    counts: Arc<Counts>,
    key: (SocketAddr, u64),
}

impl Clients {
    /// None: the client has as many as it may.
    pub fn enter(&self, listener: SocketAddr, client: IpAddr, most: u32) -> Option<Counted> {
        let key = (listener, client_key(client));
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted { counts: Arc::clone(&self.0), key })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_as_many_as_it_may_and_networks_of_64_bits_are_one() {
        let clients = Clients::default();
        let listener = SocketAddr::from(([127, 0, 0, 1], 80));
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let first = clients.enter(listener, ip("2001:db8::1"), 2);
        let second = clients.enter(listener, ip("2001:db8::2"), 2);
        assert!(first.is_some() && second.is_some());
        assert!(clients.enter(listener, ip("2001:db8::3"), 2).is_none());
        assert!(clients.enter(listener, ip("2001:db8:0:1::3"), 2).is_some());
        assert!(clients.enter(SocketAddr::from(([127, 0, 0, 1], 81)), ip("2001:db8::3"), 2).is_some());
        drop(first);
        assert!(clients.enter(listener, ip("2001:db8::3"), 2).is_some());
        drop(second);
        assert!(clients.0.lock().expect("no panic").is_empty());
    }
}
