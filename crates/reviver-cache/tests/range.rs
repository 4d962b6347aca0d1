//! Ranges (RFC 9110, section 14) and the parts that are stored of a response (RFC 9111, section 3.4).

mod heads;

use heads::{NOVEMBER, get, meta, request, stored};
use proptest::collection::vec;
use proptest::prelude::*;
use reviver_cache::Ranges::{Many, One, Unsatisfiable, Whole};
use reviver_cache::{
    ContentRange, Meta, Parts, Ranges, if_range_holds, parse_ranges, parts_length, write_part_head, write_parts_end,
};

fn ranges(value: &str, length: u64) -> Ranges {
    parse_ranges(&get(&[&format!("Range: {value}")]), length)
}

fn many(list: &[(u64, u64)]) -> Ranges {
    Many(list.iter().copied().collect())
}

#[test]
fn rfc9110_14_1_2_one_range() {
    for (value, length, range) in [
        ("bytes=0-0", 10, One(0, 1)),
        ("bytes=0-9", 10, One(0, 10)),
        ("bytes=3-5", 10, One(3, 6)),
        ("bytes=3-", 10, One(3, 10)),
        ("bytes=3-99", 10, One(3, 10)),
        ("bytes=-3", 10, One(7, 10)),
        ("bytes=-10", 10, One(0, 10)),
        ("bytes=-99", 10, One(0, 10)),
        ("BYTES=1-2", 10, One(1, 3)),
        ("bytes= 1-2 ,", 10, One(1, 3)),
        ("bytes=007-08", 10, One(7, 9)),
        ("bytes=3-18446744073709551615", 10, One(3, 10)),
        ("bytes=3-99999999999999999999999", 10, One(3, 10)),
        ("bytes=-99999999999999999999999", 10, One(0, 10)),
        ("bytes=0-", u64::MAX, One(0, u64::MAX)),
    ] {
        assert_eq!(ranges(value, length), range, "{value}");
    }
}

#[test]
fn rfc9110_14_2_a_range_that_cannot_be_read_is_ignored() {
    for value in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-3",
        "bytes=0-1,5-3",
        "bytes=0-1,x",
        "bytes=1",
        "bytes=+1-2",
        "bytes=1- 2",
        "bytes=0x1-2",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes 0-1",
        "bytes =0-1",
        "bytes=0-1;2-3",
        "items=0-1",
        "byte=0-1",
        "bytesx=0-1",
        "bytes=\u{661}-2",
    ] {
        assert_eq!(ranges(value, 10), Whole, "{value}");
    }
    assert_eq!(parse_ranges(&get(&[]), 10), Whole);
    assert_eq!(parse_ranges(&get(&["Range: bytes=0-1", "Range: bytes=2-3"]), 10), Whole);
}

#[test]
fn rfc9110_14_2_a_range_counts_with_get_alone() {
    for method in ["HEAD", "POST", "QUERY"] {
        let head = request(&format!("{method} /"), &["Host: t", "Range: bytes=0-1"]);
        assert_eq!(parse_ranges(&head, 10), Whole, "{method}");
    }
}

#[test]
fn rfc9110_15_5_17_what_is_not_there_is_unsatisfiable() {
    for (value, length) in [
        ("bytes=10-", 10),
        ("bytes=10-20,30-", 10),
        ("bytes=-0", 10),
        ("bytes=0-", 0),
        ("bytes=0-0,5-", 0),
        ("bytes=99999999999999999999999-", 10),
    ] {
        assert_eq!(ranges(value, length), Unsatisfiable, "{value}");
    }
    // a suffix of nothing is satisfiable (section 14.1.2), and no part can say so
    assert_eq!(ranges("bytes=-5", 0), Whole);
    assert_eq!(ranges("bytes=-0", 0), Unsatisfiable);
}

#[test]
fn rfc9110_15_3_7_2_several_ranges_keep_their_order_and_are_joined() {
    for (value, expected) in [
        ("bytes=0-1,4-5", many(&[(0, 2), (4, 6)])),
        ("bytes=4-5, 0-1", many(&[(4, 6), (0, 2)])),
        ("bytes=-1,0-0", many(&[(9, 10), (0, 1)])),
        ("bytes=0-1,99-", One(0, 2)),
        ("bytes=0-1,2-3", One(0, 4)),
        ("bytes=2-3,0-1", One(0, 4)),
        ("bytes=0-5,3-8", One(0, 9)),
        ("bytes=0-0,8-9,2-2,0-2", many(&[(0, 3), (8, 10)])),
        ("bytes=8-9,0-0,4-4,1-3", many(&[(8, 10), (0, 5)])),
    ] {
        assert_eq!(ranges(value, 10), expected, "{value}");
    }
}

#[test]
fn rfc9110_17_15_too_many_or_too_large_ranges_are_ignored() {
    let scattered = |count: u64| {
        let list: Vec<String> = (0..count).map(|n| format!("{}-{}", n * 3, n * 3)).collect();
        format!("bytes={}", list.join(","))
    };
    assert!(matches!(ranges(&scattered(16), 1000), Many(list) if list.len() == 16));
    assert_eq!(ranges(&scattered(17), 1000), Whole);
    assert_eq!(ranges("bytes=0-,0-", 10), One(0, 10));
    assert_eq!(ranges("bytes=0-,0-,0-0", 10), Whole);
}

#[test]
fn rfc9110_13_1_5_if_range_compares_strongly() {
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let modified = format!("Last-Modified: {DATE}");
    let has = ["ETag: \"a\"", &modified];
    let later = Meta { date_ms: NOVEMBER + 1000, ..meta(200) };
    let holds = |fields: &[&str], has: &[&str], meta: &Meta| if_range_holds(&get(fields), stored(has).as_bytes(), meta);
    assert!(holds(&[], &has, &later));
    for (value, expected) in [
        ("\"a\"", true),
        ("\"b\"", false),
        ("W/\"a\"", false),
        ("\"a\", \"b\"", false),
        ("a", false),
        ("*", false),
        ("", false),
        (DATE, true),
        ("Sunday, 06-Nov-94 08:49:37 GMT", true),
        ("Sun, 06 Nov 1994 08:49:36 GMT", false),
        ("Sun, 06 Nov 1994 08:49:38 GMT", false),
    ] {
        assert_eq!(holds(&[&format!("If-Range: {value}")], &has, &later), expected, "{value}");
    }
    assert!(!holds(&["If-Range: \"a\""], &["ETag: W/\"a\""], &later));
    assert!(!holds(&["If-Range: W/\"a\""], &["ETag: W/\"a\""], &later));
    assert!(!holds(&["If-Range: \"a\"", "If-Range: \"b\""], &has, &later));
    assert!(!holds(&["If-Range: \"a\""], &[], &later));
    assert!(!holds(&[&format!("If-Range: {DATE}")], &["ETag: \"a\""], &later));
}

#[test]
fn rfc9110_8_8_2_2_a_date_of_the_same_second_is_weak() {
    let head = get(&["If-Range: Sun, 06 Nov 1994 08:49:37 GMT"]);
    for (date_ms, expected) in [(NOVEMBER, false), (NOVEMBER + 999, false), (NOVEMBER + 1000, true)] {
        let meta = Meta { date_ms, ..meta(200) };
        let holds = if_range_holds(&head, b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", &meta);
        assert_eq!(holds, expected);
    }
}

#[test]
fn rfc9110_14_4_content_range_is_read_or_refused() {
    let part = |start, end, complete| Some(ContentRange { start, end, complete });
    for (value, expected) in [
        ("bytes 0-0/1", part(0, 1, Some(1))),
        ("Bytes 2-5/10", part(2, 6, Some(10))),
        ("bytes 2-5/*", part(2, 6, None)),
        ("bytes */10", None),
        ("bytes 5-2/10", None),
        ("bytes 0-10/10", None),
        ("bytes 0-5/5", None),
        ("bytes 0-5", None),
        ("bytes 0-/10", None),
        ("bytes -5/10", None),
        ("bytes 0-5/", None),
        ("bytes=0-5/10", None),
        ("bytes0-5/10", None),
        ("items 0-5/10", None),
        ("bytes 0-5/10, bytes 6-7/10", None),
        ("bytes +0-5/10", None),
        ("bytes 0-18446744073709551615/*", None),
        ("", None),
    ] {
        assert_eq!(ContentRange::parse(value.as_bytes()), expected, "{value}");
    }
}

#[test]
fn rfc9110_15_5_17_a_416_tells_the_length() {
    let mut out = Vec::new();
    ContentRange { start: 0, end: 0, complete: Some(10) }.write(&mut out);
    assert_eq!(out, b"bytes */10");
}

#[test]
fn rfc9110_14_6_parts_have_heads_of_their_own() {
    let mut out = Vec::new();
    for (start, end) in [(0, 2), (4, 6)] {
        write_part_head(b"B", Some(b"text/plain"), ContentRange { start, end, complete: Some(10) }, &mut out);
        out.extend_from_slice(&b"0123456789"[start as usize..end as usize]);
    }
    write_parts_end(b"B", &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
         \r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 4-5/10\r\n\r\n45\r\n--B--\r\n"
    );
    assert_eq!(parts_length(b"B", Some(b"text/plain"), &[(0, 2), (4, 6)], Some(10)), out.len() as u64);
}

/// Runs of a row of bytes that may overlap.
fn runs() -> impl Strategy<Value = Vec<(u64, u64)>> {
    vec((0u64..64, 0u64..20).prop_map(|(start, length)| (start, start + length)), 0..12)
}

proptest! {
    #[test]
    fn rfc9110_14_1_2_no_byte_is_sent_that_was_not_asked_for(
        specs in vec((0u64..40, 0u64..12, 0..3), 1..16),
        length in 0u64..40,
    ) {
        let mut asked = vec![false; length as usize];
        let mut total = 0;
        let mut texts = Vec::new();
        for (first, count, form) in specs {
            let (text, start, end) = match form {
                0 => (format!("{first}-{}", first + count), first, first + count + 1),
                1 => (format!("{first}-"), first, length),
                _ => (format!("-{first}"), length.saturating_sub(first), length),
            };
            texts.push(text);
            for byte in start..end.min(length) {
                asked[byte as usize] = true;
                total += 1;
            }
        }
        let list = match ranges(&format!("bytes={}", texts.join(",")), length) {
            Whole => {
                prop_assert!(total > 2 * length || length == 0);
                return Ok(());
            }
            Unsatisfiable => Vec::new(),
            One(start, end) => vec![(start, end)],
            Many(list) => {
                prop_assert!(list.len() > 1);
                list.to_vec()
            }
        };
        let mut sent = vec![0; length as usize];
        for (start, end) in list {
            prop_assert!(start < end && end <= length);
            sent[start as usize..end as usize].iter_mut().for_each(|times| *times += 1);
        }
        prop_assert_eq!(sent, asked.into_iter().map(i32::from).collect::<Vec<_>>());
    }

    #[test]
    fn rfc9110_14_4_a_content_range_that_is_written_is_read_again(
        start in any::<u64>(), len in 1u64.., complete in any::<Option<u64>>(),
    ) {
        let range = ContentRange { start, end: start.saturating_add(len), complete };
        prop_assume!(range.start < range.end && complete.is_none_or(|complete| range.end <= complete));
        let mut out = Vec::new();
        range.write(&mut out);
        prop_assert_eq!(ContentRange::parse(&out), Some(range));
    }

    #[test]
    fn rfc9110_14_6_the_length_of_parts_is_known_before(
        boundary in "[a-z0-9]{1,40}", kind in proptest::option::of("[a-z]{1,9}/[a-z]{1,9}"), list in runs(),
        complete in any::<Option<u64>>(),
    ) {
        let kind = kind.as_ref().map(String::as_bytes);
        let mut out = Vec::new();
        for &(start, end) in &list {
            write_part_head(boundary.as_bytes(), kind, ContentRange { start, end, complete }, &mut out);
            out.resize(out.len() + (end - start) as usize, b'x');
        }
        write_parts_end(boundary.as_bytes(), &mut out);
        prop_assert_eq!(parts_length(boundary.as_bytes(), kind, &list, complete), out.len() as u64);
    }

    #[test]
    fn rfc9111_3_4_parts_cover_what_was_added_and_no_more(runs in runs(), asks in runs()) {
        let mut parts = Parts::default();
        let mut there = [false; 128];
        for (start, end) in runs {
            parts.insert(start, end);
            there[start as usize..end as usize].fill(true);
            let mut last = None;
            for &(from, to) in parts.as_slice() {
                prop_assert!(from < to && last.is_none_or(|last| last < from), "{:?}", parts);
                last = Some(to);
            }
        }
        let mut covered = [false; 128];
        for &(start, end) in parts.as_slice() {
            covered[start as usize..end as usize].fill(true);
        }
        prop_assert_eq!(covered, there);
        for (start, end) in asks {
            prop_assert_eq!(parts.covers(start, end), there[start as usize..end as usize].iter().all(|byte| *byte));
            prop_assert_eq!(parts.is_complete(end), there[..end as usize].iter().all(|byte| *byte));
        }
    }
}
