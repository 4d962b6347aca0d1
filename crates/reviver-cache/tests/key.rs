//! Keys tell apart what may differ, and nothing else.

mod heads;

use heads::{get, request};
use proptest::collection::vec;
use proptest::prelude::*;
use reviver_cache::{KeyRule, write_key};
use reviver_http::{HeadLimits, RequestHead, decode_request};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn key_of(rule: &KeyRule, scheme: &str, head: &RequestHead) -> String {
    let mut out = b"before ".to_vec();
    write_key(rule, scheme.as_bytes(), head, &mut out);
    let text = String::from_utf8(out).expect("a key of ASCII");
    text.strip_prefix("before ").expect("that the key is appended").to_owned()
}

/// Of a query of `http://t/a`; a `None` is no query at all.
fn query_key(rule: &KeyRule, query: &str) -> String {
    key_of(rule, "http", &request(&format!("GET /a{query}"), &["Host: t"]))
}

#[test]
fn a_key_is_the_url_as_it_stood_on_the_wire() {
    for (scheme, line, host, key) in [
        ("http", "GET /", "t", "http://t/"),
        ("http", "GET /", "T.Example:80", "http://t.example/"),
        ("http", "GET /", "t.", "http://t/"),
        ("http", "GET /", "t:443", "http://t:443/"),
        ("https", "GET /", "t:443", "https://t/"),
        ("https", "GET /", "t:80", "https://t:80/"),
        ("http", "GET /", "[2001:DB8::1]:8080", "http://[2001:db8::1]:8080/"),
        ("http", "GET /", "[::1]", "http://[::1]/"),
        ("http", "GET /A/../%7Eb//c", "t", "http://t/A/../%7Eb//c"),
        ("http", "GET /a?", "t", "http://t/a?"),
        ("http", "GET /a?B=1&a=%20?x", "t", "http://t/a?B=1&a=%20?x"),
        ("http", "GET http://u", "u", "http://u/"),
        ("http", "GET http://u:8080?q", "u:8080", "http://u:8080/?q"),
        ("http", "GET http://U/a?b", "u", "http://u/a?b"),
        ("http", "OPTIONS *", "t", "http://t*"),
    ] {
        let head = request(line, &[&format!("Host: {host}")]);
        assert_eq!(key_of(&KeyRule::default(), scheme, &head), key, "{line} {host}");
    }
}

#[test]
fn a_request_without_a_host_has_a_key_of_its_own() {
    let mut head = RequestHead::default();
    let limits = HeadLimits { head: 100, fields: 1, target: 100 };
    decode_request(b"GET /a HTTP/1.0\r\n\r\n", &limits, &mut head).expect("a good request");
    assert_eq!(key_of(&KeyRule::default(), "http", &head), "http:///a");
}

#[test]
fn what_a_rule_leaves_out_leaves_its_separators() {
    let head = request("GET /a?b=1", &["Host: t:81"]);
    let rule = KeyRule::default();
    for (rule, key) in [
        (KeyRule { scheme: false, ..rule.clone() }, "://t:81/a?b=1"),
        (KeyRule { host: false, ..rule.clone() }, "http:///a?b=1"),
        (KeyRule { path: false, ..rule.clone() }, "http://t:81?b=1"),
        (KeyRule { query_include: Some(Vec::new()), ..rule.clone() }, "http://t:81/a"),
        (KeyRule { scheme: false, host: false, path: false, ..rule }, "://?b=1"),
    ] {
        assert_eq!(key_of(&rule, "http", &head), key);
    }
}

#[test]
fn a_query_keeps_the_parameters_that_count() {
    let include = |list: &[&str]| KeyRule { query_include: Some(names(list)), ..KeyRule::default() };
    let ignore = |list: &[&str]| KeyRule { query_ignore: names(list), ..KeyRule::default() };
    let sort = KeyRule { query_sort: true, ..KeyRule::default() };
    for (rule, query, kept) in [
        (include(&[]), "?a=1&b", ""),
        (include(&["a"]), "?b=2&a=1&a=3&A=4", "?a=1&a=3"),
        (include(&["a b"]), "?a+b=1&a%20b=2&a%2=3", "?a+b=1&a%20b=2"),
        (include(&["a%"]), "?a%25=1&a%=2&a%zz=3", "?a%25=1&a%=2"),
        (include(&["p*"]), "?q=1&page=2&p", "?page=2&p"),
        (include(&["a"]), "?", ""),
        (ignore(&["utm_*", "fbclid"]), "?utm_source=x&a=1&fbclid=2&utm_=3&utm", "?a=1&utm"),
        (ignore(&["utm_*"]), "?%75tm_a=1&x=utm_a", "?x=utm_a"),
        (ignore(&["utm_*"]), "?utm_a=1", ""),
        (ignore(&["utm_*"]), "?&&a&", "?a"),
        (ignore(&["a"]), "", ""),
        (sort.clone(), "?b=2&a=1&a=0", "?a=0&a=1&b=2"),
        (sort.clone(), "?", "?"),
        (sort.clone(), "?b&&a", "?&a&b"),
        (
            KeyRule { query_include: Some(names(&["a", "b"])), query_sort: true, ..ignore(&["b"]) },
            "?b=1&c=1&a=1",
            "?a=1",
        ),
    ] {
        assert_eq!(query_key(&rule, query), format!("http://t/a{kept}"), "{query}");
    }
}

/// Some servers part parameters at `;` too: `utm_a=1;user=2` would carry `user` past the key.
#[test]
fn a_parameter_that_may_hide_another_counts() {
    for rule in [
        KeyRule { query_ignore: names(&["utm_*"]), ..KeyRule::default() },
        KeyRule { query_include: Some(names(&["page"])), ..KeyRule::default() },
    ] {
        assert_eq!(query_key(&rule, "?page=1&utm_a=1;user=2"), "http://t/a?page=1&utm_a=1;user=2");
    }
}

#[test]
fn named_headers_and_cookies_have_lines() {
    let rule = KeyRule { headers: names(&["x-a", "x-b"]), cookies: names(&["Group"]), ..KeyRule::default() };
    for (fields, lines) in [
        (&[][..], "\nx-a\nx-b\nGroup"),
        (&["X-A:", "Cookie: Group="], "\nx-a:\nx-b\nGroup:"),
        (&["X-A:  1\t", "X-B: 2", "x-a: 3"], "\nx-a:1, 3\nx-b:2\nGroup"),
        (&["Cookie: x=1; Group=a ;group=b; GroupX=c"], "\nx-a\nx-b\nGroup:a"),
        (&["Cookie: Group=a=b", "Cookie: Group=\"c\""], "\nx-a\nx-b\nGroup:a=b;\"c\""),
        (&["Cookie: Group"], "\nx-a\nx-b\nGroup"),
    ] {
        assert_eq!(key_of(&rule, "http", &get(fields)), format!("http://t/{lines}"), "{fields:?}");
    }
}

/// Which of two cookies of a name counts is the server's choice.
#[test]
fn a_second_cookie_does_not_hide_behind_the_first() {
    let rule = KeyRule { cookies: names(&["group"]), ..KeyRule::default() };
    let key = |cookies: &str| key_of(&rule, "http", &get(&[&format!("Cookie: {cookies}")]));
    assert_ne!(key("group=a; group=b"), key("group=a"));
    assert_ne!(key("group=a; group=b"), key("group=b; group=a"));
}

/// Pieces of heads that could be taken for structure.
fn piece() -> impl Strategy<Value = String> {
    let special =
        ["\n", "\r", "\r\n", ":", "x-a:1", "\nx-a:1", "?", "&", "/", "//", "#", "=", ";", "a", "utm_a", "%0a"];
    prop::sample::select(special.to_vec()).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    vec(piece(), 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_client_forges_a_line(path in text(), value in text(), cookie in text()) {
        let wire = format!("GET /{path} HTTP/1.1\r\nHost: t\r\nX-A: {value}\r\nCookie: c={cookie}\r\n\r\n");
        let mut head = RequestHead::default();
        let limits = HeadLimits { head: 65_536, fields: 100, target: 8_192 };
        if decode_request(wire.as_bytes(), &limits, &mut head).is_ok() {
            let rule = KeyRule { headers: names(&["x-a"]), cookies: names(&["c"]), ..KeyRule::default() };
            let key = key_of(&rule, "http", &head);
            prop_assert_eq!(key.matches(['\n', '\r']).count(), 2, "{:?}", key);
        }
    }

    #[test]
    fn the_order_of_parameters_counts_unless_they_are_sorted(
        shuffled in vec("[ab]{1,2}=[0-2]", 1..6).prop_flat_map(|p| (Just(p.clone()), Just(p).prop_shuffle())),
    ) {
        let (one, other) = (format!("?{}", shuffled.0.join("&")), format!("?{}", shuffled.1.join("&")));
        let sort = KeyRule { query_sort: true, ..KeyRule::default() };
        prop_assert_eq!(query_key(&sort, &one), query_key(&sort, &other));
        let plain = KeyRule::default();
        prop_assert_eq!(query_key(&plain, &one) == query_key(&plain, &other), one == other);
    }
}
