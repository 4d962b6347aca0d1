//! Which route a request takes, and what is said of the routes that it does not take.

mod common;

use common::{address, request};
use proptest::prelude::*;
use reviver_http::RequestHead;
use reviver_policy::{Condition, Matcher, PathPattern, Router, ValuePattern};

fn router(matchers: Vec<Matcher>) -> Router {
    Router::new(matchers).expect("a router")
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

fn host(hosts: &[&str]) -> Matcher {
    Matcher { host: strings(hosts), ..Matcher::default() }
}

fn path(pattern: PathPattern) -> Matcher {
    Matcher { path: vec![pattern], ..Matcher::default() }
}

fn exactly(name: &str, value: &str) -> Vec<(String, ValuePattern)> {
    vec![(name.to_owned(), ValuePattern::Exact(value.to_owned()))]
}

fn matches(matcher: Matcher, head: &RequestHead) -> bool {
    router(vec![matcher]).find(head, address("192.0.2.1")) == Some(0)
}

#[test]
fn the_first_route_whose_conditions_hold_wins() {
    let routes = router(vec![
        Matcher {
            host: strings(&["api.example"]),
            path: vec![PathPattern::Prefix("/v1/".into())],
            ..Matcher::default()
        },
        host(&["*.example"]),
        host(&["api.example"]),
        Matcher { host: strings(&["late.example"]), ..Matcher::default() },
        Matcher { method: strings(&["POST"]), ..Matcher::default() },
    ]);
    let client = address("192.0.2.1");
    for (line, host, expected) in [
        ("GET /v1/x", "api.example", Some(0)),
        ("GET /v2/x", "api.example", Some(1)),
        ("GET /", "late.example", Some(1)),
        ("GET /", "a.b.example:8080", Some(1)),
        ("POST /", "other", Some(4)),
        ("GET /", "other", None),
        ("GET http://API.example/v1/x", "api.example", Some(0)),
    ] {
        assert_eq!(routes.find(&request(line, host, &[]), client), expected, "{line} {host}");
    }
    assert_eq!(Router::default().find(&request("GET /", "a", &[]), client), None);
}

#[test]
fn paths_match_normalised() {
    let (exact, prefix) = (|t: &str| path(PathPattern::Exact(t.into())), |t: &str| path(PathPattern::Prefix(t.into())));
    let regex = |t: &str| path(PathPattern::Regex(t.into()));
    for (matcher, target, expected) in [
        (exact("/a"), "/a", true),
        (exact("/a"), "/a?b", true),
        (exact("/a"), "/a/", false),
        (exact("/a"), "/%61", true),
        (exact("/a"), "/b/../a", true),
        (exact("/a"), "/A", false),
        (exact("/a b"), "/a%20b", true),
        (exact("/ä"), "/%c3%a4", true),
        (exact("/%2f"), "/%2F", true),
        (prefix("/v1/"), "/v1/x", true),
        (prefix("/v1/"), "/v1/", true),
        (prefix("/v1/"), "/v1", false),
        (prefix("/v1/"), "/v1/../admin", false),
        (prefix("/v1"), "/v10", true),
        (regex("^/[0-9]+$"), "/42", true),
        (regex("^/[0-9]+$"), "/42x", false),
        (regex("admin"), "/x/%61dmin/y", true),
    ] {
        let shown = format!("{:?} {target}", matcher.path);
        assert_eq!(matches(matcher, &request(&format!("GET {target}"), "h", &[])), expected, "{shown}");
    }
    let prefixes_and_exact = Matcher {
        path: vec![PathPattern::Exact("/a".into()), PathPattern::Prefix("/b/".into())],
        ..Matcher::default()
    };
    assert!(matches(prefixes_and_exact.clone(), &request("GET /b/c", "h", &[])));
    assert!(matches(prefixes_and_exact, &request("GET /a", "h", &[])));
}

#[test]
fn one_of_the_values_of_a_field_must_match() {
    let beta = || Matcher { header: exactly("x-beta", "1"), ..Matcher::default() };
    for (fields, expected) in [
        (&["X-Beta: 1"][..], true),
        (&["X-Beta: 0", "x-beta: 1"], true),
        (&["X-Beta: 10"], false),
        (&["X-Betas: 1"], false),
        (&[], false),
    ] {
        assert_eq!(matches(beta(), &request("GET /", "h", fields)), expected, "{fields:?}");
    }
    let present = Matcher { header: vec![("X-A".into(), ValuePattern::Present)], ..Matcher::default() };
    assert!(matches(present.clone(), &request("GET /", "h", &["x-a:"])));
    assert!(!matches(present, &request("GET /", "h", &[])));
    let both = Matcher { header: [exactly("a", "1"), exactly("b", "2")].concat(), ..Matcher::default() };
    assert!(matches(both.clone(), &request("GET /", "h", &["b: 2", "a: 1"])));
    assert!(!matches(both, &request("GET /", "h", &["a: 1"])));
}

#[test]
fn query_cookie_method_and_client_are_conditions() {
    let query = || Matcher { query: exactly("v", "a b"), ..Matcher::default() };
    assert!(matches(query(), &request("GET /?x=1&v=a+b", "h", &[])));
    assert!(!matches(query(), &request("GET /?v=a", "h", &[])));
    assert!(!matches(query(), &request("GET /", "h", &[])));

    let cookie = || Matcher { cookie: exactly("group", "a"), ..Matcher::default() };
    assert!(matches(cookie(), &request("GET /", "h", &["Cookie: x=1; group=a"])));
    assert!(matches(cookie(), &request("GET /", "h", &["Cookie: x=1", "Cookie: group=a"])));
    assert!(!matches(cookie(), &request("GET /", "h", &["X-Cookie: group=a"])));

    let method = || Matcher { method: strings(&["GET", "PURGE"]), ..Matcher::default() };
    assert!(matches(method(), &request("PURGE /", "h", &[])));
    assert!(!matches(method(), &request("HEAD /", "h", &[])));

    let client = Matcher { client: vec!["10.0.0.0/8".parse().expect("a network")], ..Matcher::default() };
    let routes = router(vec![client]);
    let head = request("GET /", "h", &[]);
    assert_eq!(routes.find(&head, address("10.1.2.3")), Some(0));
    assert_eq!(routes.find(&head, address("::ffff:10.1.2.3")), Some(0));
    assert_eq!(routes.find(&head, address("11.1.2.3")), None);
}

#[test]
fn the_trace_names_the_first_condition_that_failed_of_each_route() {
    let routes = router(vec![
        host(&["other"]),
        path(PathPattern::Exact("/b".into())),
        Matcher { method: strings(&["POST"]), ..Matcher::default() },
        Matcher { client: vec!["10.0.0.0/8".parse().expect("a network")], ..Matcher::default() },
        Matcher { header: exactly("x-beta", "1"), ..Matcher::default() },
        Matcher { query: exactly("v", "2"), ..Matcher::default() },
        Matcher { cookie: exactly("group", "a"), ..Matcher::default() },
        host(&["*.example"]),
        host(&["never.looked.at"]),
    ]);
    let head = request("GET /a", "shop.example", &[]);
    let trace = routes.trace(&head, address("192.0.2.1"));
    let shown: Vec<_> = trace.iter().map(|(_, c)| c.map_or("match".to_owned(), |c| c.to_string())).collect();
    assert_eq!(shown, ["host", "path", "method", "client", "header x-beta", "query v", "cookie group", "match"]);
    assert_eq!(trace.iter().map(|step| step.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(trace[4].1, Some(Condition::Header("x-beta")));
}

#[test]
fn what_cannot_be_used_is_named() {
    let bad = || ValuePattern::Regex("(".into());
    for (matcher, expected) in [
        (path(PathPattern::Regex("/(a".into())), "path: bad regular expression `/(a`: unclosed group"),
        (host(&["a*b"]), "host: bad host `a*b`: it is a name, or `*.` and the end of a name"),
        (
            Matcher { header: vec![("x-a".into(), bad())], ..Matcher::default() },
            "header x-a: bad regular expression `(`: unclosed group",
        ),
        (
            Matcher { cookie: vec![("c".into(), bad())], ..Matcher::default() },
            "cookie c: bad regular expression `(`: unclosed group",
        ),
    ] {
        let error = Router::new(vec![Matcher::default(), matcher]).expect_err("refused");
        assert_eq!((error.route, error.to_string().as_str()), (1, expected));
    }
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let host = prop::sample::select(vec!["a", "b.a", "*.a", "*.b.a", "c.b.a", "*.b", "*"]);
    let path = prop::sample::select(vec![PathPattern::Exact("/x".into()), PathPattern::Prefix("/x".into())]);
    let method = prop::sample::select(vec!["GET", "POST"]);
    (
        prop::collection::vec(host, 0..3),
        prop::collection::vec(path, 0..2),
        prop::collection::vec(method, 0..2),
        any::<bool>(),
    )
        .prop_map(|(hosts, path, methods, beta)| Matcher {
            host: strings(&hosts),
            path,
            method: strings(&methods),
            header: if beta { exactly("x-beta", "1") } else { Vec::new() },
            ..Matcher::default()
        })
}

proptest! {
    /// The trace looks at all routes one after the other, the router only at those that its index gives.
    #[test]
    fn the_index_finds_what_a_walk_over_all_routes_finds(
        matchers in prop::collection::vec(any_matcher(), 0..10),
        host in prop::sample::select(vec!["a", "b.a", "c.b.a", "d.c.b.a", "x.b", "b", "z"]),
        line in prop::sample::select(vec!["GET /x", "POST /xy", "GET /"]),
        beta in any::<bool>(),
    ) {
        let count = matchers.len();
        let routes = router(matchers);
        let head = request(line, host, if beta { &["X-Beta: 1"] } else { &[] });
        let client = address("192.0.2.1");
        let trace = routes.trace(&head, client);
        let walked = trace.last().filter(|step| step.1.is_none()).map(|step| step.0);
        prop_assert_eq!(routes.find(&head, client), walked);
        prop_assert_eq!(trace.len(), walked.map_or(count, |index| index + 1));
    }
}
