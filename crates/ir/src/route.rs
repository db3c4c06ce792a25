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

use crate::FilterOverrides;

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

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteAction {
    Direct(DirectResponse),
    Forward(Box<Forward>),
    Redirect(Redirect),
}
