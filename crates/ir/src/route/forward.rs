use std::time::Duration;

use leno_names::Fraction;
use serde::Serialize;

use super::{GrpcTimeout, HashPolicy, HeaderOps, InternalRedirects, RateLimitRule, RetryPolicy, StreamDuration};
use crate::{FilterOverrides, Labels, RouteUpgrade, RoutingPriority};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forward {
    /// At least one, in a fixed order; weights are relative, all zero means that no cluster takes the request (503).
    pub clusters: Vec<WeightedCluster>,
    /// The request header with a number that decides between the clusters, so that several proxies decide alike; without
    /// one, chance does. Lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_number_header: Option<String>,
    /// The request's hash decides between the clusters instead, where it has one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clusters_by_hash: bool,
    /// From the end of the request to the end of the response, tries included; then 504, flag UT. `None`: unbounded.
    pub timeout: Option<Duration>,
    /// Replaces `timeout`, which then is not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_duration: Option<StreamDuration>,
    /// For gRPC requests instead of `timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_timeout: Option<GrpcTimeout>,
    /// Overrides the connection manager's `stream_idle_timeout`; `Some(ZERO)` turns it off.
    pub idle_timeout: Option<Duration>,
    /// Replaces `idle_timeout` once all of the response has come and only the client has not taken it; `Some(ZERO)`: unbounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush_timeout: Option<Duration>,
    pub retry: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "RoutingPriority::is_default")]
    pub priority: RoutingPriority,
    /// A try that runs out of its time goes on beside the next one; the first good response is taken, all others are reset.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hedge_on_per_try_timeout: bool,
    /// `None`: all redirects are passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_redirects: Option<InternalRedirects>,
    pub rewrite: Option<Rewrite>,
    pub host_rewrite: Option<HostRewrite>,
    /// A host that is replaced is added to `x-forwarded-host`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub append_x_forwarded_host: bool,
    /// When there is no cluster of the name. 503 unless said otherwise.
    #[serde(skip_serializing_if = "is_503")]
    pub cluster_not_found_status: u16,
    pub mirrors: Vec<Mirror>,
    /// What of a request its hash is made of, in order; read only for clusters that balance by hash.
    pub hash_policies: Vec<HashPolicy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimitRule>,
    /// Those of the virtual host count as well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub include_host_rate_limits: bool,
    /// At most one of a protocol.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upgrades: Vec<RouteUpgrade>,
}

impl Forward {
    pub fn to(cluster: impl Into<String>) -> Self {
        Self {
            clusters: vec![WeightedCluster::new(cluster, 1)],
            cluster_number_header: None,
            clusters_by_hash: false,
            timeout: None,
            stream_duration: None,
            grpc_timeout: None,
            idle_timeout: None,
            flush_timeout: None,
            retry: None,
            priority: RoutingPriority::Default,
            hedge_on_per_try_timeout: false,
            internal_redirects: None,
            rewrite: None,
            host_rewrite: None,
            append_x_forwarded_host: false,
            cluster_not_found_status: 503,
            mirrors: Vec::new(),
            hash_policies: Vec::new(),
            rate_limits: Vec::new(),
            include_host_rate_limits: false,
            upgrades: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightedCluster {
    /// Empty when `name_header` is set.
    pub name: String,
    /// The request header whose value is the name. Lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_header: Option<String>,
    pub weight: u32,
    pub request_headers: HeaderOps,
    pub response_headers: HeaderOps,
    #[serde(skip_serializing_if = "FilterOverrides::is_empty")]
    pub filters: FilterOverrides,
    /// The endpoints wanted, where the cluster has subsets; what the route wants included.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub metadata_match: Labels,
    /// Replaces `:authority`, before the route does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_rewrite: Option<String>,
}

impl WeightedCluster {
    pub fn new(name: impl Into<String>, weight: u32) -> Self {
        Self {
            name: name.into(),
            name_header: None,
            weight,
            request_headers: HeaderOps::default(),
            response_headers: HeaderOps::default(),
            filters: FilterOverrides::new(),
            metadata_match: Labels::new(),
            host_rewrite: None,
        }
    }
}

/// What replaces `:authority`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostRewrite {
    /// The name of the endpoint that is tried, when it has one.
    Auto,
    /// The value of this request header, when there is one. Lower case.
    Header(String),
    /// The path without query, rewritten; `\1` in `substitution` is the first group. Not anchored.
    PathRegex { pattern: String, substitution: String },
    #[serde(untagged)]
    Literal(String),
}

impl<T: Into<String>> From<T> for HostRewrite {
    fn from(literal: T) -> Self {
        Self::Literal(literal.into())
    }
}

fn is_503(status: &u16) -> bool {
    *status == 503
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Mirror {
    /// Empty when `cluster_header` is set.
    pub cluster: String,
    /// The request header whose value is the name of the cluster. Lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_header: Option<String>,
    pub fraction: Fraction,
    /// Leaves out the `-shadow` that marks the host of a copy.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keeps_host: bool,
    /// Replaces the host of the copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_rewrite: Option<String>,
}

impl Mirror {
    pub fn new(cluster: impl Into<String>, fraction: Fraction) -> Self {
        Self { cluster: cluster.into(), cluster_header: None, fraction, keeps_host: false, host_rewrite: None }
    }
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rewrite {
    /// Replaces the whole path, keeps the query.
    Path(String),
    /// Replaces what the route's prefix matched.
    Prefix(String),
    /// `\1` in `substitution` is the first group. Not anchored.
    Regex { pattern: String, substitution: String },
}
