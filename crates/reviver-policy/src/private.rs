//! Which addresses are not part of the public Internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::{same_v4, same_v6};

/// IPv4 networks that are not globally reachable: the IANA special-purpose registry (RFC 6890), multicast
/// (RFC 5771) and the reserved class E.
const PRIVATE_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // "this network", RFC 791
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // RFC 1918
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // carrier-grade NAT, RFC 6598
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback, RFC 1122
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local and the metadata services of clouds, RFC 3927
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // RFC 1918
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments, RFC 6890; see GLOBAL_V4
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation, RFC 5737
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // withdrawn 6to4 relay anycast, RFC 7526
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // RFC 1918
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarking, RFC 2544
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation, RFC 5737
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation, RFC 5737
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast, RFC 5771
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved and broadcast, RFC 1112 and RFC 919
];

/// Parts of the networks above that the registry marks as globally reachable.
const GLOBAL_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(192, 0, 0, 9), 32),  // PCP anycast, RFC 7723
    (Ipv4Addr::new(192, 0, 0, 10), 32), // TURN anycast, RFC 8155
];

/// The only part of IPv6 that IANA has assigned to global unicast (RFC 4291, section 2.4): outside lie
/// loopback, unspecified, IPv4-compatible, discard-only, unique local, link-local, site-local and multicast.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Parts of global unicast that are not globally reachable: the IANA special-purpose registry.
const PRIVATE_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments and Teredo; see GLOBAL_V6
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation, RFC 3849
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation, RFC 9637
];

/// Parts of the networks above that the registry marks as globally reachable.
const GLOBAL_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 1), 128), // PCP anycast, RFC 7723
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 2), 128), // TURN anycast, RFC 8155
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 3), 128), // DNS-SD SRP anycast, RFC 9665
    (Ipv6Addr::new(0x2001, 3, 0, 0, 0, 0, 0, 0), 32),  // AMT, RFC 7450
    (Ipv6Addr::new(0x2001, 4, 0x112, 0, 0, 0, 0, 0), 48), // AS112, RFC 7535
    (Ipv6Addr::new(0x2001, 0x20, 0, 0, 0, 0, 0, 0), 28), // ORCHIDv2, RFC 7343
    (Ipv6Addr::new(0x2001, 0x30, 0, 0, 0, 0, 0, 0), 28), // DRIP, RFC 9374
];

/// The well-known prefix of NAT64 (RFC 6052): the IPv4 address stands in the last 32 bits.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// 6to4 (RFC 3056): the IPv4 address stands in bits 16 to 47.
const SIX_TO_FOUR: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);

/// Whether an address is anything but a public one: loopback, private, link-local (metadata services of
/// clouds included), shared, multicast, reserved or documentation. An IPv6 address that carries an IPv4
/// address (mapped, NAT64, 6to4) is what that one is.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let in_any = |table: &[(Ipv4Addr, u32)]| table.iter().any(|&(net, prefix)| same_v4(address, net, prefix));
    in_any(PRIVATE_V4) && !in_any(GLOBAL_V4)
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let is_in = |(net, prefix): (Ipv6Addr, u32)| same_v6(address, net, prefix);
    let in_any = |table: &[(Ipv6Addr, u32)]| table.iter().any(|&row| is_in(row));
    if is_in(NAT64) {
        return is_private_v4(embedded_v4(address, 0));
    }
    if is_in(SIX_TO_FOUR) {
        return is_private_v4(embedded_v4(address, 80));
    }
    !is_in(GLOBAL_UNICAST) || (in_any(PRIVATE_V6) && !in_any(GLOBAL_V6))
}

/// The IPv4 address that has `below` bits to its right.
const fn embedded_v4(address: Ipv6Addr, below: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((address.to_bits() >> below) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(addresses: &[&str], expected: bool) {
        for address in addresses {
            assert_eq!(is_private(address.parse().expect("an address")), expected, "{address}");
        }
    }

    #[test]
    fn ipv4_addresses_that_are_not_public() {
        all(
            &[
                "0.0.0.0",
                "0.1.2.3",
                "10.0.0.1",
                "10.255.255.255",
                "100.64.0.0",
                "100.127.255.255",
                "127.0.0.1",
                "127.255.255.255",
                "169.254.0.1",
                "169.254.169.254",
                "172.16.0.0",
                "172.31.255.255",
                "192.0.0.1",
                "192.0.0.8",
                "192.0.0.170",
                "192.0.2.1",
                "192.88.99.1",
                "192.168.0.0",
                "192.168.255.255",
                "198.18.0.0",
                "198.19.255.255",
                "198.51.100.9",
                "203.0.113.200",
                "224.0.0.1",
                "239.255.255.255",
                "240.0.0.1",
                "255.255.255.255",
            ],
            true,
        );
    }

    #[test]
    fn ipv4_addresses_that_are_public() {
        all(
            &[
                "1.1.1.1",
                "8.8.8.8",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.1",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.0.9",
                "192.0.0.10",
                "192.0.1.1",
                "192.31.196.1",
                "192.52.193.1",
                "192.167.255.255",
                "192.169.0.0",
                "192.175.48.1",
                "198.17.255.255",
                "198.20.0.0",
                "223.255.255.255",
            ],
            false,
        );
    }

    #[test]
    fn ipv6_addresses_that_are_not_public() {
        all(
            &[
                "::",
                "::1",
                "::2",
                "::127.0.0.1",
                "::8.8.8.8",
                "100::1",
                "100:0:0:1::1",
                "64:ff9b:1::1",
                "1fff:ffff::1",
                "2001::1",
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                "2001:1::",
                "2001:1::4",
                "2001:2::1",
                "2001:10::1",
                "2001:1ff:ffff::1",
                "2001:db8::1",
                "3fff::1",
                "3fff:fff:ffff::1",
                "4000::1",
                "5f00::1",
                "fc00::1",
                "fd12:3456:789a::1",
                "fe80::1",
                "febf:ffff::1",
                "fec0::1",
                "feff::1",
                "ff02::1",
                "ff0e::1",
            ],
            true,
        );
    }

    #[test]
    fn ipv6_addresses_that_are_public() {
        all(
            &[
                "2000::1",
                "2001:1::1",
                "2001:1::2",
                "2001:1::3",
                "2001:3::1",
                "2001:4:112::1",
                "2001:20::1",
                "2001:3f:ffff::1",
                "2001:200::1",
                "2001:4860:4860::8888",
                "2001:db7:ffff::1",
                "2001:db9::1",
                "2003::1",
                "2606:4700:4700::1111",
                "2620:4f:8000::1",
                "2a00:1450::1",
                "3fff:1000::1",
            ],
            false,
        );
    }

    #[test]
    fn an_address_that_carries_an_ipv4_address_is_what_that_is() {
        all(
            &[
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "::ffff:169.254.169.254",
                "64:ff9b::7f00:1",
                "64:ff9b::a9fe:a9fe",
                "64:ff9b::10.1.2.3",
                "2002:7f00:1::",
                "2002:a00:1::1",
                "2002:c0a8:101:2::3",
                "2002:a9fe:a9fe::",
            ],
            true,
        );
        all(&["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"], false);
    }
}
