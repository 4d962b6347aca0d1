//! PROXY headers, read and written.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ppp::v2;
use proptest::collection::vec;
use proptest::prelude::*;

use reviver_http::proxy_protocol::{
    MAX_PROXY_HEADER, ProxyHeader, ProxyHeaderError, ProxyVersion, Step, decode_proxy_header, write_proxy_header,
};

/// What a header says and how long it is; the same however it arrives and whatever follows.
#[track_caller]
fn outcome(bytes: &[u8]) -> Result<Step<ProxyHeader>, ProxyHeaderError> {
    let whole = decode_proxy_header(bytes);
    let first = (0..=bytes.len()).map(|have| decode_proxy_header(&bytes[..have])).find(|found| *found != INCOMPLETE);
    assert_eq!(first.unwrap_or(INCOMPLETE), whole, "byte by byte: {}", bytes.escape_ascii());
    if whole != INCOMPLETE {
        let tail = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(decode_proxy_header(&tail), whole, "with a tail: {}", bytes.escape_ascii());
    }
    whole
}

const INCOMPLETE: Result<Step<ProxyHeader>, ProxyHeaderError> = Ok(Step::Incomplete);

#[track_caller]
fn accepted(bytes: &[u8]) -> ProxyHeader {
    match outcome(bytes) {
        Ok(Step::Done(header, length)) if length == bytes.len() => header,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn addresses(source: &str, destination: &str) -> ProxyHeader {
    ProxyHeader::Addresses { source: address(source), destination: address(destination) }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A header of version 2 with these bytes after its length.
fn binary(command: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a short body").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, kind][..], &length, body].concat()
}

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const V4: &[u8] = b"\xc0\x00\x02\x01\xc6\x33\x64\x02\xdd\xd5\x01\xbb";

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short value").to_be_bytes();
    [&[kind][..], &length, value].concat()
}

/// Puts the checksum into the last four bytes, then appends.
fn summed(mut header: Vec<u8>, after: &[u8]) -> Vec<u8> {
    let at = header.len() - 4;
    header.extend_from_slice(after);
    let length = u16::try_from(header.len() - 16).expect("a short header");
    header[14..16].copy_from_slice(&length.to_be_bytes());
    let sum = crc32c_bitwise(&header);
    header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    header
}

/// By its definition (RFC 9260, appendix A), reflected.
fn crc32c_bitwise(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 })
    })
}

#[test]
fn lines_that_are_accepted() {
    for (line, wanted) in [
        (&b"PROXY TCP4 192.0.2.1 198.51.100.2 56789 443\r\n"[..], addresses("192.0.2.1:56789", "198.51.100.2:443")),
        (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", addresses("0.0.0.0:0", "255.255.255.255:65535")),
        (b"PROXY TCP6 2001:DB8::1 2001:db8:0:0:0:0:0:2 1 2\r\n", addresses("[2001:db8::1]:1", "[2001:db8::2]:2")),
        (b"PROXY TCP6 ::ffff:c000:201 ::FFFF:198.51.100.2 1 2\r\n", addresses("192.0.2.1:1", "198.51.100.2:2")),
        (b"PROXY UNKNOWN\r\n", ProxyHeader::Local),
        (b"PROXY UNKNOWN \r\n", ProxyHeader::Local),
        (b"PROXY UNKNOWN a  b \0 \xff and more words than an address has\r\n", ProxyHeader::Local),
    ] {
        assert_eq!(accepted(line), wanted, "{}", line.escape_ascii());
    }
    let most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let highest = format!("[{most}]:65535");
    let longest = format!("PROXY TCP6 {most} {most} 65535 65535\r\n");
    assert_eq!(accepted(longest.as_bytes()), addresses(&highest, &highest));
    let longest = format!("PROXY UNKNOWN {most} {most} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    assert_eq!(accepted(longest.as_bytes()), ProxyHeader::Local);
}

#[test]
fn lines_that_are_refused() {
    for (line, error) in [
        (&b"GET / HTTP/1.1\r\n"[..], ProxyHeaderError::Signature),
        (b"POST / HTTP/1.1\r\n", ProxyHeaderError::Signature),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ProxyHeaderError::Signature),
        (b"PROXYTCP4", ProxyHeaderError::Signature),
        (b"PROXY\tTCP4", ProxyHeaderError::Signature),
        (b"proxy TCP4", ProxyHeaderError::Signature),
        (b" PROXY", ProxyHeaderError::Signature),
        (b"\x16\x03\x01", ProxyHeaderError::Signature),
        (b"\x05\x01\x00", ProxyHeaderError::Signature),
        (b"\n", ProxyHeaderError::Signature),
        (b"PROXY  ", ProxyHeaderError::Line),
        (b"PROXY tcp4", ProxyHeaderError::Line),
        (b"PROXY TCP5", ProxyHeaderError::Line),
        (b"PROXY UDP4", ProxyHeaderError::Line),
        (b"PROXY TCP4\t", ProxyHeaderError::Line),
        (b"PROXY\r\n", ProxyHeaderError::Line),
        (b"PROXY \r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 \r\n", ProxyHeaderError::Line),
        (b"PROXY UNKNOW\r\n", ProxyHeaderError::Line),
        (b"PROXY UNKNOWNS\r\n", ProxyHeaderError::Line),
        (b"PROXY UNKNOWN\n", ProxyHeaderError::Line),
        (b"PROXY UNKNOWN\r ", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\r", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 0x7f.0.0.1 198.51.100.2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 localhost 198.51.100.2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 2001:db8::2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP6 fe80::1%1 2001:db8::2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP6 2001::db8::1 2001:db8::2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP6 2001:db8:1 2001:db8::2 1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 00\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 -2\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2a\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\xff\r\n", ProxyHeaderError::Line),
        (b"PROXY TCP4 192.0.2.1\0 198.51.100.2 1 2\r\n", ProxyHeaderError::Line),
    ] {
        assert_eq!(outcome(line), Err(error), "{}", line.escape_ascii());
    }
}

#[test]
fn a_line_ends_within_107_bytes() {
    let line = |length: usize| [&b"PROXY UNKNOWN "[..], &vec![b'x'; length - 16], b"\r\n"].concat();
    assert_eq!(accepted(&line(107)), ProxyHeader::Local);
    assert_eq!(outcome(&line(107)[..106]), INCOMPLETE);
    assert_eq!(outcome(&line(108)), Err(ProxyHeaderError::TooLong));
    assert_eq!(outcome(&line(108)[..106]), INCOMPLETE);
    assert_eq!(outcome(&line(108)[..107]), Err(ProxyHeaderError::TooLong));
    assert_eq!(outcome(&line(109)[..107]), Err(ProxyHeaderError::TooLong));
}

#[test]
fn binary_headers_that_are_accepted() {
    let v6 = |text: &str| address(text).ip();
    let v6_block = match (v6("[2001:db8::1]:0"), v6("[2001:db8::2]:0")) {
        (IpAddr::V6(one), IpAddr::V6(other)) => [&one.octets()[..], &other.octets(), b"\xdd\xd5\x01\xbb"].concat(),
        _ => unreachable!("both are IPv6"),
    };
    let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets();
    let told = addresses("192.0.2.1:56789", "198.51.100.2:443");
    for (what, header, wanted) in [
        ("IPv4", binary(PROXY, 0x11, V4), told),
        ("IPv6", binary(PROXY, 0x21, &v6_block), addresses("[2001:db8::1]:56789", "[2001:db8::2]:443")),
        (
            "mapped",
            binary(PROXY, 0x21, &[&mapped[..], &mapped, b"\0\x01\0\x02"].concat()),
            addresses("192.0.2.1:1", "192.0.2.1:2"),
        ),
        (
            "extensions",
            binary(PROXY, 0x11, &[V4, &tlv(2, b"a.test"), &tlv(0xe0, b""), &tlv(4, &[0; 9])].concat()),
            told,
        ),
        ("the longest", binary(PROXY, 0x11, &[V4, &tlv(4, &vec![0; MAX_PROXY_HEADER - 31])].concat()), told),
        ("UDP", binary(PROXY, 0x12, V4), ProxyHeader::Local),
        ("UDP over IPv6", binary(PROXY, 0x22, &v6_block), ProxyHeader::Local),
        ("UNIX", binary(PROXY, 0x31, &[b'/'; 216]), ProxyHeader::Local),
        ("UNIX datagrams", binary(PROXY, 0x32, &[&[b'/'; 216][..], &tlv(5, b"id")].concat()), ProxyHeader::Local),
        ("unspecified", binary(PROXY, 0x00, b""), ProxyHeader::Local),
        ("unspecified, with something", binary(PROXY, 0x00, b"???????"), ProxyHeader::Local),
        ("unspecified protocol", binary(PROXY, 0x10, V4), ProxyHeader::Local),
        ("unspecified family", binary(PROXY, 0x01, b""), ProxyHeader::Local),
        ("local", binary(LOCAL, 0x00, b""), ProxyHeader::Local),
        ("local, with addresses", binary(LOCAL, 0x11, V4), ProxyHeader::Local),
        ("local, with no addresses", binary(LOCAL, 0x21, b""), ProxyHeader::Local),
        ("local, of an unknown kind", binary(LOCAL, 0xff, b"??"), ProxyHeader::Local),
    ] {
        assert_eq!(accepted(&header), wanted, "{what}");
    }
}

#[test]
fn binary_headers_that_are_refused() {
    let twice = [V4, &tlv(3, &[0; 4]), &tlv(3, &[0; 4])].concat();
    for (what, header, error) in [
        ("another signature", b"\r\n\r\n\0\r\nQUIC\n".to_vec(), ProxyHeaderError::Signature),
        ("an empty line before a request", b"\r\nGET / HTTP/1.1\r\n".to_vec(), ProxyHeaderError::Signature),
        ("version 1", binary(0x11, 0x11, V4), ProxyHeaderError::Command),
        ("version 3", binary(0x31, 0x11, V4), ProxyHeaderError::Command),
        ("another command", binary(0x22, 0x11, V4), ProxyHeaderError::Command),
        ("another family", binary(PROXY, 0x41, V4), ProxyHeaderError::Family),
        ("another protocol", binary(PROXY, 0x13, V4), ProxyHeaderError::Family),
        ("too long", binary(PROXY, 0x11, &vec![0; MAX_PROXY_HEADER - 15]), ProxyHeaderError::TooLong),
        ("a long LOCAL", binary(LOCAL, 0x00, &vec![0; MAX_PROXY_HEADER - 15]), ProxyHeaderError::TooLong),
        ("short IPv4", binary(PROXY, 0x11, &V4[..11]), ProxyHeaderError::Addresses),
        ("IPv4 as IPv6", binary(PROXY, 0x21, V4), ProxyHeaderError::Addresses),
        ("short UDP", binary(PROXY, 0x22, &[0; 35]), ProxyHeaderError::Addresses),
        ("short UNIX", binary(PROXY, 0x31, &[0; 215]), ProxyHeaderError::Addresses),
        ("part of a vector", binary(PROXY, 0x11, &[V4, b"\x04\0"].concat()), ProxyHeaderError::Extensions),
        ("a short vector", binary(PROXY, 0x11, &[V4, b"\x04\0\x02x"].concat()), ProxyHeaderError::Extensions),
        ("a short checksum", binary(PROXY, 0x11, &[V4, &tlv(3, b"123")].concat()), ProxyHeaderError::Extensions),
        ("two checksums", binary(PROXY, 0x11, &twice), ProxyHeaderError::Extensions),
    ] {
        assert_eq!(outcome(&header), Err(error), "{what}");
    }
}

#[test]
fn a_checksum_is_verified() {
    let before = binary(PROXY, 0x11, &[V4, &tlv(2, b"a.test"), &tlv(3, &[0; 4])].concat());
    for after in [&b""[..], &tlv(5, b"unique")] {
        let header = summed(before.clone(), after);
        assert_eq!(accepted(&header), addresses("192.0.2.1:56789", "198.51.100.2:443"));
        // as another type it is no checksum
        for at in (16..header.len()).filter(|at| *at != 37) {
            let mut wrong = header.clone();
            wrong[at] ^= 0x40;
            let outcome = outcome(&wrong);
            // a length that became another one is seen before
            let known = [Err(ProxyHeaderError::Checksum), Err(ProxyHeaderError::Extensions)];
            assert!(known.contains(&outcome), "byte {at}: {outcome:?}");
        }
    }
    let mut local = summed(binary(LOCAL, 0x00, &tlv(3, &[0; 4])), b"");
    assert_eq!(accepted(&local), ProxyHeader::Local);
    local[19] ^= 1;
    assert_eq!(outcome(&local), Err(ProxyHeaderError::Checksum));
}

#[test]
fn headers_have_the_bytes_of_the_specification() {
    for (source, destination, line) in [
        ("192.0.2.1:56789", "198.51.100.2:443", "PROXY TCP4 192.0.2.1 198.51.100.2 56789 443\r\n"),
        ("[2001:db8::1]:1", "[2001:db8::2]:2", "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"),
        ("192.0.2.1:1", "[2001:db8::2]:2", "PROXY TCP6 ::ffff:c000:201 2001:db8::2 1 2\r\n"),
        ("[2001:db8::1]:1", "0.0.0.0:2", "PROXY TCP6 2001:db8::1 ::ffff:0:0 1 2\r\n"),
        ("[::ffff:192.0.2.1]:1", "198.51.100.2:2", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n"),
    ] {
        let mut out = b"before".to_vec();
        write_proxy_header(ProxyVersion::V1, address(source), address(destination), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("before{line}"));
    }
    let mut out = Vec::new();
    write_proxy_header(ProxyVersion::V2, address("192.0.2.1:56789"), address("198.51.100.2:443"), &mut out);
    assert_eq!(out, binary(PROXY, 0x11, V4));
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

/// What another reader finds.
fn read_by_ppp(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let pair = |from: IpAddr, from_port, to: IpAddr, to_port| {
        (SocketAddr::new(from.to_canonical(), from_port), SocketAddr::new(to.to_canonical(), to_port))
    };
    let v4 = |ip: ppp::v1::IPv4| {
        pair(ip.source_address.into(), ip.source_port, ip.destination_address.into(), ip.destination_port)
    };
    let v6 = |ip: ppp::v1::IPv6| {
        pair(ip.source_address.into(), ip.source_port, ip.destination_address.into(), ip.destination_port)
    };
    match ppp::HeaderResult::parse(bytes) {
        ppp::HeaderResult::V1(Ok(header)) => match header.addresses {
            ppp::v1::Addresses::Tcp4(ip) => Some(v4(ip)),
            ppp::v1::Addresses::Tcp6(ip) => Some(v6(ip)),
            ppp::v1::Addresses::Unknown => None,
        },
        ppp::HeaderResult::V2(Ok(header)) => match header.addresses {
            v2::Addresses::IPv4(ip) => Some(v4(ip)),
            v2::Addresses::IPv6(ip) => Some(v6(ip)),
            _ => None,
        },
        _ => None,
    }
}

/// Bytes that come near a header.
fn near_header() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            &b"PROXY "[..],
            b"TCP4 ",
            b"TCP6 ",
            b"UNKNOWN",
            b"192.0.2.1 ",
            b"2001:db8::1 ",
            b"443 ",
            b"443",
            b"\r\n",
            b"\r\n\r\n\0\r\nQUIT\n",
            b"\x21\x11\0\x0c",
            b"\x21\x11\0\x13",
            b"\x20\0\0\0",
            V4,
            b"\x03\0\x04\0\0\0\0",
        ])
        .prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read(source in any_address(), destination in any_address(), tail in vec(any::<u8>(), 0..9)) {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let mut bytes = Vec::new();
            write_proxy_header(version, source, destination, &mut bytes);
            prop_assert_eq!(read_by_ppp(&bytes), Some((source, destination)));
            let length = bytes.len();
            bytes.extend(&tail);
            let wanted = ProxyHeader::Addresses { source, destination };
            prop_assert_eq!(decode_proxy_header(&bytes), Ok(Step::Done(wanted, length)));
        }
    }

    #[test]
    fn what_another_writes_is_read(
        source in any_address(),
        destination in any_address(),
        extensions in vec((4u8.., vec(any::<u8>(), 0..30)), 0..4),
    ) {
        prop_assume!(source.is_ipv4() == destination.is_ipv4());
        let control = v2::Version::Two | v2::Command::Proxy;
        let mut builder = v2::Builder::with_addresses(control, v2::Protocol::Stream, (source, destination));
        for (kind, value) in &extensions {
            builder = builder.write_tlv(*kind, value).expect("it is short");
        }
        let bytes = builder.build().expect("it is short");
        let wanted = ProxyHeader::Addresses { source, destination };
        prop_assert_eq!(decode_proxy_header(&bytes), Ok(Step::Done(wanted, bytes.len())));
    }

    #[test]
    fn a_header_is_read_in_one_way_however_it_arrives(bytes in near_header()) {
        if outcome(&bytes) == INCOMPLETE {
            prop_assert!(bytes.len() < MAX_PROXY_HEADER);
        }
    }
}
