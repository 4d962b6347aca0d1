//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`; sections are of that text).
//!
//! Whether a connection begins with a header is configured, never guessed (section 2): bytes that begin none are
//! an error. What the header says is believed, so the caller has to know whom it listens to.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use memchr::memchr2;
use thiserror::Error;

pub use crate::socks::Step;

/// Longest header that is accepted: much more than any sender's addresses, TLS names and checksum.
pub const MAX_PROXY_HEADER: usize = 4096;

/// Longest line of version 1 with its CRLF (section 2.1).
const MAX_LINE: usize = 107;

/// Begins version 2 (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED: usize = SIGNATURE.len() + 4;

/// With the version, 2, in the upper half.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// The family in the upper half, the protocol in the lower one: 0 unspecified, 1 stream, 2 datagrams.
const TCP_OVER_V4: u8 = 0x11;
const TCP_OVER_V6: u8 = 0x21;
/// Length of the addresses for each family: unspecified, IPv4, IPv6, UNIX.
const BLOCKS: [usize; 4] = [0, 12, 36, 216];

/// Type and length of a TLV vector.
const TLV_HEAD: usize = 3;
const TLV_CRC32C: u8 = 0x03;

/// Why a connection does not begin with a header. It is closed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProxyHeaderError {
    /// The first bytes are those of another protocol.
    #[error("The connection does not begin with a PROXY header.")]
    Signature,
    /// Version 1: something in the line, or its end, is not as section 2.1 says.
    #[error("The PROXY line is malformed.")]
    Line,
    /// More than 107 bytes of version 1, or [`MAX_PROXY_HEADER`] of version 2.
    #[error("The PROXY header is too long.")]
    TooLong,
    /// Version 2: another version, or neither LOCAL nor PROXY.
    #[error("The version or the command of the PROXY header is unknown.")]
    Command,
    /// Version 2: the address family or the protocol is unknown.
    #[error("The address family of the PROXY header is unknown.")]
    Family,
    /// Version 2: too short for the addresses of its family.
    #[error("The addresses of the PROXY header are incomplete.")]
    Addresses,
    /// Version 2: the vectors after the addresses do not fill the header exactly, or there are two checksums.
    #[error("The extensions of the PROXY header are malformed.")]
    Extensions,
    /// Version 2: the CRC32c is another one.
    #[error("The checksum of the PROXY header is wrong.")]
    Checksum,
}

/// On whose behalf a connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The sender's own, or of a kind without addresses that could be used: those of the connection count.
    Local,
    /// Those of a TCP connection. IPv4 addresses mapped to IPv6 come out as IPv4.
    Addresses {
        /// The client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
}

/// Decodes the header of either version at the start of a connection. What cannot become one is an error at once.
///
/// # Errors
/// All of [`ProxyHeaderError`]. The same for the same bytes, however they arrive.
pub fn decode_proxy_header(input: &[u8]) -> Result<Step<ProxyHeader>, ProxyHeaderError> {
    if input.first() == Some(&b'P') { decode_line(input) } else { decode_binary(input) }
}

/// Version 1 (section 2.1).
fn decode_line(input: &[u8]) -> Result<Step<ProxyHeader>, ProxyHeaderError> {
    let window = &input[..input.len().min(MAX_LINE)];
    let end = memchr2(b'\r', b'\n', window).unwrap_or(window.len());
    let (text, ending) = window.split_at(end);
    if !begins(text, b"PROXY ") {
        return Err(ProxyHeaderError::Signature);
    }
    if ![&b"PROXY TCP4 "[..], b"PROXY TCP6 ", b"PROXY UNKNOWN"].iter().any(|line| begins(text, line)) {
        return Err(ProxyHeaderError::Line);
    }
    match ending {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] if input.len() < MAX_LINE => return Ok(Step::Incomplete),
        [] | [b'\r'] => return Err(ProxyHeaderError::TooLong),
        _ => return Err(ProxyHeaderError::Line),
    }
    let header = if let Some(addresses) = text.strip_prefix(b"PROXY TCP4 ") {
        line_addresses::<Ipv4Addr>(addresses)
    } else if let Some(addresses) = text.strip_prefix(b"PROXY TCP6 ") {
        line_addresses::<Ipv6Addr>(addresses)
    } else {
        // what follows the word is ignored
        text.strip_prefix(b"PROXY UNKNOWN").filter(|rest| matches!(rest, [] | [b' ', ..])).map(|_| ProxyHeader::Local)
    };
    header.map(|header| Step::Done(header, end + 2)).ok_or(ProxyHeaderError::Line)
}

/// Whether the text begins with the word, as far as it goes.
fn begins(text: &[u8], word: &[u8]) -> bool {
    text.iter().zip(word).all(|(one, other)| one == other)
}

fn line_addresses<T: FromStr + Into<IpAddr>>(text: &[u8]) -> Option<ProxyHeader> {
    let mut parts = std::str::from_utf8(text).ok()?.split(' ');
    let source = parts.next()?.parse::<T>().ok()?;
    let destination = parts.next()?.parse::<T>().ok()?;
    let source_port = decimal(parts.next()?)?;
    let destination_port = decimal(parts.next()?)?;
    let nothing_more = parts.next().is_none();
    nothing_more.then(|| tcp(source.into(), source_port, destination.into(), destination_port))
}

/// A port without the sign and the leading zeroes that `parse` takes.
fn decimal(text: &str) -> Option<u16> {
    if text.starts_with('+') || (text.len() > 1 && text.starts_with('0')) { None } else { text.parse().ok() }
}

fn tcp(source: IpAddr, source_port: u16, destination: IpAddr, destination_port: u16) -> ProxyHeader {
    ProxyHeader::Addresses {
        source: SocketAddr::new(source.to_canonical(), source_port),
        destination: SocketAddr::new(destination.to_canonical(), destination_port),
    }
}

/// Version 2 (section 2.2).
fn decode_binary(input: &[u8]) -> Result<Step<ProxyHeader>, ProxyHeaderError> {
    if !begins(input, SIGNATURE) {
        return Err(ProxyHeaderError::Signature);
    }
    let proxied = match input.get(SIGNATURE.len()) {
        None => return Ok(Step::Incomplete),
        Some(&LOCAL) => false,
        Some(&PROXY) => true,
        Some(_) => return Err(ProxyHeaderError::Command),
    };
    let Some(&kind) = input.get(SIGNATURE.len() + 1) else {
        return Ok(Step::Incomplete);
    };
    let (family, protocol) = (kind >> 4, kind & 0xf);
    if proxied && (family > 3 || protocol > 2) {
        return Err(ProxyHeaderError::Family);
    }
    let Some(&[high, low]) = input.get(FIXED - 2..FIXED) else {
        return Ok(Step::Incomplete);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_PROXY_HEADER {
        return Err(ProxyHeaderError::TooLong);
    }
    let Some(header) = input.get(..length) else {
        return Ok(Step::Incomplete);
    };
    let block = BLOCKS.get(usize::from(family)).copied().unwrap_or(0);
    // without a family or a protocol, and in LOCAL, there may be anything: nothing of it is used
    let exact = proxied && family > 0 && protocol > 0;
    if exact && length < FIXED + block {
        return Err(ProxyHeaderError::Addresses);
    }
    match find_checksum(header, FIXED + block) {
        Err(error) if exact => return Err(error),
        Ok(Some(at)) if !has_checksum(header, at) => return Err(ProxyHeaderError::Checksum),
        _ => {}
    }
    let addresses = match kind {
        TCP_OVER_V4 if proxied => binary_addresses::<4>(&header[FIXED..]),
        TCP_OVER_V6 if proxied => binary_addresses::<16>(&header[FIXED..]),
        _ => None,
    };
    Ok(Step::Done(addresses.unwrap_or(ProxyHeader::Local), length))
}

fn binary_addresses<const N: usize>(bytes: &[u8]) -> Option<ProxyHeader>
where
    IpAddr: From<[u8; N]>,
{
    let (&source, rest) = bytes.split_first_chunk::<N>()?;
    let (&destination, rest) = rest.split_first_chunk::<N>()?;
    let (&source_port, rest) = rest.split_first_chunk::<2>()?;
    let (&destination_port, _) = rest.split_first_chunk::<2>()?;
    let (source_port, destination_port) = (u16::from_be_bytes(source_port), u16::from_be_bytes(destination_port));
    Some(tcp(source.into(), source_port, destination.into(), destination_port))
}

/// Where the value of the checksum is, if there is one among the vectors from `at` to the end of the header.
fn find_checksum(header: &[u8], mut at: usize) -> Result<Option<usize>, ProxyHeaderError> {
    let mut found = None;
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + TLV_HEAD) else {
            return Err(ProxyHeaderError::Extensions);
        };
        let value = at + TLV_HEAD;
        at = value + usize::from(u16::from_be_bytes([high, low]));
        if kind == TLV_CRC32C && (at - value != 4 || found.replace(value).is_some()) {
            return Err(ProxyHeaderError::Extensions);
        }
    }
    if at == header.len() { Ok(found) } else { Err(ProxyHeaderError::Extensions) }
}

/// Whether the checksum at `at` is that of the header with zeroes in its place (section 2.2.3).
fn has_checksum(header: &[u8], at: usize) -> bool {
    let (before, rest) = header.split_at(at);
    let Some((told, after)) = rest.split_first_chunk::<4>() else {
        return false;
    };
    let sum = [&[0; 4][..], after].iter().fold(crc32c::crc32c(before), |sum, part| crc32c::crc32c_append(sum, part));
    u32::from_be_bytes(*told) == sum
}

/// How a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    V1,
    V2,
}

/// Appends the header for a TCP connection from `source` to `destination`. Both have one family in a header: IPv4
/// becomes IPv6 where the other is IPv6.
pub fn write_proxy_header(version: ProxyVersion, source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    let ports = [source.port(), destination.port()];
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => match version {
            ProxyVersion::V1 => write_line(out, "TCP4", source, destination, ports),
            ProxyVersion::V2 => write_binary(out, TCP_OVER_V4, source.octets(), destination.octets(), ports),
        },
        (source, destination) => {
            let (source, destination) = (as_v6(source), as_v6(destination));
            match version {
                ProxyVersion::V1 => write_line(out, "TCP6", Groups(source), Groups(destination), ports),
                ProxyVersion::V2 => write_binary(out, TCP_OVER_V6, source.octets(), destination.octets(), ports),
            }
        }
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// An IPv6 address in hexadecimal digits only, as section 2.1 wants it: without the dots of mapped ones.
struct Groups(Ipv6Addr);

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.segments() {
            [0, 0, 0, 0, 0, 0xffff, a, b] => write!(f, "::ffff:{a:x}:{b:x}"),
            _ => self.0.fmt(f),
        }
    }
}

fn write_line(out: &mut Vec<u8>, family: &str, from: impl fmt::Display, to: impl fmt::Display, ports: [u16; 2]) {
    // writing to a Vec does not fail
    let _ = write!(out, "PROXY {family} {from} {to} {} {}\r\n", ports[0], ports[1]);
}

fn write_binary<const N: usize>(out: &mut Vec<u8>, kind: u8, from: [u8; N], to: [u8; N], ports: [u16; 2]) {
    // 12 or 36
    let length = (2 * N + 4) as u16;
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[PROXY, kind]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&from);
    out.extend_from_slice(&to);
    for port in ports {
        out.extend_from_slice(&port.to_be_bytes());
    }
}
