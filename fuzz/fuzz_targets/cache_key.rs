//! A key is one line, and one more for each header and cookie that the rule names, whatever a client writes. A filtered
//! query is made of parameters that were there.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reviver_cache::{KeyRule, write_key, write_selecting};
use reviver_http::{HeadLimits, RequestHead, decode_request};

const LIMITS: HeadLimits = HeadLimits { head: 16384, fields: 100, target: 4096 };

fn key(rule: &KeyRule, head: &RequestHead) -> Vec<u8> {
    let mut out = Vec::new();
    write_key(rule, b"http", head, &mut out);
    out
}

fuzz_target!(|data: &[u8]| {
    let mut head = RequestHead::default();
    if decode_request(data, &LIMITS, &mut head).is_err() {
        return;
    }
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let whole = KeyRule::default();
    let plain = key(&whole, &head);
    let told = plain.escape_ascii();
    let end = [head.path(), head.query().map_or(&b""[..], |_| b"?"), head.query().unwrap_or_default()].concat();
    assert!(plain.starts_with(b"http://") && plain.ends_with(&end), "{told}");
    assert!(!plain.iter().any(|byte| b"\r\n\0".contains(byte)), "{told}");

    let lines = KeyRule { headers: names(&["host", "x-a"]), cookies: names(&["a"]), ..whole.clone() };
    let long = key(&lines, &head);
    assert!(long.starts_with(&plain), "{told}");
    assert_eq!(long.iter().filter(|byte| **byte == b'\n').count(), 3, "{}", long.escape_ascii());
    assert!(!long.contains(&b'\r'), "{}", long.escape_ascii());

    let filtered = KeyRule { query_ignore: names(&["a", "b*"]), query_sort: true, ..whole.clone() };
    let short = key(&filtered, &head);
    assert!(short.len() <= plain.len(), "{told}");
    if let Some(query) = head.query() {
        let kept = short.iter().position(|byte| *byte == b'?').map_or(&b""[..], |mark| &short[mark + 1..]);
        for parameter in kept.split(|byte| *byte == b'&').filter(|parameter| !parameter.is_empty()) {
            assert!(query.split(|byte| *byte == b'&').any(|other| other == parameter), "{told}");
        }
    }

    let selecting = names(&["accept", "accept-encoding", "accept-language", "cookie", "user-agent", "x-a"]);
    let mut out = Vec::new();
    write_selecting(&selecting, &head, &mut out);
    let lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), selecting.len() + 1, "{}", out.escape_ascii());
    for (line, name) in lines.iter().zip(&selecting) {
        assert_eq!(line.split(|byte| *byte == b':').next(), Some(name.as_bytes()), "{}", out.escape_ascii());
    }
});
