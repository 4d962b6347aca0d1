//! Why: the closed sets of names of verdicts.

macro_rules! names {
    ($(#[doc = $type_doc:literal])+ $type:ident { $($(#[doc = $doc:literal])+ $variant:ident $name:literal,)+ }) => {
        $(#[doc = $type_doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[doc = $doc])+ $variant,)+ }

        impl $type {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name that people and programs read.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence about it.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

names! {
    /// Why a response was, or was not, taken from the store.
    Why {
        /// The stored response is fresh.
        Fresh "fresh",
        /// The client takes a response that is stale (`max-stale`).
        MaxStale "max_stale",
        /// It is stale, and is validated after it was served (`stale-while-revalidate`).
        Revalidating "stale_while_revalidate",
        /// It is stale, and the upstream failed (`stale-if-error`).
        OnError "stale_if_error",
        /// The upstream said that what is stored still holds.
        Validated "validated",
        /// Another request's response, which was on its way, is shared.
        Collapsed "collapsed",
        /// Nothing is stored under the key.
        UriMiss "uri_miss",
        /// What is stored was selected by other request fields (`Vary`).
        VaryMiss "vary_miss",
        /// It is stored and stale.
        Stale "stale",
        /// It was made stale by a soft purge.
        Purged "soft_purged",
        /// The response may be used only after validation (`no-cache`).
        NoCache "no_cache",
        /// The client asked for validation, or for a response younger or fresher than what is stored.
        Request "request",
        /// Only another part of the response is stored.
        Partial "partial",
        /// The method is neither GET nor HEAD.
        Method "method",
        /// The request has a body.
        RequestBody "request_body",
        /// A field of the request asks for another method.
        MethodOverride "method_override",
        /// The request has a precondition that only the origin can evaluate (`If-Match`, `If-Unmodified-Since`).
        Precondition "precondition",
        /// The request asks for another protocol.
        Upgrade "upgrade",
        /// A condition of `bypass` fits.
        Bypass "bypass",
        /// What is stored could not be read.
        Unreadable "unreadable",
        /// The response was not storable the last time.
        NotStorable "not_storable",
    }
}

names! {
    /// Why a response was not stored.
    Refusal {
        /// The request's method, or its form, is not one whose response is stored.
        Method "method",
        /// The request said `no-store`.
        RequestNoStore "request_no_store",
        /// The response said `no-store`.
        NoStore "no_store",
        /// The response is for one user (`private`).
        Private "private",
        /// The request was authorized, and the response does not say that it may be shared.
        Authorization "authorization",
        /// The response sets a cookie.
        SetCookie "set_cookie",
        /// The request had cookies, and the response does not say how long it is fresh.
        Cookie "cookie",
        /// `Vary` is `*`, or names more than is kept apart.
        Vary "vary",
        /// The status is not understood, or not one that is stored.
        Status "status",
        /// The status says that this request was at fault, which others under the same key need not be.
        RequestError "request_error",
        /// A part of a response that cannot be told from others.
        PartialResponse "partial_response",
        /// Nothing says that it is fresh, and it could not be validated.
        NoFreshness "no_freshness",
        /// It is larger than what is stored.
        TooLarge "too_large",
        /// The configuration gives it no time.
        Configured "configured",
        /// It was asked for less often than `min_uses`.
        MinUses "min_uses",
        /// The store takes no more for now.
        Busy "busy",
        /// It was not received whole.
        Incomplete "incomplete",
        /// Something purged or changed the resource meanwhile.
        Overtaken "overtaken",
    }
}
