mod forward;
mod hash;
mod headers;
mod matches;
mod reply;
mod retry;

use serde::Serialize;

pub use forward::{Forward, Mirror, Rewrite, WeightedCluster};
pub use hash::{HashCookie, HashPolicy, HashSource};
pub use headers::{HeaderAppend, HeaderOps, HeaderValue};
pub use matches::{HeaderMatch, HeaderMatchKind, PathMatch, QueryMatch, QueryMatchKind, RouteMatch};
pub use reply::{DirectResponse, Redirect, RedirectPath};
pub use retry::{RetryOn, RetryPolicy};

/// Which cluster a request goes to (Envoy `RouteConfiguration`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RouteTable {
    pub name: String,
    pub virtual_hosts: Vec<VirtualHost>,
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
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Shown in the access log as `%ROUTE_NAME%`; names the object it was compiled from.
    pub name: String,
    pub matches: RouteMatch,
    pub action: RouteAction,
    pub request_headers: HeaderOps,
    pub response_headers: HeaderOps,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteAction {
    Direct(DirectResponse),
    Forward(Box<Forward>),
    Redirect(Redirect),
}
