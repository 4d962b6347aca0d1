//! Directives, and the fields that stand in for them.

mod caching;
mod heads;

use caching::{DATE, after, of, on_error_after, store};
use heads::{get, request, response};
use reviver_cache::{Ask, Control, Judgement, Meta, Why};

const FRESH: Judgement = Judgement::Serve(Why::Fresh);
const ASKED: Judgement = Judgement::Validate(Why::Request);

fn asks(fields: &[&str]) -> Ask {
    Ask::of(&get(fields))
}

#[test]
fn section_5_2_names_are_compared_without_case_and_arguments_have_two_forms() {
    let expected = Ask { max_age: Some(5), no_store: true, only_if_cached: true, ..Ask::default() };
    for value in ["max-age=5, no-store, only-if-cached", "MAX-AGE=\"5\",No-Store=x,,\tOnly-If-Cached=\"y,z\""] {
        assert_eq!(asks(&[&format!("Cache-Control: {value}")]), expected, "{value}");
    }
    let lines = [
        "Cache-Control: max-age=5",
        "cache-control: no-store",
        "CACHE-CONTROL: x=\", y",
        "Cache-Control: only-if-cached",
    ];
    assert_eq!(asks(&lines), expected);
}

#[test]
fn section_5_2_1_what_cannot_be_read_is_the_reading_that_serves_least() {
    let cases = [
        ("max-age=x", Ask { max_age: Some(0), ..Ask::default() }),
        ("max-age", Ask { max_age: Some(0), ..Ask::default() }),
        ("max-age=60, max-age=5", Ask { max_age: Some(5), ..Ask::default() }),
        ("max-age=5, max-age=-1", Ask { max_age: Some(0), ..Ask::default() }),
        ("max-age=99999999999999999999", Ask { max_age: Some(1 << 31), ..Ask::default() }),
        ("min-fresh=5, min-fresh=60", Ask { min_fresh: Some(60), ..Ask::default() }),
        ("min-fresh=x", Ask { no_cache: true, ..Ask::default() }),
        ("max-stale=x", Ask { max_stale: Some(0), ..Ask::default() }),
        ("max-stale, max-stale=5", Ask { max_stale: Some(5), ..Ask::default() }),
        ("max-stale", Ask { max_stale: Some(u64::MAX), ..Ask::default() }),
        ("stale-if-error=x", Ask { stale_if_error: Some(0), ..Ask::default() }),
        ("no-cache=\"set-cookie\"", Ask { no_cache: true, ..Ask::default() }),
        ("no-transform, extension", Ask { no_transform: true, ..Ask::default() }),
        ("no-cachet, ano-store, nocache", Ask::default()),
    ];
    for (value, expected) in cases {
        assert_eq!(asks(&[&format!("Cache-Control: {value}")]), expected, "{value}");
    }
}

#[test]
fn section_5_2_1_1_max_age_is_the_greatest_age() {
    let meta = of("max-age=60");
    assert_eq!(after(&meta, 10, &["Cache-Control: max-age=10"]), FRESH);
    assert_eq!(after(&meta, 11, &["Cache-Control: max-age=10"]), ASKED);
    assert_eq!(after(&meta, 0, &["Cache-Control: max-age=0"]), ASKED);
    assert_eq!(after(&meta, 30, &["Cache-Control: max-age=10, max-stale=1000"]), ASKED);
    // and makes nothing fresh
    assert_eq!(after(&meta, 61, &["Cache-Control: max-age=100"]), Judgement::Validate(Why::Stale));
}

#[test]
fn section_5_2_1_2_max_stale_is_the_greatest_staleness() {
    let meta = of("max-age=60");
    let stale = Judgement::Validate(Why::Stale);
    let served = Judgement::Serve(Why::MaxStale);
    assert_eq!(after(&meta, 70, &["Cache-Control: max-stale=10"]), served);
    assert_eq!(after(&meta, 71, &["Cache-Control: max-stale=10"]), stale);
    assert_eq!(after(&meta, 100_000, &["Cache-Control: max-stale"]), served);
    assert_eq!(after(&meta, 70, &["Cache-Control: max-stale, min-fresh=1"]), stale);
    assert_eq!(
        after(&Meta { purged: true, ..meta }, 1, &["Cache-Control: max-stale"]),
        Judgement::Validate(Why::Purged)
    );
}

#[test]
fn section_5_2_1_3_min_fresh_is_the_least_that_is_left() {
    let meta = of("max-age=60");
    assert_eq!(after(&meta, 50, &["Cache-Control: min-fresh=10"]), FRESH);
    assert_eq!(after(&meta, 51, &["Cache-Control: min-fresh=10"]), ASKED);
}

#[test]
fn section_5_2_1_4_no_cache_and_5_4_pragma_ask_for_validation() {
    let meta = of("max-age=60, stale-while-revalidate=60, stale-if-error=60");
    for asked in
        ["Cache-Control: no-cache", "Pragma: no-cache", "Pragma: x, No-Cache", "Cache-Control: NO-CACHE, max-stale"]
    {
        for seconds in [0, 70] {
            assert_eq!(after(&meta, seconds, &[asked]), ASKED, "{asked}");
        }
        assert!(!on_error_after(&meta, 70, &[asked]), "{asked}");
    }
    assert_eq!(after(&meta, 0, &["Pragma: no-cache", "Cache-Control: max-stale"]), FRESH);
    assert_eq!(after(&meta, 0, &["Pragma: no-cached"]), FRESH);
}

#[test]
fn what_a_client_says_of_freshness_can_be_set_aside() {
    let ask = asks(&[
        "Cache-Control: no-cache, max-age=0, min-fresh=5, max-stale, stale-if-error=1, no-store, only-if-cached",
        "Cookie: a",
        "Authorization: Basic eDp5",
        "Range: bytes=0-1",
        "If-None-Match: \"a\"",
    ]);
    let expected = Ask {
        no_store: true,
        only_if_cached: true,
        authorization: true,
        cookie: true,
        range: true,
        conditional: true,
        ..Ask::default()
    };
    assert_eq!(ask.without_freshness(), expected);
}

#[test]
fn section_5_2_2_4_no_cache_is_used_only_after_validation() {
    for control in [
        "no-cache",
        "max-age=60, no-cache",
        "max-age=60, No-CaChE",
        "max-age=60, no-cache=\"\"",
        "no-cache=\"a b\", max-age=60",
        "max-age=60, no-cache=\"a, no-cache",
    ] {
        let meta = of(control);
        assert_eq!(after(&meta, 0, &[]), Judgement::Validate(Why::NoCache), "{control}");
        assert_eq!(after(&meta, 0, &["Cache-Control: max-stale"]), Judgement::Validate(Why::NoCache), "{control}");
    }
}

#[test]
fn section_5_2_2_5_what_forbids_counts_even_where_it_stands_in_a_quotation_that_is_not_closed() {
    let control = Control::of(&response(200, &["Cache-Control: x=\"y, no-store, public, max-age=60"]), &[]);
    assert!(control.no_store && !control.public && control.invalid_freshness);
    // in one that is closed nothing does
    let control = Control::of(&response(200, &["Cache-Control: x=\"y, no-store, \\\"private\", max-age=60"]), &[]);
    assert_eq!(control, Control { max_age: Some(60), ..Control::default() });
}

#[test]
fn section_5_2_2_directives_of_responses_are_told() {
    let meta = store(&[], 200, &["Cache-Control: max-age=60, no-transform, immutable, must-revalidate", DATE])
        .expect("it may be stored");
    assert!(meta.no_transform && meta.immutable && meta.must_revalidate && !meta.no_cache && !meta.validates);
    // section 5.2.2.10: like `proxy-revalidate`
    assert!(of("s-maxage=60").must_revalidate);
    assert!(of("max-age=60, proxy-revalidate").must_revalidate);
}

#[test]
fn section_5_2_3_unknown_directives_are_ignored() {
    let meta = of("max-age=60, community=\"UCI, no-store\", foo=bar, x-private, no-storey");
    assert_eq!(after(&meta, 0, &[]), FRESH);
}

#[test]
fn requests_whose_answer_may_depend_on_more_than_the_key_bypass_the_cache() {
    let cases: [(&str, &[&str], Option<Why>); 19] = [
        ("GET /", &[], None),
        ("HEAD /", &["Content-Length: 0", "If-None-Match: \"a\"", "Range: bytes=0-1"], None),
        ("POST /", &["Content-Length: 0"], Some(Why::Method)),
        ("OPTIONS /", &[], Some(Why::Method)),
        ("QUERY /", &["Content-Length: 1"], Some(Why::Method)),
        ("get /", &[], Some(Why::Method)),
        ("GET /", &["Content-Length: 1"], Some(Why::RequestBody)),
        ("GET /", &["Transfer-Encoding: chunked"], Some(Why::RequestBody)),
        ("GET /", &["X-HTTP-Method-Override: DELETE"], Some(Why::MethodOverride)),
        ("GET /", &["x-http-method: PUT"], Some(Why::MethodOverride)),
        ("GET /", &["X-METHOD-OVERRIDE: POST"], Some(Why::MethodOverride)),
        ("GET /", &["X_Http_Method_Override: POST"], Some(Why::MethodOverride)),
        ("GET /", &["X-HTTP-Methods: PUT", "X-HTTP-Method-Overrides: PUT"], None),
        ("GET /", &["If-Match: \"a\""], Some(Why::Precondition)),
        ("GET /", &["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], Some(Why::Precondition)),
        ("GET /", &["If-Match: *", "X-HTTP-Method: PUT"], Some(Why::MethodOverride)),
        ("GET /", &["Connection: upgrade", "Upgrade: websocket"], Some(Why::Upgrade)),
        ("GET /", &["Upgrade: websocket"], None),
        ("GET /", &["Connection: upgrade", "Upgrade: websocket", "If-Match: *"], Some(Why::Precondition)),
    ];
    for (line, fields, why) in cases {
        let head = request(line, &[&["Host: t"], fields].concat());
        assert_eq!(Ask::bypasses(&head), why, "{line} {fields:?}");
    }
}
