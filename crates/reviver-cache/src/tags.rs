//! Names by which responses are purged together.

use reviver_http::ResponseHead;

/// Of `Cache-Tag` (comma separated), `Surrogate-Key` and `xkey` (separated by spaces), each once.
pub fn tags_of(response: &ResponseHead) -> Vec<String> {
    let _ = response;
    Vec::new()
}

/// Of `Cache-Groups` (RFC 9875, section 2), within the RFC's bounds.
pub fn groups_of(response: &ResponseHead) -> Vec<String> {
    let _ = response;
    Vec::new()
}

/// Of `Cache-Group-Invalidation` (RFC 9875, section 3).
pub fn invalidated_groups(response: &ResponseHead) -> Vec<String> {
    let _ = response;
    Vec::new()
}
