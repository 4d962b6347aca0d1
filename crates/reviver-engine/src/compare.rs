//! What mirrors have copied, and how their answers differ from those that people get.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use reviver_cache::value_of;
use reviver_plan::Compare;
use serde_json::{Value, json};

/// Kinds of differences that are told apart, for each mirror; more are only counted.
const MOST_GROUPS: usize = 200;
/// Characters of a path that are remembered.
const MOST_PATH: usize = 200;
/// Paths that are remembered for each kind.
const MOST_PATHS: usize = 5;

/// What was seen of an answer.
#[derive(Clone, Debug)]
pub struct Sight {
    pub status: u16,
    /// As lines.
    pub fields: Vec<u8>,
    pub hash: u128,
    pub length: u64,
    /// It came to its end.
    pub whole: bool,
}

/// In what an answer of the mirror differs from two of the pool that answers people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// What differs, of people's pool, and of the mirror's.
    pub found: Vec<(String, String, String)>,
    /// What differs between the two, so that nothing can be said of it.
    pub noise: Vec<String>,
}

impl Differences {
    /// None where the pool itself did not answer, so that there is nothing to compare with.
    pub fn between(first: &Sight, second: &Sight, other: &Sight, compare: &Compare) -> Option<Self> {
        if !first.whole || !second.whole {
            return None;
        }
        let mut differences = Self::default();
        let mut judge = |what: &str, values: [String; 3]| {
            let [one, two, three] = values;
            if one != two {
                differences.noise.push(what.to_owned());
            } else if one != three {
                differences.found.push((what.to_owned(), one, three));
            }
        };
        judge(
            "status",
            [first, second, other].map(|s| if s.whole { s.status.to_string() } else { "no answer".into() }),
        );
        // Where the mirror gave no whole answer there is nothing more to look at.
        for name in compare.headers.iter().filter(|_| other.whole) {
            judge(&format!("header {name}"), [first, second, other].map(|s| shown(s, name)));
        }
        if compare.body && other.whole {
            judge("body", [first, second, other].map(|s| format!("{} bytes, {:032x}", s.length, s.hash)));
        }
        Some(differences)
    }
}

/// What a field says. Secrets are told by their length.
fn shown(sight: &Sight, name: &str) -> String {
    const SECRET: &[&str] = &["authorization", "cookie", "proxy-authorization", "set-cookie"];
    match value_of(&sight.fields, name.as_bytes()) {
        None => "missing".to_owned(),
        Some(value) if SECRET.contains(&name) => format!("{} bytes", value.len()),
        Some(value) => String::from_utf8_lossy(&value[..value.len().min(100)]).into_owned(),
    }
}

#[derive(Debug, Default)]
struct Group {
    count: u64,
    paths: Vec<String>,
}

#[derive(Debug, Default)]
struct Report {
    copied: u64,
    skipped: BTreeMap<&'static str, u64>,
    compared: u64,
    same: u64,
    unanswered: u64,
    noise: BTreeMap<String, u64>,
    /// By route, what differs, and both values.
    groups: BTreeMap<(String, String, String, String), Group>,
    more: u64,
}

/// The reports of all mirrors, by name. Whatever is told here is told by copies: no client waits for its lock.
#[derive(Debug, Default)]
pub struct Mirrors(Mutex<BTreeMap<String, Report>>);

impl Mirrors {
    fn reports(&self) -> MutexGuard<'_, BTreeMap<String, Report>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn copied(&self, name: &str) {
        self.reports().entry(name.to_owned()).or_default().copied += 1;
    }

    pub fn skipped(&self, name: &str, why: &'static str) {
        *self.reports().entry(name.to_owned()).or_default().skipped.entry(why).or_default() += 1;
    }

    pub fn compared(&self, name: &str, route: &str, path: &str, differences: Option<Differences>) {
        let mut reports = self.reports();
        let report = reports.entry(name.to_owned()).or_default();
        let Some(differences) = differences else {
            report.unanswered += 1;
            return;
        };
        report.compared += 1;
        report.same += u64::from(differences.found.is_empty());
        for what in differences.noise {
            *report.noise.entry(what).or_default() += 1;
        }
        let path: String = path.chars().take(MOST_PATH).collect();
        for (what, one, other) in differences.found {
            // Each body is another: what counts is that they differ.
            let (one, other) = if what == "body" { Default::default() } else { (one, other) };
            let key = (route.to_owned(), what, one, other);
            if report.groups.len() >= MOST_GROUPS && !report.groups.contains_key(&key) {
                report.more += 1;
                continue;
            }
            let group = report.groups.entry(key).or_default();
            group.count += 1;
            if group.paths.len() < MOST_PATHS && !group.paths.contains(&path) {
                group.paths.push(path.clone());
            }
        }
    }

    /// The reports, the most frequent differences first.
    pub fn status(&self) -> Value {
        let reports = self.reports();
        let mirrors = reports.iter().map(|(name, report)| {
            let mut groups: Vec<_> = report.groups.iter().collect();
            groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
            let groups = groups.into_iter().map(|((route, what, one, other), group)| {
                json!({
                    "route": route, "what": what, "answered": one, "mirrored": other, "count": group.count,
                    "paths": group.paths,
                })
            });
            json!({
                "name": name, "copied": report.copied, "skipped": report.skipped, "compared": report.compared,
                "same": report.same, "unanswered": report.unanswered, "noise": report.noise,
                "differences": groups.collect::<Vec<_>>(), "more": report.more,
            })
        });
        json!({ "mirrors": mirrors.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(status: u16, fields: &str, body: u128) -> Sight {
        Sight { status, fields: fields.as_bytes().to_vec(), hash: body, length: 3, whole: true }
    }

    fn compare() -> Compare {
        Compare { headers: vec!["content-type".into(), "set-cookie".into()], body: true }
    }

    #[test]
    fn what_differs_by_itself_is_noise() {
        let first = sight(200, "Content-Type: a\r\n", 1);
        let second = sight(200, "Content-Type: a\r\n", 2);
        let other = sight(500, "Content-Type: b\r\n", 3);
        let differences = Differences::between(&first, &second, &other, &compare()).expect("a comparison");
        let found = |what: &str, one: &str, other: &str| (what.to_owned(), one.to_owned(), other.to_owned());
        assert_eq!(differences.found, [found("status", "200", "500"), found("header content-type", "a", "b")]);
        assert_eq!(differences.noise, ["body"]);
    }

    #[test]
    fn secrets_are_told_by_their_length() {
        let first = sight(200, "Set-Cookie: sid=hunter2\r\n", 1);
        let differences = Differences::between(&first, &first, &sight(200, "", 1), &compare()).expect("a comparison");
        assert_eq!(differences.found, [("header set-cookie".to_owned(), "11 bytes".to_owned(), "missing".to_owned())]);
    }

    #[test]
    fn without_two_answers_nothing_is_compared() {
        let good = sight(200, "", 1);
        let broken = Sight { whole: false, ..good.clone() };
        assert_eq!(Differences::between(&good, &broken, &good, &compare()), None);
        let differences = Differences::between(&good, &good, &broken, &compare()).expect("a comparison");
        assert_eq!(differences.found, [("status".to_owned(), "200".to_owned(), "no answer".to_owned())]);
    }

    #[test]
    fn differences_are_grouped_by_route_and_kind() {
        let mirrors = Mirrors::default();
        for path in ["/a", "/b", "/a"] {
            let found = vec![("status".to_owned(), "200".to_owned(), "500".to_owned())];
            mirrors.compared("shop", "all", path, Some(Differences { found, noise: Vec::new() }));
        }
        mirrors.compared("shop", "all", "/c", Some(Differences::default()));
        let status = mirrors.status();
        let report = &status["mirrors"][0];
        assert_eq!((&report["compared"], &report["same"]), (&json!(4), &json!(1)));
        assert_eq!(report["differences"][0]["count"], 3);
        assert_eq!(report["differences"][0]["paths"], json!(["/a", "/b"]));
    }
}
