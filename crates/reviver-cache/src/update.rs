//! What a 304 makes of a stored response (RFC 9111, sections 3.2 and 4.3.4), and a HEAD (section 4.3.5).

use reviver_http::{RequestHead, ResponseHead};

use crate::{Ask, Control, Exchanged, Meta, Override, Refusal, Rules};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updated {
    /// The fields and what is known now.
    Stored { fields: Vec<u8>, meta: Meta },
    /// The response may be used for this request, and is not kept.
    NotStored { fields: Vec<u8>, meta: Meta, refusal: Refusal },
    /// The answer speaks of another response than the stored one.
    Other,
}

/// `response` is a 304 to a conditional request made of the stored validators, or the answer to a HEAD.
#[allow(clippy::too_many_arguments)]
pub fn update(
    fields: &[u8],
    meta: &Meta,
    request: &RequestHead,
    ask: &Ask,
    response: &ResponseHead,
    control: &Control,
    rules: &Rules,
    over: Option<&Override>,
    times: Exchanged,
) -> Updated {
    let _ = (fields, meta, request, ask, response, control, rules, over, times);
    Updated::Other
}
