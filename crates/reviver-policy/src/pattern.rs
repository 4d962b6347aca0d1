//! What a path or a value must be.

use regex::bytes::Regex;

use crate::PatternError;
use crate::uri::canonical_path;

/// What a normalised path must be.
///
/// Exact paths and prefixes are taken as a person writes them: they get the form of a normalised path
/// first (`/a b` is `/a%20b`). A prefix `/v1/` does not hold `/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    Exact(String),
    Prefix(String),
    /// Unanchored.
    Regex(String),
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuePattern {
    /// There, with any value.
    Present,
    Exact(String),
    Prefix(String),
    /// Unanchored.
    Regex(String),
}

/// A pattern ready to be used on bytes.
#[derive(Debug)]
pub enum Pattern {
    Present,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Regex(Regex),
}

impl Pattern {
    pub(crate) fn path(pattern: &PathPattern) -> Result<Self, PatternError> {
        Ok(match pattern {
            PathPattern::Exact(text) => Self::Exact(canonical_path(text).into()),
            PathPattern::Prefix(text) => Self::Prefix(canonical_path(text).into()),
            PathPattern::Regex(text) => Self::Regex(regex(text)?),
        })
    }

    pub fn value(pattern: &ValuePattern) -> Result<Self, PatternError> {
        Ok(match pattern {
            ValuePattern::Present => Self::Present,
            ValuePattern::Exact(text) => Self::Exact(text.as_bytes().into()),
            ValuePattern::Prefix(text) => Self::Prefix(text.as_bytes().into()),
            ValuePattern::Regex(text) => Self::Regex(regex(text)?),
        })
    }

    pub fn matches(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => **text == *bytes,
            Self::Prefix(text) => bytes.starts_with(text),
            Self::Regex(regex) => regex.is_match(bytes),
        }
    }
}

/// Compiles a regular expression; the reason of a failure is one line.
pub(crate) fn regex(pattern: &str) -> Result<Regex, PatternError> {
    Regex::new(pattern).map_err(|error| {
        let text = error.to_string();
        let line = text.lines().last().unwrap_or_default().trim();
        let reason = line.strip_prefix("error: ").unwrap_or(line).to_owned();
        PatternError::Regex { pattern: pattern.to_owned(), reason }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_they_say() {
        let value = |pattern| Pattern::value(&pattern).expect("a pattern");
        assert!(value(ValuePattern::Present).matches(b""));
        assert!(value(ValuePattern::Exact("a".into())).matches(b"a"));
        assert!(!value(ValuePattern::Exact("a".into())).matches(b"A"));
        assert!(value(ValuePattern::Prefix("ab".into())).matches(b"abc"));
        assert!(!value(ValuePattern::Prefix("ab".into())).matches(b"a"));
        assert!(value(ValuePattern::Regex("b+".into())).matches(b"abbc"));
        assert!(value(ValuePattern::Regex("^b".into())).matches(b"b\xFF"));
        assert!(!value(ValuePattern::Regex("^b".into())).matches(b"ab"));
    }

    #[test]
    fn a_bad_expression_is_reported_in_one_line() {
        let error = regex("/(a").expect_err("an unclosed group");
        assert_eq!(error.to_string(), "bad regular expression `/(a`: unclosed group");
        let error = regex("(?:a{1000}){1000000}").expect_err("too big");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}
