//! Request fields that select a response (RFC 9111, section 4.1).

use std::cmp::Ordering;

use reviver_http::{FieldKind, RequestHead, ResponseHead, is_token};
use smallvec::SmallVec;

/// Responses name two or three; more would be as many variants as requests.
const MAX_NAMES: usize = 16;
/// Bytes of all `Vary` fields.
const MAX_BYTES: usize = 1024;

/// What `Vary` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// Field names in lower case, sorted, each once; empty: the response is for every request.
    Fields(Vec<String>),
    /// `*`, or more names than are kept apart, or what is no name.
    Any,
}

pub fn vary_of(response: &ResponseHead) -> Vary {
    let mut names: Vec<String> = Vec::new();
    let mut bytes = 0;
    for value in response.values(FieldKind::Vary) {
        bytes += value.len();
        if bytes > MAX_BYTES {
            return Vary::Any;
        }
        for name in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
            // `*` is a token too
            let Some(name) = std::str::from_utf8(name).ok().filter(|text| is_token(text.as_bytes()) && *text != "*")
            else {
                return Vary::Any;
            };
            let name = name.to_ascii_lowercase();
            if let Err(at) = names.binary_search(&name) {
                names.insert(at, name);
            }
        }
    }
    if names.len() > MAX_NAMES { Vary::Any } else { Vary::Fields(names) }
}

/// Appends a line for each named field: what the request says, in a normal form. One that is not there has no colon: it
/// is not the same as one that is empty.
///
/// Requests with the same lines mean the same by the syntax of their fields, with one liberty: of `Accept-Encoding`
/// only the set of acceptable codings counts, not which is liked better.
pub fn write_selecting(names: &[String], request: &RequestHead, out: &mut Vec<u8>) {
    for name in names {
        out.extend_from_slice(name.as_bytes());
        let mut values = request.lasting_values_of(name.as_bytes()).peekable();
        if values.peek().is_some() {
            out.push(b':');
            write_values(name.as_bytes(), values, out);
        }
        out.push(b'\n');
    }
}

fn write_values<'a>(name: &[u8], values: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    match name {
        b"accept-encoding" => write_codings(values, out),
        b"accept-language" => write_joined(values, b",", out, |value, out| write_list(value, Letters::Any, true, out)),
        b"accept" => write_joined(values, b",", out, |value, out| write_list(value, Letters::Names, true, out)),
        // RFC 9113, section 8.2.3: lines of `Cookie` are joined so
        b"cookie" => write_joined(values, b"; ", out, |value, out| out.extend_from_slice(value)),
        b"authorization" | b"proxy-authorization" | b"referer" | b"user-agent" => {
            write_joined(values, b",", out, |value, out| out.extend_from_slice(value));
        }
        _ => write_joined(values, b",", out, |value, out| write_list(value, Letters::Kept, false, out)),
    }
}

fn write_joined<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    between: &[u8],
    out: &mut Vec<u8>,
    write: impl Fn(&[u8], &mut Vec<u8>),
) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.extend_from_slice(between);
        }
        write(value, out);
    }
}

/// Which letters have no case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Letters {
    Kept,
    /// Those before the first `;` of a member: parameters may have case.
    Names,
    Any,
}

/// Without white space around commas, or without any. Nothing changes between quotes.
fn write_list(value: &[u8], letters: Letters, all_space: bool, out: &mut Vec<u8>) {
    let start = out.len();
    let (mut quoted, mut escaped, mut parameters) = (false, false, false);
    for &byte in value {
        if quoted {
            quoted = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            out.push(byte);
            continue;
        }
        match byte {
            b' ' | b'\t' if all_space || matches!(out[start..].last(), None | Some(b',')) => continue,
            b',' => {
                let kept = out[start..].trim_ascii_end().len();
                out.truncate(start + kept);
                parameters = false;
            }
            b'"' => quoted = true,
            b';' => parameters = true,
            _ => {}
        }
        let lower = letters == Letters::Any || (letters == Letters::Names && !parameters);
        out.push(if lower { byte.to_ascii_lowercase() } else { byte });
    }
}

/// The codings that are acceptable, sorted, each once (RFC 9110, section 12.5.3). `identity` always is.
fn write_codings<'a>(values: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let values: SmallVec<[&[u8]; 4]> = values.collect();
    // Where `*` stands, or `identity` is refused, weights say what is acceptable and what is not.
    let weighs =
        |value: &&[u8]| value.contains(&b'*') || value.windows(9).any(|text| text.eq_ignore_ascii_case(b"identity;"));
    if values.iter().any(weighs) {
        return write_joined(values.into_iter(), b",", out, |value, out| write_list(value, Letters::Any, true, out));
    }
    let values = values.into_iter();
    let mut codings: SmallVec<[&[u8]; 8]> = values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .filter_map(acceptable)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        .collect();
    codings.sort_unstable_by(|one, other| without_case(one, other));
    codings.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
    for (index, coding) in codings.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let start = out.len();
        out.extend_from_slice(coding);
        out[start..].make_ascii_lowercase();
    }
}

fn without_case(one: &[u8], other: &[u8]) -> Ordering {
    one.iter().map(u8::to_ascii_lowercase).cmp(other.iter().map(u8::to_ascii_lowercase))
}

/// The coding of a member, unless its weight is zero.
fn acceptable(member: &[u8]) -> Option<&[u8]> {
    let Some(semicolon) = memchr::memchr(b';', member) else { return Some(member.trim_ascii()) };
    let (coding, parameters) = (member[..semicolon].trim_ascii(), &member[semicolon + 1..]);
    let refused = parameters.split(|byte| *byte == b';').any(|parameter| match parameter.trim_ascii() {
        [b'q' | b'Q', b'=', b'0', rest @ ..] => {
            matches!(rest, [] | [b'.', ..]) && rest.iter().skip(1).all(|digit| *digit == b'0')
        }
        _ => false,
    });
    (!refused).then_some(coding)
}
