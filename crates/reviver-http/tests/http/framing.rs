//! Where content ends.

use reviver_http::{Framing, Method, ParseError, Version, request_framing, response_framing};

use crate::feed::{refused, request};

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: t\r\n{fields}\r\n{body}")
}

#[test]
fn requests_have_one_reading() {
    assert_eq!(request(&post("", "")).framing, Framing::None);
    assert_eq!(request(&post("Content-Length: 0\r\n", "")).framing, Framing::Length(0));
    assert_eq!(request(&post("Content-Length: 5\r\n", "hello")).framing, Framing::Length(5));
    assert_eq!(request(&post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")).framing, Framing::Chunked);
    let largest = format!("Content-Length: {}\r\n", i64::MAX);
    assert_eq!(
        request_framing(Method::Post, Version::Http11, [].into_iter(), [largest[16..].trim().as_bytes()].into_iter()),
        Ok(Framing::Length(i64::MAX as u64))
    );
}

#[test]
fn each_doubt_has_a_name() {
    for (fields, error) in [
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", ParseError::ConflictingFraming),
        ("Content-Length: 5, 5\r\n", ParseError::BadContentLength),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", ParseError::BadContentLength),
        ("Content-Length:\t5\r\n", ParseError::BadContentLength),
        ("Transfer-Encoding: gzip\r\n", ParseError::BadTransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", ParseError::BadTransferEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", ParseError::UnknownCoding),
    ] {
        assert_eq!(refused(&post(fields, "0\r\n\r\n")), error, "{fields:?}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(old), ParseError::TransferEncodingInHttp10);
}

#[test]
fn connect_and_trace_take_no_content() {
    let connect = |length| format!("CONNECT t:443 HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(request(&connect(0)).framing, Framing::None);
    assert_eq!(refused(&connect(5)), ParseError::UnexpectedContent);
}

#[test]
fn responses_follow_the_rules_in_their_order() {
    let none: [&[u8]; 0] = [];
    let framing = |method, status, codings: &[&'static [u8]], lengths: &[&'static [u8]]| {
        let (codings, lengths) = (codings.iter().copied(), lengths.iter().copied());
        response_framing(method, status, Version::Http11, codings, lengths)
    };
    for status in [100, 101, 103, 204, 304] {
        assert_eq!(framing(Method::Get, status, &none, &[b"5"]), Ok(Framing::None), "{status}");
    }
    assert_eq!(framing(Method::Head, 200, &[b"chunked"], &none), Ok(Framing::None));
    assert_eq!(framing(Method::Connect, 200, &none, &[b"5"]), Ok(Framing::None));
    assert_eq!(framing(Method::Connect, 407, &none, &[b"5"]), Ok(Framing::Length(5)));
    assert_eq!(framing(Method::Get, 200, &[b"chunked"], &none), Ok(Framing::Chunked));
    assert_eq!(framing(Method::Get, 200, &none, &[b"5"]), Ok(Framing::Length(5)));
    assert_eq!(framing(Method::Get, 200, &none, &none), Ok(Framing::UntilClose));
    assert_eq!(framing(Method::Get, 200, &[b"chunked"], &[b"5"]), Err(ParseError::ConflictingFraming));
    assert_eq!(framing(Method::Get, 200, &none, &[b"5", b"6"]), Err(ParseError::BadContentLength));
}
