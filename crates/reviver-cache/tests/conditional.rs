//! Preconditions (RFC 9110, section 13; RFC 9111, section 4.3).

mod heads;

use heads::{NOVEMBER, get, meta, request, stored};
use reviver_cache::Precondition::{NotModified, Proceed};
use reviver_cache::{Meta, Precondition, precondition, write_validators};
use reviver_http::H1Sink;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// Of a GET with these fields for a 200 with those.
fn asked(fields: &[&str], has: &[&str]) -> Precondition {
    precondition(&get(fields), stored(has).as_bytes(), &meta(200))
}

#[test]
fn rfc9110_13_1_2_if_none_match_compares_weakly() {
    for (tag, asks, verdict) in [
        ("\"a\"", "\"a\"", NotModified),
        ("\"a\"", "W/\"a\"", NotModified),
        ("W/\"a\"", "\"a\"", NotModified),
        ("W/\"a\"", "W/\"a\"", NotModified),
        ("\"a\"", "\"b\"", Proceed),
        ("\"a\"", "\"A\"", Proceed),
        ("\"a\"", "\"x\", W/\"a\" , \"y\"", NotModified),
        ("\"a\"", ",, \"a\",", NotModified),
        ("\"a\"", "\"x\",\"y\"", Proceed),
        ("\"a, b\"", "\"a", Proceed),
        ("\"a,b\"", "\"x\", \"a,b\"", NotModified),
        ("\"\"", "\"\"", NotModified),
        ("\"a\"", "*", NotModified),
        ("\"\u{e9}\"", "\"\u{e9}\"", NotModified),
    ] {
        assert_eq!(asked(&[&format!("If-None-Match: {asks}")], &[&format!("ETag: {tag}")]), verdict, "{tag} {asks}");
    }
    assert_eq!(asked(&["If-None-Match: \"x\"", "If-None-Match: \"a\""], &["ETag: \"a\""]), NotModified);
    assert_eq!(asked(&["If-None-Match: *"], &[]), NotModified);
    assert_eq!(asked(&["If-None-Match: \"a\""], &[]), Proceed);
    assert_eq!(asked(&[], &["ETag: \"a\""]), Proceed);
}

#[test]
fn rfc9110_13_1_2_a_malformed_list_names_nothing() {
    for asks in ["a", "\"a\" \"a\"", "\"a\", b", "w/\"a\"", "\"a", "a\"", "W/ \"a\"", "\"a\", *", "'a'", "\"a\"x", ""] {
        assert_eq!(asked(&[&format!("If-None-Match: {asks}")], &["ETag: \"a\""]), Proceed, "{asks}");
    }
    assert_eq!(asked(&["If-None-Match: *", "If-None-Match: \"b\""], &["ETag: \"a\""]), Proceed);
}

#[test]
fn an_invalid_or_contradictory_stored_tag_matches_nothing() {
    assert_eq!(asked(&["If-None-Match: \"a\""], &["ETag: a"]), Proceed);
    assert_eq!(asked(&["If-None-Match: \"a\""], &["ETag: \"a\"", "ETag: \"b\""]), Proceed);
    assert_eq!(asked(&["If-None-Match: \"a\""], &["ETag: \"a\"", "ETag: \"a\""]), NotModified);
}

#[test]
fn rfc9110_13_1_3_if_modified_since_compares_times() {
    for (since, verdict) in [
        (DATE, NotModified),
        (AFTER, NotModified),
        (BEFORE, Proceed),
        ("Sunday, 06-Nov-94 08:49:37 GMT", NotModified),
        ("Sun Nov  6 08:49:37 1994", NotModified),
    ] {
        let field = format!("If-Modified-Since: {since}");
        assert_eq!(asked(&[&field], &[&format!("Last-Modified: {DATE}")]), verdict, "{since}");
    }
}

#[test]
fn rfc9110_13_1_3_a_malformed_date_is_ignored() {
    let modified = format!("Last-Modified: {DATE}");
    for since in ["", "0", "yesterday", "Sun, 06 Nov 2094 08:49:37", "Mon, 31 Feb 2094 00:00:00 GMT", "4000000000"] {
        assert_eq!(asked(&[&format!("If-Modified-Since: {since}")], &[&modified]), Proceed, "{since}");
    }
    let two = [format!("If-Modified-Since: {DATE}"), format!("If-Modified-Since: {AFTER}")];
    assert_eq!(asked(&[&two[0], &two[1]], &[&modified]), Proceed);
}

#[test]
fn rfc9111_4_3_2_without_last_modified_the_date_of_the_response_counts() {
    let head = get(&[&format!("If-Modified-Since: {DATE}")]);
    for (date_ms, verdict) in [(NOVEMBER, NotModified), (NOVEMBER - 1, NotModified), (NOVEMBER + 1, Proceed)] {
        let meta = Meta { date_ms, ..meta(200) };
        assert_eq!(precondition(&head, b"", &meta), verdict);
        assert_eq!(precondition(&head, b"Last-Modified: never\r\n", &meta), verdict);
    }
}

#[test]
fn rfc9110_13_2_2_if_modified_since_does_not_count_beside_if_none_match() {
    let has = ["ETag: \"a\"", &format!("Last-Modified: {DATE}")];
    let since = |date: &str| format!("If-Modified-Since: {date}");
    assert_eq!(asked(&["If-None-Match: \"b\"", &since(DATE)], &has), Proceed);
    assert_eq!(asked(&["If-None-Match: b", &since(DATE)], &has), Proceed);
    assert_eq!(asked(&["If-None-Match: \"a\"", &since(BEFORE)], &has), NotModified);
}

#[test]
fn rfc9110_13_2_1_only_a_success_is_not_modified() {
    let head = get(&["If-None-Match: *"]);
    for status in [200, 203, 204, 206, 299] {
        assert_eq!(precondition(&head, b"", &meta(status)), NotModified, "{status}");
    }
    for status in [300, 301, 404, 410, 500] {
        assert_eq!(precondition(&head, b"", &meta(status)), Proceed, "{status}");
    }
}

#[test]
fn rfc9110_13_1_2_only_get_and_head_are_answered_with_304() {
    for (method, verdict) in [("GET", NotModified), ("HEAD", NotModified), ("PUT", Proceed), ("QUERY", Proceed)] {
        let head = request(&format!("{method} /"), &["Host: t", "If-None-Match: *"]);
        assert_eq!(precondition(&head, b"", &meta(200)), verdict, "{method}");
    }
}

#[test]
fn rfc9111_4_3_1_stored_validators_are_sent_as_they_stand() {
    for (fields, sent) in [
        (&["ETag: W/\"a\""][..], "If-None-Match: W/\"a\"\r\n"),
        (&["Last-Modified: Sunday, 06-Nov-94 08:49:37 GMT"], "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n"),
        (
            &["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "etag: \"a\""],
            "If-None-Match: \"a\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        ),
        (&["ETag: a", "Last-Modified: now", "Date: Sun, 06 Nov 1994 08:49:37 GMT"], ""),
        (&["ETag: \"a\"", "ETag: \"b\""], ""),
        (&[], ""),
    ] {
        let mut out = Vec::new();
        let any = write_validators(stored(fields).as_bytes(), &mut H1Sink(&mut out));
        assert_eq!((String::from_utf8(out).expect("ASCII").as_str(), any), (sent, !sent.is_empty()), "{fields:?}");
    }
}
