//! Templates: text with `{names}` of values, `{request_headers.NAME}` and `{response_headers.NAME}`;
//! `{{` and `}}` are literal braces.

use super::super::clock::Clock;
use super::super::wire::{Line, Side};
use super::values::{Key, Value, ip, millis, number, socket};
use super::{Format, escape};

#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// Fields that the template names, in lower case.
    pub request_fields: Vec<String>,
    pub response_fields: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Value(Key),
    Field(Side, String),
}

impl Template {
    /// Fails with a sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err("control characters other than tabs cannot stand in a line".into());
        }
        let mut template = Self { pieces: Vec::new(), request_fields: Vec::new(), response_fields: Vec::new() };
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let (brace, after) = (&rest[at..at + 1], &rest[at + 1..]);
            if let Some(after) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err("`}` stands alone; write `}}` for a brace".into());
            }
            let Some((name, after)) = after.split_once('}') else {
                return Err("`{` is never closed; write `{{` for a brace".into());
            };
            if !literal.is_empty() {
                template.pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            let piece = template.piece(name)?;
            template.pieces.push(piece);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            template.pieces.push(Piece::Text(literal));
        }
        Ok(template)
    }

    fn piece(&mut self, name: &str) -> Result<Piece, String> {
        if let Some(key) = Key::of_name(name) {
            return Ok(Piece::Value(key));
        }
        let (side, names, field) = match name.split_once('.') {
            Some(("request_headers", field)) => (Side::Request, &mut self.request_fields, field),
            Some(("response_headers", field)) => (Side::Response, &mut self.response_fields, field),
            _ => return Err(format!("there is no value {{{name}}}")),
        };
        let field = field.to_ascii_lowercase();
        names.push(field.clone());
        Ok(Piece::Field(side, field))
    }

    /// Values are escaped as Apache does; one that is not there is `-`.
    pub fn write(&self, format: &Format, line: &Line<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
        let mut scratch = Vec::new();
        for piece in &self.pieces {
            scratch.clear();
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Value(key) => value(format, line, key.value(line), clock, &mut scratch, out),
                Piece::Field(side, name) if format.field(line, *side, name, &mut scratch) => {
                    escape::apache(&scratch, out);
                }
                Piece::Field(..) => out.push(b'-'),
            }
        }
    }
}

fn value(
    format: &Format,
    line: &Line<'_>,
    value: Value<'_>,
    clock: &mut Clock,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    match value {
        Value::Null => out.push(b'-'),
        Value::Text(text) => escape::apache(text, out),
        Value::Word(word) => out.extend_from_slice(word.as_bytes()),
        Value::Query(query) => {
            format.redact.query(query, scratch);
            escape::apache(scratch, out);
        }
        Value::Url(url) => {
            format.redact.url(url, scratch);
            escape::apache(scratch, out);
        }
        Value::Ip(address) => ip(address, out),
        Value::Socket(address) => socket(address, out),
        Value::Number(n) => number(n, out),
        Value::Bool(bool) => out.extend_from_slice(if bool { b"true" } else { b"false" }),
        Value::Micros(t) => millis(t, out),
        Value::Time(ms) => clock.rfc3339(ms, out),
        Value::Fields(side) => {
            for name in format.names(side) {
                let start = scratch.len();
                if !scratch.is_empty() {
                    scratch.extend_from_slice(b"; ");
                }
                scratch.extend_from_slice(name.as_bytes());
                scratch.push(b'=');
                if !format.field(line, side, name, scratch) {
                    scratch.truncate(start);
                }
            }
            escape::apache(if scratch.is_empty() { b"-" } else { scratch }, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_names_and_fields_are_told_apart() {
        let template = Template::parse("{{{status}}} {request_headers.X-Id} end").unwrap();
        let want = [
            Piece::Text("{".into()),
            Piece::Value(Key::Status),
            Piece::Text("} ".into()),
            Piece::Field(Side::Request, "x-id".into()),
            Piece::Text(" end".into()),
        ];
        assert_eq!(template.pieces, want);
        assert_eq!(template.request_fields, ["x-id"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, message) in [
            ("{nope}", "there is no value {nope}"),
            ("{status", "`{` is never closed; write `{{` for a brace"),
            ("a } b", "`}` stands alone; write `}}` for a brace"),
            ("a\nb", "control characters other than tabs cannot stand in a line"),
        ] {
            assert_eq!(Template::parse(text).unwrap_err(), message);
        }
    }
}
