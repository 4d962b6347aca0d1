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
    /// In the order of the form in bytes, which must not change.
    const ALL: [Self; 8] = [
        Self::SMaxage,
        Self::MaxAge,
        Self::Expires,
        Self::Targeted,
        Self::Heuristic,
        Self::Ttl,
        Self::Override,
        Self::None,
    ];

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

/// So much two looks at the clock may differ.
const CLOCK_SLACK_MS: u64 = 5000;

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
    /// What `Content-Length` said.
    pub content_length: Option<u64>,
}

/// Of the form in bytes.
const VERSION: u8 = 1;
const FLAGS: u32 = 7;

impl Meta {
    /// Bytes that [`Meta::write`] takes.
    pub const SIZE: usize = 72;

    /// `current_age` (RFC 9111, section 4.2.3).
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        // The clock has been set back since: nothing is known of its age.
        if self.received_ms > now_ms.saturating_add(CLOCK_SLACK_MS) {
            return u64::MAX / 2;
        }
        self.initial_age_ms.saturating_add(now_ms.saturating_sub(self.received_ms))
    }

    /// How long it stays fresh; negative since when it is stale.
    pub fn ttl_ms(&self, now_ms: u64) -> i64 {
        let lifetime = if self.purged { 0 } else { self.lifetime_ms };
        i64::try_from(lifetime)
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(self.age_ms(now_ms)).unwrap_or(i64::MAX))
    }

    /// Appends its form of [`Meta::SIZE`] bytes, numbers with the lowest byte first.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(Self::SIZE);
        out.push(VERSION);
        out.push(self.basis as u8);
        out.extend_from_slice(&self.status.to_le_bytes());
        let flags = [
            self.no_cache,
            self.must_revalidate,
            self.immutable,
            self.no_transform,
            self.purged,
            self.validates,
            self.content_length.is_some(),
        ];
        let bits = flags.iter().enumerate().fold(0u32, |bits, (at, flag)| bits | u32::from(*flag) << at);
        out.extend_from_slice(&bits.to_le_bytes());
        let numbers = [
            self.requested_ms,
            self.received_ms,
            self.initial_age_ms,
            self.lifetime_ms,
            self.date_ms,
            self.stale_while_revalidate_ms,
            self.stale_if_error_ms,
            self.content_length.unwrap_or(0),
        ];
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// What [`Meta::write`] wrote, and how long it is. None where bytes are missing, or are not of this version.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let ([version, basis, low, high, b0, b1, b2, b3], rest) = bytes.split_first_chunk::<8>()?;
        let (basis, bits) = (*Basis::ALL.get(usize::from(*basis))?, u32::from_le_bytes([*b0, *b1, *b2, *b3]));
        if *version != VERSION || bits >> FLAGS != 0 {
            return None;
        }
        let mut numbers = [0; 8];
        for (number, bytes) in numbers.iter_mut().zip(rest.get(..Self::SIZE - 8)?.as_chunks::<8>().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        let [requested_ms, received_ms, initial_age_ms, lifetime_ms, date_ms, while_revalidate, if_error, length] =
            numbers;
        let flag = |at: u32| bits & (1 << at) != 0;
        let meta = Self {
            status: u16::from_le_bytes([*low, *high]),
            requested_ms,
            received_ms,
            initial_age_ms,
            lifetime_ms,
            basis,
            date_ms,
            stale_while_revalidate_ms: while_revalidate,
            stale_if_error_ms: if_error,
            no_cache: flag(0),
            must_revalidate: flag(1),
            immutable: flag(2),
            no_transform: flag(3),
            purged: flag(4),
            validates: flag(5),
            content_length: flag(6).then_some(length),
        };
        Some((meta, Self::SIZE))
    }
}
