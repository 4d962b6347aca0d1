//! RFC 9211: what is said of one request.

use proptest::prelude::*;
use reviver_cache::{CacheStatus, Why, write_cache_status};
use sfv::{BareItem, List, ListEntry, Parser};

const HIT: CacheStatus<'static> = CacheStatus {
    name: b"reviver",
    hit: true,
    why: Why::Fresh,
    ttl: Some(30),
    forward_status: None,
    stored: false,
    collapsed: false,
    key: None,
    detail: None,
};
const MISS: CacheStatus<'static> =
    CacheStatus { hit: false, why: Why::UriMiss, ttl: None, forward_status: Some(200), ..HIT };

fn told(status: &CacheStatus<'_>) -> String {
    let mut out = Vec::new();
    write_cache_status(status, &mut out);
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn rfc9211_2_parameters_say_what_was_done() {
    for (status, text) in [
        (HIT, "reviver; hit; ttl=30"),
        (CacheStatus { key: Some(b"http://t/"), ..HIT }, "reviver; hit; ttl=30; key=\"http://t/\""),
        (CacheStatus { why: Why::MaxStale, ttl: Some(-5), ..HIT }, "reviver; hit; ttl=-5; detail=max_stale"),
        (CacheStatus { why: Why::Revalidating, ..HIT }, "reviver; hit; ttl=30; detail=stale_while_revalidate"),
        (CacheStatus { why: Why::OnError, ..HIT }, "reviver; hit; ttl=30; detail=stale_if_error"),
        (MISS, "reviver; fwd=uri-miss; fwd-status=200"),
        (CacheStatus { forward_status: None, ..MISS }, "reviver; fwd=uri-miss"),
        (
            CacheStatus {
                why: Why::Stale,
                forward_status: Some(304),
                stored: true,
                ttl: Some(60),
                collapsed: true,
                key: Some(b"k"),
                ..MISS
            },
            "reviver; fwd=stale; fwd-status=304; stored; ttl=60; collapsed; key=\"k\"",
        ),
        (CacheStatus { detail: Some("no_store"), ..MISS }, "reviver; fwd=uri-miss; fwd-status=200; detail=no_store"),
        (CacheStatus { why: Why::NoCache, ..MISS }, "reviver; fwd=stale; fwd-status=200; detail=no_cache"),
        (CacheStatus { why: Why::Upgrade, ..MISS }, "reviver; fwd=bypass; fwd-status=200; detail=upgrade"),
        (CacheStatus { name: b"10.0.0.1", ..HIT }, "\"10.0.0.1\"; hit; ttl=30"),
        (CacheStatus { ttl: Some(i64::MAX), ..HIT }, "reviver; hit; ttl=999999999999999"),
    ] {
        assert_eq!(told(&status), text);
    }
}

#[test]
fn rfc9211_2_2_each_reason_is_a_registered_one() {
    let registered = ["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"];
    for &why in Why::ALL {
        let text = told(&CacheStatus { why, forward_status: None, ..MISS });
        let fwd = text.strip_prefix("reviver; fwd=").and_then(|rest| rest.split("; ").next()).expect("a reason");
        assert!(registered.contains(&fwd), "{text}");
    }
}

#[test]
fn rfc9651_3_3_3_a_key_becomes_a_string() {
    let key = |key: &[u8]| told(&CacheStatus { key: Some(key), ttl: None, ..HIT });
    assert_eq!(key(b"http://t/\"a\\\nx:1\xc3\xa9~"), "reviver; hit; key=\"http://t/\\\"a\\\\%0Ax:1%C3%A9~\"");
    assert_eq!(key(&[b'a'; 300]), format!("reviver; hit; key=\"{}\"", "a".repeat(200)));
    // no half of an escape
    assert_eq!(key(&[[b'a'; 199], [b'"'; 199]].concat()), format!("reviver; hit; key=\"{}\"", "a".repeat(199)));
    assert_eq!(key(&[[b'a'; 198], [0xff; 198]].concat()), format!("reviver; hit; key=\"{}\"", "a".repeat(198)));
}

proptest! {
    #[test]
    fn rfc9211_2_a_member_is_read_as_it_was_meant(
        name in prop::collection::vec(any::<u8>(), 0..12),
        key in prop::collection::vec(any::<u8>(), 0..300),
        why in prop::sample::select(Why::ALL),
        (hit, stored, collapsed) in any::<(bool, bool, bool)>(),
        ttl in any::<Option<i64>>(),
    ) {
        let status = CacheStatus { name: &name, key: Some(&key), why, hit, stored, collapsed, ttl, ..MISS };
        let text = told(&status);
        let list: List = Parser::new(&text).parse().expect("a structured field");
        prop_assert_eq!(list.len(), 1);
        let ListEntry::Item(item) = &list[0] else { panic!("{text}") };
        prop_assert!(matches!(item.bare_item, BareItem::Token(_) | BareItem::String(_)));
        let has = |name: &str| item.params.contains_key(name);
        prop_assert_eq!((has("hit"), has("fwd"), has("fwd-status")), (hit, !hit, !hit));
        prop_assert_eq!((has("stored"), has("collapsed"), has("ttl")), (stored && !hit, collapsed, ttl.is_some()));
        let key = item.params.get("key").and_then(BareItem::as_string).expect("a key");
        prop_assert!(key.as_str().len() <= 200);
    }
}
