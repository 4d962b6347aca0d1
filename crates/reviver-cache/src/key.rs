//! The text that tells cached resources apart.

use reviver_http::{FieldKind, RequestHead};
use smallvec::SmallVec;

/// What of a request counts. Names of headers are in lower case. Names of parameters are compared decoded, one that
/// ends in `*` stands for all that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    pub scheme: bool,
    pub host: bool,
    pub path: bool,
    pub query_include: Option<Vec<String>>,
    pub query_ignore: Vec<String>,
    pub query_sort: bool,
    pub headers: Vec<String>,
    pub cookies: Vec<String>,
}

impl Default for KeyRule {
    /// The whole URL and nothing else.
    fn default() -> Self {
        Self {
            scheme: true,
            host: true,
            path: true,
            query_include: None,
            query_ignore: Vec::new(),
            query_sort: false,
            headers: Vec::new(),
            cookies: Vec::new(),
        }
    }
}

/// Appends `scheme://host[:port]/path[?query]`, and where the rule names some, a line for each header and cookie. The
/// port stands there unless it is the scheme's own. Text that a client chooses cannot make two keys look alike.
///
/// What the rule leaves out leaves its separators. Only a line that the rule names has a line break before it: no head
/// has one in a path, a query or a value.
pub fn write_key(rule: &KeyRule, scheme: &[u8], head: &RequestHead, out: &mut Vec<u8>) {
    // the longest beside path and query: `https://[` host `]:65535`
    out.reserve(head.host().len() + head.path().len() + head.query().map_or(0, <[u8]>::len) + 24);
    if rule.scheme {
        out.extend_from_slice(scheme);
    }
    out.extend_from_slice(b"://");
    if rule.host {
        write_authority(scheme, head, out);
    }
    if rule.path {
        out.extend_from_slice(if head.path().is_empty() { b"/" } else { head.path() });
    }
    if let Some(query) = head.query() {
        write_query(rule, query, out);
    }
    for name in &rule.headers {
        write_line(name, head.lasting_values_of(name.as_bytes()), b", ", out);
    }
    for name in &rule.cookies {
        write_line(name, cookies(head, name.as_bytes()), b";", out);
    }
}

/// The port that a URL of this scheme means where it names none.
pub(crate) fn default_port(scheme: &[u8]) -> Option<u16> {
    match scheme {
        b"http" => Some(80),
        b"https" => Some(443),
        _ => None,
    }
}

fn write_authority(scheme: &[u8], head: &RequestHead, out: &mut Vec<u8>) {
    let host = head.host();
    if memchr::memchr(b':', host).is_some() {
        out.push(b'[');
        out.extend_from_slice(host);
        out.push(b']');
    } else {
        out.extend_from_slice(host);
    }
    if let Some(port) = head.port.filter(|port| default_port(scheme) != Some(*port)) {
        out.push(b':');
        out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
    }
}

fn write_query(rule: &KeyRule, query: &[u8], out: &mut Vec<u8>) {
    let all = rule.query_include.is_none() && rule.query_ignore.is_empty();
    if all && !rule.query_sort {
        out.push(b'?');
        out.extend_from_slice(query);
        return;
    }
    let parameters = query.split(|byte| *byte == b'&').filter(|parameter| all || counts(rule, parameter));
    let mut kept: SmallVec<[&[u8]; 16]> = parameters.collect();
    if rule.query_sort {
        kept.sort_unstable();
    }
    for (index, parameter) in kept.iter().enumerate() {
        out.push(if index == 0 { b'?' } else { b'&' });
        out.extend_from_slice(parameter);
    }
}

/// A parameter with a `;` counts whatever its name: some servers see the start of another one there, which could be
/// hidden behind a name that does not count.
fn counts(rule: &KeyRule, parameter: &[u8]) -> bool {
    let name = &parameter[..memchr::memchr(b'=', parameter).unwrap_or(parameter.len())];
    let is_in = |names: &[String]| names.iter().any(|pattern| fits(name, pattern.as_bytes()));
    if parameter.is_empty() {
        return false;
    }
    memchr::memchr(b';', parameter).is_some()
        || (rule.query_include.as_deref().is_none_or(is_in) && !is_in(&rule.query_ignore))
}

fn fits(name: &[u8], pattern: &[u8]) -> bool {
    match pattern {
        [start @ .., b'*'] => Decoded(name).take(start.len()).eq(start.iter().copied()),
        _ => Decoded(name).eq(pattern.iter().copied()),
    }
}

/// The decoded bytes of a parameter's name. An escape that is none stands for itself.
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let (&first, rest) = self.0.split_first()?;
        if let (b'%', [high, low, behind @ ..]) = (first, rest)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            self.0 = behind;
            return Some(high << 4 | low);
        }
        self.0 = rest;
        Some(if first == b'+' { b' ' } else { first })
    }
}

/// A field that is not there has no colon: it is not the same as one that is empty.
fn write_line<'a>(name: &str, values: impl Iterator<Item = &'a [u8]>, between: &[u8], out: &mut Vec<u8>) {
    out.push(b'\n');
    out.extend_from_slice(name.as_bytes());
    for (index, value) in values.enumerate() {
        out.extend_from_slice(if index == 0 { b":" } else { between });
        out.extend_from_slice(value);
    }
}

/// All values of a name, not the first alone: which of two counts is the server's choice.
fn cookies<'a>(head: &'a RequestHead, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    head.values(FieldKind::Cookie).flat_map(|line| line.split(|byte| *byte == b';')).filter_map(move |pair| {
        let pair = pair.trim_ascii();
        let equals = memchr::memchr(b'=', pair)?;
        (pair[..equals].trim_ascii_end() == name).then(|| pair[equals + 1..].trim_ascii_start())
    })
}
