use serde::Serialize;

/// Which redirects of an upstream are followed here instead of being passed on (Envoy `InternalRedirectPolicy`).
///
/// Followed is what has an absolute `location` whose route exists, of a request that came completely and was kept.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct InternalRedirects {
    /// Of one request, on whatever routes; 1 unless said otherwise.
    pub max: u32,
    /// 302 unless said otherwise; others than 301, 302, 303, 307 and 308 mean nothing.
    pub statuses: Vec<u16>,
    /// All must agree.
    pub predicates: Vec<RedirectPredicate>,
    /// Also from `http` to `https` and back.
    pub allow_cross_scheme: bool,
    /// Lower case; they replace the request's own, which also go when the response has none.
    pub response_headers_to_copy: Vec<String>,
}

impl Default for InternalRedirects {
    fn default() -> Self {
        Self {
            max: 1,
            statuses: vec![302],
            predicates: Vec::new(),
            allow_cross_scheme: false,
            response_headers_to_copy: Vec::new(),
        }
    }
}

impl InternalRedirects {
    pub fn follows(&self, status: u16) -> bool {
        matches!(status, 301..=303 | 307 | 308) && self.statuses.contains(&status)
    }
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectPredicate {
    /// The route's name is one of these.
    AllowListedRoutes(Vec<String>),
    /// The request did not go from this route to that one before.
    PreviousRoutes,
    /// Never from `http` to `https`.
    SafeCrossScheme,
}
