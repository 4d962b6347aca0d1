//! The two tables in `tests/cases`: what must be refused, and what must be passed on.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use crate::feed::{LIMITS, outcome};

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Characters U+0000 to U+00FF are the bytes.
    request: String,
    #[serde(default)]
    expect: u16,
    why: String,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        self.request.chars().map(|c| u8::try_from(u32::from(c)).expect("a character stands for a byte")).collect()
    }
}

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Vec<Case> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let mut names = HashSet::new();
    for case in &cases {
        assert!(names.insert(case.name.clone()), "{} stands twice", case.name);
        assert!(!case.why.is_empty(), "{} says no reason", case.name);
    }
    cases
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    let cases = cases("strictness.jsonl");
    assert!(cases.len() >= 170, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        match outcome(&case.bytes(), &LIMITS) {
            Err(error) if error.status() == case.expect => {}
            other => wrong.push(format!("{}: expected {}, got {other:?} ({})", case.name, case.expect, case.why)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn what_is_legal_is_accepted_however_unusual() {
    let cases = cases("accepted.jsonl");
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let bytes = case.bytes();
        match outcome(&bytes, &LIMITS) {
            Ok(Some(understood)) if understood.length == bytes.len() => {}
            other => wrong.push(format!("{}: got {other:?} ({})", case.name, case.why)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
