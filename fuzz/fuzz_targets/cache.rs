//! A request, a response and what validates it: whatever they say, what is stored is a head again, says the same of
//! itself, and is not served where it forbids it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reviver_cache::{
    Ask, Control, Exchanged, Judgement, Meta, Rules, Updated, Why, judge, lines, may_serve_on_error, may_store, update,
    write_stored_fields,
};
use reviver_http::{FieldKind, HeadLimits, Method, RequestHead, ResponseHead, decode_request, decode_response};

const LIMITS: HeadLimits = HeadLimits { head: 16384, fields: 100, target: 4096 };
/// What a 304 has added to.
const WIDER: HeadLimits = HeadLimits { head: 2 * LIMITS.head, fields: HeadLimits::MAX_FIELDS, ..LIMITS };
const NOW: u64 = 784_111_777_000;

/// What ends in an empty line, and what is behind it.
fn head(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(data.split_at(end + 4))
}

fn response(bytes: &[u8], limits: &HeadLimits) -> Option<ResponseHead> {
    let mut head = ResponseHead::default();
    decode_response(bytes, Method::Get, limits, &mut head).ok().map(|()| head)
}

/// Stored fields as a head.
fn again(fields: &[u8]) -> ResponseHead {
    let bytes = [b"HTTP/1.1 200 \r\n", fields, b"\r\n"].concat();
    response(&bytes, &WIDER).unwrap_or_else(|| panic!("{}", fields.escape_ascii()))
}

fn check(fields: &[u8], meta: &Meta, targeted: &[String]) {
    let head = again(fields);
    let control = Control::of(&head, targeted);
    let told = fields.escape_ascii();
    for line in lines(fields) {
        let kind = FieldKind::of(line.name);
        assert!(!kind.is_hop_by_hop() && !matches!(kind, FieldKind::Age | FieldKind::ContentLength), "{told}");
        assert!(kind != FieldKind::SetCookie || control.public || control.s_maxage.is_some(), "{told}");
    }
    assert!(!control.private && (!control.no_store || control.must_understand), "{told}");
    assert_eq!((control.no_cache, control.immutable), (meta.no_cache, meta.immutable), "{told}");
    let mut form = Vec::new();
    meta.write(&mut form);
    assert_eq!(Meta::read(&form).as_ref(), Some(&(meta.clone(), Meta::SIZE)));
}

fuzz_target!(|data: &[u8]| {
    let _ = Meta::read(data);
    let Some((asked, rest)) = head(data) else {
        return;
    };
    let mut request = RequestHead::default();
    if decode_request(asked, &LIMITS, &mut request).is_err() {
        return;
    }
    let (ask, bypass) = (Ask::of(&request), Ask::bypasses(&request));
    let Some((answer, rest)) = head(rest) else {
        return;
    };
    let Some(answer) = response(answer, &LIMITS) else {
        return;
    };
    let rules = Rules { targeted: vec!["cdn-cache-control".into()], max_object: u64::MAX, ..Rules::default() };
    let control = Control::of(&answer, &rules.targeted);
    // a field that says what is not stored may name one of those by which it is judged: then nothing can be compared
    if !control.not_stored.is_empty() {
        return;
    }
    let times = Exchanged { requested_ms: NOW, received_ms: NOW };
    let Ok(meta) = may_store(&request, &ask, &answer, &control, &rules, None, times) else {
        return;
    };
    assert!(bypass.is_none() && request.method == Method::Get && !ask.no_store);
    let mut fields = Vec::new();
    write_stored_fields(&answer, &control, &mut fields);
    if control.targeted == Control::of(&again(&fields), &rules.targeted).targeted {
        check(&fields, &meta, &rules.targeted);
    }
    let verdict = judge(&meta, &ask, NOW);
    if meta.no_cache || ask.no_cache || ask.max_age == Some(0) {
        assert!(matches!(verdict, Judgement::Validate(Why::NoCache | Why::Request)), "{verdict:?}");
    }
    if meta.must_revalidate {
        assert!(verdict == Judgement::Serve(Why::Fresh) || matches!(verdict, Judgement::Validate(_)), "{verdict:?}");
        assert!(!may_serve_on_error(&meta, &ask, u64::MAX));
    }
    assert_eq!(
        judge(&meta, &Ask::default(), NOW) == Judgement::Serve(Why::Fresh),
        !meta.no_cache && meta.ttl_ms(NOW) > 0
    );

    let Some(newer) = head(rest).and_then(|(newer, _)| response(newer, &LIMITS)) else {
        return;
    };
    let control = Control::of(&newer, &rules.targeted);
    let later = Exchanged { requested_ms: NOW + 1000, received_ms: NOW + 2000 };
    match update(&fields, &meta, &request, &ask, &newer, &control, &rules, None, later) {
        Updated::Stored { fields, meta } => {
            assert_eq!(meta.received_ms, later.received_ms);
            if Control::of(&again(&fields), &rules.targeted).not_stored.is_empty() && control.not_stored.is_empty() {
                check(&fields, &meta, &rules.targeted);
            }
        }
        Updated::NotStored { fields, .. } => {
            again(&fields);
        }
        Updated::Other => {}
    }
});
