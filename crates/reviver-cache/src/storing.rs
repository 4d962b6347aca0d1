//! Whether a response may be stored (RFC 9111, section 3), and which of its fields.

use reviver_http::{RequestHead, ResponseHead};

use crate::{Ask, Control, Meta, Refusal};

/// When a request was sent and its response's head came, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    pub requested_ms: u64,
    pub received_ms: u64,
}

/// What a person has configured for a set of responses. Times are milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub ttl_ms: Option<u64>,
    /// Inclusive range of statuses and their time; 0: not stored.
    pub ttl_by_status: Vec<(u16, u16, u64)>,
    pub stale_while_revalidate_ms: Option<u64>,
    pub stale_if_error_ms: Option<u64>,
    /// Names of targeted fields, lower case.
    pub targeted: Vec<String>,
    pub max_object: u64,
}

/// What an override takes no notice of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    pub expires: bool,
    pub no_cache: bool,
    pub no_store: bool,
    pub private: bool,
    pub must_revalidate: bool,
    pub set_cookie: bool,
    pub vary: bool,
    pub reload: bool,
}

/// Another freshness than the response states. Times are milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override {
    pub ttl_ms: Option<u64>,
    pub min_ms: Option<u64>,
    pub max_ms: Option<u64>,
    pub percent: Option<u32>,
    pub ignore: Ignored,
}

/// What is stored of a response with this head, or why it is not. The length of the body is not looked at beyond what
/// `Content-Length` says.
pub fn may_store(
    request: &RequestHead,
    ask: &Ask,
    response: &ResponseHead,
    control: &Control,
    rules: &Rules,
    over: Option<&Override>,
    times: Exchanged,
) -> Result<Meta, Refusal> {
    let _ = (request, ask, response, control, rules, over, times);
    Err(Refusal::NoStore)
}

/// Appends the fields that are stored, as lines: without those of one hop, of the connection and its framing, `Age`, and
/// those that `control` keeps from being stored.
pub fn write_stored_fields(response: &ResponseHead, control: &Control, out: &mut Vec<u8>) {
    let _ = (response, control, out);
}
