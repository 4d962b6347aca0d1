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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The proxies 10/8 and 2001:db8::/32 are trusted; the peer is 10.0.0.1.
    fn client(x_forwarded_for: &[&str], forwarded: &[&str]) -> String {
        client_of("10.0.0.1", x_forwarded_for, forwarded)
    }

    fn client_of(peer: &str, x_forwarded_for: &[&str], forwarded: &[&str]) -> String {
        let trusted = NetSet::new(["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().expect("a network")));
        let values = |list: &[&str]| list.iter().map(|v| v.as_bytes().to_vec()).collect::<Vec<_>>();
        let (x, f) = (values(x_forwarded_for), values(forwarded));
        let peer = peer.parse().expect("an address");
        client_address(peer, x.iter().map(Vec::as_slice), f.iter().map(Vec::as_slice), &trusted).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        assert_eq!(client_of("192.0.2.9", &["198.51.100.1"], &["for=198.51.100.1"]), "192.0.2.9");
        assert_eq!(client_of("::ffff:192.0.2.9", &[], &[]), "192.0.2.9");
        assert_eq!(client_of("::ffff:10.0.0.1", &["198.51.100.1"], &[]), "198.51.100.1");
    }

    #[test]
    fn trusted_hops_are_walked_over_right_to_left() {
        for (values, expected) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1, 10.0.0.2, 10.0.0.3"], "198.51.100.1"),
            (&["6.6.6.6", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            (&["10.0.0.7, 10.0.0.2"], "10.0.0.7"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["[2001:470::1]:4711"], "2001:470::1"),
            (&["[2001:470::1]"], "2001:470::1"),
            (&["2001:470::1, 2001:db8::5"], "2001:470::1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            (&[" , 198.51.100.1 ,, "], "198.51.100.1"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(values, &[]), expected, "{values:?}");
        }
    }

    #[test]
    fn an_entry_that_is_no_address_ends_the_walk() {
        for (value, expected) in [
            ("unknown", "10.0.0.1"),
            ("6.6.6.6, unknown", "10.0.0.1"),
            ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
            ("6.6.6.6, 999.1.1.1, 10.0.0.2, 10.0.0.3", "10.0.0.2"),
            ("10.0.0.9, unknown, 10.0.0.2", "10.0.0.2"),
            ("unknown, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("6.6.6.6, 198.51.100.1:port", "10.0.0.1"),
            ("6.6.6.6, [198.51.100.1]", "10.0.0.1"),
            ("6.6.6.6, [2001:470::1]x", "10.0.0.1"),
            ("6.6.6.6, 198.51.100.1 7.7.7.7", "10.0.0.1"),
        ] {
            assert_eq!(client(&[value], &[]), expected, "{value}");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        for (values, expected) in [
            (&["for=198.51.100.1"][..], "198.51.100.1"),
            (&["For=\"[2001:470::1]:4711\""], "2001:470::1"),
            (&["for=\"[2001:470::1]\";proto=http;by=203.0.113.43"], "2001:470::1"),
            (&["proto=https; by=10.0.0.1 ;for=198.51.100.1;host=\"a,b;c\""], "198.51.100.1"),
            (&["for=6.6.6.6, for=198.51.100.1,for=10.0.0.2"], "198.51.100.1"),
            (&["for=6.6.6.6", "for=198.51.100.1", "for=10.0.0.2"], "198.51.100.1"),
            (&["for=\"198.51.100.1:_port\""], "198.51.100.1"),
            (&["for=198.51.100.1;;"], "198.51.100.1"),
            (&["for=6.6.6.6, for=unknown"], "10.0.0.1"),
            (&["for=6.6.6.6, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&["for=6.6.6.6, proto=http"], "10.0.0.1"),
            (&["for=6.6.6.6, for=7.7.7.7;for=8.8.8.8"], "10.0.0.1"),
            (&["for=6.6.6.6, for"], "10.0.0.1"),
            (&["for=6.6.6.6, for="], "10.0.0.1"),
            (&["for=6.6.6.6, for=\"1.1.1.1\"x"], "10.0.0.1"),
        ] {
            assert_eq!(client(&[], values), expected, "{values:?}");
        }
    }

    #[test]
    fn an_open_quote_swallows_no_entry_that_a_proxy_added() {
        // what the client sent, and what the trusted proxy added behind it
        for sent in ["for=\"6.6.6.6", "for=6.6.6.6;x=\"", "for=6.6.6.6, x=\"\\", "for=6.6.6.6;x=\"a\\\""] {
            for added in ["for=198.51.100.1", "for=\"[2001:470::1]\"", "for=198.51.100.1;by=\"_a\""] {
                let found = client(&[], &[&format!("{sent}, {added}")]);
                assert_eq!(found, "10.0.0.1", "{sent} {added}");
            }
        }
    }

    #[test]
    fn x_forwarded_for_wins_over_forwarded() {
        assert_eq!(client(&["198.51.100.1"], &["for=6.6.6.6"]), "198.51.100.1");
        assert_eq!(client(&["unknown"], &["for=6.6.6.6"]), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn what_stands_left_of_an_untrusted_entry_changes_nothing(junk in "[ -~]{0,40}") {
            prop_assert_eq!(client(&[&format!("{junk},198.51.100.1, 10.0.0.2")], &[]), "198.51.100.1");
            let found = client(&[], &[&junk, "for=198.51.100.1"]);
            prop_assert_eq!(found, "198.51.100.1");
        }
    }
}
