use std::time::Duration;

use leno_names::Fraction;
use serde::Serialize;

use crate::{FilterOverrides, Pattern, StringMatch};

/// Which cluster a request goes to (Envoy `RouteConfiguration`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RouteTable {
    pub name: String,
    pub virtual_hosts: Vec<VirtualHost>,
    #[serde(skip_serializing_if = "FilterOverrides::is_empty")]
    pub filters: FilterOverrides,
}

/// Routes of a set of hosts, tried in order; the first match wins.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VirtualHost {
    pub name: String,
    /// Exact, `*suffix`, `prefix*` or `*`; the most specific host of the table wins (exact, longest suffix, longest prefix, any).
    /// With or without port, compared with `:authority` as sent.
    pub domains: Vec<String>,
    pub routes: Vec<Route>,
    pub request_headers: HeaderOps,
    pub response_headers: HeaderOps,
    #[serde(skip_serializing_if = "FilterOverrides::is_empty")]
    pub filters: FilterOverrides,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Shown in the access log as `%ROUTE_NAME%`; names the object it was compiled from.
    pub name: String,
    pub matches: RouteMatch,
    pub action: RouteAction,
    pub request_headers: HeaderOps,
    pub response_headers: HeaderOps,
    #[serde(skip_serializing_if = "FilterOverrides::is_empty")]
    pub filters: FilterOverrides,
}

impl Route {
    /// Changes no headers and no filters.
    pub fn new(name: impl Into<String>, matches: RouteMatch, action: RouteAction) -> Self {
        let (request_headers, response_headers) = (HeaderOps::default(), HeaderOps::default());
        Self { name: name.into(), matches, action, request_headers, response_headers, filters: FilterOverrides::new() }
    }
}

/// All parts must hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteMatch {
    pub path: PathMatch,
    /// Pseudo-headers `:method`, `:authority`, `:scheme` included.
    pub headers: Vec<HeaderMatch>,
    pub query: Vec<QueryMatch>,
    /// Only requests with `content-type: application/grpc…`.
    pub grpc: bool,
    /// Only this share of the requests that match otherwise.
    pub fraction: Option<Fraction>,
}

impl RouteMatch {
    pub fn any() -> Self {
        Self {
            path: PathMatch::Prefix { text: "/".to_owned(), ignore_case: false },
            headers: Vec::new(),
            query: Vec::new(),
            grpc: false,
            fraction: None,
        }
    }
}

/// On the path without query.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    Exact {
        text: String,
        ignore_case: bool,
    },
    /// `/a` matches `/a` and `/a/b`, not `/ab`. Never ends in `/`.
    PathSeparatedPrefix {
        text: String,
        ignore_case: bool,
    },
    Prefix {
        text: String,
        ignore_case: bool,
    },
    Regex(Pattern),
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    pub kind: HeaderMatchKind,
    pub invert: bool,
    /// A header that is absent is compared as "" instead of failing the match.
    pub treat_missing_as_empty: bool,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderMatchKind {
    /// `true`: must be there; `false`: must not.
    Present(bool),
    /// The value as a decimal integer, `start <= value < end`.
    Range { start: i64, end: i64 },
    /// Several lines of one name are joined with ",".
    Value(StringMatch),
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct QueryMatch {
    pub name: String,
    pub kind: QueryMatchKind,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryMatchKind {
    Present(bool),
    Value(StringMatch),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteAction {
    Direct(DirectResponse),
    Forward(Box<Forward>),
    Redirect(Redirect),
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct DirectResponse {
    pub status: u16,
    pub body: String,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Redirect {
    pub scheme: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub path: Option<RedirectPath>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    pub strip_query: bool,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectPath {
    /// Replaces the whole path.
    Full(String),
    /// Replaces what the route's prefix matched.
    Prefix(String),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forward {
    /// At least one, in a fixed order; weights are relative, all zero means that no cluster takes the request (503).
    pub clusters: Vec<WeightedCluster>,
    /// From the end of the request to the end of the response, tries included; then 504, flag UT. `None`: unbounded.
    pub timeout: Option<Duration>,
    /// Overrides the connection manager's `stream_idle_timeout`; `Some(ZERO)` turns it off.
    pub idle_timeout: Option<Duration>,
    pub retry: Option<RetryPolicy>,
    pub rewrite: Option<Rewrite>,
    /// Replaces `:authority`.
    pub host_rewrite: Option<String>,
    pub mirrors: Vec<Mirror>,
    /// What of a request its hash is made of, in order; read only for clusters that balance by hash.
    pub hash_policies: Vec<HashPolicy>,
}

impl Forward {
    pub fn to(cluster: impl Into<String>) -> Self {
        Self {
            clusters: vec![WeightedCluster::new(cluster, 1)],
            timeout: None,
            idle_timeout: None,
            retry: None,
            rewrite: None,
            host_rewrite: None,
            mirrors: Vec::new(),
            hash_policies: Vec::new(),
        }
    }
}

/// One part of a request's hash. Parts that a request lacks are left out; without any the endpoint is a random one.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HashPolicy {
    pub source: HashSource,
    /// When there is a hash after this part the rest is not looked at.
    pub terminal: bool,
}

impl From<HashSource> for HashPolicy {
    fn from(source: HashSource) -> Self {
        Self { source, terminal: false }
    }
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HashSource {
    Cookie(HashCookie),
    /// Lower case; pseudo-headers included. Several lines of one name count whatever their order.
    Header(String),
    /// The first parameter of that name.
    QueryParameter(String),
    /// The address of the downstream connection, without port.
    SourceIp,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HashCookie {
    pub name: String,
    /// `Some`: a request without the cookie gets one with its response, `Max-Age` being this, or for the session when zero.
    /// `None`: only cookies that others have set count.
    pub ttl: Option<Duration>,
    /// Of a cookie we set; empty: the default of the client (RFC 6265 §5.1.4).
    pub path: String,
    /// More of a cookie we set, as `name=value`, or `name` alone when the value is empty: `SameSite=Lax`, `Secure`.
    pub attributes: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightedCluster {
    pub name: String,
    pub weight: u32,
    pub request_headers: HeaderOps,
    pub response_headers: HeaderOps,
    #[serde(skip_serializing_if = "FilterOverrides::is_empty")]
    pub filters: FilterOverrides,
}

impl WeightedCluster {
    pub fn new(name: impl Into<String>, weight: u32) -> Self {
        Self {
            name: name.into(),
            weight,
            request_headers: HeaderOps::default(),
            response_headers: HeaderOps::default(),
            filters: FilterOverrides::new(),
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Mirror {
    pub cluster: String,
    pub fraction: Fraction,
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

/// First `remove`, then `add`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct HeaderOps {
    /// Lower case names.
    pub remove: Vec<String>,
    pub add: Vec<HeaderValue>,
}

impl HeaderOps {
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HeaderValue {
    /// Lower case.
    pub name: String,
    pub value: String,
    pub append: HeaderAppend,
}

/// What to do when the header is there already (Envoy `HeaderAppendAction`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderAppend {
    AddIfAbsent,
    #[default]
    AppendOrAdd,
    OverwriteIfExists,
    OverwriteOrAdd,
}

/// When and how often a request is sent again.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RetryPolicy {
    pub on: Vec<RetryOn>,
    /// For `RetryOn::RetriableStatusCodes`.
    pub retriable_status_codes: Vec<u16>,
    /// Tries after the first.
    pub attempts: u32,
    /// Each try, from the end of the request; then flag UT and the next try. `None`: only the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// Before try n a random wait below `min(base * 2^n - 1, max)`. Envoy's defaults: 25 ms and 10 × that.
    pub back_off_base: Duration,
    pub back_off_max: Duration,
    /// Pick an endpoint not tried yet while there is one.
    pub avoid_previous_hosts: bool,
    /// Send again also what the upstream may have processed although the method is not idempotent (RFC 9110 §9.2.2).
    /// Set when the user wrote the conditions down; the mesh's own default policy leaves it off.
    pub retry_non_idempotent: bool,
}

impl RetryPolicy {
    pub const BACK_OFF_BASE: Duration = Duration::from_millis(25);
    pub const BACK_OFF_MAX: Duration = Duration::from_millis(250);
}

/// Envoy's `retry_on` words (`x-envoy-retry-on`, `x-envoy-retry-grpc-on`).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    Cancelled,
    ConnectFailure,
    DeadlineExceeded,
    #[serde(rename = "5xx")]
    FiveXx,
    GatewayError,
    Internal,
    RefusedStream,
    Reset,
    ResetBeforeRequest,
    ResourceExhausted,
    RetriableStatusCodes,
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    Unavailable,
}

impl RetryOn {
    /// Every variant.
    pub const ALL: [Self; 13] = [
        Self::Cancelled,
        Self::ConnectFailure,
        Self::DeadlineExceeded,
        Self::FiveXx,
        Self::GatewayError,
        Self::Internal,
        Self::RefusedStream,
        Self::Reset,
        Self::ResetBeforeRequest,
        Self::ResourceExhausted,
        Self::RetriableStatusCodes,
        Self::Retriable4xx,
        Self::Unavailable,
    ];

    /// Envoy's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::ConnectFailure => "connect-failure",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::FiveXx => "5xx",
            Self::GatewayError => "gateway-error",
            Self::Internal => "internal",
            Self::RefusedStream => "refused-stream",
            Self::Reset => "reset",
            Self::ResetBeforeRequest => "reset-before-request",
            Self::ResourceExhausted => "resource-exhausted",
            Self::RetriableStatusCodes => "retriable-status-codes",
            Self::Retriable4xx => "retriable-4xx",
            Self::Unavailable => "unavailable",
        }
    }

    /// `None` for a word Envoy does not have or Leno does not support.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|on| on.as_str() == word)
    }
}
