//! What fields are, and which of them end at this hop.

use reviver_http::{FieldKind, ParseError, RequestHead};

use crate::feed::{refused, request};

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: t\r\n{fields}\r\n")
}

fn kinds(head: &RequestHead) -> Vec<(String, FieldKind)> {
    head.fields().iter().map(|field| (head.name(field).escape_ascii().to_string(), field.kind)).collect()
}

#[test]
fn kinds_are_found_whatever_the_case() {
    use FieldKind as K;
    for (name, kind) in [
        ("TE", K::Te),
        ("via", K::Via),
        ("DATE", K::Date),
        ("From", K::From),
        ("aCCept", K::Accept),
        ("Cookie", K::Cookie),
        ("Server", K::Server),
        ("Expect", K::Expect),
        ("Referer", K::Referer),
        ("Upgrade", K::Upgrade),
        ("Trailer", K::Trailer),
        ("CDN-Loop", K::CdnLoop),
        ("Location", K::Location),
        ("Forwarded", K::Forwarded),
        ("X-Real-IP", K::XRealIp),
        ("connection", K::Connection),
        ("User-Agent", K::UserAgent),
        ("Set-Cookie", K::SetCookie),
        ("Keep-Alive", K::KeepAlive),
        ("Max-Forwards", K::MaxForwards),
        ("Proxy-Status", K::ProxyStatus),
        ("Authorization", K::Authorization),
        ("Content-Length", K::ContentLength),
        ("HTTP2-Settings", K::Http2Settings),
        ("X-Forwarded-For", K::XForwardedFor),
        ("Proxy-Connection", K::ProxyConnection),
        ("X-Forwarded-Host", K::XForwardedHost),
        ("X-Forwarded-Port", K::XForwardedPort),
        ("X-Forwarded-Proto", K::XForwardedProto),
        ("Transfer-Encoding", K::TransferEncoding),
        ("Proxy-Authenticate", K::ProxyAuthenticate),
        ("Proxy-Authorization", K::ProxyAuthorization),
        ("Proxy-Authentication-Info", K::ProxyAuthenticationInfo),
        ("Hosts", K::Other),
        ("Accept-Encoding", K::Other),
        ("X", K::Other),
    ] {
        let value = match kind {
            K::ContentLength => "0",
            K::TransferEncoding => "chunked",
            K::Expect => "100-continue",
            _ => "x",
        };
        let body = if kind == K::TransferEncoding { "0\r\n\r\n" } else { "" };
        let head = request(&format!("{}{body}", get(&format!("{name}: {value}\r\n"))));
        assert_eq!(kinds(&head)[1], (name.to_owned(), kind));
    }
}

#[test]
fn connection_names_the_fields_of_this_hop() {
    let head = request(&get("x-a: 1\r\nX-B: 2\r\nConnection: X-A, close\r\nCONNECTION: x-c\r\nx-C: 3\r\nx-a: 4\r\n"));
    let hop: Vec<&[u8]> = head.values(FieldKind::HopByHop).collect();
    assert_eq!(hop, [b"1", b"3", b"4"], "in order, also before the Connection field");
    assert!(!head.keep_alive);
    let ends_here = head.fields().iter().filter(|field| field.kind.is_hop_by_hop()).count();
    assert_eq!(ends_here, 5);
}

#[test]
fn an_option_for_an_end_to_end_field_has_no_effect() {
    let head = request(&get(
        "Connection: authorization, cookie, x-forwarded-for, via\r\nAuthorization: a\r\nCookie: b\r\nX-Forwarded-For: c\r\nVia: d\r\n",
    ));
    assert_eq!(head.values(FieldKind::HopByHop).count(), 0);
    assert_eq!(head.values(FieldKind::Authorization).next(), Some(&b"a"[..]));
}

#[test]
fn an_option_that_would_change_routing_or_framing_is_refused() {
    assert_eq!(refused(&get("Connection: Host\r\n")), ParseError::BadConnection);
    assert_eq!(refused(&get("Connection: content-length\r\n")), ParseError::BadConnection);
    let many = (0..40).map(|number| format!("x-{number}")).collect::<Vec<_>>().join(",");
    assert_eq!(refused(&get(&format!("Connection: {many}\r\n"))), ParseError::BadConnection);
}

#[test]
fn persistence_follows_version_and_connection() {
    for (version, fields, keep_alive) in [
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "Connection: Keep-Alive, CLOSE\r\n", false),
        ("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("HTTP/1.1", "Proxy-Connection: close\r\n", false),
        ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: keep-alive\r\n", true),
        ("HTTP/1.0", "Proxy-Connection: Keep-Alive\r\n", true),
        ("HTTP/1.0", "Connection: close\r\nProxy-Connection: keep-alive\r\n", false),
        ("HTTP/1.3", "", true),
    ] {
        let head = request(&format!("GET / {version}\r\nHost: t\r\n{fields}\r\n"));
        assert_eq!(head.keep_alive, keep_alive, "{version} {fields:?}");
    }
}

#[test]
fn an_upgrade_needs_both_fields_and_http11() {
    let both = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    assert!(request(&get(both)).upgrade);
    assert!(!request(&get("Upgrade: websocket\r\n")).upgrade);
    assert!(!request(&get("Connection: upgrade\r\n")).upgrade);
    assert!(!request(&format!("GET / HTTP/1.0\r\nHost: t\r\n{both}\r\n")).upgrade);
    assert!(!request(&get("Proxy-Connection: upgrade\r\nUpgrade: websocket\r\n")).upgrade);
}

#[test]
fn an_expectation_counts_only_in_http11() {
    assert!(request(&get("Expect: 100-Continue\r\n")).expect_continue);
    assert!(!request("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expect_continue);
    assert_eq!(refused(&get("Expect: a\r\n")).status(), 417);
}

#[test]
fn te_and_max_forwards() {
    assert!(request(&get("TE: gzip;q=0.5, Trailers\r\n")).te_trailers);
    assert!(!request(&get("TE: gzip\r\n")).te_trailers);
    let options = |value: &str| format!("OPTIONS * HTTP/1.1\r\nHost: t\r\nMax-Forwards: {value}\r\n\r\n");
    assert_eq!(request(&options("7")).max_forwards, Some(7));
    assert_eq!(request(&options("99999999999")).max_forwards, Some(u32::MAX));
    assert_eq!(request(&get("Max-Forwards: 7\r\n")).max_forwards, None, "only TRACE and OPTIONS count hops");
}

#[test]
fn values_are_found_by_name_in_order() {
    let head = request(&get("X-A:  1\t \r\nb: 2\r\nx-a: 3\r\n"));
    assert_eq!(head.values_of(b"x-A").collect::<Vec<_>>(), [b"1", b"3"]);
    assert_eq!(head.values_of(b"c").count(), 0);
}
