//! The end of a head, while it arrives.

use reviver_http::{HeadScan, ParseError};

use crate::feed::LIMITS;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n";

#[test]
fn the_end_is_found_with_the_last_byte_and_not_before() {
    let mut scan = HeadScan::new(LIMITS);
    for have in 0..REQUEST.len() {
        assert_eq!(scan.scan(&REQUEST[..have]), Ok(None));
    }
    assert_eq!(scan.scan(REQUEST), Ok(Some(REQUEST.len())));
}

#[test]
fn pipelined_requests_are_found_one_after_the_other() {
    let two = [REQUEST, b"\r\n", REQUEST].concat();
    let mut scan = HeadScan::new(LIMITS);
    assert_eq!(scan.scan(&two), Ok(Some(REQUEST.len())));
    scan.reset();
    assert!(!scan.started());
    assert_eq!(scan.scan(&two[REQUEST.len()..]), Ok(Some(REQUEST.len() + 2)));
}

#[test]
fn what_cannot_become_a_request_is_refused_at_its_first_byte() {
    for (bytes, error) in [
        (&b"\x16"[..], ParseError::TlsClientHello),
        (b"\r\n\x16", ParseError::TlsClientHello),
        (b"\x05", ParseError::BadMethod),
        (b" ", ParseError::BadMethod),
        (b"\n", ParseError::BareLf),
        (b"\r\r", ParseError::BareCr),
        (b"\r\n\r\n\r\n", ParseError::EmptyLines),
        (b"GET / HTTP/1.1\n", ParseError::BareLf),
        (b"GET / HTTP/1.1\r\nHost: t\n", ParseError::BareLf),
    ] {
        assert_eq!(HeadScan::new(LIMITS).scan(bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn nothing_has_started_before_the_first_byte_of_a_request() {
    let mut scan = HeadScan::new(LIMITS);
    for (bytes, started) in [(&b""[..], false), (b"\r", false), (b"\r\n", false), (b"\r\nG", true)] {
        assert_eq!(scan.scan(bytes), Ok(None));
        assert_eq!(scan.started(), started, "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_endless_line_is_refused_by_its_length() {
    let mut scan = HeadScan::new(LIMITS);
    let mut bytes = b"GET /".to_vec();
    let error = loop {
        bytes.extend_from_slice(&[b'a'; 1000]);
        match scan.scan(&bytes) {
            Ok(None) => assert!(bytes.len() < LIMITS.head),
            other => break other,
        }
    };
    assert_eq!(error, Err(ParseError::TargetTooLong));

    let mut scan = HeadScan::new(LIMITS);
    let mut bytes = b"GET / HTTP/1.1\r\nA: ".to_vec();
    bytes.resize(LIMITS.head, b'a');
    assert_eq!(scan.scan(&bytes), Ok(None));
    bytes.push(b'a');
    assert_eq!(scan.scan(&bytes), Err(ParseError::HeadTooLarge));
}

#[test]
fn the_start_line_of_a_response_has_no_bound_of_its_own() {
    let text = [b"HTTP/1.1 200 ".to_vec(), vec![b'a'; LIMITS.target * 2], b"\r\n\r\n".to_vec()].concat();
    assert_eq!(HeadScan::for_responses(LIMITS).scan(&text), Ok(Some(text.len())));
    assert_eq!(HeadScan::for_responses(LIMITS).scan(b"\r"), Err(ParseError::BadStatusLine));
}
