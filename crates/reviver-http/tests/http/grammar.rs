//! Tokens, authorities, escapes and paths.

use std::borrow::Cow;

use reviver_http::{ParseError, is_token, normalise_path, parse_authority, percent_decode};

#[test]
fn tokens() {
    assert!(is_token(b"!#$%&'*+-.^_`|~09azAZ"));
    for byte in (0..=255u8).filter(|byte| !byte.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(byte)) {
        assert!(!is_token(&[b'a', byte]), "{byte:#x}");
    }
    assert!(!is_token(b""));
}

#[test]
fn authorities() {
    for (text, host, port, ipv6) in [
        ("a.test", "a.test", None, false),
        ("a.test.:8080", "a.test", Some(8080), false),
        ("[::1]:1", "::1", Some(1), true),
        ("[2001:DB8::1]", "2001:DB8::1", None, true),
        ("1.2.3.4:65535", "1.2.3.4", Some(65535), false),
        ("", "", None, false),
    ] {
        let authority = parse_authority(text.as_bytes()).expect(text);
        assert_eq!((authority.host, authority.port, authority.ipv6), (host.as_bytes(), port, ipv6), "{text}");
    }
    for (text, error) in [
        ("a@b", ParseError::UserInfo),
        ("a:b@c:1", ParseError::UserInfo),
        ("a@[::1]", ParseError::UserInfo),
        ("a:", ParseError::BadPort),
        ("a:1:2", ParseError::BadPort),
        ("a:000001", ParseError::BadPort),
        ("[::1", ParseError::BadAuthority),
        ("[::1]1", ParseError::BadAuthority),
        ("[1.2.3.4]", ParseError::BadHost),
        (":1", ParseError::BadHost),
        ("a b", ParseError::BadHost),
        (".", ParseError::BadHost),
    ] {
        assert_eq!(parse_authority(text.as_bytes()), Err(error), "{text}");
    }
}

#[test]
fn escapes_are_decoded_where_they_are_whole() {
    assert!(matches!(percent_decode(b"plain+text"), Cow::Borrowed(b"plain+text")));
    assert_eq!(percent_decode(b"%41%2f%2F%zz%4%%").as_ref(), b"A//%zz%4%%");
    assert_eq!(percent_decode(b"%00%ff").as_ref(), b"\0\xff");
    assert_eq!(percent_decode(b"%2541").as_ref(), b"%41", "once");
}

#[test]
fn a_path_is_appended_to_what_is_there() {
    let mut out = b"http://t".to_vec();
    normalise_path(b"/a/%2e%2E/./b/", &mut out).expect("a legal path");
    assert_eq!(out, b"http://t/b/");
    assert_eq!(normalise_path(b"/a/../..", &mut out), Err(ParseError::PathAboveRoot));
    assert_eq!(normalise_path(b"/%0", &mut out), Err(ParseError::BadEscape));
    assert_eq!(normalise_path(b"/%00", &mut out), Err(ParseError::BadEscape));
}
