//! Decisions on the way of a request take nothing from the heap.

mod common;
#[path = "../../reviver-testkit/counting.rs"]
mod counting;

use common::{address, request};
use counting::allocations;
use reviver_policy::{Matcher, NetSet, PathPattern, PathRewrite, Router, ValuePattern, client_address, is_private};

#[test]
fn a_route_is_found_without_the_heap() {
    let value = |text: &str| ValuePattern::Exact(text.to_owned());
    let picky = Matcher {
        host: vec!["*.example".into()],
        path: vec![PathPattern::Exact("/a b".into()), PathPattern::Prefix("/v1/".into())],
        method: vec!["GET".into()],
        header: vec![("x-beta".into(), value("1"))],
        query: vec![("v".into(), value("a b")), ("w".into(), ValuePattern::Regex("^[0-9]".into()))],
        cookie: vec![("group".into(), value("a"))],
        client: vec!["10.0.0.0/8".parse().expect("a network")],
        certificate: None,
    };
    let other = Matcher { cookie: vec![("group".into(), value("b"))], ..picky.clone() };
    let router = Router::new(vec![other, picky]).expect("a router");
    let head = request("GET /%761/x?v=a%20b&w=7", "Shop.Example", &["X-Beta: 1", "Cookie: x=1; group=a"]);
    let client = address("10.1.2.3");
    // a regular expression sets up its caches when it is first used
    assert_eq!(router.find(&head, client), Some(1));
    let count = allocations(|| assert_eq!(router.find(&head, client), Some(1)));
    assert_eq!(count, 0);
}

#[test]
fn addresses_and_prefixes_are_judged_without_the_heap() {
    let trusted = NetSet::new(["10.0.0.0/8".parse().expect("a network")]);
    let rewrite = PathRewrite::new(Some("/v1"), None, Some("/app")).expect("a rewrite");
    let (peer, mut out) = (address("10.0.0.1"), Vec::with_capacity(256));
    let count = allocations(|| {
        let forwarded = [&b"for=\"[2001:470::1]:4711\", for=10.0.0.2"[..]];
        let client = client_address(peer, std::iter::empty(), forwarded.into_iter(), &trusted);
        assert!(!is_private(client));
        assert!(rewrite.apply(b"/v1/a b", &mut out));
    });
    assert_eq!((out.as_slice(), count), (&b"/app/a%20b"[..], 0));
}
