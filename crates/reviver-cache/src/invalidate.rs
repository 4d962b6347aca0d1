//! What a successful unsafe request makes invalid (RFC 9111, section 4.4; RFC 9875).

use reviver_http::{RequestHead, ResponseHead};

/// Targets of which all that is stored is invalid, each as the start of a key: `scheme://host[:port]/path[?query]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalidation {
    pub targets: Vec<Vec<u8>>,
    /// Groups of the same origin (RFC 9875, section 3).
    pub groups: Vec<String>,
}

/// None where nothing is: a safe method, or an error.
pub fn invalidation(scheme: &[u8], request: &RequestHead, response: &ResponseHead) -> Option<Invalidation> {
    let _ = (scheme, request, response);
    None
}
