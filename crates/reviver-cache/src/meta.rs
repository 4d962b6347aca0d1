//! What is known of a stored response beside its fields and body.

/// What says how long a response is fresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    SMaxage,
    MaxAge,
    Expires,
    /// A targeted field (RFC 9213).
    Targeted,
    /// RFC 9111, section 4.2.2.
    Heuristic,
    /// `ttl` or `ttl_by_status`.
    Ttl,
    Override,
    /// Nothing: it is stale from the start.
    #[default]
    None,
}

impl Basis {
    pub fn name(self) -> &'static str {
        match self {
            Self::SMaxage => "s-maxage",
            Self::MaxAge => "max-age",
            Self::Expires => "expires",
            Self::Targeted => "targeted",
            Self::Heuristic => "heuristic",
            Self::Ttl => "ttl",
            Self::Override => "override",
            Self::None => "none",
        }
    }
}

/// Times are milliseconds; those of a clock count from the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub status: u16,
    /// When the request that brought it was sent, and when its head came.
    pub requested_ms: u64,
    pub received_ms: u64,
    /// Its age when it was received (RFC 9111, section 4.2.3, `corrected_initial_age`).
    pub initial_age_ms: u64,
    /// Freshness lifetime (section 4.2.1).
    pub lifetime_ms: u64,
    pub basis: Basis,
    /// What `Date` said, or when it was received.
    pub date_ms: u64,
    pub stale_while_revalidate_ms: u64,
    pub stale_if_error_ms: u64,
    /// May be used only after validation.
    pub no_cache: bool,
    /// Must not be served stale, whoever allows it.
    pub must_revalidate: bool,
    /// RFC 8246.
    pub immutable: bool,
    pub no_transform: bool,
    /// A soft purge made it stale.
    pub purged: bool,
    /// It has an entity tag or a date of modification.
    pub validates: bool,
}

impl Meta {
    /// `current_age` (RFC 9111, section 4.2.3).
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        self.initial_age_ms.saturating_add(now_ms.saturating_sub(self.received_ms))
    }

    /// How long it stays fresh; negative since when it is stale.
    pub fn ttl_ms(&self, now_ms: u64) -> i64 {
        let lifetime = if self.purged { 0 } else { self.lifetime_ms };
        i64::try_from(lifetime).unwrap_or(i64::MAX).saturating_sub(i64::try_from(self.age_ms(now_ms)).unwrap_or(i64::MAX))
    }
}
