//! What a good answer looks like, compiled once for each pool, and what is said of another one.

use memchr::memmem;
use reviver_plan::{HttpCheck, ValuePattern, value_pattern};
use reviver_policy::{Pattern, PatternError};

/// Bytes of a body that are looked at.
pub const BODY: usize = 64 * 1024;
/// Characters of a server's own text that stand in a sentence.
const SHOWN: usize = 60;

pub struct Expect {
    statuses: Vec<(u16, u16)>,
    headers: Vec<(String, Wanted)>,
    /// A prefix may stand anywhere in it.
    body: Option<Wanted>,
}

/// What a value must be: as it was written, and compiled.
struct Wanted {
    written: ValuePattern,
    compiled: Pattern,
}

impl Expect {
    pub fn new(check: &HttpCheck) -> Result<Self, String> {
        let headers = check.expect_headers.iter().map(|h| Ok((h.name.to_ascii_lowercase(), Wanted::new(&h.value)?)));
        Ok(Self {
            statuses: check.statuses.clone(),
            headers: headers.collect::<Result<_, String>>()?,
            body: check.body.as_ref().map(Wanted::new).transpose()?,
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
            if values().any(|value| pattern.compiled.matches(value)) {
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
        let Some(wanted) = &self.body else { return Ok(()) };
        let (fault, text) = match &wanted.written {
            ValuePattern::Present if body.is_empty() => return Err("the body is empty".to_owned()),
            ValuePattern::Present => return Ok(()),
            ValuePattern::Prefix(text) if memmem::find(body, text.as_bytes()).is_some() => return Ok(()),
            ValuePattern::Prefix(text) => ("does not hold", text),
            _ if wanted.compiled.matches(body) => return Ok(()),
            ValuePattern::Exact(text) => ("is not", text),
            ValuePattern::Regex(text) => ("does not match", text),
        };
        Err(format!("the body {fault} {}", shown(text.as_bytes())))
    }
}

impl Wanted {
    fn new(written: &ValuePattern) -> Result<Self, String> {
        let compiled = Pattern::value(&value_pattern(written)).map_err(|error| match error {
            PatternError::Regex { pattern, .. } => format!("bad regular expression {}", shown(pattern.as_bytes())),
            other => other.to_string(),
        })?;
        Ok(Self { written: written.clone(), compiled })
    }

    fn wish(&self) -> String {
        match &self.written {
            ValuePattern::Present => "expected it to be there".to_owned(),
            ValuePattern::Exact(text) => format!("expected {}", shown(text.as_bytes())),
            ValuePattern::Prefix(text) => format!("expected {} at its start", shown(text.as_bytes())),
            ValuePattern::Regex(text) => format!("expected a match of {}", shown(text.as_bytes())),
        }
    }
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
