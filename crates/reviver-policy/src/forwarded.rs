//! The true client behind proxies that are trusted.

use std::net::IpAddr;

use crate::NetSet;

/// The client's address as the trusted proxies between it and us tell it.
///
/// From the peer on, right to left: as long as an address is a trusted proxy's, the entry that this proxy
/// added is looked at next. The first address that is not trusted is the client; where all are, the
/// leftmost is. An entry that is no address (`unknown`, an obfuscated identifier, anything malformed) ends
/// the walk at the proxy that added it.
///
/// `X-Forwarded-For` is read if there is any, else `Forwarded` (RFC 7239): a proxy in front of us that
/// knows only the former passes a client's `Forwarded` on unchanged, so this must not win.
pub fn client_address<'a>(
    peer: IpAddr,
    x_forwarded_for: impl Iterator<Item = &'a [u8]>,
    forwarded: impl Iterator<Item = &'a [u8]>,
    trusted: &NetSet,
) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return peer;
    }
    let mut walk = Walk { trusted, client: None };
    let mut found = false;
    for value in x_forwarded_for {
        found = true;
        for entry in value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
            walk.hop(address(entry));
        }
    }
    if !found {
        for value in forwarded {
            Elements(value).for_each(|hop| walk.hop(hop));
        }
    }
    walk.client.unwrap_or(peer)
}

/// The walk from right to left, done in one pass from left to right: each hop is either what the walk ends
/// at if all hops to its right are trusted, or is passed over.
struct Walk<'a> {
    trusted: &'a NetSet,
    client: Option<IpAddr>,
}

impl Walk<'_> {
    fn hop(&mut self, address: Option<IpAddr>) {
        self.client = match (address, self.client) {
            (Some(address), Some(client)) if self.trusted.contains(address) => Some(client),
            (address, _) => address,
        };
    }
}

/// `address`, `address:port`, `[address]` or `[address]:port`.
fn address(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(node).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
        return port
            .is_none_or(is_port)
            .then(|| address.parse().ok().map(IpAddr::V6))
            .flatten()
            .map(|a| a.to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = text.split_once(':')?;
    is_port(port).then(|| address.parse().ok().map(IpAddr::V4)).flatten()
}

/// A port, or an obfuscated one (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// The elements of a `Forwarded` value: for each the address of its `for`, if it has one.
///
/// A malformed element ends the value: what follows it may be part of it (an open quote).
struct Elements<'a>(&'a [u8]);

impl Iterator for Elements<'_> {
    type Item = Option<IpAddr>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.0 = self.0.trim_ascii_start();
            match self.0.strip_prefix(b",") {
                Some(rest) => self.0 = rest,
                None => break,
            }
        }
        if self.0.is_empty() {
            return None;
        }
        Some(match element(self.0) {
            Some((node, rest)) => {
                self.0 = rest;
                node
            }
            None => {
                self.0 = b"";
                None
            }
        })
    }
}

/// `forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )` (RFC 7239, section 4): its address
/// and what follows it. None where it is malformed.
fn element(mut bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let mut node = None;
    let mut named = false;
    loop {
        bytes = bytes.trim_ascii_start();
        match bytes.first() {
            None | Some(b',') => return Some((node, bytes)),
            Some(b';') => {
                bytes = &bytes[1..];
                continue;
            }
            Some(_) => {}
        }
        let name;
        (name, bytes) = token(bytes)?;
        let is_for = name.eq_ignore_ascii_case(b"for");
        // a parameter occurs once at most
        if is_for && named {
            return None;
        }
        named |= is_for;
        bytes = bytes.strip_prefix(b"=")?;
        let value;
        (value, bytes) = match bytes.strip_prefix(b"\"") {
            Some(rest) => quoted(rest)?,
            None => token(bytes)?,
        };
        if is_for {
            node = address(value);
        }
        bytes = bytes.trim_ascii_start();
        if !matches!(bytes.first(), None | Some(b',' | b';')) {
            return None;
        }
    }
}

fn token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // ":" and brackets need quotes, but proxies that leave them out are met
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]".contains(&b);
    let end = bytes.iter().position(|&b| !is_part(b)).unwrap_or(bytes.len());
    (end > 0).then(|| bytes.split_at(end))
}

/// The rest of a quoted string up to its closing quote. Escapes are kept: no address has any.
fn quoted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut index = 0;
    loop {
        match bytes.get(index)? {
            b'"' => return Some((&bytes[..index], &bytes[index + 1..])),
            b'\\' => index += 2,
            _ => index += 1,
        }
    }
}
