mod forward;
mod hash;
mod headers;
mod internal_redirect;
mod matches;
mod rate_limit;
mod reply;
mod retry;
mod timeouts;

use std::sync::Arc;

use serde::Serialize;

pub use forward::{Forward, HostRewrite, Mirror, Rewrite, WeightedCluster};
pub use hash::{HashCookie, HashPolicy, HashSource};
pub use headers::{HeaderAppend, HeaderOps, HeaderValue};
pub use internal_redirect::{InternalRedirects, RedirectPredicate};
pub use matches::{
    CookieMatch, HeaderMatch, HeaderMatchKind, PathMatch, QueryMatch, QueryMatchKind, RouteMatch, TlsMatch,
};
pub use rate_limit::{HitsAddend, LimitOverride, RateLimitAction, RateLimitRule};
pub use reply::{DirectResponse, Redirect, RedirectPath};
pub use retry::{RateLimitedBackOff, ResetFormat, ResetHeader, RetryOn, RetryPolicy};
pub use timeouts::{GrpcTimeout, StreamDuration};

use crate::{FilterOverrides, Metadata};

/// Which cluster a request goes to (Envoy `RouteConfiguration`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RouteTable {
    pub name: String,
    pub virtual_hosts: Vec<VirtualHost>,
    #[serde(skip_serializing_if = "HeaderOps::is_empty")]
    pub request_headers: HeaderOps,
    #[serde(skip_serializing_if = "HeaderOps::is_empty")]
    pub response_headers: HeaderOps,
    /// In which order the header operations of table, host, route and cluster happen; the last one has the last word.
    #[serde(skip_serializing_if = "HeaderOrder::is_default")]
    pub header_order: HeaderOrder,
    /// Lower case; removed from the requests of clients that are not trusted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub internal_only_headers: Vec<String>,
    /// Compare domains with the host of `:authority` alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_port_in_host_matching: bool,
    /// Domains are compared with the first value of this header instead of `:authority`. Lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_header: Option<String>,
    #[serde(skip_serializing_if = "FilterOverrides::is_empty")]
    pub filters: FilterOverrides,
}

impl RouteTable {
    pub fn new(name: impl Into<String>, virtual_hosts: Vec<VirtualHost>) -> Self {
        Self { name: name.into(), virtual_hosts, ..Self::default() }
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderOrder {
    /// Cluster, route, host, table: Envoy's.
    #[default]
    TableLast,
    /// Table, host, route, cluster: Envoy's `most_specific_header_mutations_wins`.
    TableFirst,
}

impl HeaderOrder {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Routes of a set of hosts, tried in order; the first match wins.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VirtualHost {
    pub name: String,
    /// Exact, `*suffix`, `prefix*` or `*`; the most specific host of the table wins (exact, longest suffix, longest prefix, any).
    /// With or without port, compared with `:authority` as sent.
    pub domains: Vec<String>,
    pub routes: Vec<Route>,
    #[serde(skip_serializing_if = "RequireTls::is_none")]
    pub require_tls: RequireTls,
    #[serde(skip_serializing_if = "AttemptCount::is_off")]
    pub attempt_count: AttemptCount,
    pub request_headers: HeaderOps,
    pub response_headers: HeaderOps,
    #[serde(skip_serializing_if = "FilterOverrides::is_empty")]
    pub filters: FilterOverrides,
    /// Those of a route count instead, unless something else is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimitRule>,
}

/// Whose requests without TLS are redirected to `https`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequireTls {
    All,
    /// Those of clients that are not trusted.
    ExternalOnly,
    #[default]
    None,
}

impl RequireTls {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Where the number of the try is told, from 1, as `x-envoy-attempt-count`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct AttemptCount {
    pub in_request: bool,
    pub in_response: bool,
    /// In the requests of later tries: whether the try before ran out of time (`x-envoy-is-timeout-retry`).
    pub timeout_retry: bool,
}

impl AttemptCount {
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Shown in the access log as `%ROUTE_NAME%`; names the object it was compiled from.
    pub name: String,
    pub matches: RouteMatch,
    pub action: RouteAction,
    /// Most of a request's body kept for another try or a mirror, in bytes; a longer one is sent once. `None`: 1 MiB, as Envoy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_buffer_limit_bytes: Option<u64>,
    pub request_headers: HeaderOps,
    pub response_headers: HeaderOps,
    #[serde(skip_serializing_if = "FilterOverrides::is_empty")]
    pub filters: FilterOverrides,
    /// For filters to read.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Arc<Metadata>,
}

impl Route {
    /// Changes no headers and no filters.
    pub fn new(name: impl Into<String>, matches: RouteMatch, action: RouteAction) -> Self {
        Self {
            name: name.into(),
            matches,
            action,
            request_buffer_limit_bytes: None,
            request_headers: HeaderOps::default(),
            response_headers: HeaderOps::default(),
            filters: FilterOverrides::new(),
            metadata: Arc::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteAction {
    Direct(DirectResponse),
    Forward(Box<Forward>),
    Redirect(Redirect),
}
