//! Whether a response may be stored (RFC 9111, section 3), and which of its fields.

use reviver_http::{Fate, FieldKind, H1Sink, Method, RequestHead, ResponseHead};

use crate::fields::received;
use crate::freshness::{Facts, Once, Stated};
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
    /// 0: not stored.
    pub ttl_ms: Option<u64>,
    pub min_ms: Option<u64>,
    pub max_ms: Option<u64>,
    pub percent: Option<u32>,
    pub ignore: Ignored,
}

/// What is stored of the response to a GET that has this head, or why it is not. (The client may have sent a HEAD.) The length of the body is not looked at beyond what
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
    // on behalf of a HEAD the whole response may have been asked for
    if !matches!(request.method, Method::Get | Method::Head) || Ask::bypasses(request).is_some() {
        return Err(Refusal::Method);
    }
    // 304 is about another response, and no interim one is final (section 3)
    if response.status < 200 || response.status == 304 {
        return Err(Refusal::Status);
    }
    let facts = Facts::of(received(response));
    let case = Case { status: response.status, facts: &facts, ask, control, rules, over, times };
    let meta = case.meta();
    case.refusal(&meta).map_or(Ok(meta), Err)
}

/// All that decides about one response.
pub(crate) struct Case<'a> {
    pub(crate) status: u16,
    pub(crate) facts: &'a Facts,
    pub(crate) ask: &'a Ask,
    pub(crate) control: &'a Control,
    pub(crate) rules: &'a Rules,
    pub(crate) over: Option<&'a Override>,
    pub(crate) times: Exchanged,
}

impl Case<'_> {
    pub(crate) fn ignored(&self) -> Ignored {
        self.over.map(|over| over.ignore).unwrap_or_default()
    }

    fn must_revalidate(&self) -> bool {
        (self.control.must_revalidate || self.control.proxy_revalidate) && !self.ignored().must_revalidate
    }

    pub(crate) fn meta(&self) -> Meta {
        let (control, times) = (self.control, self.times);
        let initial_age_ms = self.initial_age_ms();
        let (lifetime_ms, basis) = self.lifetime(self.stated(), initial_age_ms);
        let must_revalidate = self.must_revalidate();
        let window = |stated: Option<u64>, configured: Option<u64>| {
            let window = stated.map(|seconds| seconds.saturating_mul(1000)).or(configured);
            window.filter(|_| !must_revalidate).unwrap_or(0)
        };
        Meta {
            status: self.status,
            requested_ms: times.requested_ms,
            received_ms: times.received_ms,
            initial_age_ms,
            lifetime_ms,
            basis,
            date_ms: self.facts.dates.map_or(times.received_ms, |(earliest, _)| earliest),
            stale_while_revalidate_ms: window(control.stale_while_revalidate, self.rules.stale_while_revalidate_ms),
            stale_if_error_ms: window(control.stale_if_error, self.rules.stale_if_error_ms),
            no_cache: control.no_cache && !self.ignored().no_cache,
            must_revalidate,
            immutable: control.immutable,
            no_transform: control.no_transform,
            purged: false,
            validates: self.facts.validates(),
            content_length: self.facts.content_length,
        }
    }

    /// Section 3, in the order in which a person would want to know.
    pub(crate) fn refusal(&self, meta: &Meta) -> Option<Refusal> {
        let (control, ask, ignored) = (self.control, self.ask, self.ignored());
        let stated = self.stated();
        let checks = [
            (self.status_ttl() == Some(0) || self.over.is_some_and(|over| over.ttl_ms == Some(0)), Refusal::Configured),
            (control.must_understand && !is_understood(self.status), Refusal::Status),
            // section 5.2.2.3: who understands the status ignores `no-store` beside `must-understand`
            (control.no_store && !control.must_understand && !ignored.no_store, Refusal::NoStore),
            (ask.no_store, Refusal::RequestNoStore),
            (control.private && !ignored.private, Refusal::Private),
            (ask.authorization && !self.shares_authorized(), Refusal::Authorization),
            (blames_request(self.status) && self.status_ttl().is_none(), Refusal::RequestError),
            (self.status == 206 && !self.is_part(), Refusal::PartialResponse),
            (stated == Stated::Nothing && !self.may_assume(), Refusal::Status),
            (self.sets_cookie(), Refusal::SetCookie),
            (ask.cookie && self.depends_on_cookie(stated), Refusal::Cookie),
            (!is_usable(meta), Refusal::NoFreshness),
            (self.facts.content_length.is_some_and(|length| length > self.rules.max_object), Refusal::TooLarge),
        ];
        checks.into_iter().find_map(|(refused, why)| refused.then_some(why))
    }

    /// Section 3.5. What an override takes no notice of allows nothing either.
    fn shares_authorized(&self) -> bool {
        let (control, ignored) = (self.control, self.ignored());
        control.public || control.s_maxage.is_some() || (control.must_revalidate && !ignored.must_revalidate)
    }

    /// Whether it can be told which part of which response a 206 is, so that others can be put beside it (section 3.4).
    fn is_part(&self) -> bool {
        self.facts.content_range == Once::Valid(true) && !self.facts.multipart && self.facts.validates_strongly()
    }

    fn sets_cookie(&self) -> bool {
        let dropped = self.control.keeps_out(b"set-cookie") || self.ignored().set_cookie;
        self.facts.set_cookie && !dropped && !self.control.shares_cookies()
    }

    /// Whether it may well be for the user whom the cookie names: neither the response nor an override says that it may
    /// be used again, and it would be without asking.
    fn depends_on_cookie(&self, stated: Stated) -> bool {
        let overridden = self.over.is_some_and(|over| over.ttl_ms.is_some());
        let validated = self.control.no_cache && !self.ignored().no_cache;
        stated == Stated::Nothing && !self.control.public && !overridden && !validated
    }
}

/// Whether there can be a request that it serves.
fn is_usable(meta: &Meta) -> bool {
    let fresh = meta.lifetime_ms > meta.initial_age_ms;
    let stale = meta.stale_while_revalidate_ms > 0 || meta.stale_if_error_ms > 0;
    meta.validates || (!meta.no_cache && (fresh || stale))
}

/// Statuses of RFC 9110 and RFC 6585, whose rules for caches are known here.
fn is_understood(status: u16) -> bool {
    matches!(status, 200..=206 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 500..=505 | 511)
}

/// Statuses by which one client could make others see an error (a poisoned cache), and those that RFC 6585 forbids to
/// store.
fn blames_request(status: u16) -> bool {
    // of 414 the key holds what is at fault
    matches!(status, 400 | 407 | 408 | 411..=413 | 415..=417 | 421 | 422 | 425 | 426 | 428 | 429 | 431 | 511)
}

/// Appends the fields that are stored, as lines: without those of one hop, of the connection and its framing, `Age`, and
/// those that `control` keeps from being stored. `Set-Cookie` stays only where the response says that it is for everyone.
pub fn write_stored_fields(response: &ResponseHead, control: &Control, out: &mut Vec<u8>) {
    response.pass_fields(&mut H1Sink(out), |field| {
        let kept = is_stored(field.kind, control) && !control.keeps_out(response.name(field));
        if kept { Fate::Pass } else { Fate::Drop }
    });
}

/// Section 3.1.
pub(crate) fn is_stored(kind: FieldKind, control: &Control) -> bool {
    match kind {
        FieldKind::ContentLength
        | FieldKind::Age
        | FieldKind::ProxyAuthenticate
        | FieldKind::ProxyAuthenticationInfo
        | FieldKind::ProxyAuthorization => false,
        FieldKind::SetCookie => control.shares_cookies(),
        _ => !kind.is_hop_by_hop(),
    }
}
