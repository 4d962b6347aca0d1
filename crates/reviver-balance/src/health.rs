//! What checks of one server have shown.

use crate::HealthSpec;

#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Checks in a row that were good, and that were bad: one of them is 0, both before the first check.
    good: u32,
    bad: u32,
    /// What the last check said; none: it was good.
    pub failure: Option<String>,
    /// When it was.
    pub at: Option<u64>,
}

/// What checks make of a server that was thought otherwise, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Up(String),
    Down(String),
}

impl Health {
    /// The first check decides alone; before it a server counts as up.
    pub fn note(&mut self, outcome: Result<(), &str>, now: u64, rules: HealthSpec, is_down: bool) -> Option<Turn> {
        let first = self.at.is_none();
        self.at = Some(now);
        match outcome {
            Ok(()) => {
                (self.good, self.bad, self.failure) = (self.good.saturating_add(1), 0, None);
                let enough = is_down && (first || self.good >= rules.rise);
                enough.then(|| Turn::Up(format!("{} passed", checks(self.good))))
            }
            Err(failure) => {
                (self.good, self.bad, self.failure) = (0, self.bad.saturating_add(1), Some(failure.to_owned()));
                let enough = !is_down && (first || self.bad >= rules.fall);
                enough.then(|| Turn::Down(format!("{} failed: {failure}", checks(self.bad))))
            }
        }
    }
}

fn checks(count: u32) -> String {
    if count == 1 { "1 check".to_owned() } else { format!("{count} checks") }
}
