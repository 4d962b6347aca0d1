//! Sets of addresses and ports, as sorted ranges without overlap.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::PortRangeError;

/// A set of IP networks.
///
/// An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`) is looked up as the IPv4 address in it, and a network
/// of such addresses is that IPv4 network; thus `::/0` holds no IPv4 client, however its socket names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl NetSet {
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match unmapped(network) {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => within(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => within(&self.v6, v6.to_bits()),
        }
    }
}

/// `::ffff:a.b.c.d/96+n` as `a.b.c.d/n`.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(net) = network else { return network };
    let v4 = net.network().to_ipv4_mapped().zip(net.prefix_len().checked_sub(96));
    match v4.map(|(address, prefix)| Ipv4Net::new(address, prefix)) {
        Some(Ok(v4)) => IpNet::V4(v4),
        _ => network,
    }
}

/// A set of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet(Vec<(u16, u16)>);

impl PortSet {
    /// From inclusive ranges.
    pub fn new(ranges: impl IntoIterator<Item = (u16, u16)>) -> Result<Self, PortRangeError> {
        let ranges: Vec<_> = ranges.into_iter().collect();
        match ranges.iter().find(|(first, last)| first > last) {
            Some(&(first, last)) => Err(PortRangeError { first, last }),
            None => Ok(Self(merged(ranges))),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, port: u16) -> bool {
        within(&self.0, port)
    }
}

/// Sorts inclusive ranges and joins those that overlap.
fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlap = next.0 <= kept.1;
        if overlap {
            kept.1 = kept.1.max(next.1);
        }
        overlap
    });
    ranges
}

fn within<T: Copy + Ord>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= value);
    after > 0 && value <= ranges[after - 1].1
}

/// Whether the first `prefix` bits of both addresses are the same.
pub(crate) const fn same_v4(address: Ipv4Addr, network: Ipv4Addr, prefix: u32) -> bool {
    prefix == 0 || (address.to_bits() ^ network.to_bits()) >> (32 - prefix) == 0
}

/// Whether the first `prefix` bits of both addresses are the same.
pub(crate) const fn same_v6(address: Ipv6Addr, network: Ipv6Addr, prefix: u32) -> bool {
    prefix == 0 || (address.to_bits() ^ network.to_bits()) >> (128 - prefix) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(networks: &[&str]) -> NetSet {
        NetSet::new(networks.iter().map(|n| n.parse().expect("a network")))
    }

    #[test]
    fn an_address_is_in_the_set_when_one_network_holds_it() {
        let nets = set(&["10.0.0.0/8", "10.1.0.0/16", "192.168.1.7/32", "2001:db8::/32"]);
        for (address, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("10.1.2.3", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::ffff:10.2.3.4", true),
            ("::ffff:11.2.3.4", false),
        ] {
            assert_eq!(nets.contains(address.parse().expect("an address")), expected, "{address}");
        }
    }

    #[test]
    fn mapped_networks_are_ipv4_networks_and_all_of_ipv6_is_not_ipv4() {
        let mapped = set(&["::ffff:10.0.0.0/104"]);
        assert!(mapped.contains("10.9.9.9".parse().expect("an address")));
        assert!(!mapped.contains("11.0.0.1".parse().expect("an address")));
        let v6 = set(&["::/0"]);
        assert!(v6.contains("2001:db8::1".parse().expect("an address")));
        assert!(!v6.contains("10.0.0.1".parse().expect("an address")));
        assert!(!v6.contains("::ffff:10.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn the_whole_space_and_the_empty_set() {
        assert!(set(&["0.0.0.0/0"]).contains("255.255.255.255".parse().expect("an address")));
        assert!(set(&["::/0"]).contains("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().expect("an address")));
        assert!(NetSet::default().is_empty());
        assert!(!NetSet::default().contains("127.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn ports_are_in_inclusive_ranges() {
        let ports = PortSet::new([(8000, 8999), (443, 443), (8500, 9000), (65535, 65535)]).expect("ranges");
        for (port, expected) in [
            (442, false),
            (443, true),
            (444, false),
            (7999, false),
            (8000, true),
            (9000, true),
            (9001, false),
            (0, false),
            (65535, true),
        ] {
            assert_eq!(ports.contains(port), expected, "{port}");
        }
        assert_eq!(PortSet::new([(2, 1)]), Err(PortRangeError { first: 2, last: 1 }));
    }

    proptest! {
        #[test]
        fn a_set_agrees_with_its_networks(
            networks in prop::collection::vec((any::<u32>(), 0u8..=32), 0..8),
            address in any::<u32>(),
            near in any::<prop::sample::Index>(),
            flip in 0u32..32,
        ) {
            let nets: Vec<Ipv4Net> =
                networks.iter().filter_map(|&(bits, len)| Ipv4Net::new(Ipv4Addr::from_bits(bits), len).ok()).collect();
            let set = NetSet::new(nets.iter().copied().map(IpNet::V4));
            let close = if nets.is_empty() { address } else { near.get(&nets).addr().to_bits() ^ (1 << flip) };
            for bits in [address, close] {
                let address = Ipv4Addr::from_bits(bits);
                prop_assert_eq!(set.contains(IpAddr::V4(address)), nets.iter().any(|n| n.contains(&address)));
                prop_assert_eq!(set.contains(IpAddr::V6(address.to_ipv6_mapped())), set.contains(IpAddr::V4(address)));
            }
        }
    }
}
