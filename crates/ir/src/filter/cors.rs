use leno_names::Fraction;
use serde::Serialize;

use crate::StringMatch;

/// Which pages of other origins may read responses (Envoy `CorsPolicy`; Fetch standard, "CORS protocol").
///
/// Of a route's and its virtual host's policy each part is taken from the first that says something about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CorsPolicy {
    /// Values of `origin`; any may match.
    pub allow_origins: Vec<StringMatch>,
    /// As they are sent, in a list with commas; `*` stands for what was asked for, empty says nothing.
    pub allow_methods: String,
    pub allow_headers: String,
    pub expose_headers: String,
    /// Seconds, as they are sent; empty says nothing.
    pub max_age: String,
    pub allow_credentials: Option<bool>,
    pub allow_private_network_access: Option<bool>,
    /// A preflight request of an origin that is not allowed goes to the upstream; otherwise it gets an answer that allows
    /// nothing. Default true.
    pub forward_not_matching_preflights: Option<bool>,
    /// Share of requests the policy is for. Default all.
    pub enabled: Fraction,
    /// Share of the others for which origins are only counted. Default none.
    pub shadow_enabled: Fraction,
}

impl Default for CorsPolicy {
    fn default() -> Self {
        Self {
            allow_origins: Vec::new(),
            allow_methods: String::new(),
            allow_headers: String::new(),
            expose_headers: String::new(),
            max_age: String::new(),
            allow_credentials: None,
            allow_private_network_access: None,
            forward_not_matching_preflights: None,
            enabled: Fraction::ONE,
            shadow_enabled: Fraction::ZERO,
        }
    }
}
