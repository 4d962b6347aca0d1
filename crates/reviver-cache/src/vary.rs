//! Request fields that select a response (RFC 9111, section 4.1).

use reviver_http::{RequestHead, ResponseHead};

/// What `Vary` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// Field names in lower case, sorted, each once; empty: the response is for every request.
    Fields(Vec<String>),
    /// `*`, or more names than are kept apart.
    Any,
}

pub fn vary_of(response: &ResponseHead) -> Vary {
    let _ = response;
    Vary::Fields(Vec::new())
}

/// Appends a line for each named field: what the request says, in a normal form.
pub fn write_selecting(names: &[String], request: &RequestHead, out: &mut Vec<u8>) {
    let _ = (names, request, out);
}
