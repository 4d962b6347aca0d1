//! A response head is found and read in one way, however it arrives.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reviver_http::{Framing, HeadLimits, HeadScan, Method, ParseError, ResponseHead, decode_response};

const LIMITS: HeadLimits = HeadLimits { head: 16384, fields: 100, target: 4096 };

fn head_length(data: &[u8], step: usize) -> Result<Option<usize>, ParseError> {
    let mut scan = HeadScan::for_responses(LIMITS);
    for have in (0..data.len()).step_by(step).chain([data.len()]) {
        let found = scan.scan(&data[..have]);
        if found != Ok(None) {
            return found;
        }
    }
    Ok(None)
}

fuzz_target!(|data: &[u8]| {
    let whole = head_length(data, data.len().max(1));
    assert_eq!(head_length(data, 1), whole, "byte by byte");

    for method in [Method::Get, Method::Head, Method::Connect] {
        let mut head = ResponseHead::default();
        // the decoder alone must stand any input
        let _ = decode_response(data, method, &LIMITS, &mut head);
        let Ok(Some(length)) = whole else {
            continue;
        };
        if decode_response(&data[..length], method, &LIMITS, &mut head).is_err() {
            continue;
        }
        assert!((100..1000).contains(&head.status));
        assert!(head.framing != Framing::UntilClose || !head.keep_alive);
        if method == Method::Head || matches!(head.status, 100..=199 | 204 | 304) {
            assert_eq!(head.framing, Framing::None);
        }
    }
});
