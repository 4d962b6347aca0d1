//! Hosts: which routes can match for one, found with a lookup or two.

use std::collections::HashMap;

use crate::PatternError;

/// Any host, one name, or all names below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    Any,
    Exact(Box<[u8]>),
    /// What stands behind `*.`.
    Below(Box<[u8]>),
}

impl HostPattern {
    /// Lower case and without brackets, port or final dot, as [`reviver_http::RequestHead::host`] is.
    pub(crate) fn new(text: &str) -> Result<Self, PatternError> {
        let bad = || PatternError::Host(text.to_owned());
        let name = text.to_ascii_lowercase();
        let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(&name);
        if name == "*" {
            return Ok(Self::Any);
        }
        let (name, below) = match name.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (name, false),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() || name.starts_with('.') || name.contains(['*', '/', '@', '?', '#']) || !name.is_ascii() {
            return Err(bad());
        }
        let name = Box::from(name.as_bytes());
        Ok(if below { Self::Below(name) } else { Self::Exact(name) })
    }

    pub(crate) fn matches(&self, host: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => **name == *host,
            Self::Below(suffix) => suffixes(host).any(|s| *s == **suffix),
        }
    }
}

/// What stands behind each dot but a leading one, longest first.
fn suffixes(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    memchr::memchr_iter(b'.', host).filter(|&dot| dot > 0).map(|dot| &host[dot + 1..])
}

type Candidates = HashMap<Box<[u8]>, Box<[u32]>>;

/// For each host that is named, the routes that can match for it, in order.
///
/// The list of an exact host holds the routes of all wildcards above it and those without a host as well,
/// and the list of a wildcard those of all wildcards above it: so the most special entry is the only one read.
#[derive(Debug, Default)]
pub(crate) struct HostIndex {
    exact: Candidates,
    below: Candidates,
    any: Box<[u32]>,
}

impl HostIndex {
    /// `routes` are the host patterns of each route in order; none is any host.
    pub(crate) fn new<'a>(routes: impl IntoIterator<Item = &'a [HostPattern]>) -> Self {
        let mut any = Vec::new();
        let mut exact: HashMap<&[u8], Vec<u32>> = HashMap::new();
        let mut below: HashMap<&[u8], Vec<u32>> = HashMap::new();
        for (route, hosts) in (0u32..).zip(routes) {
            if hosts.is_empty() {
                any.push(route);
            }
            for host in hosts {
                match host {
                    HostPattern::Any => any.push(route),
                    HostPattern::Exact(name) => exact.entry(name).or_default().push(route),
                    HostPattern::Below(suffix) => below.entry(suffix).or_default().push(route),
                }
            }
        }
        let merged = |name: &[u8], own: &[u32]| -> Box<[u32]> {
            let above = suffixes(name).filter_map(|suffix| below.get(suffix)).flatten();
            let mut all: Vec<u32> = own.iter().chain(above).chain(&any).copied().collect();
            all.sort_unstable();
            all.dedup();
            all.into()
        };
        let index = |map: &HashMap<&[u8], Vec<u32>>| -> Candidates {
            map.iter().map(|(&name, own)| (Box::from(name), merged(name, own))).collect()
        };
        Self { exact: index(&exact), below: index(&below), any: merged(b"", &[]) }
    }

    pub(crate) fn candidates(&self, host: &[u8]) -> &[u32] {
        let below = || suffixes(host).find_map(|suffix| self.below.get(suffix));
        self.exact.get(host).or_else(below).unwrap_or(&self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(hosts: &[&str]) -> Vec<HostPattern> {
        hosts.iter().map(|h| HostPattern::new(h).expect("a host")).collect()
    }

    #[test]
    fn a_wildcard_is_one_label_or_more() {
        let wildcard = HostPattern::new("*.example.com").expect("a host");
        for (host, expected) in [
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            (".example.com", false),
            ("badexample.com", false),
            ("a.example.com.evil", false),
            ("", false),
        ] {
            assert_eq!(wildcard.matches(host.as_bytes()), expected, "{host}");
        }
    }

    #[test]
    fn hosts_are_taken_in_the_form_that_heads_have() {
        assert_eq!(patterns(&["Example.COM."]), patterns(&["example.com"]));
        assert_eq!(patterns(&["[::1]"]), patterns(&["::1"]));
        assert!(patterns(&["*"])[0].matches(b"anything"));
        assert!(patterns(&["*"])[0].matches(b""));
    }

    #[test]
    fn hosts_that_could_never_match_are_refused() {
        for host in ["", ".", "*.", "a.*", "a*.b", "*.*.b", "*..b", "http://a", "a/b", "münchen.de"] {
            assert_eq!(HostPattern::new(host), Err(PatternError::Host(host.to_owned())));
        }
    }

    #[test]
    fn the_index_merges_what_can_match_in_order() {
        let routes = [
            patterns(&["*.b.c"]),
            patterns(&[]),
            patterns(&["x.b.c", "*.c"]),
            patterns(&["x.b.c"]),
            patterns(&["*.x.b.c"]),
            patterns(&["other"]),
        ];
        let index = HostIndex::new(routes.iter().map(Vec::as_slice));
        for (host, expected) in [
            ("x.b.c", &[0, 1, 2, 3][..]),
            ("y.b.c", &[0, 1, 2]),
            ("b.c", &[1, 2]),
            ("z.x.b.c", &[0, 1, 2, 4]),
            ("c", &[1]),
            ("other", &[1, 5]),
            ("nowhere", &[1]),
            ("", &[1]),
        ] {
            assert_eq!(index.candidates(host.as_bytes()), expected, "{host}");
        }
    }
}
