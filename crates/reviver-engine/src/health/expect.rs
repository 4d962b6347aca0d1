//! What a good answer looks like, compiled once for each pool, and what is said of another one.

use memchr::memmem;
use regex::bytes::Regex;
use reviver_plan::{HttpCheck, ValuePattern};

/// Bytes of a body that are looked at.
pub const BODY: usize = 64 * 1024;
/// Characters of a server's own text that stand in a sentence.
const SHOWN: usize = 60;

pub struct Expect {
    statuses: Vec<(u16, u16)>,
    headers: Vec<(String, Pattern)>,
    body: Option<BodyPattern>,
}

enum Pattern {
    Present,
    Exact(String),
    Prefix(String),
    Regex(Regex),
}

enum BodyPattern {
    Present,
    Exact(String),
    Holds(String),
    Regex(Regex),
}

impl Expect {
    pub fn new(check: &HttpCheck) -> Result<Self, String> {
        let headers = check.expect_headers.iter().map(|h| Ok((h.name.to_ascii_lowercase(), Pattern::new(&h.value)?)));
        Ok(Self {
            statuses: check.statuses.clone(),
            headers: headers.collect::<Result<_, String>>()?,
            body: check.body.as_ref().map(BodyPattern::new).transpose()?,
        })
    }

    /// Whether the head does not tell all.
    pub fn wants_body(&self) -> bool {
        self.body.is_some()
    }

    /// `fields` gives all fields of the response; of several with one name any may fit.
    pub fn head<'f, I>(&self, status: u16, fields: impl Fn() -> I) -> Result<(), String>
    where
        I: Iterator<Item = (&'f [u8], &'f [u8])>,
    {
        if !self.statuses.iter().any(|&(from, to)| (from..=to).contains(&status)) {
            return Err(format!("status {status}, expected {}", ranges(&self.statuses)));
        }
        for (name, pattern) in &self.headers {
            let values = || fields().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value);
            if values().any(|value| pattern.fits(value)) {
                continue;
            }
            return Err(match values().next() {
                None => format!("header {name} is missing"),
                Some(value) => format!("header {name} is {}, {}", shown(value), pattern.wish()),
            });
        }
        Ok(())
    }

    /// `body`: its first [`BODY`] bytes.
    pub fn body(&self, body: &[u8]) -> Result<(), String> {
        match &self.body {
            Some(BodyPattern::Present) if body.is_empty() => Err("the body is empty".to_owned()),
            Some(BodyPattern::Exact(text)) if body != text.as_bytes() => {
                Err(format!("the body is not {}", shown(text.as_bytes())))
            }
            Some(BodyPattern::Holds(text)) if memmem::find(body, text.as_bytes()).is_none() => {
                Err(format!("the body does not hold {}", shown(text.as_bytes())))
            }
            Some(BodyPattern::Regex(regex)) if !regex.is_match(body) => {
                Err(format!("the body does not match {}", shown(regex.as_str().as_bytes())))
            }
            _ => Ok(()),
        }
    }
}

impl Pattern {
    fn new(pattern: &ValuePattern) -> Result<Self, String> {
        Ok(match pattern {
            ValuePattern::Present => Self::Present,
            ValuePattern::Exact(text) => Self::Exact(text.clone()),
            ValuePattern::Prefix(text) => Self::Prefix(text.clone()),
            ValuePattern::Regex(text) => Self::Regex(regex(text)?),
        })
    }

    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Regex(regex) => regex.is_match(value),
        }
    }

    fn wish(&self) -> String {
        match self {
            Self::Present => "expected it to be there".to_owned(),
            Self::Exact(text) => format!("expected {}", shown(text.as_bytes())),
            Self::Prefix(text) => format!("expected {} at its start", shown(text.as_bytes())),
            Self::Regex(regex) => format!("expected a match of {}", shown(regex.as_str().as_bytes())),
        }
    }
}

impl BodyPattern {
    fn new(pattern: &ValuePattern) -> Result<Self, String> {
        Ok(match pattern {
            ValuePattern::Present => Self::Present,
            ValuePattern::Exact(text) => Self::Exact(text.clone()),
            ValuePattern::Prefix(text) => Self::Holds(text.clone()),
            ValuePattern::Regex(text) => Self::Regex(regex(text)?),
        })
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|_| format!("bad regular expression {}", shown(text.as_bytes())))
}

/// Statuses as a person writes them.
fn ranges(statuses: &[(u16, u16)]) -> String {
    let range = |&(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    statuses.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// A text between back-quotes: of one line, and not long, whatever a server has sent.
pub fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN)]);
    let clean = |c: char| if c.is_control() || c == '`' { ' ' } else { c };
    let mut shown: String = text.chars().map(clean).take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}
