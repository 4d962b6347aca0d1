//! RFC 5861 (stale content), RFC 8246 (immutable), RFC 9213 (targeted fields), and what a person configures.

mod caching;
mod heads;

use caching::{DATE, MODIFIED, after, fresh_for, of, on_error_after, plain, store, with_rules};
use heads::response;
use reviver_cache::{Basis, Control, Ignored, Judgement, Meta, Override, Refusal, Rules, Why};

const STALE: Judgement = Judgement::Validate(Why::Stale);

#[test]
fn rfc_5861_section_3_what_is_stale_is_served_while_it_is_validated_for_so_long() {
    let meta = of("max-age=60, stale-while-revalidate=30");
    assert_eq!(after(&meta, 59, &[]), Judgement::Serve(Why::Fresh));
    for seconds in [60, 61, 90] {
        assert_eq!(after(&meta, seconds, &[]), Judgement::ServeAndRevalidate, "{seconds}");
    }
    assert_eq!(after(&meta, 91, &[]), STALE);
    // unless the client asks for more
    assert_eq!(after(&meta, 70, &["Cache-Control: max-age=60"]), Judgement::Validate(Why::Request));
    assert_eq!(after(&meta, 70, &["Cache-Control: no-cache"]), Judgement::Validate(Why::Request));
    assert_eq!(after(&meta, 70, &["Cache-Control: min-fresh=0"]), STALE);
    for control in [
        "max-age=60, stale-while-revalidate=x",
        "max-age=60, stale-while-revalidate",
        "max-age=60, stale-while-revalidate=0",
    ] {
        assert_eq!(after(&of(control), 60, &[]), STALE, "{control}");
    }
    assert_eq!(of("stale-while-revalidate=5, max-age=1, stale-while-revalidate=600").stale_while_revalidate_ms, 5_000);
}

#[test]
fn rfc_5861_section_4_what_is_stale_is_served_on_error_for_so_long() {
    let meta = of("max-age=60, stale-if-error=30");
    assert_eq!(after(&meta, 70, &[]), STALE);
    assert!(on_error_after(&meta, 90, &[]));
    assert!(!on_error_after(&meta, 91, &[]));
    // the client may say how long, too
    assert!(on_error_after(&meta, 100, &["Cache-Control: stale-if-error=60"]));
    assert!(!on_error_after(&meta, 70, &["Cache-Control: stale-if-error=5"]));
    assert!(on_error_after(&of("max-age=60"), 70, &["Cache-Control: stale-if-error=60"]));
    assert!(!on_error_after(&of("max-age=60"), 70, &["Cache-Control: stale-if-error"]));
    assert!(!on_error_after(&of("max-age=60, must-revalidate"), 70, &["Cache-Control: stale-if-error=60"]));
}

#[test]
fn windows_are_configured_where_the_response_states_none() {
    let rules = Rules { stale_while_revalidate_ms: Some(7_000), stale_if_error_ms: Some(9_000), ..plain() };
    let windows = |control: &str| {
        let meta = with_rules(&[], 200, &[&format!("Cache-Control: {control}"), "ETag: \"a\""], &rules, None)
            .expect("it may be stored");
        (meta.stale_while_revalidate_ms, meta.stale_if_error_ms)
    };
    assert_eq!(windows("max-age=60"), (7_000, 9_000));
    assert_eq!(windows("max-age=60, stale-while-revalidate=0, stale-if-error=1"), (0, 1_000));
    assert_eq!(windows("max-age=60, must-revalidate"), (0, 0));
    assert_eq!(windows("s-maxage=60"), (0, 0));
}

#[test]
fn a_soft_purge_makes_it_stale_and_leaves_the_windows() {
    let purged = |control: &str| Meta { purged: true, ..of(control) };
    let meta = purged("max-age=60, stale-while-revalidate=30, stale-if-error=90");
    assert_eq!(after(&meta, 1, &[]), Judgement::ServeAndRevalidate);
    assert_eq!(after(&meta, 90, &[]), Judgement::ServeAndRevalidate);
    assert_eq!(after(&meta, 91, &[]), Judgement::Validate(Why::Purged));
    assert!(on_error_after(&meta, 150, &[]));
    assert!(!on_error_after(&meta, 151, &[]));
    assert_eq!(after(&purged("max-age=60"), 1, &[]), Judgement::Validate(Why::Purged));
    assert!(!on_error_after(&purged("max-age=60"), 1, &[]));
}

#[test]
fn rfc_8246_immutable_is_validated_where_it_is_stale_or_the_client_asks() {
    let meta = of("max-age=60, immutable");
    assert!(meta.immutable);
    assert_eq!(after(&meta, 30, &[]), Judgement::Serve(Why::Fresh));
    assert_eq!(after(&meta, 60, &[]), STALE);
    assert_eq!(after(&meta, 30, &["Cache-Control: no-cache"]), Judgement::Validate(Why::Request));
    assert_eq!(after(&meta, 30, &["Cache-Control: max-age=0"]), Judgement::Validate(Why::Request));
}

#[test]
fn rfc_9213_a_targeted_field_counts_and_cache_control_and_expires_do_not() {
    let expires = "Expires: Sun, 06 Nov 1994 08:49:47 GMT";
    let cases: [(&[&str], u64); 7] = [
        (&["CDN-Cache-Control: max-age=3600"], 3600),
        (&["CDN-Cache-Control: max-age=3600", "Cache-Control: max-age=1", expires], 3600),
        (&["CDN-Cache-Control: max-age=1", "Cache-Control: max-age=3600"], 1),
        (&["CDN-Cache-Control: max-age=3600", "Cache-Control: no-store, private"], 3600),
        (&["CDN-Cache-Control: max-age=3600, max-age=5;x=1"], 5),
        (&["CDN-Cache-Control: max-age=3600", "cdn-cache-control: max-age=5"], 5),
        (&["CDN-Cache-Control: max-age=99999999999, foobar, a=(1 2), b=:AA==:"], 1 << 31),
    ];
    for (fields, seconds) in cases {
        assert_eq!(fresh_for(200, &[fields, &[DATE]].concat()), seconds, "{fields:?}");
    }
    let meta = store(&[], 200, &["CDN-Cache-Control: max-age=60", DATE]).expect("it may be stored");
    assert_eq!(meta.basis, Basis::Targeted);
    // neither of the two says anything: the heuristic is left
    let meta = store(&[], 200, &["CDN-Cache-Control: public", "Cache-Control: max-age=1", expires, DATE, MODIFIED])
        .expect("it may be stored");
    assert_eq!((meta.lifetime_ms, meta.basis), (8_640_000, Basis::Heuristic));
}

#[test]
fn rfc_9213_what_a_targeted_field_forbids_is_forbidden() {
    for (value, why) in
        [("private", Refusal::Private), ("no-store", Refusal::NoStore), ("private=\"\"", Refusal::Private)]
    {
        let fields = [&*format!("CDN-Cache-Control: {value}"), "Cache-Control: max-age=10000, public"];
        assert_eq!(store(&[], 200, &fields), Err(why), "{value}");
    }
    let meta = store(&[], 200, &["CDN-Cache-Control: no-cache", "Cache-Control: max-age=60", "ETag: \"a\""])
        .expect("it may be stored");
    assert_eq!(after(&meta, 0, &[]), Judgement::Validate(Why::NoCache));
    let control = Control::of(&response(200, &["CDN-Cache-Control: private=\"A, b\""]), &plain().targeted);
    assert_eq!((control.private, &*control.not_stored), (false, &["a".to_owned(), "b".to_owned()] as &[String]));
}

#[test]
fn rfc_9213_section_2_1_a_field_that_is_empty_or_cannot_be_parsed_is_not_there() {
    for value in
        ["", "max-age =100", "max-age= 100", "max-age=100, &&&", "MaX-aGe=100", "max-age=100,", "no-store, \"x\""]
    {
        let fields = [&*format!("CDN-Cache-Control: {value}"), "Cache-Control: max-age=7"];
        assert_eq!(fresh_for(200, &fields), 7, "{value}");
    }
}

#[test]
fn rfc_9213_section_2_1_directives_of_another_type_say_nothing() {
    for value in
        ["max-age=\"100\"", "max-age", "max-age=100.5", "max-age=?1", "max-age=(100)", "no-store=?0, no-cache=1"]
    {
        let control = Control::of(&response(200, &[&format!("CDN-Cache-Control: {value}")]), &plain().targeted);
        assert_eq!(control, Control { targeted: true, ..Control::default() }, "{value}");
    }
    // of the right type, and no time
    assert_eq!(fresh_for(200, &["CDN-Cache-Control: max-age=-5", MODIFIED, DATE]), 0);
}

#[test]
fn rfc_9213_section_2_2_the_first_name_of_the_list_counts() {
    let rules = Rules { targeted: vec!["mine-cache-control".into(), "cdn-cache-control".into()], ..plain() };
    let seconds = |fields: &[&str]| with_rules(&[], 200, fields, &rules, None).map(|meta| meta.lifetime_ms / 1000);
    let (mine, cdn) = ("Mine-Cache-Control: max-age=1", "CDN-Cache-Control: max-age=2");
    assert_eq!(seconds(&[cdn, mine]), Ok(1));
    assert_eq!(seconds(&[cdn, "Mine-Cache-Control: max-age="]), Ok(2));
    assert_eq!(seconds(&["Other-Cache-Control: max-age=3"]), Err(Refusal::NoFreshness));
}

#[test]
fn ttl_by_status_holds_where_the_response_states_nothing_and_0_always() {
    let rules = Rules {
        ttl_ms: Some(60_000),
        ttl_by_status: vec![(404, 404, 10_000), (301, 308, 20_000), (410, 410, 0), (500, 599, 1_000)],
        ..plain()
    };
    let lifetime = |status: u16, fields: &[&str]| {
        with_rules(&[], status, fields, &rules, None).map(|meta| (meta.lifetime_ms / 1000, meta.basis))
    };
    assert_eq!(lifetime(200, &[DATE, MODIFIED]), Ok((60, Basis::Ttl)));
    assert_eq!(lifetime(404, &[DATE, MODIFIED]), Ok((10, Basis::Ttl)));
    assert_eq!(lifetime(302, &[]), Ok((20, Basis::Ttl)));
    assert_eq!(lifetime(503, &[]), Ok((1, Basis::Ttl)));
    assert_eq!(lifetime(404, &["Cache-Control: max-age=5"]), Ok((5, Basis::MaxAge)));
    assert_eq!(lifetime(410, &["Cache-Control: max-age=5"]), Err(Refusal::Configured));
    // not one that is cacheable by itself
    assert_eq!(lifetime(201, &[]), Err(Refusal::Status));
    assert_eq!(lifetime(404, &["Cache-Control: no-store"]), Err(Refusal::NoStore));
}

#[test]
fn an_override_ignores_what_it_names_and_nothing_else() {
    let ignoring = |ignore: Ignored| Override { ttl_ms: Some(60_000), ignore, ..Override::default() };
    let none = Ignored::default();
    let stored = |control: &str, over: &Override| {
        let fields = [&*format!("Cache-Control: {control}"), "ETag: \"a\""];
        with_rules(&[], 200, &fields, &plain(), Some(over))
    };
    assert_eq!(stored("no-store", &ignoring(none)), Err(Refusal::NoStore));
    assert_eq!(stored("private", &ignoring(Ignored { no_store: true, ..none })), Err(Refusal::Private));
    assert!(stored("private", &ignoring(Ignored { private: true, ..none })).is_ok());
    assert!(stored("no-store", &ignoring(Ignored { no_store: true, ..none })).is_ok());
    assert!(stored("no-cache", &ignoring(none)).expect("it may be stored").no_cache);
    assert!(!stored("no-cache", &ignoring(Ignored { no_cache: true, ..none })).expect("it may be stored").no_cache);
    let revalidated = ignoring(Ignored { must_revalidate: true, ..none });
    assert!(!stored("must-revalidate, s-maxage=5", &revalidated).expect("it may be stored").must_revalidate);
    assert_eq!(stored("max-age=5", &Override { ttl_ms: Some(0), ..Override::default() }), Err(Refusal::Configured));
}

#[test]
fn an_override_may_ignore_stated_freshness_and_change_the_heuristic() {
    let over =
        Override { percent: Some(50), ignore: Ignored { expires: true, ..Ignored::default() }, ..Override::default() };
    let lifetime = |rules: &Rules, over: &Override| {
        let meta = with_rules(&[], 200, &["Cache-Control: max-age=5", DATE, MODIFIED], rules, Some(over));
        meta.map(|meta| (meta.lifetime_ms / 1000, meta.basis))
    };
    assert_eq!(lifetime(&plain(), &over), Ok((43_200, Basis::Heuristic)));
    let capped = Override { max_ms: Some(600_000), ..over };
    assert_eq!(lifetime(&plain(), &capped), Ok((600, Basis::Heuristic)));
    let rules = Rules { ttl_ms: Some(9_000), ..plain() };
    assert_eq!(lifetime(&rules, &over), Ok((43_200, Basis::Heuristic)));
    assert_eq!(lifetime(&rules, &Override { percent: None, ..over }), Ok((9, Basis::Ttl)));
    // what is not cacheable by itself does not become so
    let fields = [DATE, MODIFIED];
    let minimal = Override { min_ms: Some(60_000), ttl_ms: Some(60_000), ..Override::default() };
    assert_eq!(with_rules(&[], 500, &fields, &plain(), Some(&minimal)), Err(Refusal::Status));
}
