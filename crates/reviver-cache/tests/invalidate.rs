//! RFC 9111, section 4.4, and RFC 9875, section 3: what an unsafe request makes invalid.

mod heads;

use heads::{request, response};
use reviver_cache::invalidation;

/// Targets and groups of a POST to `http://t:8080/a/b?c`, in one list.
fn made_invalid(status: u16, fields: &[&str]) -> Vec<String> {
    let head = request("POST /a/b?c", &["Host: t:8080"]);
    let all = invalidation(b"http", &head, &response(status, fields)).unwrap_or_default();
    let targets = all.targets.into_iter().map(|target| String::from_utf8(target).expect("ASCII"));
    targets.chain(all.groups).collect()
}

#[test]
fn rfc9111_4_4_an_unsafe_method_invalidates_its_target() {
    for (method, unsafe_) in [
        ("POST", true),
        ("PUT", true),
        ("DELETE", true),
        ("PATCH", true),
        ("FROBNICATE", true),
        ("get", true),
        ("GET", false),
        ("HEAD", false),
        ("OPTIONS", false),
        ("TRACE", false),
        ("QUERY", false),
        ("PROPFIND", false),
        ("REPORT", false),
        ("SEARCH", false),
    ] {
        let head = request(&format!("{method} /a"), &["Host: t"]);
        let fields = ["Location: /b", "Cache-Group-Invalidation: \"g\""];
        assert_eq!(invalidation(b"http", &head, &response(200, &fields)).is_some(), unsafe_, "{method}");
    }
    let head = request("CONNECT t:443", &["Host: t:443"]);
    assert_eq!(invalidation(b"http", &head, &response(200, &[])), None);
}

#[test]
fn rfc9111_4_4_only_a_response_that_is_no_error_invalidates() {
    for status in [200, 201, 204, 299, 301, 303, 308] {
        assert_eq!(made_invalid(status, &[]), ["http://t:8080/a/b?c"], "{status}");
    }
    for status in [400, 404, 500, 503] {
        assert!(made_invalid(status, &["Location: /x"]).is_empty(), "{status}");
    }
}

#[test]
fn rfc9111_4_4_location_and_content_location_of_the_same_origin_are_invalid_too() {
    for (place, target) in [
        ("/x", "http://t:8080/x"),
        ("/x/../y?q#f", "http://t:8080/x/../y?q"),
        ("http://t:8080/x", "http://t:8080/x"),
        ("HTTP://T.:8080/X", "http://t:8080/X"),
        ("http://t:8080", "http://t:8080/"),
        ("http://t:8080?q", "http://t:8080/?q"),
        ("http://t:8080/#f", "http://t:8080/"),
        ("//t:8080/x", "http://t:8080/x"),
    ] {
        for field in ["Location", "Content-Location"] {
            let list = made_invalid(201, &[&format!("{field}: {place}")]);
            assert_eq!(list, ["http://t:8080/a/b?c", target], "{field}: {place}");
        }
    }
    let both = made_invalid(201, &["Content-Location: /x", "Location: /y", "Location: /a/b?c"]);
    assert_eq!(both, ["http://t:8080/a/b?c", "http://t:8080/y", "http://t:8080/x"]);
}

#[test]
fn rfc9111_4_4_another_origin_is_never_invalidated() {
    for place in [
        "http://u:8080/x",
        "http://t/x",
        "http://t:80/x",
        "https://t:8080/x",
        "//u/x",
        "//t/x",
        "http://t:8080@u/x",
        "http://u@t:8080/x",
        "http://t:8080.u/x",
        "http://t.u:8080/x",
        "http:///x",
        "http:/x",
        "http:x",
        "urn:x",
        "///x",
        "",
        "#f",
    ] {
        assert_eq!(made_invalid(201, &[&format!("Location: {place}")]), ["http://t:8080/a/b?c"], "{place}");
    }
}

#[test]
fn the_scheme_s_own_port_may_be_left_out() {
    for (scheme, host, place, target) in [
        ("http", "t", "http://t:80/x", "http://t/x"),
        ("http", "t:80", "http://t/x", "http://t/x"),
        ("https", "t", "https://t:443/x", "https://t/x"),
        ("https", "[::1]:443", "https://[::1]/x", "https://[::1]/x"),
    ] {
        let head = request("PUT /x", &[&format!("Host: {host}")]);
        let all = invalidation(scheme.as_bytes(), &head, &response(204, &[&format!("Location: {place}")]));
        // its own target is the same
        assert_eq!(all.expect("something").targets, [target.as_bytes()], "{place}");
    }
}

#[test]
fn rfc9875_3_groups_that_a_response_names_are_invalid() {
    let field = ["Cache-Group-Invalidation: \"g\", \"h\""];
    assert_eq!(made_invalid(200, &field), ["http://t:8080/a/b?c", "g", "h"]);
    assert!(made_invalid(500, &field).is_empty());
}
