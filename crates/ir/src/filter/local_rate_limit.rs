use leno_names::Fraction;
use serde::Serialize;

use super::VirtualHostRules;
use crate::{HeaderOps, RateLimitRule, TokenBucket};

/// Lets as many requests pass as this process has tokens (Envoy's HTTP filter `local_ratelimit`), for a connection manager or
/// for a part of a route table, which then has buckets of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LocalRateLimit {
    pub stat_prefix: String,
    /// At least 400. Default 429.
    pub status: u16,
    /// For requests that no descriptor is about, and, unless `always_consumes_default` is off, for the others as well.
    /// `None`: no limit.
    pub token_bucket: Option<TokenBucket>,
    /// The share of requests that take a token. Absent in Envoy's message: none.
    pub enabled: Fraction,
    /// The share of requests without a token that are refused. Absent in Envoy's message: none.
    pub enforced: Fraction,
    /// For requests without a token that go on.
    pub unenforced_request_headers: HeaderOps,
    /// For responses to requests that are refused.
    pub response_headers: HeaderOps,
    pub descriptors: Vec<LimitedDescriptor>,
    /// 0 to 10: which rules of routes are its own.
    pub stage: u32,
    /// What requests are described by instead of the rules of routes; empty: by those.
    pub rules: Vec<RateLimitRule>,
    pub virtual_host_rules: VirtualHostRules,
    /// Each connection has its own buckets, instead of all together.
    pub per_connection: bool,
    /// The bucket is shared with all proxies of the local cluster: this one has its part of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shared_by_cluster: bool,
    /// Default true.
    pub always_consumes_default: bool,
    /// Buckets that a descriptor with a blank value has at most. At least 1, default 20; the one that was used the longest ago
    /// goes first.
    pub max_dynamic_descriptors: u32,
    /// `x-ratelimit-limit`, `-remaining`, `-reset` (draft-polli-ratelimit-headers-03).
    pub limit_headers: bool,
    /// Responses with status 429 say when to come again.
    pub retry_after_header: bool,
    /// gRPC clients over the limit get RESOURCE_EXHAUSTED instead of UNAVAILABLE.
    pub resource_exhausted: bool,
}

impl LocalRateLimit {
    pub const MAX_DYNAMIC_DESCRIPTORS: u32 = 20;
    pub const STATUS: u16 = 429;
}

/// Requests with exactly these entries have a bucket of their own.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LimitedDescriptor {
    /// Keys and values, in order. A blank value stands for any, and every one gets its own bucket.
    pub entries: Vec<(String, String)>,
    pub token_bucket: TokenBucket,
    /// Requests without a token are only counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_shadow: bool,
}
