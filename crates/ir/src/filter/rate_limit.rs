use std::time::Duration;

use leno_names::Fraction;
use serde::Serialize;

use crate::{HeaderOps, RateLimitRule};

/// Asks a service whether a request is within its limits (Envoy's HTTP filter `ratelimit`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RateLimit {
    pub domain: String,
    /// 0 to 10: which rules of routes are its own.
    pub stage: u32,
    pub requests: RateLimitedRequests,
    /// Default 20 ms. `None`: unbounded.
    pub timeout: Option<Duration>,
    /// What happens to requests when the service does not answer: `false` lets them pass.
    pub failure_mode_deny: bool,
    /// Instead of it, for which share of such requests they get an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_mode_deny_share: Option<Fraction>,
    /// The share of requests that the service is asked about. Default all.
    pub enabled: Fraction,
    /// The share of requests over the limit that are refused. Default all.
    pub enforced: Fraction,
    /// What requests are described by instead of the rules of routes; empty: by those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RateLimitRule>,
    /// gRPC clients over the limit get RESOURCE_EXHAUSTED instead of UNAVAILABLE.
    pub resource_exhausted: bool,
    /// The cluster of the service.
    pub cluster: String,
    /// `x-ratelimit-limit`, `-remaining`, `-reset` (draft-polli-ratelimit-headers-03).
    pub limit_headers: bool,
    /// Responses to requests over the limit carry `x-envoy-ratelimited`.
    pub ratelimited_header: bool,
    /// At least 400. Default 429.
    pub rate_limited_status: u16,
    /// Default 500.
    pub status_on_error: u16,
    /// For responses to requests over the limit.
    pub response_headers: HeaderOps,
    pub stat_prefix: String,
}

impl RateLimit {
    pub const TIMEOUT: Duration = Duration::from_millis(20);
}

/// Told by `x-envoy-internal`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitedRequests {
    #[default]
    Both,
    External,
    Internal,
}

/// What a route says about the filter.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RouteRateLimit {
    pub virtual_host_rules: VirtualHostRules,
    /// Replaces the filter's when it is not empty.
    pub domain: String,
    /// Instead of all others, when there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RateLimitRule>,
}

/// When the rules of a virtual host count beside those of the route.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VirtualHostRules {
    Ignore,
    Include,
    /// When the route has none.
    #[default]
    Override,
}
