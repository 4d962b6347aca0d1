//! What a 304 makes of a stored response (RFC 9111, sections 3.2 and 4.3.4), and a HEAD (section 4.3.5).

use std::time::{Duration, UNIX_EPOCH};

use reviver_http::{FieldKind, HeadLimits, RequestHead, ResponseHead};

use crate::fields::{received, stored};
use crate::freshness::Facts;
use crate::storing::{Case, is_stored};
use crate::validator::{EntityTag, date_ms, modified, only};
use crate::{Ask, Basis, Control, Exchanged, Meta, Override, Refusal, Rules, lines};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updated {
    /// The fields and what is known now.
    Stored { fields: Vec<u8>, meta: Meta },
    /// The response may be used for this request, and is not kept.
    NotStored { fields: Vec<u8>, meta: Meta, refusal: Refusal },
    /// The answer speaks of another response than the stored one.
    Other,
}

/// `response` is a 304 to a conditional request made of the stored validators, or the answer to a HEAD, which counts
/// where its status is the stored one. What is said of storing is read from both responses' fields together, so that
/// `control`, which is of the new one alone, adds nothing.
#[allow(clippy::too_many_arguments)]
pub fn update(
    fields: &[u8],
    meta: &Meta,
    request: &RequestHead,
    ask: &Ask,
    response: &ResponseHead,
    control: &Control,
    rules: &Rules,
    over: Option<&Override>,
    times: Exchanged,
) -> Updated {
    let _ = (request, control);
    let same = if response.status == 304 { is_validated(fields, response) } else { is_same(fields, meta, response) };
    if !same {
        return Updated::Other;
    }
    let merged = merge(fields, response, times);
    // an origin that sends ever new names: better a new response than one that grows
    if lines(&merged).count() > HeadLimits::MAX_FIELDS {
        return Updated::Other;
    }
    let control = Control::read(stored(&merged), &rules.targeted);
    let facts = Facts {
        // that of the stored response was of another time
        age_ms: Facts::of(received(response)).age_ms,
        set_cookie: response.values(FieldKind::SetCookie).next().is_some(),
        content_length: meta.content_length,
        ..Facts::of(stored(&merged))
    };
    // what was stored for a request without cookies is for everyone, whoever had it validated
    let for_everyone = !meta.no_cache && matches!(meta.basis, Basis::Heuristic | Basis::Ttl);
    let cookie = ask.cookie && !for_everyone;
    let ask = Ask { cookie, ..*ask };
    let case = Case { status: meta.status, facts: &facts, ask: &ask, control: &control, rules, over, times };
    let meta = case.meta();
    match case.refusal(&meta) {
        // for this request nothing is left out: that no one else gets it is what the refusal says
        Some(refusal) => Updated::NotStored { fields: merged, meta, refusal },
        None => Updated::Stored { fields: storable(&merged, &control), meta },
    }
}

/// Section 4.3.4. A tag that the stored response has as a weak one is compared weakly, as the origin did when it
/// answered 304: servers that compress send it weak with a response, and strong with a 304.
fn is_validated(fields: &[u8], response: &ResponseHead) -> bool {
    let new_tag = only(response.values(FieldKind::ETag)).and_then(EntityTag::parse);
    let old_tag = EntityTag::stored(fields);
    match (new_tag, old_tag) {
        (Some(new), Some(old)) => return new.opaque == old.opaque,
        (Some(new), None) if !new.weak => return false,
        _ => {}
    }
    let new_modified = only(response.values(FieldKind::LastModified)).and_then(date_ms);
    match (new_modified, modified(fields)) {
        (Some(new), Some((_, old))) => new == old,
        (Some(_), None) => false,
        // no validator at all: the one that was validated
        (None, _) => new_tag.is_none(),
    }
}

/// Section 4.3.5: nothing that the HEAD says of the representation differs.
fn is_same(fields: &[u8], meta: &Meta, response: &ResponseHead) -> bool {
    let facts = Facts::of(received(response));
    let tag = only(response.values(FieldKind::ETag));
    let old_tag = EntityTag::stored(fields).map(|tag| tag.text);
    let old_modified = modified(fields).map(|(_, date)| date);
    response.status == meta.status
        && response.values(FieldKind::ETag).next().is_none_or(|_| tag == old_tag)
        && response.values(FieldKind::LastModified).next().is_none_or(|_| facts.modified.valid() == old_modified)
        && facts.content_length.is_none_or(|length| meta.content_length.is_none_or(|stored| stored == length))
}

/// Section 3.2: fields of the new response replace those of the same name.
fn merge(fields: &[u8], response: &ResponseHead, times: Exchanged) -> Vec<u8> {
    let has_tag = EntityTag::stored(fields).is_some();
    let counts = |kind: FieldKind, name: &[u8]| match kind {
        FieldKind::ETag => !has_tag,
        FieldKind::SetCookie => true,
        _ => is_stored(kind, &Control::default()) && !describes_content(kind, name),
    };
    let replacing = |name: &[u8]| {
        received(response).any(|item| item.name.eq_ignore_ascii_case(name) && counts(item.kind, item.name))
    };
    let dated = response.values(FieldKind::Date).next().is_some();
    let mut merged = Vec::with_capacity(fields.len() + response.fields().len() * 32);
    for line in lines(fields) {
        let undated = !dated && FieldKind::of(line.name) == FieldKind::Date;
        if !undated && !replacing(line.name) {
            merged.extend_from_slice(line.line);
        }
    }
    for item in received(response).filter(|item| counts(item.kind, item.name)) {
        write_line(item.name, item.value, &mut merged);
    }
    if !dated {
        // RFC 9110, section 6.6.1
        write_line(b"Date", http_date(times.received_ms).as_bytes(), &mut merged);
    }
    merged
}

/// What depends on how the content was stored.
fn describes_content(kind: FieldKind, name: &[u8]) -> bool {
    const NAMES: [&[u8]; 2] = [b"content-encoding", b"content-type"];
    kind == FieldKind::ContentRange || NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn storable(merged: &[u8], control: &Control) -> Vec<u8> {
    let kept =
        lines(merged).filter(|line| is_stored(FieldKind::of(line.name), control) && !control.keeps_out(line.name));
    kept.fold(Vec::with_capacity(merged.len()), |mut out, line| {
        out.extend_from_slice(line.line);
        out
    })
}

fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The last second that such a date can name.
const LAST_MS: u64 = 253_402_300_799_000;

fn http_date(ms: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(ms.min(LAST_MS)))
}
