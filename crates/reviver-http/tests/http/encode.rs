//! Bytes that the proxy writes.

use reviver_http::{
    FieldSink, H1Sink, reason_phrase, write_chunk_head, write_last_chunk, write_request_line, write_status_line,
};

#[test]
fn a_request_and_a_response() {
    let mut out = Vec::new();
    write_request_line(&mut out, b"GET", b"/a?b");
    H1Sink(&mut out).field(b"Host", b"t");
    assert_eq!(out, b"GET /a?b HTTP/1.1\r\nHost: t\r\n");
    out.clear();
    write_status_line(&mut out, 404, reason_phrase(404).as_bytes());
    assert_eq!(out, b"HTTP/1.1 404 Not Found\r\n");
}

#[test]
fn chunk_heads_are_hexadecimal() {
    for (length, line) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0x12_abcd, "12abcd\r\n")] {
        let mut out = Vec::new();
        write_chunk_head(&mut out, length);
        assert_eq!(out, line.as_bytes());
    }
    let mut out = Vec::new();
    write_chunk_head(&mut out, usize::MAX);
    assert_eq!(out, format!("{:x}\r\n", usize::MAX).as_bytes());
}

#[test]
fn the_last_chunk_carries_the_trailers() {
    let mut out = Vec::new();
    write_last_chunk(&mut out, std::iter::empty());
    assert_eq!(out, b"0\r\n\r\n");
    out.clear();
    write_last_chunk(&mut out, [(&b"A"[..], &b"b"[..])].into_iter());
    assert_eq!(out, b"0\r\nA: b\r\n\r\n");
}

#[test]
fn only_registered_statuses_have_a_phrase() {
    assert_eq!((reason_phrase(200), reason_phrase(418), reason_phrase(499), reason_phrase(999)), ("OK", "", "", ""));
    assert_eq!((100..600).filter(|&status| !reason_phrase(status).is_empty()).count(), 62);
}
