//! A cache of one response, at times that are counted from when it came.
#![allow(dead_code, reason = "no test needs all")]

use reviver_cache::{
    Ask, Control, Exchanged, Judgement, Meta, Override, Refusal, Rules, judge, may_serve_on_error, may_store,
    write_stored_fields,
};

use crate::heads::{NOVEMBER, get, response};

pub const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
/// A day before.
pub const MODIFIED: &str = "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT";
pub const NOW: Exchanged = Exchanged { requested_ms: NOVEMBER, received_ms: NOVEMBER };

/// What a route has that says no more than `cache: true`.
pub fn plain() -> Rules {
    Rules { targeted: vec!["cdn-cache-control".into()], max_object: 1 << 26, ..Rules::default() }
}

pub fn with_rules(
    asked: &[&str],
    status: u16,
    fields: &[&str],
    rules: &Rules,
    over: Option<&Override>,
) -> Result<Meta, Refusal> {
    let (request, response) = (get(asked), response(status, fields));
    let control = Control::of(&response, &rules.targeted);
    may_store(&request, &Ask::of(&request), &response, &control, rules, over, NOW)
}

/// What is kept of a response with these fields to a GET.
pub fn store(asked: &[&str], status: u16, fields: &[&str]) -> Result<Meta, Refusal> {
    with_rules(asked, status, fields, &plain(), None)
}

/// What is kept of a response of that `Cache-Control`, made when it came.
pub fn of(control: &str) -> Meta {
    store(&[], 200, &[&format!("Cache-Control: {control}"), DATE, "ETag: \"a\""]).expect("it may be stored")
}

/// What a GET with these fields gets so many seconds after the response came.
pub fn after(meta: &Meta, seconds: u64, asked: &[&str]) -> Judgement {
    judge(meta, &Ask::of(&get(asked)), NOVEMBER + seconds * 1000)
}

pub fn on_error_after(meta: &Meta, seconds: u64, asked: &[&str]) -> bool {
    may_serve_on_error(meta, &Ask::of(&get(asked)), NOVEMBER + seconds * 1000)
}

/// The lines that are stored.
pub fn kept(fields: &[&str]) -> String {
    let response = response(200, fields);
    let mut out = Vec::new();
    write_stored_fields(&response, &Control::of(&response, &plain().targeted), &mut out);
    String::from_utf8(out).expect("text")
}

/// Seconds that it is fresh, when it came.
pub fn fresh_for(status: u16, fields: &[&str]) -> u64 {
    store(&[], status, &[fields, &["ETag: \"a\""]].concat()).expect("it may be stored").lifetime_ms / 1000
}
