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
