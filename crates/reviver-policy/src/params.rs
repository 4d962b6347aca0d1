//! Parameters: of the query (`application/x-www-form-urlencoded`) and of `Cookie`.

use reviver_http::{FieldKind, RequestHead};

use crate::pattern::Pattern;
use crate::uri::escape;

/// Whether a parameter `name` of a query matches. Names and values are compared decoded: escapes, and `+`
/// for a space; an escape that is none stands for itself. A parameter without `=` has an empty value.
pub(crate) fn query_matches(query: &[u8], name: &[u8], pattern: &Pattern) -> bool {
    query.split(|&b| b == b'&').filter(|p| !p.is_empty()).any(|parameter| {
        let (key, value) = cut(parameter, b'=').unwrap_or((parameter, b""));
        Decoded(key).eq(name.iter().copied()) && value_matches(value, pattern)
    })
}

fn value_matches(value: &[u8], pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Present => true,
        Pattern::Exact(text) => Decoded(value).eq(text.iter().copied()),
        Pattern::Prefix(text) => Decoded(value).take(text.len()).eq(text.iter().copied()),
        Pattern::Regex(_) if memchr::memchr2(b'%', b'+', value).is_none() => pattern.matches(value),
        Pattern::Regex(_) => pattern.matches(&Decoded(value).collect::<Vec<u8>>()),
    }
}

/// Whether a cookie `name` in a `Cookie` value matches (RFC 6265, section 4.2). Names have case; a value
/// is compared as it was sent, quotes included.
pub(crate) fn cookie_matches(cookies: &[u8], name: &[u8], pattern: &Pattern) -> bool {
    values_in(cookies, name).any(|value| pattern.matches(value))
}

/// The values of a request's cookies of one name: of several paths and domains there may be several.
pub fn cookie_values<'a>(head: &'a RequestHead, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    head.values(FieldKind::Cookie).flat_map(move |cookies| values_in(cookies, name))
}

fn values_in<'a>(cookies: &'a [u8], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let named =
        move |pair: &'a [u8]| cut(pair.trim_ascii(), b'=').filter(|(key, _)| *key == name).map(|(_, value)| value);
    cookies.split(|&b| b == b';').filter_map(named)
}

fn cut(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    memchr::memchr(at, bytes).map(|index| (&bytes[..index], &bytes[index + 1..]))
}

/// The decoded bytes of a query's name or value.
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        match (first, escape(self.0)) {
            (_, Some(byte)) => {
                self.0 = &self.0[3..];
                Some(byte)
            }
            (b'+', None) => {
                self.0 = rest;
                Some(b' ')
            }
            (byte, None) => {
                self.0 = rest;
                Some(byte)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ValuePattern;

    fn exact(text: &str) -> Pattern {
        Pattern::value(&ValuePattern::Exact(text.into())).expect("a pattern")
    }

    fn regex(text: &str) -> Pattern {
        Pattern::value(&ValuePattern::Regex(text.into())).expect("a pattern")
    }

    #[test]
    fn query_parameters_are_compared_decoded() {
        for (query, name, pattern, expected) in [
            ("v=2", "v", exact("2"), true),
            ("v=1&v=2", "v", exact("2"), true),
            ("v=20", "v", exact("2"), false),
            ("vv=2", "v", exact("2"), false),
            ("%76=%32", "v", exact("2"), true),
            ("v=a+b", "v", exact("a b"), true),
            ("v=a%2Bb", "v", exact("a+b"), true),
            ("v=%zz%", "v", exact("%zz%"), true),
            ("v=a=b", "v", exact("a=b"), true),
            ("v", "v", exact(""), true),
            ("v", "v", Pattern::Present, true),
            ("v=", "v", Pattern::Present, true),
            ("&&v=2&", "v", exact("2"), true),
            ("w=v=2", "v", Pattern::Present, false),
            ("", "v", Pattern::Present, false),
            ("v=a%20b", "v", regex("^a b$"), true),
            ("v=ab", "v", regex("^ab$"), true),
            ("v=%C3%A4", "v", exact("ä"), true),
        ] {
            assert_eq!(query_matches(query.as_bytes(), name.as_bytes(), &pattern), expected, "{query} {pattern:?}");
        }
    }

    #[test]
    fn a_prefix_of_a_query_value_is_compared_decoded() {
        let prefix = Pattern::value(&ValuePattern::Prefix("a b".into())).expect("a pattern");
        assert!(query_matches(b"v=a%20bc", b"v", &prefix));
        assert!(query_matches(b"v=a+b", b"v", &prefix));
        assert!(!query_matches(b"v=a+", b"v", &prefix));
    }

    #[test]
    fn cookies_are_found_among_others() {
        for (cookies, name, pattern, expected) in [
            ("group=a", "group", exact("a"), true),
            ("x=1; group=a; y=2", "group", exact("a"), true),
            ("x=1;group=a", "group", exact("a"), true),
            ("Group=a", "group", exact("a"), false),
            ("group=ab", "group", exact("a"), false),
            ("xgroup=a", "group", exact("a"), false),
            ("x=group=a", "group", exact("a"), false),
            ("group=a=b", "group", exact("a=b"), true),
            ("group", "group", Pattern::Present, false),
            ("group=", "group", Pattern::Present, true),
            ("group=\"a\"", "group", exact("\"a\""), true),
        ] {
            assert_eq!(cookie_matches(cookies.as_bytes(), name.as_bytes(), &pattern), expected, "{cookies}");
        }
    }
}
