//! What is stored.

mod caching;
mod heads;

use caching::{DATE, MODIFIED, NOW, kept, plain, store, with_rules};
use heads::{request, response};
use reviver_cache::{Ask, Control, Ignored, Override, Refusal, may_store};
use reviver_http::{Method, ResponseHead};

const FRESH: &str = "Cache-Control: max-age=60";

fn refused(asked: &[&str], status: u16, fields: &[&str]) -> Option<Refusal> {
    store(asked, status, fields).err()
}

#[test]
fn section_3_only_responses_to_get_are_stored() {
    // the response to a HEAD is looked at where a GET was sent on its behalf
    for line in ["POST /", "PUT /", "DELETE /", "OPTIONS /", "PATCH /", "PROPFIND /", "get /"] {
        let (request, response) = (request(line, &["Host: t"]), response(200, &[FRESH]));
        let control = Control::of(&response, &[]);
        let stored = may_store(&request, &Ask::of(&request), &response, &control, &plain(), None, NOW);
        assert_eq!(stored, Err(Refusal::Method), "{line}");
    }
}

#[test]
fn section_3_interim_responses_and_304_are_not_stored() {
    for status in [100, 101, 103, 199, 304] {
        assert_eq!(refused(&[], status, &[FRESH, "ETag: \"a\""]), Some(Refusal::Status), "{status}");
    }
}

#[test]
fn section_3_any_final_status_is_stored_that_states_its_freshness() {
    for status in [200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 404, 410, 499, 500, 502, 503, 504, 599, 999] {
        for field in [FRESH, "Cache-Control: s-maxage=60", "Expires: Sun, 06 Nov 1994 08:50:37 GMT"] {
            let meta = store(&[], status, &[field, DATE]).unwrap_or_else(|why| panic!("{status} {field}: {why:?}"));
            assert_eq!((meta.status, meta.lifetime_ms), (status, 60_000), "{status} {field}");
        }
    }
}

#[test]
fn section_3_without_freshness_only_what_is_heuristically_cacheable_is_stored() {
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 501] {
        assert_eq!(refused(&[], status, &[DATE, MODIFIED]), None, "{status}");
    }
    for status in [201, 202, 302, 303, 307, 403, 500, 502, 503, 504, 599] {
        assert_eq!(refused(&[], status, &[DATE, MODIFIED]), Some(Refusal::Status), "{status}");
        assert_eq!(refused(&[], status, &[DATE, MODIFIED, "Cache-Control: public"]), None, "{status}, public");
    }
}

#[test]
fn section_3_a_206_is_stored_only_where_it_can_be_told_what_it_is_part_of() {
    let range = "Content-Range: bytes 0-4/10";
    let cases: [(&[&str], bool); 8] = [
        (&[FRESH, range, "ETag: \"a\""], true),
        (&[FRESH, range, DATE, MODIFIED], true),
        (&[FRESH, "ETag: \"a\""], false),
        (&[FRESH, "Content-Range: bytes 9-4/10", "ETag: \"a\""], false),
        (&[FRESH, range, "ETag: W/\"a\""], false),
        (&[FRESH, range], false),
        (&[FRESH, range, DATE, "Last-Modified: Sun, 06 Nov 1994 08:49:30 GMT"], false),
        (&[FRESH, range, "ETag: \"a\"", "Content-Type: multipart/byteranges; boundary=x"], false),
    ];
    for (fields, stored) in cases {
        let why = (!stored).then_some(Refusal::PartialResponse);
        assert_eq!(refused(&["Range: bytes=0-4"], 206, fields), why, "{fields:?}");
    }
}

#[test]
fn section_3_what_a_request_or_a_response_forbids_is_not_stored() {
    let cases: [(&[&str], &str, Refusal); 8] = [
        (&[], "no-store, max-age=60", Refusal::NoStore),
        (&[], "No-StOrE", Refusal::NoStore),
        (&[], "no-store=1, max-age=60", Refusal::NoStore),
        (&[], "private, max-age=60", Refusal::Private),
        (&[], "PRIVATE, public, s-maxage=60", Refusal::Private),
        (&[], "private=\"\", max-age=60", Refusal::Private),
        (&["Cache-Control: no-store"], "max-age=60", Refusal::RequestNoStore),
        (&["Cache-Control: max-age=0, NO-STORE=x"], "public, max-age=60", Refusal::RequestNoStore),
    ];
    for (asked, control, why) in cases {
        let fields = [&*format!("Cache-Control: {control}"), "ETag: \"a\""];
        assert_eq!(refused(asked, 200, &fields), Some(why), "{asked:?} {control}");
    }
}

#[test]
fn section_3_what_can_serve_no_request_is_not_stored() {
    for fields in [
        &["Cache-Control: max-age=0"] as &[&str],
        &["Cache-Control: no-cache, max-age=60"],
        &["Expires: 0"],
        &[DATE],
        &["Cache-Control: max-age=10", "Age: 10"],
        &["ETag: a"],
        &["ETag: \"a\"", "ETag: \"b\""],
        &["Last-Modified: yesterday"],
    ] {
        assert_eq!(refused(&[], 200, fields), Some(Refusal::NoFreshness), "{fields:?}");
    }
    // by validation it can
    for fields in [
        &["Cache-Control: no-cache", "ETag: \"a\""] as &[&str],
        &["Expires: 0", MODIFIED],
        &["ETag: W/\"a\""],
        &["Cache-Control: max-age=0, stale-while-revalidate=60"],
    ] {
        assert_eq!(refused(&[], 200, fields), None, "{fields:?}");
    }
}

#[test]
fn section_3_1_fields_of_one_hop_are_not_stored() {
    let text = kept(&[
        "Connection: close, A",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: close",
        "TE: trailers",
        "Trailer: X",
        "Upgrade: h2c",
        "Proxy-Authenticate: Basic",
        "Proxy-Authentication-Info: a=b",
        "Proxy-Authorization: Basic eDp5",
        "Content-Length: 5",
        "Age: 3",
        "a: 1",
        "B: 2",
        "Alt-Svc: h3=\":443\"",
        "Cache-Status: up; hit",
        "Cache-Control: max-age=60",
        "CDN-Cache-Control: max-age=60",
        "Content-Encoding: gzip",
        "B: 3",
    ]);
    let expected = [
        "B: 2",
        "Alt-Svc: h3=\":443\"",
        "Cache-Status: up; hit",
        "Cache-Control: max-age=60",
        "CDN-Cache-Control: max-age=60",
        "Content-Encoding: gzip",
        "B: 3",
    ];
    assert_eq!(text, expected.map(|line| format!("{line}\r\n")).concat());
    assert_eq!(kept(&["Transfer-Encoding: chunked", "C: 1"]), "C: 1\r\n");
}

#[test]
fn section_3_1_fields_that_a_qualified_directive_names_are_not_stored() {
    for control in ["no-cache=\"a, Set-Cookie\"", "private=\"SET-COOKIE,A\"", "private=a, no-cache=set-cookie"] {
        let field = format!("Cache-Control: max-age=60, {control}");
        let fields = [&*field, "A: 1", "Set-Cookie: x=1", "B: 2"];
        assert_eq!(kept(&fields), format!("{field}\r\nB: 2\r\n"), "{control}");
        let meta = store(&[], 200, &fields).unwrap_or_else(|why| panic!("{control}: {why:?}"));
        assert!(!meta.no_cache, "{control}");
    }
}

#[test]
fn section_3_5_a_response_to_an_authorized_request_is_stored_only_where_it_says_so() {
    let cases = [
        ("max-age=60", false),
        ("max-age=60, proxy-revalidate", false),
        ("max-age=60, immutable", false),
        ("max-age=60, public", true),
        ("max-age=60, must-revalidate", true),
        ("s-maxage=60", true),
    ];
    for (control, stored) in cases {
        let why = (!stored).then_some(Refusal::Authorization);
        let fields = [&*format!("Cache-Control: {control}"), "ETag: \"a\""];
        assert_eq!(refused(&["Authorization: Basic eDp5"], 200, &fields), why, "{control}");
    }
}

#[test]
fn section_3_5_an_override_that_ignores_must_revalidate_shares_nothing_by_it() {
    let over = Override { ignore: Ignored { must_revalidate: true, ..Ignored::default() }, ..Override::default() };
    let fields = ["Cache-Control: max-age=60, must-revalidate"];
    let stored = with_rules(&["Authorization: Basic eDp5"], 200, &fields, &plain(), Some(&over));
    assert_eq!(stored, Err(Refusal::Authorization));
}

#[test]
fn section_5_2_2_3_must_understand_needs_a_status_that_is_understood() {
    for (status, why) in
        [(200, None), (404, None), (503, None), (299, Some(Refusal::Status)), (499, Some(Refusal::Status))]
    {
        let fields = ["Cache-Control: max-age=60, no-store, must-understand"];
        assert_eq!(refused(&[], status, &fields), why, "{status}");
        assert_eq!(refused(&[], status, &["Cache-Control: max-age=60, must-understand"]), why, "{status}");
    }
}

#[test]
fn section_7_3_set_cookie_is_stored_only_where_the_response_says_that_it_is_for_everyone() {
    let cookie = "Set-Cookie: id=1";
    for (control, why) in [
        ("max-age=60", Some(Refusal::SetCookie)),
        ("max-age=60, no-cache=\"x\"", Some(Refusal::SetCookie)),
        ("max-age=60, public", None),
        ("s-maxage=60", None),
        ("max-age=60, no-cache=\"set-cookie\"", None),
    ] {
        let control = format!("Cache-Control: {control}");
        assert_eq!(refused(&[], 200, &[&control, cookie]), why, "{control}");
    }
    assert_eq!(kept(&["Cache-Control: public", cookie]), format!("Cache-Control: public\r\n{cookie}\r\n"));
    assert_eq!(kept(&[FRESH, cookie]), format!("{FRESH}\r\n"));

    let over = Override { ignore: Ignored { set_cookie: true, ..Ignored::default() }, ..Override::default() };
    assert!(with_rules(&[], 200, &[FRESH, cookie], &plain(), Some(&over)).is_ok());
}

#[test]
fn a_request_with_cookies_makes_nothing_shared_that_does_not_say_how_long_it_is_fresh() {
    let asked = ["Cookie: user=1"];
    let refused = |fields: &[&str]| store(&asked, 200, fields).err();
    assert_eq!(refused(&[DATE, MODIFIED]), Some(Refusal::Cookie));
    assert_eq!(refused(&["ETag: \"a\""]), Some(Refusal::Cookie));
    for fields in [
        &[FRESH] as &[&str],
        &["Expires: Sun, 06 Nov 1994 09:49:37 GMT", DATE],
        &["Cache-Control: public", DATE, MODIFIED],
        &["Cache-Control: no-cache", "ETag: \"a\""],
    ] {
        assert_eq!(refused(fields), None, "{fields:?}");
    }
    let mut rules = plain();
    rules.ttl_ms = Some(60_000);
    assert_eq!(with_rules(&asked, 200, &[], &rules, None), Err(Refusal::Cookie));
    let over = Override { ttl_ms: Some(60_000), ..Override::default() };
    assert!(with_rules(&asked, 200, &[], &rules, Some(&over)).is_ok());
}

#[test]
fn errors_that_blame_the_request_are_not_stored_unless_a_person_names_them() {
    let mut rules = plain();
    for status in [400, 407, 408, 411, 412, 413, 415, 416, 417, 421, 422, 425, 426, 428, 429, 431, 511] {
        assert_eq!(
            refused(&[], status, &["Cache-Control: public, max-age=60"]),
            Some(Refusal::RequestError),
            "{status}"
        );
        rules.ttl_by_status = vec![(status, status, 1_000)];
        assert_eq!(with_rules(&[], status, &[], &rules, None).map(|meta| meta.lifetime_ms), Ok(1_000), "{status}");
    }
}

#[test]
fn what_is_too_large_is_not_stored() {
    let rules = reviver_cache::Rules { max_object: 10, ..plain() };
    assert!(with_rules(&[], 200, &[FRESH, "Content-Length: 10"], &rules, None).is_ok());
    assert_eq!(with_rules(&[], 200, &[FRESH, "Content-Length: 11"], &rules, None), Err(Refusal::TooLarge));
}

#[test]
fn a_response_head_of_another_request_leaves_nothing_behind() {
    let mut head = ResponseHead::default();
    let limits = reviver_http::HeadLimits { head: 4096, fields: 20, target: 100 };
    let heads: [&[u8]; 2] = [
        b"HTTP/1.1 200 OK\r\nCache-Control: private, no-store\r\nSet-Cookie: a=1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=5\r\n\r\n",
    ];
    for bytes in heads {
        reviver_http::decode_response(bytes, Method::Get, &limits, &mut head).expect("a good head");
    }
    assert_eq!(Control::of(&head, &[]), Control { max_age: Some(5), ..Control::default() });
}
