//! What a 304, and the answer to a HEAD, make of what is stored.

mod caching;
mod heads;

use caching::{DATE, MODIFIED, after, plain, store};
use heads::{NOVEMBER, get, response, stored};
use reviver_cache::{Ask, Control, Exchanged, Judgement, Meta, Refusal, Rules, Updated, Why, lines, update};

/// An hour later.
const LATER: Exchanged = Exchanged { requested_ms: NOVEMBER + 3_599_000, received_ms: NOVEMBER + 3_600_000 };
const LATER_DATE: &str = "Date: Sun, 06 Nov 1994 09:49:37 GMT";

fn answered(asked: &[&str], old: &[&str], status: u16, new: &[&str], rules: &Rules) -> Updated {
    let meta = store(&[], 200, old).expect("it may be stored");
    let request = get(asked);
    let response = response(status, new);
    let control = Control::of(&response, &rules.targeted);
    let ask = Ask::of(&request);
    update(stored(old).as_bytes(), &meta, &request, &ask, &response, &control, rules, None, LATER)
}

/// The fields and what is known after a 304.
fn validated(old: &[&str], new: &[&str]) -> (String, Meta) {
    match answered(&[], old, 304, new, &plain()) {
        Updated::Stored { fields, meta } => (String::from_utf8(fields).expect("text"), meta),
        other => panic!("{new:?}: {other:?}"),
    }
}

fn values(fields: &str, name: &str) -> Vec<String> {
    let of_name = lines(fields.as_bytes()).filter(|line| line.name.eq_ignore_ascii_case(name.as_bytes()));
    of_name.map(|line| String::from_utf8_lossy(line.value).into_owned()).collect()
}

#[test]
fn section_4_3_4_a_304_updates_only_what_has_its_validator() {
    let cases: [(&[&str], &[&str], bool); 14] = [
        (&["ETag: \"a\""], &["ETag: \"a\""], true),
        (&["ETag: \"a\""], &["ETag: \"b\""], false),
        (&["ETag: \"a\"", MODIFIED], &["ETag: \"b\"", MODIFIED], false),
        (&[MODIFIED], &["ETag: \"b\"", MODIFIED], false),
        (&["ETag: \"a\""], &["ETag: W/\"a\""], true),
        (&["ETag: W/\"a\""], &["ETag: W/\"a\""], true),
        (&["ETag: W/\"a\""], &["ETag: W/\"b\""], false),
        // as servers do that compress
        (&["ETag: W/\"a\""], &["ETag: \"a\""], true),
        (&[MODIFIED], &[MODIFIED], true),
        (&[MODIFIED], &["Last-Modified: Saturday, 05-Nov-94 08:49:37 GMT"], true),
        (&[MODIFIED], &["Last-Modified: Sat, 05 Nov 1994 08:49:38 GMT"], false),
        (&["ETag: \"a\""], &[MODIFIED], false),
        (&["ETag: \"a\"", MODIFIED], &[MODIFIED], true),
        // no validator: the one that was validated
        (&["ETag: \"a\"", MODIFIED], &[], true),
    ];
    for (old, new, same) in cases {
        let old = [&["Cache-Control: max-age=60", DATE], old].concat();
        let updated = answered(&[], &old, 304, new, &plain());
        assert_eq!(updated == Updated::Other, !same, "{old:?} {new:?} {updated:?}");
    }
}

#[test]
fn section_3_2_fields_of_the_304_replace_those_of_the_same_name_and_the_others_stay() {
    let old = ["Cache-Control: max-age=60", DATE, "ETag: \"a\"", "X: 1", "x: 2", "Stays: 1", "Content-Location: /a"];
    let new = ["Cache-Control: max-age=90", LATER_DATE, "X: 3", "X: 4", "New: 1", "content-location: /b"];
    let (fields, meta) = validated(&old, &new);
    assert_eq!(values(&fields, "x"), ["3", "4"]);
    assert_eq!(values(&fields, "stays"), ["1"]);
    assert_eq!(values(&fields, "new"), ["1"]);
    assert_eq!(values(&fields, "content-location"), ["/b"]);
    assert_eq!(values(&fields, "cache-control"), ["max-age=90"]);
    assert_eq!(values(&fields, "date"), ["Sun, 06 Nov 1994 09:49:37 GMT"]);
    assert_eq!((meta.status, meta.lifetime_ms, meta.received_ms), (200, 90_000, LATER.received_ms));
    assert_eq!(after(&meta, 3_600, &[]), Judgement::Serve(Why::Fresh));
}

#[test]
fn section_3_2_what_describes_the_content_or_one_hop_is_not_replaced() {
    let old = [
        "Cache-Control: max-age=60",
        "ETag: W/\"a\"",
        "Content-Type: text/plain",
        "Content-Encoding: gzip",
        "Content-Range: bytes 0-1/2",
    ];
    let new = [
        "ETag: \"a\"",
        "Content-Type: text/html",
        "Content-Encoding: br",
        "Content-Range: bytes 0-1/3",
        "Content-Length: 7",
        "Connection: hop",
        "Hop: 1",
        "Age: 3",
        "Proxy-Authenticate: Basic",
    ];
    let (fields, _) = validated(&old, &new);
    assert_eq!(fields, stored(&old) + "Date: Sun, 06 Nov 1994 09:49:37 GMT\r\n");
}

#[test]
fn section_4_3_4_freshness_and_age_are_computed_anew() {
    let old = ["Cache-Control: max-age=60", DATE, "Age: 59", "ETag: \"a\""];
    // what was said before still holds, and counts from now
    let (_, meta) = validated(&old, &[LATER_DATE]);
    assert_eq!((meta.initial_age_ms, meta.ttl_ms(LATER.received_ms)), (1_000, 59_000));
    let (_, meta) = validated(&old, &[LATER_DATE, "Age: 30"]);
    assert_eq!(meta.ttl_ms(LATER.received_ms), 29_000);
    // no Date: that of reception (RFC 9110, section 6.6.1), not the stored one
    let (fields, meta) = validated(&old, &[]);
    assert_eq!(values(&fields, "date"), ["Sun, 06 Nov 1994 09:49:37 GMT"]);
    assert_eq!(meta.ttl_ms(LATER.received_ms), 59_000);
    let (_, meta) = validated(&["Expires: Sun, 06 Nov 1994 08:50:37 GMT", DATE, "ETag: \"a\""], &[LATER_DATE]);
    assert_eq!(after(&meta, 3_600, &[]), Judgement::Validate(Why::Stale));
    let (_, meta) = validated(&old, &[LATER_DATE, "Cache-Control: no-cache"]);
    assert_eq!(after(&meta, 3_600, &[]), Judgement::Validate(Why::NoCache));
}

#[test]
fn section_4_3_4_validation_ends_a_soft_purge() {
    let old = ["Cache-Control: max-age=60", DATE, "ETag: \"a\""];
    let purged = Meta { purged: true, ..store(&[], 200, &old).expect("it may be stored") };
    let (request, response) = (get(&[]), response(304, &[LATER_DATE, "ETag: \"a\""]));
    let (ask, control) = (Ask::of(&request), Control::of(&response, &[]));
    let old = stored(&old);
    let Updated::Stored { meta, .. } =
        update(old.as_bytes(), &purged, &request, &ask, &response, &control, &plain(), None, LATER)
    else {
        panic!("it holds");
    };
    assert_eq!(after(&meta, 3_600, &[]), Judgement::Serve(Why::Fresh));
}

#[test]
fn section_3_what_the_304_forbids_is_used_once_and_not_kept() {
    let cases: [(&[&str], &[&str], Refusal); 5] = [
        (&[], &["Cache-Control: no-store"], Refusal::NoStore),
        (&[], &["Cache-Control: private, max-age=60"], Refusal::Private),
        (&[], &["Set-Cookie: id=1"], Refusal::SetCookie),
        (&["Cache-Control: no-store"], &[], Refusal::RequestNoStore),
        (&["Authorization: Basic eDp5"], &["Cache-Control: max-age=60"], Refusal::Authorization),
    ];
    for (asked, new, why) in cases {
        let old = ["Cache-Control: max-age=60", DATE, "ETag: \"a\""];
        match answered(asked, &old, 304, &[new, &[LATER_DATE]].concat(), &plain()) {
            Updated::NotStored { fields, refusal, .. } => {
                assert_eq!(refusal, why, "{new:?}");
                let fields = String::from_utf8(fields).expect("text");
                for field in new {
                    assert!(fields.contains(field), "{new:?} {fields}");
                }
            }
            other => panic!("{new:?}: {other:?}"),
        }
    }
}

#[test]
fn section_3_2_fields_that_a_qualified_directive_names_stay_out() {
    let old = ["Cache-Control: max-age=60", "ETag: \"a\"", "A: 1", "B: 1"];
    let (fields, _) =
        validated(&old, &["Cache-Control: max-age=60, private=\"a, set-cookie\"", "Set-Cookie: x", "A: 2"]);
    assert_eq!(values(&fields, "a"), [""; 0]);
    assert_eq!(values(&fields, "set-cookie"), [""; 0]);
    assert_eq!(values(&fields, "b"), ["1"]);
}

#[test]
fn whoever_validates_with_cookies_does_not_make_private_what_is_for_everyone() {
    let old = [DATE, MODIFIED];
    let new = [LATER_DATE, MODIFIED];
    assert!(matches!(answered(&["Cookie: a=1"], &old, 304, &new, &plain()), Updated::Stored { .. }));
    // what was always validated was not for everyone
    let old = ["Cache-Control: no-cache", DATE, MODIFIED];
    let updated = answered(&["Cookie: a=1"], &old, 304, &[LATER_DATE, MODIFIED, "Cache-Control: x"], &plain());
    assert!(matches!(updated, Updated::NotStored { refusal: Refusal::Cookie, .. }), "{updated:?}");
}

#[test]
fn section_4_3_5_a_head_updates_what_it_does_not_contradict() {
    let old = ["Cache-Control: max-age=60", DATE, "ETag: \"a\"", MODIFIED, "Content-Length: 5", "X: 1"];
    let cases: [(u16, &[&str], bool); 10] = [
        (200, &["ETag: \"a\"", MODIFIED, "Content-Length: 5"], true),
        (200, &["X: 2"], true),
        (200, &["Content-Length: 6"], false),
        (200, &["ETag: \"b\""], false),
        (200, &["ETag: W/\"a\""], false),
        (200, &["ETag: a"], false),
        (200, &["Last-Modified: Sat, 05 Nov 1994 08:49:38 GMT"], false),
        (404, &["ETag: \"a\""], false),
        (500, &[], false),
        (204, &["ETag: \"a\""], false),
    ];
    for (status, new, same) in cases {
        let new = [new, &[LATER_DATE, "Cache-Control: max-age=90"]].concat();
        match answered(&[], &old, status, &new, &plain()) {
            Updated::Stored { meta, .. } if same => {
                assert_eq!((meta.status, meta.content_length, meta.lifetime_ms), (200, Some(5), 90_000), "{new:?}");
            }
            updated => assert_eq!((updated, same), (Updated::Other, false), "{status} {new:?}"),
        }
    }
}

#[test]
fn fields_do_not_grow_without_end() {
    let named =
        |start: &str, count: usize| (0..count).map(|at| format!("{start}-{at}: 1")).collect::<Vec<_>>().join("\r\n");
    let old = named("Old", 150);
    for (count, stored) in [(50, true), (150, false)] {
        let updated = answered(&[], &["ETag: \"a\"", &old], 304, &[&named("New", count)], &plain());
        assert_eq!(matches!(updated, Updated::Stored { .. }), stored, "{updated:?}");
        assert_eq!(updated == Updated::Other, !stored);
    }
}
