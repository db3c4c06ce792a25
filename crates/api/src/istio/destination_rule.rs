use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::GoDuration;
use crate::schema::{Opaque, schema};

schema! {
    pub struct DestinationRuleSpec {
        pub export_to: Vec<String>,
        pub host: String,
        pub subsets: Vec<Subset>,
        pub traffic_policy: Option<TrafficPolicy>,
        /// Clients in the rule's own namespace for which it holds; everybody without it.
        pub workload_selector: Option<MatchLabels>,
    }
    pub struct MatchLabels {
        pub match_labels: BTreeMap<String, String>,
    }
    pub struct Subset {
        pub labels: BTreeMap<String, String>,
        pub name: String,
        pub traffic_policy: Option<TrafficPolicy>,
    }
    pub struct TrafficPolicy {
        pub connection_pool: Option<ConnectionPool>,
        pub load_balancer: Option<LoadBalancer>,
        pub outlier_detection: Option<OutlierDetection>,
        pub port_level_settings: Vec<PortTrafficPolicy>,
        pub proxy_protocol: Option<ProxyProtocol>,
        pub retry_budget: Option<RetryBudget>,
        pub tls: Option<TlsSettings>,
        pub tunnel: Option<Tunnel>,
    }
    /// Replaces the whole of the destination's policy for one port (Istio: fields are not inherited).
    pub struct PortTrafficPolicy {
        pub connection_pool: Option<ConnectionPool>,
        pub load_balancer: Option<LoadBalancer>,
        pub outlier_detection: Option<OutlierDetection>,
        pub port: PortSelector,
        pub tls: Option<TlsSettings>,
    }
    pub struct PortSelector {
        pub number: u16,
    }
    pub struct ConnectionPool {
        pub http: Option<HttpPool>,
        pub tcp: Option<TcpPool>,
    }
    pub struct HttpPool {
        pub h2_upgrade_policy: Option<H2UpgradePolicy>,
        #[serde(rename = "http1MaxPendingRequests")]
        pub http1_max_pending_requests: Option<u32>,
        #[serde(rename = "http2KeepAlive")]
        pub http2_keep_alive: Option<Http2KeepAlive>,
        #[serde(rename = "http2MaxRequests")]
        pub http2_max_requests: Option<u32>,
        pub idle_timeout: Option<GoDuration>,
        pub max_concurrent_streams: Option<u32>,
        pub max_requests_per_connection: Option<u32>,
        pub max_retries: Option<u32>,
        pub use_client_protocol: Option<bool>,
    }
    pub struct TcpPool {
        pub connect_timeout: Option<GoDuration>,
        pub idle_timeout: Option<GoDuration>,
        pub max_connection_duration: Option<GoDuration>,
        pub max_connections: Option<u32>,
        pub tcp_keepalive: Option<TcpKeepalive>,
    }
    pub struct LoadBalancer {
        pub backend_utilization: Opaque,
        pub consistent_hash: Option<ConsistentHash>,
        pub locality_lb_setting: Option<LocalityLb>,
        pub simple: Option<SimpleBalancer>,
        pub warmup: Option<Warmup>,
        /// The older way to write `warmup.duration`.
        pub warmup_duration_secs: Option<GoDuration>,
        pub zone_aware_lb_setting: Opaque,
    }
    /// One key, and at most one table; a ring when none is named.
    pub struct ConsistentHash {
        pub http_cookie: Option<HashCookie>,
        pub http_header_name: Option<String>,
        pub http_query_parameter_name: Option<String>,
        pub maglev: Option<Maglev>,
        /// The older way to write `ringHash.minimumRingSize`.
        pub minimum_ring_size: Option<u64>,
        pub ring_hash: Option<RingHash>,
        pub use_source_ip: Option<bool>,
    }
    pub struct HashCookie {
        pub attributes: Vec<CookieAttribute>,
        pub name: String,
        pub path: Option<String>,
        /// With it, requests without the cookie get one: for so long, or for the session when zero.
        pub ttl: Option<GoDuration>,
    }
    pub struct CookieAttribute {
        pub name: String,
        pub value: String,
    }
    /// Pings on HTTP/2 connections.
    pub struct Http2KeepAlive {
        pub interval: Option<GoDuration>,
        pub timeout: Option<GoDuration>,
    }
    pub struct TcpKeepalive {
        pub interval: Option<GoDuration>,
        pub probes: Option<u32>,
        pub time: Option<GoDuration>,
    }
    /// Which localities take the requests of which: by shares, or one after the other as they fail.
    pub struct LocalityLb {
        pub distribute: Vec<LocalityShares>,
        pub enabled: Option<bool>,
        pub failover: Vec<LocalityFailover>,
        /// Labels, the first the most important; endpoints that share more of them with the client come first.
        pub failover_priority: Vec<String>,
    }
    pub struct LocalityShares {
        /// `region/zone/sub-zone`, each part of which may be `*`.
        pub from: String,
        /// Percentages.
        pub to: BTreeMap<String, u32>,
    }
    pub struct LocalityFailover {
        pub from: String,
        pub to: String,
    }
    pub struct Warmup {
        /// Default 1.
        pub aggression: Option<f64>,
        pub duration: GoDuration,
        /// Default 10.
        pub minimum_percent: Option<f64>,
    }
    pub struct RetryBudget {
        pub budget_interval: Opaque,
        /// Default 3.
        pub min_retry_concurrency: Option<u32>,
        /// Default 20.
        pub percent: Option<f64>,
    }
    pub struct Tunnel {
        /// `CONNECT` (the default) or `POST`.
        pub protocol: Option<String>,
        pub target_host: String,
        pub target_port: u16,
    }
    pub struct ProxyProtocol {
        pub version: Option<ProxyProtocolVersion>,
    }
    pub struct Maglev {
        pub table_size: Option<u64>,
    }
    pub struct RingHash {
        pub minimum_ring_size: Option<u64>,
    }
    pub struct OutlierDetection {
        pub base_ejection_time: Option<GoDuration>,
        #[serde(rename = "consecutive5xxErrors")]
        pub consecutive_5xx_errors: Option<u32>,
        pub consecutive_errors: Opaque,
        pub consecutive_gateway_errors: Option<u32>,
        pub consecutive_local_origin_failures: Option<u32>,
        pub interval: Option<GoDuration>,
        pub max_ejection_percent: Option<u32>,
        pub min_health_percent: Option<u32>,
        pub outlier_detection_http_error_codes: Opaque,
        pub split_external_local_origin_errors: Option<bool>,
    }
    pub struct TlsSettings {
        pub ca_certificates: Option<String>,
        pub ca_crl: Option<String>,
        pub client_certificate: Option<String>,
        pub credential_name: Option<String>,
        pub insecure_skip_verify: Option<bool>,
        pub mode: Option<TlsMode>,
        pub private_key: Option<String>,
        pub sni: Option<String>,
        pub subject_alt_names: Vec<String>,
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum H2UpgradePolicy {
    Default,
    DoNotUpgrade,
    Upgrade,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SimpleBalancer {
    /// The old name of `LEAST_REQUEST`.
    LeastConn,
    LeastRequest,
    Passthrough,
    Random,
    RoundRobin,
    Unspecified,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsMode {
    Disable,
    IstioMutual,
    Mutual,
    Simple,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ProxyProtocolVersion {
    V1,
    V2,
}
