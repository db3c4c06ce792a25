use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leno_names::ServiceKey;
use serde::Serialize;

use crate::{EndpointSet, Http1Options, Http2Options, Metadata, ProxyProtocolVersion, UpstreamTls};

mod balancing;
mod circuit_breakers;
mod dns;
mod health_check;
mod outlier;
mod socket;
mod subset;

pub use balancing::{Balancing, Hashing, LeastRequest, LocalityBalancing, SlowStart, ZoneAware};
pub use circuit_breakers::{CircuitBreakers, RetryBudget, RoutingPriority, Thresholds};
pub use dns::{Dns, DnsLookupFamily, DnsResolver, DynamicHosts};
pub use health_check::{GrpcProbe, HealthCheck, HealthProbe, HttpProbe, HttpProbeCodec, StatusRange, TcpProbe};
pub use outlier::{Consecutive, FailurePercentage, OutlierDetection, SuccessRate};
pub use socket::{SocketMatch, TcpKeepalive, UpstreamSocket};
pub use subset::{Labels, SubsetFallback, SubsetSelector, SubsetSettings};

/// A set of endpoints that are interchangeable for a route, and how to talk to them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cluster {
    /// `outbound|<port>|<subset>|<host>` or `inbound|<port>||`, as in Istio.
    pub name: String,
    pub discovery: Discovery,
    /// Default 10 s, as Istio.
    pub connect_timeout: Duration,
    pub balancer: BalancerPolicy,
    /// What holds whatever the policy.
    #[serde(skip_serializing_if = "Balancing::is_default")]
    pub balancing: Balancing,
    /// `None`: endpoints are not asked how they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<Box<HealthCheck>>,
    pub circuit_breakers: CircuitBreakers,
    pub outlier_detection: Option<OutlierDetection>,
    pub tls: Option<UpstreamTls>,
    /// Connections begin, before TLS, with a header that says for whom they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolVersion>,
    #[serde(skip_serializing_if = "UpstreamSocket::is_default")]
    pub socket: UpstreamSocket,
    /// Looked at in order for `tls` and `proxy_protocol` of an endpoint; where none fits, those of the cluster hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub socket_matches: Vec<SocketMatch>,
    pub http: UpstreamHttp,
    /// The service behind it, for telemetry; `None` for `inbound` and foreign clusters.
    pub service: Option<ServiceKey>,
    /// What else is said of it, for access logs.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

impl Cluster {
    pub fn new(name: impl Into<String>, discovery: Discovery) -> Self {
        Self {
            name: name.into(),
            discovery,
            connect_timeout: Duration::from_secs(10),
            balancer: BalancerPolicy::default(),
            balancing: Balancing::default(),
            health_check: None,
            circuit_breakers: CircuitBreakers::default(),
            outlier_detection: None,
            tls: None,
            proxy_protocol: None,
            socket: UpstreamSocket::default(),
            socket_matches: Vec::new(),
            http: UpstreamHttp::default(),
            service: None,
            metadata: Metadata::new(),
        }
    }

    /// The way an endpoint with such socket labels, in such a locality, is connected to: its place in `socket_matches`.
    /// `None`: that of the cluster.
    pub fn socket_of(&self, endpoint: &Labels, locality: &Labels) -> Option<usize> {
        SocketMatch::find(&self.socket_matches, endpoint, locality)
    }

    /// The TLS of such a way.
    pub fn tls_of(&self, socket: Option<usize>) -> Option<&UpstreamTls> {
        match socket.and_then(|at| self.socket_matches.get(at)) {
            Some(one) => one.tls.as_ref(),
            None => self.tls.as_ref(),
        }
    }

    pub fn proxy_protocol_of(&self, socket: Option<usize>) -> Option<ProxyProtocolVersion> {
        match socket.and_then(|at| self.socket_matches.get(at)) {
            Some(one) => one.proxy_protocol,
            None => self.proxy_protocol,
        }
    }

    /// The name its endpoints have in EDS; `None` when they are inline.
    pub fn endpoint_set_name(&self) -> Option<&str> {
        match &self.discovery {
            Discovery::Eds { service_name } => Some(service_name),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// The endpoints of these clusters: each is there for what those before it cannot carry. Everything else of a request is
    /// done as the cluster of its endpoint says.
    Aggregate(Vec<String>),
    Dns(Box<Dns>),
    /// The host that a request names, looked up when it comes (Envoy's dynamic forward proxy).
    DynamicHosts(DynamicHosts),
    Eds {
        service_name: String,
    },
    /// Wherever the request, or its connection, was going.
    OriginalDestination(OriginalDestination),
    Static(Arc<EndpointSet>),
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct OriginalDestination {
    /// The request header that says it instead. Lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Instead of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// A destination that was not used for so long is forgotten. Default 5 s.
    pub cleanup_interval: Duration,
}

impl OriginalDestination {
    pub const CLEANUP_INTERVAL: Duration = Duration::from_secs(5);
    pub const HEADER: &str = "x-envoy-original-dst-host";

    /// Where a request goes that was going to `address`.
    pub fn replaced(&self, address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip(), self.port.unwrap_or(address.port()))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BalancerPolicy {
    /// What the cluster's discovery has itself.
    ClusterProvided,
    LeastRequest(LeastRequest),
    /// The better of two random endpoints by decaying peak latency times active requests.
    PeakEwma {
        /// Assumed of an endpoint that was never measured. Linkerd: 30 ms.
        default_rtt: Duration,
        /// Time after which an old measurement counts 1/e. Linkerd: 10 s.
        decay: Duration,
    },
    /// A table filled by turns, read at the request's hash (Maglev, Eisenbud et al., NSDI 2016, §3.4).
    Maglev {
        /// Prime, at most [`BalancerPolicy::MAX_MAGLEV_TABLE_SIZE`]. Envoy's default is 65,537.
        table_size: u32,
    },
    /// Whatever their weights, as in Envoy.
    Random,
    /// The endpoint that follows the request's hash on a ring (Ketama, as Envoy builds it).
    RingHash {
        /// Points on the ring, shared by weight. Envoy's default is 1,024.
        minimum_ring_size: u32,
        /// Envoy's default and limit is 8 Mi.
        maximum_ring_size: u32,
        /// What places endpoints on the ring; requests are always hashed by xxHash.
        #[serde(skip_serializing_if = "RingFunction::is_default")]
        function: RingFunction,
    },
    RoundRobin,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RingFunction {
    /// As the standard library of GCC hashes texts.
    MurmurHash2,
    #[default]
    XxHash,
}

impl RingFunction {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl BalancerPolicy {
    pub const MINIMUM_RING_SIZE: u32 = 1024;
    /// Default and limit (Envoy `maximum_ring_size`).
    pub const MAXIMUM_RING_SIZE: u32 = 8 * 1024 * 1024;
    pub const MAGLEV_TABLE_SIZE: u32 = 65_537;
    /// Envoy's limit.
    pub const MAX_MAGLEV_TABLE_SIZE: u32 = 5_000_011;

    /// Whether an endpoint is chosen by a hash of the request: the hash policies of routes matter.
    pub const fn uses_hash(&self) -> bool {
        matches!(self, Self::Maglev { .. } | Self::RingHash { .. })
    }

    /// Maglev visits every place of a table only when its size is prime.
    pub fn is_maglev_table_size(size: u32) -> bool {
        let has_divisor =
            || (2..).take_while(|divisor| divisor * divisor <= size).any(|divisor| size.is_multiple_of(divisor));
        (2..=Self::MAX_MAGLEV_TABLE_SIZE).contains(&size) && !has_divisor()
    }
}

impl Default for BalancerPolicy {
    fn default() -> Self {
        Self::PeakEwma { default_rtt: Duration::from_millis(30), decay: Duration::from_secs(10) }
    }
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct UpstreamHttp {
    pub protocol: UpstreamProtocol,
    /// A connection is closed after so many; `None`: never.
    pub max_requests_per_connection: Option<u32>,
    /// An unused pooled connection is closed after this. Default 1 h, as Envoy; pools also learn from `Connection: close`.
    pub idle_timeout: Duration,
    /// From when a connection was made; then it takes no more requests. `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connection_duration: Option<Duration>,
    /// Per HTTP/2 connection, below what the peer allows.
    pub max_concurrent_streams: u32,
    #[serde(skip_serializing_if = "ResponseHeaders::is_default")]
    pub response_headers: ResponseHeaders,
    #[serde(skip_serializing_if = "Http1Options::is_mesh")]
    pub http1: Http1Options,
    #[serde(skip_serializing_if = "Http2Options::is_mesh")]
    pub http2: Http2Options,
    /// `None`: TLS says itself what server is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<ServerNameOfRequest>,
}

/// The server a connection is for, as its requests name it (Envoy `UpstreamHttpProtocolOptions`). Requests that name
/// different ones share no connection.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ServerNameOfRequest {
    /// It is sent as SNI.
    pub is_sent: bool,
    /// The server's certificate must have it.
    pub is_checked: bool,
    /// The header that has it, lower case; without a value it is the host, as always where there is no header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

impl Default for UpstreamHttp {
    fn default() -> Self {
        Self {
            protocol: UpstreamProtocol::SameAsDownstream,
            max_requests_per_connection: None,
            idle_timeout: Duration::from_secs(3600),
            max_connection_duration: None,
            max_concurrent_streams: 1024,
            response_headers: ResponseHeaders::default(),
            http1: Http1Options::mesh(),
            http2: Http2Options::mesh(),
            server_name: None,
        }
    }
}

/// How long the head of a response may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ResponseHeaders {
    /// Start line included. Default 60 KiB, as Envoy.
    pub most_bytes: u32,
    /// Lines. Default 100, as Envoy.
    pub most_count: u32,
}

impl Default for ResponseHeaders {
    fn default() -> Self {
        Self { most_bytes: 60 * 1024, most_count: 100 }
    }
}

impl ResponseHeaders {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    Http1,
    Http2,
    /// What the endpoint chooses in the TLS handshake (ALPN); HTTP/1.1 where it chooses nothing.
    Negotiated,
    #[default]
    SameAsDownstream,
}
