//! Heads as a whole, and their limits.

use reviver_http::{HeadLimits, Method, ParseError, RequestHead, Version, decode_request};

use crate::feed::{LIMITS, outcome, refused, request};

#[test]
fn methods_are_known_by_their_case() {
    for (text, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("TRACE", Method::Trace),
        ("PATCH", Method::Patch),
        ("get", Method::Other),
        ("PROPFIND", Method::Other),
    ] {
        let head = request(&format!("{text} / HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!((head.method, head.method_text()), (method, text.as_bytes()));
    }
}

#[test]
fn versions() {
    for (text, version) in [("1.0", Version::Http10), ("1.1", Version::Http11), ("1.7", Version::Http11)] {
        assert_eq!(request(&format!("GET / HTTP/{text}\r\nHost: t\r\n\r\n")).version, version);
    }
}

#[test]
fn the_fault_of_a_line_is_named() {
    for (text, error) in [
        ("GET / HTTP/1.1\r\nHost: t\r\nA : b\r\n\r\n", ParseError::SpaceBeforeColon),
        ("GET / HTTP/1.1\r\nHost: t\r\n A: b\r\n\r\n", ParseError::ObsFold),
        ("GET / HTTP/1.1\r\nHost: t\r\nA: b\rc\r\n\r\n", ParseError::BareCr),
        ("GET / HTTP/1.1\r\nHost: t\r\nA B: c\r\n\r\n", ParseError::BadFieldName),
        ("GET / HTTP/1.1\r\nHost: t\r\nA: \u{1}\r\n\r\n", ParseError::BadFieldValue),
        ("G\u{7f}T / HTTP/1.1\r\nHost: t\r\n\r\n", ParseError::BadMethod),
        ("GET /\u{7f} HTTP/1.1\r\nHost: t\r\n\r\n", ParseError::BadTargetByte),
        ("GET  / HTTP/1.1\r\nHost: t\r\n\r\n", ParseError::BadRequestLine),
        ("GET / b HTTP/1.1\r\nHost: t\r\n\r\n", ParseError::BadRequestLine),
        ("GET / HTTP/1.x\r\nHost: t\r\n\r\n", ParseError::BadVersion),
        ("GET / HTTP/2.0\r\nHost: t\r\n\r\n", ParseError::UnsupportedVersion),
        ("GET /\r\n\r\n", ParseError::BadVersion),
        ("\u{16}\u{3}\u{1}\r\n\r\n", ParseError::TlsClientHello),
    ] {
        assert_eq!(refused(text), error, "{text:?}");
    }
}

#[test]
fn limits_have_their_own_answers() {
    let limits = HeadLimits { head: 200, fields: 3, target: 50 };
    let status =
        |text: String| outcome(text.as_bytes(), &limits).map(|found| found.is_some()).map_err(ParseError::status);
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: t\r\n\r\n", "a".repeat(length - 1));
    assert_eq!(status(target(50)), Ok(true));
    assert_eq!(status(target(51)), Err(414));
    assert_eq!(status(target(5000)), Err(414));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: t\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert_eq!(status(fields(3)), Ok(true));
    assert_eq!(status(fields(4)), Err(431));
    let head = |length: usize| format!("GET / HTTP/1.1\r\nHost: t\r\nA: {}\r\n\r\n", "b".repeat(length - 32));
    assert_eq!(head(200).len(), 200);
    assert_eq!(status(head(200)), Ok(true));
    assert_eq!(status(head(201)), Err(431));
    assert_eq!(status(head(20000)), Err(431));
}

#[test]
fn as_many_fields_as_are_allowed_at_all() {
    let limits = HeadLimits { fields: 10_000, ..LIMITS };
    let text = |count: usize| format!("GET / HTTP/1.1\r\nHost: t\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert!(outcome(text(HeadLimits::MAX_FIELDS).as_bytes(), &limits).is_ok());
    assert_eq!(outcome(text(HeadLimits::MAX_FIELDS + 1).as_bytes(), &limits), Err(ParseError::TooManyFields));
}

#[test]
fn the_decoder_alone_takes_exactly_one_head() {
    let mut head = RequestHead::default();
    for text in [
        &b""[..],
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\n\r",
        b"GET / HTTP/1.1\r\nHost: t\r\n\r\nGET",
    ] {
        assert_eq!(
            decode_request(text, &LIMITS, &mut head),
            Err(ParseError::IncompleteHead),
            "{}",
            text.escape_ascii()
        );
    }
    for text in [
        &b"GET / HTTP/1.1\nHost: t\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: t\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nA:\nB:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\n\n",
    ] {
        assert_eq!(decode_request(text, &LIMITS, &mut head), Err(ParseError::BareLf), "{}", text.escape_ascii());
    }
}

#[test]
fn errors_have_names_of_their_own_and_a_fitting_status() {
    let mut slugs: Vec<_> = ParseError::ALL.iter().map(|error| error.slug()).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), ParseError::ALL.len());
    for error in ParseError::ALL {
        assert!([400, 414, 417, 431, 501, 505].contains(&error.status()), "{error:?}");
        assert!(error.to_string().ends_with('.'), "{error:?} is a sentence");
    }
}
