//! Ages, lifetimes, and when what is stale may be served.

mod caching;
mod heads;

use caching::{DATE, MODIFIED, NOW, after, fresh_for, of, on_error_after, plain, store, with_rules};
use heads::{NOVEMBER, get, response};
use reviver_cache::{Ask, Basis, Control, Exchanged, Judgement, Meta, Override, Rules, Why, may_store};

const HOUR: u64 = 3600;

fn received(fields: &[&str], times: Exchanged) -> Meta {
    let (request, response) = (get(&[]), response(200, &[fields, &["ETag: \"a\""]].concat()));
    let control = Control::of(&response, &[]);
    may_store(&request, &Ask::of(&request), &response, &control, &plain(), None, times).expect("it may be stored")
}

#[test]
fn section_4_2_fresh_means_that_its_lifetime_is_greater_than_its_age() {
    let meta = of("max-age=60");
    assert_eq!(after(&meta, 0, &[]), Judgement::Serve(Why::Fresh));
    assert_eq!(after(&meta, 59, &[]), Judgement::Serve(Why::Fresh));
    assert_eq!(after(&meta, 60, &[]), Judgement::Validate(Why::Stale));
    assert_eq!(after(&meta, u64::MAX / 2000, &[]), Judgement::Validate(Why::Stale));
    assert_eq!(meta.ttl_ms(NOVEMBER + 59_000), 1_000);
    assert_eq!(meta.ttl_ms(NOVEMBER + 61_000), -1_000);
}

#[test]
fn section_4_2_1_the_first_that_is_there_counts() {
    let expires = "Expires: Sun, 06 Nov 1994 09:49:37 GMT";
    let cases: [(&[&str], u64, Basis); 6] = [
        (&["Cache-Control: max-age=10, s-maxage=20", expires], 20, Basis::SMaxage),
        (&["Cache-Control: s-maxage=5, max-age=10", expires], 5, Basis::SMaxage),
        (&["Cache-Control: max-age=10", expires], 10, Basis::MaxAge),
        (&["Cache-Control: max-age=0", expires], 0, Basis::MaxAge),
        (&["Cache-Control: public", expires], HOUR, Basis::Expires),
        (&[MODIFIED], 8640, Basis::Heuristic),
    ];
    for (fields, seconds, basis) in cases {
        let meta = store(&[], 200, &[fields, &[DATE, "ETag: \"a\""]].concat()).expect("it may be stored");
        assert_eq!((meta.lifetime_ms, meta.basis), (seconds * 1000, basis), "{fields:?}");
    }
}

#[test]
fn section_4_2_1_freshness_that_cannot_be_read_or_contradicts_itself_is_the_least() {
    let cases = [
        ("max-age=3600, max-age=1", 1),
        ("max-age=1, max-age=3600", 1),
        ("max-age=3600, max-age=x", 0),
        ("max-age", 0),
        ("max-age=", 0),
        ("max-age=-3600", 0),
        ("max-age=+3600", 0),
        ("max-age=3600.0", 0),
        ("max-age=3600a", 0),
        ("max-age=a3600", 0),
        ("max-age='3600'", 0),
        ("max-age =3600", 0),
        ("max-age= 3600", 0),
        ("max-age=36 00", 0),
        ("max-age=\"3600", 0),
        ("max-age=\"3600\"x", 0),
        ("max-age=0x10", 0),
        ("s-maxage=x, max-age=3600", 0),
        ("max-age=x, s-maxage=3600", 0),
        ("extension=\"max-age=3600\", max-age=1", 1),
        ("max-age=1, extension=\"max-age=3600\"", 1),
        ("extension=\"\\\"max-age=1, \", max-age=3600", 3600),
        ("extension=\"open, max-age=3600", 0),
        ("maxage=3600", 0),
        ("xmax-age=3600", 0),
        // and what can
        ("max-age=\"3600\"", 3600),
        ("max-age=003600", 3600),
        ("MaX-aGe=3600", 3600),
        (" , ,max-age=3600 ,", 3600),
        ("max-age=3600\t,\tfoo", 3600),
        ("foobar=x;y, max-age=3600", 3600),
    ];
    for (control, seconds) in cases {
        assert_eq!(fresh_for(200, &[&format!("Cache-Control: {control}")]), seconds, "{control}");
    }
    assert_eq!(fresh_for(200, &["Cache-Control: max-age=1800", "Cache-Control: max-age=1"]), 1);
    assert_eq!(fresh_for(200, &["Cache-Control: x=\"", "Cache-Control: max-age=9"]), 9);
}

#[test]
fn section_1_2_2_seconds_that_overflow_are_the_largest() {
    for digits in ["2147483647", "2147483648", "2147483649", "99999999999", "99999999999999999999999999999"] {
        let seconds = fresh_for(200, &[&format!("Cache-Control: max-age={digits}")]);
        assert_eq!(seconds, digits.parse().map_or(1 << 31, |seconds: u64| seconds.min(1 << 31)), "{digits}");
    }
    // an age that overflows is greater than every lifetime
    let meta = received(&["Cache-Control: max-age=99999999999", "Age: 99999999999"], NOW);
    assert_eq!(after(&meta, 0, &[]), Judgement::Validate(Why::Stale));
}

#[test]
fn section_4_2_2_a_heuristic_needs_last_modified_and_the_absence_of_anything_better() {
    let cases: [(&[&str], u64); 6] = [
        (&["Last-Modified: Sun, 06 Nov 1994 08:48:37 GMT"], 6),
        (&["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], 0),
        (&["Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT"], 0),
        (&["Last-Modified: Thu, 06 Nov 1980 08:49:37 GMT"], 24 * HOUR),
        (&[MODIFIED, "Cache-Control: max-age=x"], 0),
        (&[MODIFIED, "Expires: 0"], 0),
    ];
    for (fields, seconds) in cases {
        assert_eq!(fresh_for(200, &[fields, &[DATE]].concat()), seconds, "{fields:?}");
    }
    assert_eq!(fresh_for(404, &[DATE, MODIFIED]), 8640);
    assert_eq!(fresh_for(599, &[DATE, MODIFIED, "Cache-Control: public"]), 8640);
}

#[test]
fn section_4_2_3_age_is_the_greater_of_what_date_shows_and_what_age_says() {
    let control = "Cache-Control: max-age=3600";
    let waited = Exchanged { requested_ms: NOVEMBER - 4_000, received_ms: NOVEMBER };
    let cases: [(&[&str], Exchanged, u64); 8] = [
        (&[DATE], NOW, 0),
        (&["Date: Sun, 06 Nov 1994 08:48:37 GMT"], NOW, 60),
        // a clock that is ahead
        (&["Date: Sun, 06 Nov 1994 09:49:37 GMT"], NOW, 0),
        (&[DATE, "Age: 100"], NOW, 100),
        (&["Date: Sun, 06 Nov 1994 08:48:37 GMT", "Age: 100"], NOW, 100),
        (&["Date: Sun, 06 Nov 1994 08:47:37 GMT", "Age: 100"], NOW, 120),
        (&[DATE, "Age: 100"], waited, 104),
        (&[], waited, 4),
    ];
    for (fields, times, seconds) in cases {
        let meta = received(&[fields, &[control]].concat(), times);
        assert_eq!(meta.age_ms(times.received_ms), seconds * 1000, "{fields:?}");
        assert_eq!(meta.age_ms(times.received_ms + 7_500), seconds * 1000 + 7_500, "{fields:?}");
    }
}

#[test]
fn section_4_2_3_a_response_of_this_second_is_not_old_because_dates_have_no_fractions() {
    let times = Exchanged { requested_ms: NOVEMBER + 990, received_ms: NOVEMBER + 995 };
    assert_eq!(received(&[DATE, "Cache-Control: max-age=1"], times).initial_age_ms, 5);
}

#[test]
fn section_4_2_4_nothing_stale_is_served_where_no_one_allows_it() {
    let meta = of("max-age=60");
    for asked in [&[] as &[&str], &["Cache-Control: max-stale=0"], &["Cache-Control: max-stale=9"]] {
        assert_eq!(after(&meta, 70, asked), Judgement::Validate(Why::Stale), "{asked:?}");
    }
    assert!(!on_error_after(&meta, 70, &[]));
}

#[test]
fn section_4_2_4_nothing_stale_is_served_where_a_directive_forbids_it() {
    let rules = Rules { stale_while_revalidate_ms: Some(3_600_000), stale_if_error_ms: Some(3_600_000), ..plain() };
    for control in [
        "max-age=60, must-revalidate",
        "max-age=60, proxy-revalidate",
        "s-maxage=60",
        "max-age=60, no-cache",
        "max-age=60, must-revalidate, stale-while-revalidate=600, stale-if-error=600",
    ] {
        let fields = [&*format!("Cache-Control: {control}"), DATE, "ETag: \"a\""];
        let meta = with_rules(&[], 200, &fields, &rules, None).expect("it may be stored");
        for asked in [&[] as &[&str], &["Cache-Control: max-stale"], &["Cache-Control: stale-if-error=600"]] {
            assert!(matches!(after(&meta, 70, asked), Judgement::Validate(_)), "{control} {asked:?}");
            assert!(!on_error_after(&meta, 70, asked), "{control} {asked:?}");
        }
    }
}

#[test]
fn section_5_1_the_first_member_of_age_counts_and_what_is_no_number_does_not() {
    let cases: [(&[&str], u64); 10] = [
        (&["Age: 7200"], 7200),
        (&["Age: 7200, 0"], 7200),
        (&["Age: 7200", "Age: 0"], 7200),
        (&["Age: 0, 7200"], 0),
        (&["Age: 0", "Age: 7200"], 0),
        (&["Age: abc"], 0),
        (&["Age: -7200"], 0),
        (&["Age: 7200.0"], 0),
        (&["Age: "], 0),
        (&["Age: 99999999999999999999999"], 1 << 31),
    ];
    for (fields, seconds) in cases {
        let meta = received(&[fields, &[DATE, "Cache-Control: max-age=3600"]].concat(), NOW);
        assert_eq!(meta.initial_age_ms, seconds * 1000, "{fields:?}");
    }
}

#[test]
fn section_5_3_expires_that_is_no_date_is_in_the_past() {
    for value in [
        "0",
        "",
        "-1",
        "tomorrow",
        "784115377",
        "SUN, 06 Nov 1994 09:49:37 GMT",
        "Sun, 06 NOV 1994 09:49:37 GMT",
        "Sun, 06 Nov 1994 09:49:37 gMT",
        "Sun, 06 Nov 1994 09:49:37 UTC",
        "Sun, 06 Nov 1994 09:49:37",
        "Sun, 06 Nov 94 09:49:37 GMT",
        "Sun 06 Nov 1994 09:49:37 GMT",
        "Sun, 06  Nov  1994 09:49:37 GMT",
        "Sun, 06-Nov-1994 09:49:37 GMT",
        "Sun, 06 Nov 1994 09.49.37 GMT",
        "Sun, 06 Nov 1994 9:49:37 GMT",
        "Sun, 6 Nov 1994 09:49:37 GMT",
        "Sun, 31 Feb 1994 09:49:37 GMT",
        "Mon, 06 Nov 1994 09:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 09:49:37 GMT, Sun, 06 Nov 1994 10:49:37 GMT",
    ] {
        assert_eq!(fresh_for(200, &[&format!("Expires: {value}"), DATE, MODIFIED]), 0, "{value}");
    }
    for value in ["Sun, 06 Nov 1994 09:49:37 GMT", "Sunday, 06-Nov-94 09:49:37 GMT", "Sun Nov  6 09:49:37 1994"] {
        assert_eq!(fresh_for(200, &[&format!("Expires: {value}"), DATE]), HOUR, "{value}");
    }
}

#[test]
fn section_5_3_expires_counts_from_date_and_from_reception_where_there_is_none() {
    let expires = "Expires: Sun, 06 Nov 1994 09:49:37 GMT";
    assert_eq!(fresh_for(200, &[expires, "Date: Sun, 06 Nov 1994 08:39:37 GMT"]), HOUR + 600);
    assert_eq!(fresh_for(200, &[expires, "Date: now"]), HOUR);
    assert_eq!(fresh_for(200, &[expires]), HOUR);
    assert_eq!(fresh_for(200, &[expires, expires, DATE]), HOUR);
    assert_eq!(fresh_for(200, &[expires, "Expires: Sun, 06 Nov 1994 10:49:37 GMT", DATE]), 0);
}

#[test]
fn dates_that_differ_make_it_older_and_its_lifetime_shorter() {
    let meta = received(&["Expires: Sun, 06 Nov 1994 09:49:37 GMT", "Date: Sun, 06 Nov 1994 08:39:37 GMT", DATE], NOW);
    assert_eq!((meta.initial_age_ms, meta.lifetime_ms), (600_000, 3_600_000));
}

#[test]
fn what_a_person_has_configured_counts_from_when_it_was_received() {
    let old = ["Date: Sun, 06 Nov 1994 07:49:37 GMT", "ETag: \"a\""];
    let rules = Rules { ttl_ms: Some(60_000), ..plain() };
    let meta = with_rules(&[], 200, &old, &rules, None).expect("it may be stored");
    assert_eq!((meta.ttl_ms(NOVEMBER), meta.basis), (60_000, Basis::Ttl));

    let stated = [&old as &[&str], &["Cache-Control: max-age=4000"]].concat();
    let left = |over: Override| {
        let meta = with_rules(&[], 200, &stated, &plain(), Some(&over)).expect("it may be stored");
        (meta.ttl_ms(NOVEMBER) / 1000, meta.basis)
    };
    assert_eq!(left(Override::default()), (400, Basis::MaxAge));
    assert_eq!(left(Override { ttl_ms: Some(9_000), ..Override::default() }), (9, Basis::Override));
    assert_eq!(left(Override { min_ms: Some(900_000), ..Override::default() }), (900, Basis::Override));
    assert_eq!(left(Override { max_ms: Some(100_000), ..Override::default() }), (100, Basis::Override));
    assert_eq!(
        left(Override { min_ms: Some(1_000), max_ms: Some(500_000), ..Override::default() }),
        (400, Basis::MaxAge)
    );
}
