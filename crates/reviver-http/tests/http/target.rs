//! Targets, hosts and paths.

use reviver_http::{Method, ParseError, RequestHead, Scheme, TargetForm};

use crate::feed::{refused, request};

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: field.test:81\r\n\r\n")
}

#[test]
fn origin_form_takes_its_host_from_the_field() {
    let head = request(&get("/a/b?c=d"));
    assert_eq!(head.form, TargetForm::Origin);
    assert_eq!((head.host(), head.port, head.authority()), (&b"field.test"[..], Some(81), &b"field.test:81"[..]));
    assert_eq!((head.path(), head.query(), head.target()), (&b"/a/b"[..], Some(&b"c=d"[..]), &b"/a/b?c=d"[..]));
}

#[test]
fn absolute_form_takes_its_host_from_the_target() {
    let head = request(&get("HTTPS://Target.TEST:8443/a?b"));
    assert_eq!((head.form, head.scheme), (TargetForm::Absolute, Scheme::Https));
    assert_eq!((head.host(), head.port), (&b"target.test"[..], Some(8443)));
    assert_eq!(head.authority(), b"Target.TEST:8443");
    assert_eq!((head.path(), head.query()), (&b"/a"[..], Some(&b"b"[..])));
}

#[test]
fn absolute_form_without_a_path_asks_for_the_root() {
    for (target, path, query) in
        [("http://t", "/", None), ("http://t?a=/b", "/", Some("a=/b")), ("http://t:80/", "/", None)]
    {
        let head = request(&get(target));
        assert_eq!(head.path(), path.as_bytes(), "{target}");
        assert_eq!(head.query(), query.map(str::as_bytes), "{target}");
        assert_eq!(head.host(), b"t", "{target}");
    }
    let head = request("OPTIONS http://t HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(head.path(), b"*", "OPTIONS without a path is about the whole server");
}

#[test]
fn asterisk_form_is_about_the_server() {
    let head = request("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!((head.form, head.path(), head.host()), (TargetForm::Asterisk, &b"*"[..], &b"t"[..]));
}

#[test]
fn connect_has_a_host_and_a_port_and_no_path() {
    let head = request("CONNECT [2001:DB8::1]:443 HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!((head.method, head.form), (Method::Connect, TargetForm::Authority));
    assert_eq!((head.host(), head.port), (&b"2001:db8::1"[..], Some(443)));
    assert_eq!((head.path(), head.authority()), (&b""[..], &b"[2001:DB8::1]:443"[..]));
}

#[test]
fn http10_may_name_no_host() {
    let head = request("GET /a HTTP/1.0\r\n\r\n");
    assert_eq!((head.host(), head.authority(), head.port), (&b""[..], &b""[..], None));
}

#[test]
fn hosts_are_compared_in_one_form() {
    for (host, wanted) in [("T.Test.", "t.test"), ("[::1]", "::1"), ("127.0.0.1:80", "127.0.0.1"), ("a_b-c", "a_b-c")] {
        let head = request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(head.host(), wanted.as_bytes(), "{host}");
        assert_eq!(head.authority(), host.as_bytes(), "the client's own words are kept");
    }
}

#[test]
fn rules_see_a_normal_path_and_the_upstream_the_clients() {
    for (path, normal) in [
        ("/a/../b", "/b"),
        ("/a/./b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a/..", "/"),
        ("/%61dmin", "/admin"),
        ("/x/%2E%2e/admin", "/admin"),
        ("/a%2fb%3fc", "/a/b%3Fc"),
        ("/x/..%2fadmin", "/admin"),
        ("/a//b///c//", "/a/b/c/"),
        ("/a%5cb", "/a%5Cb"),
        ("/%7euser", "/~user"),
        ("/file.tar.gz", "/file.tar.gz"),
        ("/.hidden", "/.hidden"),
        ("/..a/...", "/..a/..."),
        ("//a/../b", "/b"),
        ("/%2541", "/%2541"),
    ] {
        let head = request(&get(path));
        assert_eq!(head.normal_path(), normal.as_bytes(), "{path}");
        assert_eq!(head.path(), path.as_bytes());
    }
}

#[test]
fn each_bad_target_says_what_is_wrong_with_it() {
    for (target, error) in [
        ("/a#b", ParseError::BadTargetByte),
        ("/%", ParseError::BadEscape),
        ("/%00", ParseError::BadEscape),
        ("/x/..%5cadmin", ParseError::BadEscape),
        ("/../a", ParseError::PathAboveRoot),
        ("http://u:p@t/", ParseError::UserInfo),
        ("http://t:0/", ParseError::BadPort),
        ("http://t:/", ParseError::BadPort),
        ("http://a b/", ParseError::BadRequestLine),
        ("http://a%20b/", ParseError::BadHost),
        ("http:///a", ParseError::BadHost),
        ("http://[::1]a/", ParseError::BadAuthority),
        ("gopher://t/", ParseError::UnknownScheme),
        ("a", ParseError::BadTarget),
        ("*", ParseError::BadTarget),
    ] {
        assert_eq!(refused(&get(target)), error, "{target}");
    }
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: t\r\nHost: t\r\n\r\n"), ParseError::DuplicateHost);
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), ParseError::MissingHost);
    assert_eq!(refused("CONNECT t HTTP/1.1\r\nHost: t\r\n\r\n"), ParseError::BadPort);
}

#[test]
fn a_socks_destination_fills_a_head_as_connect_does() {
    let mut head = request(&get("/with?query"));
    for (host, target, plain) in [
        ("Example.Test.", "Example.Test.:443", "example.test"),
        ("192.0.2.1", "192.0.2.1:443", "192.0.2.1"),
        ("2001:db8::1", "[2001:db8::1]:443", "2001:db8::1"),
    ] {
        head.set_connect(host.as_bytes(), 443);
        assert_eq!(
            (head.method, head.form, head.method_text()),
            (Method::Connect, TargetForm::Authority, &b"CONNECT"[..])
        );
        assert_eq!((head.target(), head.authority()), (target.as_bytes(), target.as_bytes()));
        assert_eq!((head.host(), head.port), (plain.as_bytes(), Some(443)));
        assert_eq!((head.path(), head.query()), (&b""[..], None), "nothing is left of the last request");
        assert!(head.fields().is_empty());
    }
}

#[test]
fn a_head_is_reused_without_a_trace_of_the_last_one() {
    let mut head = RequestHead::default();
    let limits = crate::feed::LIMITS;
    let first = b"OPTIONS http://T/../ HTTP/1.0\r\n\r\n";
    assert_eq!(reviver_http::decode_request(first, &limits, &mut head), Err(ParseError::PathAboveRoot));
    let second = b"GET /b HTTP/1.1\r\nHost: u\r\n\r\n";
    reviver_http::decode_request(second, &limits, &mut head).expect("a legal head");
    assert_eq!((head.host(), head.path(), head.normal_path(), head.query()), (&b"u"[..], &b"/b"[..], &b"/b"[..], None));
}
