use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::EndpointSet;

/// Endpoints that are known by name (Envoy `STRICT_DNS`, `LOGICAL_DNS`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dns {
    /// Those with [`crate::Endpoint::resolve`] stand for the addresses of that name.
    pub endpoints: Arc<EndpointSet>,
    /// Whether only the first address of an answer counts.
    pub is_logical: bool,
    /// Default 5 s.
    pub refresh_rate: Duration,
    /// After failures, growing from the first to the second; `None`: `refresh_rate`.
    pub failure_refresh_rate: Option<(Duration, Duration)>,
    /// Up to this is added to the refresh rate.
    pub jitter: Duration,
    /// Whether the time an answer may be kept replaces `refresh_rate`.
    pub respect_ttl: bool,
    pub lookup_family: DnsLookupFamily,
    pub resolver: DnsResolver,
}

impl Dns {
    pub const REFRESH_RATE: Duration = Duration::from_secs(5);

    pub fn new(endpoints: Arc<EndpointSet>) -> Self {
        Self {
            endpoints,
            is_logical: false,
            refresh_rate: Self::REFRESH_RATE,
            failure_refresh_rate: None,
            jitter: Duration::ZERO,
            respect_ttl: false,
            lookup_family: DnsLookupFamily::Auto,
            resolver: DnsResolver::default(),
        }
    }
}

/// How hosts that requests name are looked up.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct DynamicHosts {
    pub lookup_family: DnsLookupFamily,
    /// How long an answer is kept that does not say so itself. Default 60 s.
    pub refresh_rate: Duration,
    /// A host that nobody asked for in so long is forgotten. Default 5 min.
    pub host_ttl: Duration,
}

impl DynamicHosts {
    pub const REFRESH_RATE: Duration = Duration::from_secs(60);
    pub const HOST_TTL: Duration = Duration::from_secs(300);
}

impl Default for DynamicHosts {
    fn default() -> Self {
        Self { lookup_family: DnsLookupFamily::V4Preferred, refresh_rate: Self::REFRESH_RATE, host_ttl: Self::HOST_TTL }
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsLookupFamily {
    All,
    /// IPv6, and IPv4 when there is none.
    #[default]
    Auto,
    V4Only,
    V4Preferred,
    V6Only,
}

/// Who is asked.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct DnsResolver {
    /// Empty: those of the system, after its file of hosts.
    pub servers: Vec<SocketAddr>,
    pub use_tcp: bool,
    /// Whether names are only looked up as they stand.
    pub no_search_domain: bool,
    /// Of one question to one server; `None`: 5 s.
    pub query_timeout: Option<Duration>,
    /// Questions before it is given up; `None`: 4.
    pub query_tries: Option<u32>,
}
