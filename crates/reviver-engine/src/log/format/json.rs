//! One JSON object a line.

use super::super::clock::Clock;
use super::super::wire::{Line, Side};
use super::values::{Key, Value, Visitor, ip, millis, number, socket};
use super::{Format, escape};

pub(super) fn write(format: &Format, line: &Line<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    let start = out.len();
    Key::each(line, &mut Object { format, line, clock, out });
    // the first key's comma
    out[start] = b'{';
    out.push(b'}');
}

struct Object<'a, 'l> {
    format: &'a Format,
    line: &'a Line<'l>,
    clock: &'a mut Clock,
    out: &'a mut Vec<u8>,
}

impl Visitor for Object<'_, '_> {
    /// Appends a key with its value; nothing where there is none.
    #[inline(always)]
    fn value(&mut self, key: &'static [u8], value: Value<'_>) {
        let Self { format, line, clock, out } = self;
        if matches!(value, Value::Null) || matches!(value, Value::Fields(side) if format.names(side).is_empty()) {
            return;
        }
        out.extend_from_slice(key);
        match value {
            Value::Null => {}
            Value::Text(text) => escape::json(text, out),
            Value::Word(word) => quoted(out, |out| out.extend_from_slice(word.as_bytes())),
            Value::Query(query) => masked(out, |out| format.redact.query(query, out)),
            Value::Url(url) => masked(out, |out| format.redact.url(url, out)),
            Value::Ip(address) => quoted(out, |out| ip(address, out)),
            Value::Socket(address) => quoted(out, |out| socket(address, out)),
            Value::Number(n) => number(n, out),
            Value::Bool(bool) => out.extend_from_slice(if bool { b"true" } else { b"false" }),
            Value::Micros(t) => millis(t, out),
            Value::Time(ms) => quoted(out, |out| clock.rfc3339(ms, out)),
            Value::Fields(side) => fields(format, line, side, out),
        }
    }
}

/// What `write` appends needs no escaping.
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// What `write` appends may need escaping; mostly it does not.
fn masked(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(b'"');
    write(out);
    if escape::is_plain(&out[start + 1..]) {
        out.push(b'"');
    } else {
        let text = out.split_off(start);
        escape::json(&text[1..], out);
    }
}

fn fields(format: &Format, line: &Line<'_>, side: Side, out: &mut Vec<u8>) {
    let mut before = b'{';
    for name in format.names(side) {
        let start = out.len();
        out.push(before);
        escape::json(name.as_bytes(), out);
        out.push(b':');
        let mut found = false;
        masked(out, |out| found = format.field(line, side, name, out));
        if found {
            before = b',';
        } else {
            out.truncate(start);
        }
    }
    if before == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

impl Format {
    /// The configured fields of one side.
    pub(super) fn names(&self, side: Side) -> &[String] {
        match side {
            Side::Request => &self.request_headers,
            Side::Response => &self.response_headers,
        }
    }

    /// Appends all values of a recorded field, masked and joined; false where the head had none.
    pub(super) fn field(&self, line: &Line<'_>, side: Side, name: &str, out: &mut Vec<u8>) -> bool {
        let mut found = false;
        for (_, _, value) in line.fields().filter(|(from, n, _)| *from == side && *n == name.as_bytes()) {
            if found {
                out.extend_from_slice(if name == "cookie" { b"; " } else { b", " });
            }
            found = true;
            self.redact.field_value(name.as_bytes(), value, out);
        }
        found
    }
}
