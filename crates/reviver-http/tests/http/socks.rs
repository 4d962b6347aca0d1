//! SOCKS5.

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use reviver_http::socks::{
    Address, Auth, AuthMethod, Command, Reply, Request, SocksError, Step, decode_auth, decode_greeting, decode_request,
    write_auth_reply, write_method, write_reply,
};

/// Decodes a message that must be incomplete until its last byte and must leave a tail alone.
#[track_caller]
fn done<'a, T: Debug + PartialEq>(
    decode: impl Fn(&'a [u8]) -> Result<Step<T>, SocksError>,
    message: &'a [u8],
    with_tail: &'a [u8],
) -> T {
    for have in 0..message.len() {
        assert_eq!(decode(&message[..have]), Ok(Step::Incomplete), "{have} bytes");
    }
    let whole = decode(message);
    assert_eq!(decode(with_tail), whole, "with a tail");
    match whole {
        Ok(Step::Done(value, length)) if length == message.len() => value,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn request(message: &[u8]) -> (Command, String, u16) {
    let tail = [message, b"GET /"].concat();
    let request = done(decode_request, message, &tail);
    let address = match request.address {
        Address::Ip(ip) => ip.to_string(),
        Address::Domain(name) => String::from_utf8_lossy(name).into_owned(),
    };
    (request.command, address, request.port)
}

#[test]
fn a_greeting_offers_methods() {
    let greeting = done(decode_greeting, b"\x05\x02\x00\x02", b"\x05\x02\x00\x02\x05");
    assert!(greeting.offers(AuthMethod::None) && greeting.offers(AuthMethod::UsernamePassword));
    let greeting = done(decode_greeting, b"\x05\x01\xff", b"\x05\x01\xff\x00");
    assert!(!greeting.offers(AuthMethod::None));
    assert!(!greeting.offers(AuthMethod::NoneAcceptable), "it is no method");
    assert_eq!(decode_greeting(b"\x04\x01"), Err(SocksError::Version));
    assert_eq!(decode_greeting(b"\x05\x00"), Err(SocksError::NoMethods));
}

#[test]
fn a_user_and_a_password() {
    let auth = done(decode_auth, b"\x01\x03bob\x06secret", b"\x01\x03bob\x06secret\x05");
    assert_eq!(auth, Auth { username: b"bob", password: b"secret" });
    assert!(!format!("{auth:?}").contains("secret"), "a password is never shown");
    let longest = [&[1, 255][..], &[b'u'; 255], &[255], &[b'p'; 255]].concat();
    assert_eq!(done(decode_auth, &longest, &longest).password.len(), 255);
    assert_eq!(decode_auth(b"\x05"), Err(SocksError::Version));
    assert_eq!(decode_auth(b"\x01\x00"), Err(SocksError::Credentials));
    assert_eq!(decode_auth(b"\x01\x01u\x00"), Err(SocksError::Credentials));
}

#[test]
fn requests_for_each_kind_of_address() {
    assert_eq!(request(b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"), (Command::Connect, "192.0.2.1".into(), 80));
    let v6 = [&b"\x05\x01\x00\x04"[..], &Ipv6Addr::LOCALHOST.octets(), b"\x01\xbb"].concat();
    assert_eq!(request(&v6), (Command::Connect, "::1".into(), 443));
    assert_eq!(request(b"\x05\x01\x00\x03\x06a.test\x01\xbb"), (Command::Connect, "a.test".into(), 443));
    assert_eq!(request(b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"), (Command::Bind, "0.0.0.0".into(), 0));
    assert_eq!(request(b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"), (Command::UdpAssociate, "0.0.0.0".into(), 0));
}

#[test]
fn a_bad_request_has_the_reply_that_the_rfc_names() {
    for (message, error, reply) in [
        (&b"\x04\x01\x00\x01"[..], SocksError::Version, None),
        (b"\x05\x09\x00\x01", SocksError::Command, Some(Reply::CommandNotSupported)),
        (b"\x05\x01\x01\x01", SocksError::Reserved, Some(Reply::GeneralFailure)),
        (b"\x05\x01\x00\x02", SocksError::AddressType, Some(Reply::AddressTypeNotSupported)),
        (b"\x05\x01\x00\x03\x00\x00\x50", SocksError::Destination, Some(Reply::GeneralFailure)),
        (b"\x05\x01\x00\x03\x03a b\x00\x50", SocksError::Destination, Some(Reply::GeneralFailure)),
        (b"\x05\x01\x00\x03\x03a\0b\x00\x50", SocksError::Destination, Some(Reply::GeneralFailure)),
        (b"\x05\x01\x00\x03\x04a..b\x00\x50", SocksError::Destination, Some(Reply::GeneralFailure)),
        (b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x00", SocksError::Destination, Some(Reply::GeneralFailure)),
    ] {
        assert_eq!(decode_request(message), Err(error), "{}", message.escape_ascii());
        assert_eq!(error.reply(), reply);
    }
}

#[test]
fn answers_have_the_bytes_of_the_rfc() {
    let mut out = Vec::new();
    write_method(&mut out, AuthMethod::UsernamePassword);
    write_method(&mut out, AuthMethod::NoneAcceptable);
    write_auth_reply(&mut out, true);
    write_auth_reply(&mut out, false);
    assert_eq!(out, b"\x05\x02\x05\xff\x01\x00\x01\x01");

    out.clear();
    write_reply(&mut out, Reply::Succeeded, Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 258))));
    assert_eq!(out, b"\x05\x00\x00\x01\x7f\x00\x00\x01\x01\x02");
    out.clear();
    write_reply(&mut out, Reply::ConnectionRefused, None);
    assert_eq!(out, b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00");
    out.clear();
    write_reply(&mut out, Reply::Succeeded, Some(SocketAddr::from((Ipv6Addr::LOCALHOST, 1))));
    assert_eq!(out, [&b"\x05\x00\x00\x04"[..], &Ipv6Addr::LOCALHOST.octets(), b"\x00\x01"].concat());
}

#[test]
fn a_domain_may_be_as_long_as_dns_allows() {
    let name = vec![b'a'; 253];
    let message = [&[5, 1, 0, 3, 253][..], &name, &[0, 80]].concat();
    let wanted = Request { command: Command::Connect, address: Address::Domain(&name), port: 80 };
    assert_eq!(decode_request(&message), Ok(Step::Done(wanted, message.len())));
}
