//! One JSON object a line.

use super::super::clock::Clock;
use super::super::wire::{Line, Side};
use super::values::{Key, Value, ip, millis, number, socket};
use super::{Format, escape};

pub(super) fn write(format: &Format, line: &Line<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    // masked text on its way to be escaped; allocates only where there is such text
    let mut scratch = Vec::new();
    let start = out.len();
    for &key in Key::ALL {
        let value = key.value(line);
        if matches!(value, Value::Fields(side) if format.names(side).is_empty()) {
            continue;
        }
        out.extend_from_slice(key.json());
        scratch.clear();
        match value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Text(text) => escape::json(text, out),
            Value::Query(query) => {
                format.redact.query(query, &mut scratch);
                escape::json(&scratch, out);
            }
            Value::Url(url) => {
                format.redact.url(url, &mut scratch);
                escape::json(&scratch, out);
            }
            Value::Ip(address) => quoted(out, |out| ip(address, out)),
            Value::Socket(address) => quoted(out, |out| socket(address, out)),
            Value::Number(n) => number(n, out),
            Value::Bool(bool) => out.extend_from_slice(if bool { b"true" } else { b"false" }),
            Value::Micros(t) => millis(t, out),
            Value::Time(ms) => quoted(out, |out| clock.rfc3339(ms, out)),
            Value::Fields(side) => fields(format, line, side, &mut scratch, out),
        }
    }
    // the first key's comma
    out[start] = b'{';
    out.push(b'}');
}

/// What `write` appends needs no escaping.
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn fields(format: &Format, line: &Line<'_>, side: Side, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let mut before = b'{';
    for name in format.names(side) {
        scratch.clear();
        if !format.field(line, side, name, scratch) {
            continue;
        }
        out.push(before);
        before = b',';
        escape::json(name.as_bytes(), out);
        out.push(b':');
        escape::json(scratch, out);
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
