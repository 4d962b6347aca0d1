//! What is done with each request that is served from the store takes nothing from the heap.

#[path = "../../reviver-testkit/counting.rs"]
mod counting;
mod heads;

use counting::allocations;
use heads::{get, meta, request, stored};
use reviver_cache::{
    CacheStatus, KeyRule, Precondition, Ranges, Why, if_range_holds, parse_ranges, precondition, write_cache_status,
    write_key, write_selecting,
};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_key_and_a_variant_are_written_without_the_heap() {
    let head = request(
        "GET /a?b=1&utm_source=x&a=2",
        &["Host: t:8080", "Accept-Encoding: gzip, br;q=0.5", "Accept: text/html, */*", "Cookie: group=a", "X-A: 1"],
    );
    let picky = KeyRule {
        query_ignore: names(&["utm_*"]),
        query_sort: true,
        headers: names(&["x-a", "x-b"]),
        cookies: names(&["group"]),
        ..KeyRule::default()
    };
    let selecting = names(&["accept", "accept-encoding", "x-a", "x-b"]);
    let mut out = Vec::with_capacity(1024);
    assert_eq!(
        allocations(|| {
            write_key(&KeyRule::default(), b"http", &head, &mut out);
            write_key(&picky, b"http", &head, &mut out);
            write_selecting(&selecting, &head, &mut out);
        }),
        0
    );
    assert!(out.ends_with(b"accept:text/html,*/*\naccept-encoding:br,gzip\nx-a:1\nx-b\n"));
}

#[test]
fn a_hit_is_answered_without_the_heap() {
    let fields = stored(&["ETag: \"a\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Content-Type: text/plain"]);
    let head = get(&["If-None-Match: \"b\", \"a\"", "Range: bytes=0-1,4-5,8-9", "If-Range: \"a\""]);
    let status = CacheStatus {
        name: b"reviver",
        hit: true,
        why: Why::Fresh,
        ttl: Some(30),
        forward_status: None,
        stored: false,
        collapsed: false,
        key: Some(b"http://t/"),
        detail: None,
    };
    let mut out = Vec::with_capacity(1024);
    assert_eq!(
        allocations(|| {
            write_cache_status(&status, &mut out);
            assert_eq!(precondition(&head, fields.as_bytes(), &meta(200)), Precondition::NotModified);
            assert!(if_range_holds(&head, fields.as_bytes(), &meta(200)));
            assert!(matches!(parse_ranges(&head, 10), Ranges::Many(list) if list.len() == 3));
        }),
        0
    );
    assert!(!out.is_empty());
}
