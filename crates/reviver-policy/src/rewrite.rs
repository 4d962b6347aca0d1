//! Changing a path on its way upstream.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::PatternError;
use crate::pattern::regex;
use crate::uri::{Part, canonical_path, encode, escape};

/// Strips a prefix, replaces by a regular expression, adds a prefix: in this order.
#[derive(Debug, Default)]
pub struct PathRewrite {
    /// No slash at its end; empty strips nothing.
    strip: Vec<u8>,
    replace: Option<(Regex, Box<[u8]>)>,
    /// No slash at its end, one at its beginning unless empty.
    add: Vec<u8>,
}

impl PathRewrite {
    /// `replace` is an expression and its replacement, in which `$1`, `${1}` and `${name}` are groups and
    /// `$$` is a dollar; all matches are replaced. Prefixes are taken as a person writes them: a slash at the
    /// end is ignored, one at the beginning is supplied.
    pub fn new(
        strip_prefix: Option<&str>,
        replace: Option<(&str, &str)>,
        add_prefix: Option<&str>,
    ) -> Result<Self, PatternError> {
        let replace = match replace {
            Some((pattern, replacement)) => {
                let regex = regex(pattern)?;
                check_groups(&regex, pattern, replacement)?;
                Some((regex, replacement.as_bytes().into()))
            }
            None => None,
        };
        Ok(Self { strip: prefix(strip_prefix), replace, add: prefix(add_prefix) })
    }

    /// Whether paths come out as they went in.
    pub fn is_identity(&self) -> bool {
        self.strip.is_empty() && self.replace.is_none() && self.add.is_empty()
    }

    /// Appends the rewritten `path` as it stood on the wire. What is appended begins with a slash and holds
    /// only what a path may: all else is percent-encoded. `*` stays as it is.
    ///
    /// False where this did not do what the configuration says: the prefix to strip was not there (as whole
    /// segments), or the path has dot segments, which could climb out of the prefixes (stripping the `/v1` of
    /// `/v1/../v1/z` leaves `/../v1/z`). The caller then drops what was appended and passes the normalised
    /// path, by which the route was found: it has no dot segments, and the `/v1` of `/%761/z` is there.
    pub fn apply(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        let path = match path {
            b"" => b"/",
            b"*" => {
                out.push(b'*');
                return true;
            }
            path => path,
        };
        let rest = path.strip_prefix(self.strip.as_slice()).filter(|rest| matches!(rest.first(), None | Some(b'/')));
        let faithful = rest.is_some() && !has_dot_segment(path);
        let mut path = Cow::Borrowed(rest.unwrap_or(path));
        if let Some((regex, replacement)) = &self.replace {
            // an expression sees a path, not the nothing that is left of a stripped one
            let whole = if path.is_empty() { b"/" } else { &*path };
            path = Cow::Owned(regex.replace_all(whole, &**replacement).into_owned());
        }
        out.extend_from_slice(&self.add);
        if !path.starts_with(b"/") {
            out.push(b'/');
        }
        encode(Part::Path, &path, out);
        faithful
    }
}

/// Whether a segment is `.` or `..`, dots encoded or not.
fn has_dot_segment(path: &[u8]) -> bool {
    fn without_dot(segment: &[u8]) -> Option<&[u8]> {
        match segment {
            [b'.', rest @ ..] => Some(rest),
            [b'%', _, _, rest @ ..] if escape(segment) == Some(b'.') => Some(rest),
            _ => None,
        }
    }
    path.split(|&b| b == b'/').filter_map(without_dot).any(|rest| without_dot(rest).unwrap_or(rest).is_empty())
}

fn prefix(text: Option<&str>) -> Vec<u8> {
    let text = text.unwrap_or_default().trim_end_matches('/');
    let mut prefix = canonical_path(text);
    if !prefix.is_empty() && !prefix.starts_with(b"/") {
        prefix.insert(0, b'/');
    }
    prefix
}

/// A group that is not there would silently be replaced by nothing: `$1x` is the group `1x`.
fn check_groups(regex: &Regex, pattern: &str, replacement: &str) -> Result<(), PatternError> {
    static REFERENCE: LazyLock<Option<regex::Regex>> =
        LazyLock::new(|| regex::Regex::new(r"\$(?:\$|\{([^}]*)\}|([0-9A-Za-z_]+))").ok());
    for reference in REFERENCE.iter().flat_map(|r| r.captures_iter(replacement)) {
        let Some(group) = reference.get(1).or_else(|| reference.get(2)) else { continue };
        let group = group.as_str();
        let known = match group.parse::<usize>() {
            Ok(number) => number < regex.captures_len(),
            Err(_) => regex.capture_names().flatten().any(|name| name == group),
        };
        if !known {
            return Err(PatternError::Group {
                pattern: pattern.to_owned(),
                replacement: replacement.to_owned(),
                group: group.to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewrite(strip: &str, replace: Option<(&str, &str)>, add: &str) -> PathRewrite {
        let given = |text: &'static str| (!text.is_empty()).then_some(text);
        let (strip, add) = (strip.to_owned().leak(), add.to_owned().leak());
        PathRewrite::new(given(strip), replace, given(add)).expect("a rewrite")
    }

    fn apply(rewrite: &PathRewrite, path: &[u8]) -> (String, bool) {
        let mut out = b"GET ".to_vec();
        let faithful = rewrite.apply(path, &mut out);
        let text = String::from_utf8(out).expect("only ASCII comes out");
        (text.strip_prefix("GET ").expect("what stood there stays").to_owned(), faithful)
    }

    #[test]
    fn a_prefix_is_stripped_as_whole_segments() {
        for strip in ["/v1", "/v1/", "v1"] {
            let rewrite = rewrite(strip, None, "");
            for (path, expected, faithful) in [
                ("/v1/z", "/z", true),
                ("/v1", "/", true),
                ("/v1/", "/", true),
                ("/v1//z", "//z", true),
                ("/v10", "/v10", false),
                ("/v2/v1", "/v2/v1", false),
                ("/%761/z", "/%761/z", false),
                ("/v1/a%2Fb%20c", "/a%2Fb%20c", true),
            ] {
                assert_eq!(apply(&rewrite, path.as_bytes()), (expected.to_owned(), faithful), "{strip} {path}");
            }
        }
    }

    #[test]
    fn steps_are_strip_replace_add() {
        let all = rewrite("/api", Some(("^/users/([0-9]+)$", "/u/${1}")), "/backend/");
        assert_eq!(apply(&all, b"/api/users/7").0, "/backend/u/7");
        assert_eq!(apply(&all, b"/users/7").0, "/backend/u/7");
        assert_eq!(apply(&all, b"/api").0, "/backend/");
        assert_eq!(apply(&rewrite("", Some(("//+", "/")), ""), b"/a//b///c").0, "/a/b/c");
        assert_eq!(apply(&rewrite("/a", Some(("^/$", "/index.html")), ""), b"/a").0, "/index.html");
        assert_eq!(apply(&rewrite("", Some(("(?<all>.*)", "$$$all")), ""), b"/a").0, "/$/a");
    }

    #[test]
    fn an_added_prefix_is_a_prefix() {
        for add in ["/app", "/app/", "app"] {
            assert_eq!(apply(&rewrite("", None, add), b"/x"), ("/app/x".to_owned(), true));
            assert_eq!(apply(&rewrite("", None, add), b"/").0, "/app/");
        }
        assert_eq!(apply(&rewrite("", None, "/ä b"), b"/").0, "/%C3%A4%20b/");
        assert!(rewrite("/", None, "/").is_identity());
        assert!(!rewrite("", None, "/app").is_identity());
    }

    #[test]
    fn dot_segments_do_not_climb_out_unnoticed() {
        let rewrite = rewrite("/v1", None, "/app");
        for path in ["/v1/../v1/z", "/v1/%2e%2E/z", "/v1/.%2e", "/v1/%2e./z", "/v1/.", "/v1/./z"] {
            assert!(!apply(&rewrite, path.as_bytes()).1, "{path}");
        }
        for path in ["/v1/...", "/v1/.well-known", "/v1/..a", "/v1/a..", "/v1/%2e%2ea", "/v1/%41"] {
            assert!(apply(&rewrite, path.as_bytes()).1, "{path}");
        }
    }

    #[test]
    fn a_request_without_a_path() {
        let rewrite = rewrite("/v1", Some(("x", "y")), "/app");
        assert_eq!(apply(&rewrite, b"*"), ("*".to_owned(), true));
        assert_eq!(apply(&rewrite, b""), ("/app/".to_owned(), false));
    }

    #[test]
    fn replacements_cannot_leave_the_path() {
        let evil = rewrite("", Some(("^.*$", "/a?b=1#c HTTP/1.1\r\nx: y%")), "");
        assert_eq!(apply(&evil, b"/").0, "/a%3Fb=1%23c%20HTTP/1.1%0D%0Ax:%20y%25");
        assert_eq!(apply(&rewrite("", Some(("^/", "")), ""), b"/x").0, "/x");
    }

    #[test]
    fn groups_that_are_not_there_are_refused() {
        for (pattern, replacement, group) in
            [("(a)", "$2", "2"), ("(a)", "$1x", "1x"), ("(?<n>a)", "${m}", "m"), ("a", "/${1}", "1")]
        {
            let error = PathRewrite::new(None, Some((pattern, replacement)), None).expect_err("refused");
            let (pattern, replacement, group) = (pattern.to_owned(), replacement.to_owned(), group.to_owned());
            assert_eq!(error, PatternError::Group { pattern, replacement, group });
        }
        for (pattern, replacement) in [("(a)", "$1 $0 ${1}x"), ("(?<n>a)", "$n"), ("a", "$$1"), ("a", "5$")] {
            assert!(PathRewrite::new(None, Some((pattern, replacement)), None).is_ok(), "{replacement}");
        }
    }

    proptest! {
        #[test]
        fn a_path_comes_out_whatever_goes_in(
            path in "/[ -~\\r\\n]{0,20}|[\\x00-\\xFF]{0,12}",
            replacement in "[^$]{0,8}",
            add in "[a-z/ \\r\\n]{0,6}",
        ) {
            let rewrite = PathRewrite::new(Some("/v1"), Some(("[a-m]", &replacement)), Some(&add)).expect("a rewrite");
            let mut out = Vec::new();
            rewrite.apply(path.as_bytes(), &mut out);
            prop_assert!(out.starts_with(b"/") || out == b"*");
            let ends_a_path = |b: &u8| !b.is_ascii_graphic() || b"?#\"<>\\^`{|}".contains(b);
            prop_assert!(!out.iter().any(ends_a_path), "{}", out.escape_ascii());
        }
    }
}
