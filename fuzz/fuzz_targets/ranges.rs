//! Ranges lie within the response, apart from each other, and are few; a Content-Range that is read is written as it
//! was meant; preconditions and validators of any text end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reviver_cache::{ContentRange, Meta, Ranges, if_range_holds, parse_ranges, precondition, write_validators};
use reviver_http::{H1Sink, HeadLimits, RequestHead, decode_request};

const LIMITS: HeadLimits = HeadLimits { head: 16384, fields: 10, target: 100 };

/// A GET with one field of these bytes, where they may stand in one.
fn get(field: &str, value: &[u8]) -> Option<RequestHead> {
    let text = [b"GET / HTTP/1.1\r\nHost: t\r\n", field.as_bytes(), b": ", value, b"\r\n\r\n"].concat();
    let mut head = RequestHead::default();
    decode_request(&text, &LIMITS, &mut head).ok().map(|()| head)
}

fn ranges(head: &RequestHead, length: u64) {
    let list = match parse_ranges(head, length) {
        Ranges::Whole | Ranges::Unsatisfiable => return,
        Ranges::One(start, end) => vec![(start, end)],
        Ranges::Many(list) => {
            assert!(list.len() > 1 && list.len() <= 16);
            list.to_vec()
        }
    };
    for (index, &(start, end)) in list.iter().enumerate() {
        assert!(start < end && end <= length, "{list:?}");
        assert!(list[..index].iter().all(|&(from, to)| end < from || to < start), "{list:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((length, value)) = data.split_first_chunk::<8>() else {
        return;
    };
    let length = u64::from_be_bytes(*length);
    if let Some(head) = get("Range", value) {
        for length in [length, length >> 32, length >> 56] {
            ranges(&head, length);
        }
    }
    if let Some(range) = ContentRange::parse(value) {
        assert!(range.start < range.end && range.complete.is_none_or(|complete| range.end <= complete));
        let mut out = Vec::new();
        range.write(&mut out);
        assert_eq!(ContentRange::parse(&out), Some(range), "{}", out.escape_ascii());
    }
    let meta = Meta { status: 200, date_ms: length, ..Meta::default() };
    for (field, stored) in
        [("If-None-Match", "ETag: "), ("If-Modified-Since", "Last-Modified: "), ("If-Range", "ETag: ")]
    {
        let Some(head) = get(field, value) else { continue };
        let fields = [stored.as_bytes(), value, b"\r\n"].concat();
        precondition(&head, &fields, &meta);
        if_range_holds(&head, &fields, &meta);
        let mut out = Vec::new();
        assert_eq!(write_validators(&fields, &mut H1Sink(&mut out)), !out.is_empty());
    }
});
