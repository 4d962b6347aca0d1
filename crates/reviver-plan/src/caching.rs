//! Cache policies, compiled.

use reviver_cache::{Ignored, KeyRule, Override, Rules};
use reviver_policy::{Asker, Router};

use crate::snapshot::{BuildError, router};
use crate::{Action, Cache, CacheIgnore, CacheOverride, CachePolicy, Plan};

/// How the responses of one route, or of the forward half, are cached.
#[derive(Debug)]
pub struct CacheRules {
    /// What keeps the keys of routes apart: two routes may answer one URL differently. The forward half has a name that
    /// no route can have.
    pub space: String,
    pub policy: CachePolicy,
    pub rules: Rules,
    pub key: KeyRule,
    bypass: Option<Router>,
    overriding: Option<Router>,
    overrides: Vec<Override>,
}

/// The key space of the forward half.
const FORWARD: &str = "\u{1}forward";

impl CacheRules {
    /// Whether a condition of `bypass` fits.
    pub fn bypasses<'a>(&self, head: &reviver_http::RequestHead, client: impl Into<Asker<'a>>) -> bool {
        self.bypass.as_ref().is_some_and(|router| router.find(head, client).is_some())
    }

    /// The override that fits.
    pub fn overriding<'a>(&self, head: &reviver_http::RequestHead, client: impl Into<Asker<'a>>) -> Option<&Override> {
        self.overrides.get(self.overriding.as_ref()?.find(head, client)?)
    }

    /// Whether keys are URLs and nothing else, so that a URL leads to its key.
    pub fn keys_are_urls(&self) -> bool {
        let key = &self.key;
        key.scheme
            && key.host
            && key.path
            && key.query_include.is_none()
            && key.query_ignore.is_empty()
            && !key.query_sort
            && key.headers.is_empty()
            && key.cookies.is_empty()
    }

    fn build(space: &str, policy: &CachePolicy, cache: &Cache) -> Result<Self, BuildError> {
        let subject = || format!("cache of {}", space.trim_start_matches('\u{1}'));
        let compiled = |matches: Vec<(&str, &crate::Match)>| match matches.is_empty() {
            true => Ok(None),
            false => router(&matches, subject).map(Some),
        };
        let bypass = compiled(policy.bypass.iter().map(|m| (policy.at.as_str(), m)).collect())?;
        let overriding = compiled(policy.overrides.iter().map(|o| (o.at.as_str(), &o.matches)).collect())?;
        Ok(Self {
            space: space.to_owned(),
            rules: Rules {
                ttl_ms: policy.ttl_ms,
                ttl_by_status: policy.ttl_by_status.iter().map(|t| (t.from, t.to, t.ttl_ms)).collect(),
                stale_while_revalidate_ms: policy.stale_while_revalidate_ms,
                stale_if_error_ms: policy.stale_if_error_ms,
                targeted: cache.targeted.clone(),
                max_object: policy.max_object,
            },
            key: KeyRule {
                scheme: policy.key.scheme,
                host: policy.key.host,
                path: policy.key.path,
                query_include: policy.key.query_include.clone(),
                query_ignore: policy.key.query_ignore.clone(),
                query_sort: policy.key.query_sort,
                headers: policy.key.headers.clone(),
                cookies: policy.key.cookies.clone(),
            },
            bypass,
            overriding,
            overrides: policy.overrides.iter().map(overriding_of).collect(),
            policy: policy.clone(),
        })
    }
}

fn overriding_of(over: &CacheOverride) -> Override {
    let ignores = |what| over.ignore.contains(&what);
    Override {
        ttl_ms: over.ttl_ms,
        min_ms: over.min_ms,
        max_ms: over.max_ms,
        percent: over.percent,
        ignore: Ignored {
            expires: ignores(CacheIgnore::Expires),
            no_cache: ignores(CacheIgnore::NoCache),
            no_store: ignores(CacheIgnore::NoStore),
            private: ignores(CacheIgnore::Private),
            must_revalidate: ignores(CacheIgnore::MustRevalidate),
            set_cookie: ignores(CacheIgnore::SetCookie),
            vary: ignores(CacheIgnore::Vary),
            reload: ignores(CacheIgnore::Reload),
        },
    }
}

/// The rules of a plan: for each route, and for the forward half.
#[derive(Debug, Default)]
pub struct Caching {
    pub routes: Vec<Option<CacheRules>>,
    pub forward: Option<CacheRules>,
}

impl Caching {
    pub(crate) fn build(plan: &Plan) -> Result<Self, BuildError> {
        let Some(cache) = &plan.cache else { return Ok(Self::default()) };
        let routes = plan.reverse.iter().flat_map(|r| &r.routes).map(|route| match (&route.cache, &route.action) {
            (Some(policy), Action::Pool(_) | Action::Split(_)) => {
                CacheRules::build(&route.name, policy, cache).map(Some)
            }
            _ => Ok(None),
        });
        let routes = routes.collect::<Result<Vec<_>, _>>()?;
        let forward = plan.forward.as_ref().and_then(|f| f.cache.as_ref());
        let forward = forward.map(|policy| CacheRules::build(FORWARD, policy, cache)).transpose()?;
        Ok(Self { routes, forward })
    }

    /// All rules: each is a key space.
    pub fn all(&self) -> impl Iterator<Item = &CacheRules> {
        self.routes.iter().flatten().chain(&self.forward)
    }
}
