//! Ages and lifetimes (RFC 9111, section 4.2).

use reviver_http::FieldKind;

use crate::directives::delta_seconds;
use crate::fields::Item;
use crate::storing::Case;
use crate::validator::{EntityTag, date_ms};
use crate::{Basis, ContentRange};

/// Section 4.2.2: what is typical.
const HEURISTIC_PERCENT: u64 = 10;
/// Beyond a day RFC 7234, section 4.2.2, asked for a warning, which there is no longer.
const HEURISTIC_MOST_MS: u64 = 24 * 3600 * 1000;
/// From this on `Last-Modified` is a strong validator: clocks that differ do not matter (RFC 9110, section 8.8.2.2).
const STRONG_AFTER_MS: u64 = 60_000;

/// A field that can be there once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Once<T> {
    #[default]
    Absent,
    Valid(T),
    /// It cannot be read, or there are several that differ.
    Invalid,
}

impl<T: PartialEq + Copy> Once<T> {
    fn add(&mut self, value: Option<T>) {
        *self = match (*self, value) {
            (Self::Absent, Some(value)) => Self::Valid(value),
            (Self::Valid(known), Some(value)) if known == value => *self,
            _ => Self::Invalid,
        };
    }

    pub(crate) fn valid(self) -> Option<T> {
        if let Self::Valid(value) = self { Some(value) } else { None }
    }
}

/// What a response's fields say, its directives aside. Times are milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The earliest and the latest: one for the age, the other for the lifetime.
    pub(crate) dates: Option<(u64, u64)>,
    pub(crate) age_ms: Option<u64>,
    pub(crate) expires: Once<u64>,
    pub(crate) modified: Once<u64>,
    /// Whether the entity tag is a strong one.
    pub(crate) tag: Once<bool>,
    pub(crate) set_cookie: bool,
    pub(crate) content_length: Option<u64>,
    /// Whether it is one that can be read.
    pub(crate) content_range: Once<bool>,
    pub(crate) multipart: bool,
}

impl Facts {
    pub(crate) fn of<'a>(items: impl Iterator<Item = Item<'a>>) -> Self {
        let mut facts = Self::default();
        let mut ages = false;
        let mut tag = None;
        for Item { kind, name, value } in items {
            match kind {
                FieldKind::Date => {
                    if let Some(date) = date_ms(value) {
                        let (earliest, latest) = facts.dates.unwrap_or((date, date));
                        facts.dates = Some((earliest.min(date), latest.max(date)));
                    }
                }
                // section 5.1: the first member counts, and what is no number does not
                FieldKind::Age if !std::mem::replace(&mut ages, true) => {
                    let first = value.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
                    facts.age_ms = delta_seconds(first).map(|seconds| seconds * 1000);
                }
                FieldKind::Expires => facts.expires.add(date_ms(value)),
                FieldKind::LastModified => facts.modified.add(date_ms(value)),
                FieldKind::ETag => {
                    let same = tag.replace(value).is_none_or(|other| other == value);
                    facts.tag.add(EntityTag::parse(value).filter(|_| same).map(|tag| !tag.weak));
                }
                FieldKind::SetCookie => facts.set_cookie = true,
                FieldKind::ContentLength => facts.content_length = decimal(value),
                FieldKind::ContentRange => facts.content_range.add(ContentRange::parse(value).map(|_| true)),
                FieldKind::Other if name.eq_ignore_ascii_case(b"content-type") => {
                    let start = value.get(..BYTERANGES.len()).unwrap_or_default();
                    facts.multipart |= start.eq_ignore_ascii_case(BYTERANGES);
                }
                _ => {}
            }
        }
        facts
    }

    pub(crate) fn validates(&self) -> bool {
        self.tag.valid().is_some() || self.modified.valid().is_some()
    }

    pub(crate) fn validates_strongly(&self) -> bool {
        let modified = self.modified.valid().zip(self.dates);
        self.tag == Once::Valid(true)
            || modified.is_some_and(|(modified, (date, _))| date >= modified.saturating_add(STRONG_AFTER_MS))
    }
}

const BYTERANGES: &[u8] = b"multipart/byteranges";

fn decimal(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What the response itself says of its lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stated {
    Nothing,
    /// Nothing that can be read.
    Invalid,
    For(u64, Basis),
}

impl Case<'_> {
    /// `corrected_initial_age` (section 4.2.3). Apparent age is counted in whole seconds, as `Date` is: else each
    /// response would be up to a second old when it is made.
    pub(crate) fn initial_age_ms(&self) -> u64 {
        let received = self.times.received_ms / 1000 * 1000;
        let apparent = self.facts.dates.map_or(0, |(date, _)| received.saturating_sub(date));
        let delay = self.times.received_ms.saturating_sub(self.times.requested_ms);
        apparent.max(self.facts.age_ms.unwrap_or(0).saturating_add(delay))
    }

    /// Section 4.2.1.
    pub(crate) fn stated(&self) -> Stated {
        let control = self.control;
        if self.ignored().expires {
            return Stated::Nothing;
        }
        if control.invalid_freshness {
            return Stated::Invalid;
        }
        let named = |basis| if control.targeted { Basis::Targeted } else { basis };
        if let Some(seconds) = control.s_maxage {
            return Stated::For(seconds.saturating_mul(1000), named(Basis::SMaxage));
        }
        if let Some(seconds) = control.max_age {
            return Stated::For(seconds.saturating_mul(1000), named(Basis::MaxAge));
        }
        match self.facts.expires {
            _ if control.targeted => Stated::Nothing,
            Once::Absent => Stated::Nothing,
            // section 5.3: above all `0` means that it has expired
            Once::Invalid => Stated::For(0, Basis::Expires),
            Once::Valid(expires) => {
                let date = self.facts.dates.map_or(self.times.received_ms, |(_, latest)| latest);
                Stated::For(expires.saturating_sub(date), Basis::Expires)
            }
        }
    }

    /// How long it is fresh, and by what. Times that a person has configured count from when it was received, those of
    /// the response from when it was made.
    pub(crate) fn lifetime(&self, stated: Stated, initial_age_ms: u64) -> (u64, Basis) {
        let since_received = |ms: u64| ms.saturating_add(initial_age_ms);
        let (mut lifetime, mut basis) = match stated {
            Stated::For(lifetime, basis) => (lifetime, basis),
            Stated::Invalid => (0, Basis::None),
            Stated::Nothing => self.unstated(initial_age_ms),
        };
        let Some(over) = self.over.filter(|_| stated != Stated::Nothing || self.may_assume()) else {
            return (lifetime, basis);
        };
        if let Some(ttl) = over.ttl_ms {
            (lifetime, basis) = (since_received(ttl), Basis::Override);
        }
        if let Some(min) = over.min_ms.map(since_received).filter(|min| lifetime < *min) {
            (lifetime, basis) = (min, Basis::Override);
        }
        if let Some(max) = over.max_ms.map(since_received).filter(|max| lifetime > *max) {
            (lifetime, basis) = (max, Basis::Override);
        }
        (lifetime, basis)
    }

    fn unstated(&self, initial_age_ms: u64) -> (u64, Basis) {
        if let Some(ttl) = self.status_ttl() {
            return (ttl.saturating_add(initial_age_ms), Basis::Ttl);
        }
        if !self.may_assume() {
            return (0, Basis::None);
        }
        let percent = self.over.and_then(|over| over.percent);
        match (percent.and_then(|percent| self.heuristic(percent.into())), self.rules.ttl_ms) {
            (Some(lifetime), _) => (lifetime, Basis::Heuristic),
            (None, Some(ttl)) => (ttl.saturating_add(initial_age_ms), Basis::Ttl),
            (None, None) => match self.heuristic(HEURISTIC_PERCENT) {
                Some(lifetime) => (lifetime, Basis::Heuristic),
                None => (0, Basis::None),
            },
        }
    }

    /// Section 4.2.2. At most a day, or the `max` of an override.
    fn heuristic(&self, percent: u64) -> Option<u64> {
        let modified = self.facts.modified.valid()?;
        let date = self.facts.dates.map_or(self.times.received_ms, |(earliest, _)| earliest);
        let most = self.over.and_then(|over| over.max_ms).unwrap_or(HEURISTIC_MOST_MS);
        Some((date.saturating_sub(modified) / 100).saturating_mul(percent).min(most))
    }

    /// Whether a lifetime may be made up for the response (section 4.2.2): its status is one of those that RFC 9110,
    /// section 15.1, names, or it says `public`, or a person has named its status.
    pub(crate) fn may_assume(&self) -> bool {
        let heuristically =
            matches!(self.status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501);
        heuristically || self.control.public || self.status_ttl().is_some()
    }

    /// What `ttl_by_status` says of the status.
    pub(crate) fn status_ttl(&self) -> Option<u64> {
        let of_status = |(from, to, _): &&(u16, u16, u64)| (*from..=*to).contains(&self.status);
        self.rules.ttl_by_status.iter().find(of_status).map(|(_, _, ttl)| *ttl)
    }
}
