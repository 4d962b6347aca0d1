//! Responses of upstreams.

use reviver_http::{FieldKind, Framing, Method, ParseError, Version};

use crate::feed::response;

#[test]
fn a_response_is_taken_apart() {
    let head = response(b"HTTP/1.1 404 Not Found here\r\nServer: s\r\nContent-Length: 3\r\n\r\nabc", Method::Get)
        .expect("a legal head");
    assert_eq!((head.version, head.status, head.reason()), (Version::Http11, 404, &b"Not Found here"[..]));
    assert_eq!((head.framing, head.keep_alive), (Framing::Length(3), true));
    assert_eq!(head.values(FieldKind::Server).next(), Some(&b"s"[..]));
    assert_eq!(head.values_of(b"SERVER").count(), 1);
}

#[test]
fn reasons_are_any_text_or_none() {
    for (line, reason) in [
        (&b"HTTP/1.1 200 "[..], &b""[..]),
        (b"HTTP/1.1 200", b""),
        (b"HTTP/1.1 200 \xc3\x84 ok", b"\xc3\x84 ok"),
        (b"HTTP/1.1 200  two  spaces", b" two  spaces"),
    ] {
        let head = response(&[line, b"\r\n\r\n"].concat(), Method::Get).expect("a legal head");
        assert_eq!(head.reason(), reason);
    }
}

#[test]
fn persistence_needs_an_end_that_is_not_the_close() {
    for (text, keep_alive) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], true),
        (b"HTTP/1.1 200 OK\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", true),
        (b"HTTP/1.1 204 No Content\r\n\r\n", true),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false),
    ] {
        let head = response(text, Method::Get).expect("a legal head");
        assert_eq!(head.keep_alive, keep_alive, "{}", text.escape_ascii());
    }
}

#[test]
fn interim_responses_are_told_from_a_switch() {
    assert!(response(b"HTTP/1.1 103 Early Hints\r\n\r\n", Method::Get).is_ok_and(|head| head.is_interim()));
    assert!(response(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Method::Get).is_ok_and(|head| !head.is_interim()));
}

#[test]
fn what_has_two_readings_is_refused() {
    for (text, error) in [
        (&b"HTTP/1.1 200 OK\nA: b\n\n"[..], ParseError::BareLf),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", ParseError::BadStatusLine),
        (b"ICY 200 OK\r\n\r\n", ParseError::BadStatusLine),
        (b"HTTP/2.0 200 OK\r\n\r\n", ParseError::UnsupportedVersion),
        (b"HTTP/1.1  200 OK\r\n\r\n", ParseError::BadStatusLine),
        (b"HTTP/1.1 20 OK\r\n\r\n", ParseError::BadStatusLine),
        (b"HTTP/1.1 2000 OK\r\n\r\n", ParseError::BadStatusLine),
        (b"HTTP/1.1 099 OK\r\n\r\n", ParseError::BadStatusLine),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", ParseError::BadStatusLine),
        (b"HTTP/1.1\r\n\r\n", ParseError::BadStatusLine),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", ParseError::SpaceBeforeColon),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", ParseError::ObsFold),
        (b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", ParseError::BareCr),
        (b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", ParseError::BadFieldValue),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ParseError::ConflictingFraming),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ParseError::BadContentLength),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", ParseError::BadTransferEncoding),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ParseError::TransferEncodingInHttp10),
    ] {
        assert_eq!(response(text, Method::Get).map(|head| head.status), Err(error), "{}", text.escape_ascii());
    }
}
