//! A request head is found and read in one way, however it arrives, and what is accepted can be written again
//! and is then read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reviver_http::{
    FieldKind, FieldSink, Framing, H1Sink, HeadLimits, HeadScan, ParseError, RequestHead, TargetForm, Version,
    decode_request, write_request_line,
};

const LIMITS: HeadLimits = HeadLimits { head: 16384, fields: 100, target: 4096 };

fn head_length(data: &[u8], step: usize) -> Result<Option<usize>, ParseError> {
    let mut scan = HeadScan::new(LIMITS);
    for have in (0..data.len()).step_by(step).chain([data.len()]) {
        let found = scan.scan(&data[..have]);
        if found != Ok(None) {
            return found;
        }
    }
    Ok(None)
}

fn rewritten(head: &RequestHead) -> Vec<u8> {
    let mut out = Vec::new();
    write_request_line(&mut out, head.method_text(), head.target());
    let mut sink = H1Sink(&mut out);
    for field in head.fields() {
        sink.field(head.name(field), head.value(field));
    }
    out.extend_from_slice(b"\r\n");
    out
}

fuzz_target!(|data: &[u8]| {
    let whole = head_length(data, data.len().max(1));
    assert_eq!(head_length(data, 1), whole, "byte by byte");

    // the decoder alone must stand any input
    let mut head = RequestHead::default();
    let _ = decode_request(data, &LIMITS, &mut head);

    let Ok(Some(length)) = whole else {
        return;
    };
    if decode_request(&data[..length], &LIMITS, &mut head).is_err() {
        return;
    }
    assert_ne!(head.framing, Framing::UntilClose);
    assert!(
        head.host().iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:".contains(byte))
    );
    assert!(head.version == Version::Http10 || !head.host().is_empty());
    assert!(head.values(FieldKind::Host).count() <= 1);
    if matches!(head.form, TargetForm::Origin) {
        assert!(head.path().starts_with(b"/") && head.normal_path().starts_with(b"/"));
        let mut segments = head.normal_path().split(|byte| *byte == b'/');
        assert!(segments.all(|segment| segment != b"." && segment != b".."));
    }
    if head.version == Version::Http11 {
        let mut again = RequestHead::default();
        let bytes = rewritten(&head);
        // one space may have come to each field
        let limits = HeadLimits { head: 2 * LIMITS.head, ..LIMITS };
        assert_eq!(decode_request(&bytes, &limits, &mut again), Ok(()), "{}", bytes.escape_ascii());
        assert_eq!((again.framing, again.host(), again.port), (head.framing, head.host(), head.port));
        assert_eq!(rewritten(&again), bytes);
    }
});
