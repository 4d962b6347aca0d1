//! The server's side of SOCKS5 (RFC 1928) and of its username/password method (RFC 1929).
//!
//! Decoders take the bytes received so far and either need more or give one message and its length. No message
//! is longer than 513 bytes, which bounds what has to be kept.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use crate::grammar::is_host_name;

/// First byte of a SOCKS5 connection; no HTTP message starts with it.
pub const VERSION: u8 = 5;
/// Version of the username/password negotiation.
const AUTH_VERSION: u8 = 1;

/// Why a message is not SOCKS5. Nothing is answered unless [`SocksError::reply`] says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SocksError {
    /// The version is another one.
    #[error("The version of SOCKS is not supported.")]
    Version,
    /// The client offers no authentication method at all.
    #[error("No authentication method is offered.")]
    NoMethods,
    /// The user name or the password is empty.
    #[error("The user name or the password is empty.")]
    Credentials,
    /// The reserved byte is not zero.
    #[error("The reserved byte is not zero.")]
    Reserved,
    /// The command is none of CONNECT, BIND and UDP ASSOCIATE.
    #[error("The command is unknown.")]
    Command,
    /// The address type is unknown.
    #[error("The address type is unknown.")]
    AddressType,
    /// The domain name is malformed, or the port is 0.
    #[error("The destination is malformed.")]
    Destination,
}

impl SocksError {
    /// The reply that is owed for a bad request.
    pub fn reply(self) -> Option<Reply> {
        match self {
            Self::Command => Some(Reply::CommandNotSupported),
            Self::AddressType => Some(Reply::AddressTypeNotSupported),
            Self::Destination | Self::Reserved => Some(Reply::GeneralFailure),
            Self::Version | Self::NoMethods | Self::Credentials => None,
        }
    }
}

/// What a decoder found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// More bytes are needed.
    Incomplete,
    /// A message, and the number of bytes that it took.
    Done(T, usize),
}

/// Authentication methods (RFC 1928, section 3) that the proxy knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AuthMethod {
    None = 0x00,
    UsernamePassword = 0x02,
    /// None of those offered is acceptable; the client must close.
    NoneAcceptable = 0xff,
}

/// The client's first message: the methods that it offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting<'a> {
    methods: &'a [u8],
}

impl Greeting<'_> {
    pub fn offers(&self, method: AuthMethod) -> bool {
        method != AuthMethod::NoneAcceptable && self.methods.contains(&(method as u8))
    }
}

/// Decodes the greeting.
///
/// # Errors
/// [`SocksError::Version`], [`SocksError::NoMethods`].
pub fn decode_greeting(input: &[u8]) -> Result<Step<Greeting<'_>>, SocksError> {
    match input {
        [] | [VERSION] => Ok(Step::Incomplete),
        [VERSION, 0, ..] => Err(SocksError::NoMethods),
        [VERSION, count, rest @ ..] => Ok(match rest.get(..usize::from(*count)) {
            Some(methods) => Step::Done(Greeting { methods }, 2 + methods.len()),
            None => Step::Incomplete,
        }),
        _ => Err(SocksError::Version),
    }
}

/// User name and password, 1 to 255 bytes each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Auth<'a> {
    pub username: &'a [u8],
    pub password: &'a [u8],
}

impl fmt::Debug for Auth<'_> {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth {{ username: {:?}, .. }}", String::from_utf8_lossy(self.username))
    }
}

/// Decodes the username/password request (RFC 1929, section 2).
///
/// # Errors
/// [`SocksError::Version`], [`SocksError::Credentials`].
pub fn decode_auth(input: &[u8]) -> Result<Step<Auth<'_>>, SocksError> {
    let rest = match input {
        [] => return Ok(Step::Incomplete),
        [AUTH_VERSION, rest @ ..] => rest,
        _ => return Err(SocksError::Version),
    };
    let Some(username) = counted(rest)? else {
        return Ok(Step::Incomplete);
    };
    let Some(password) = counted(&rest[1 + username.len()..])? else {
        return Ok(Step::Incomplete);
    };
    Ok(Step::Done(Auth { username, password }, 3 + username.len() + password.len()))
}

/// Bytes after their count; none where they are not complete.
fn counted(input: &[u8]) -> Result<Option<&[u8]>, SocksError> {
    match input {
        [] => Ok(None),
        [0, ..] => Err(SocksError::Credentials),
        [count, rest @ ..] => Ok(rest.get(..usize::from(*count))),
    }
}

/// What the client wants done (RFC 1928, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Connect,
    Bind,
    UdpAssociate,
}

/// Where the client wants to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    Ip(IpAddr),
    /// A name, checked: letters, digits, `-`, `.`, `_`.
    Domain(&'a [u8]),
}

/// The client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub command: Command,
    pub address: Address<'a>,
    /// Not 0 for [`Command::Connect`].
    pub port: u16,
}

/// Decodes the request.
///
/// # Errors
/// [`SocksError::Version`], [`SocksError::Reserved`], [`SocksError::Command`], [`SocksError::AddressType`],
/// [`SocksError::Destination`].
pub fn decode_request(input: &[u8]) -> Result<Step<Request<'_>>, SocksError> {
    if input.first().is_some_and(|&version| version != VERSION) {
        return Err(SocksError::Version);
    }
    let [_, command, reserved, address_type, rest @ ..] = input else {
        return Ok(Step::Incomplete);
    };
    let command = match command {
        1 => Command::Connect,
        2 => Command::Bind,
        3 => Command::UdpAssociate,
        _ => return Err(SocksError::Command),
    };
    if *reserved != 0 {
        return Err(SocksError::Reserved);
    }
    let (address, rest) = match (address_type, rest) {
        (1, _) => match rest.split_first_chunk::<4>() {
            Some((octets, rest)) => (Address::Ip(Ipv4Addr::from(*octets).into()), rest),
            None => return Ok(Step::Incomplete),
        },
        (4, _) => match rest.split_first_chunk::<16>() {
            Some((octets, rest)) => (Address::Ip(Ipv6Addr::from(*octets).into()), rest),
            None => return Ok(Step::Incomplete),
        },
        (3, []) => return Ok(Step::Incomplete),
        (3, [length, rest @ ..]) => match rest.split_at_checked(usize::from(*length)) {
            Some((name, rest)) => (Address::Domain(name), rest),
            None => return Ok(Step::Incomplete),
        },
        _ => return Err(SocksError::AddressType),
    };
    let Some((port, rest)) = rest.split_first_chunk::<2>() else {
        return Ok(Step::Incomplete);
    };
    let port = u16::from_be_bytes(*port);
    // clients that send an address as a name are common, and such a name is one
    let named = match address {
        Address::Ip(_) => true,
        Address::Domain(name) => is_host_name(name),
    };
    if command == Command::Connect && (!named || port == 0) {
        return Err(SocksError::Destination);
    }
    Ok(Step::Done(Request { command, address, port }, input.len() - rest.len()))
}

/// Codes of RFC 1928, section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    Succeeded = 0,
    GeneralFailure = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    ConnectionRefused = 5,
    TtlExpired = 6,
    CommandNotSupported = 7,
    AddressTypeNotSupported = 8,
}

/// Appends the answer to the greeting.
pub fn write_method(out: &mut Vec<u8>, method: AuthMethod) {
    out.extend_from_slice(&[VERSION, method as u8]);
}

/// Appends the answer to the username/password request. After a refusal the connection must be closed.
pub fn write_auth_reply(out: &mut Vec<u8>, accepted: bool) {
    out.extend_from_slice(&[AUTH_VERSION, u8::from(!accepted)]);
}

/// Appends the answer to the request. `bound` is the proxy's own address towards the destination; where it is
/// not to be told, or there is none, `None` writes `0.0.0.0:0`.
pub fn write_reply(out: &mut Vec<u8>, reply: Reply, bound: Option<SocketAddr>) {
    out.extend_from_slice(&[VERSION, reply as u8, 0]);
    let bound = bound.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    match bound.ip() {
        IpAddr::V4(ip) => {
            out.push(1);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&bound.port().to_be_bytes());
}
