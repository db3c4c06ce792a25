use std::time::Duration;

use serde::Serialize;

use crate::{HeaderOps, Labels, StringMatch};

/// How endpoints are asked whether they work (Envoy `HealthCheck`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealthCheck {
    pub probe: HealthProbe,
    /// Of one check, connecting included.
    pub timeout: Duration,
    /// Between two checks of an endpoint.
    pub interval: Duration,
    /// Up to this is added before the first check.
    pub initial_jitter: Option<Duration>,
    /// Up to this is added to every interval.
    pub interval_jitter: Option<Duration>,
    /// Up to this share of the interval is added to it, in percent.
    pub interval_jitter_percent: u32,
    /// Failures in a row that make an endpoint unhealthy; an answer that says so does it at once.
    pub unhealthy_threshold: u32,
    /// Successes in a row that make it healthy again; the first check of all decides alone.
    pub healthy_threshold: u32,
    /// While the cluster has not carried traffic. Default 60 s.
    pub no_traffic_interval: Duration,
    /// The same for endpoints that are healthy; `None`: the same.
    pub no_traffic_healthy_interval: Option<Duration>,
    /// For unhealthy endpoints; `None`: `interval`.
    pub unhealthy_interval: Option<Duration>,
    /// While failures are being counted; `None`: `unhealthy_interval`.
    pub unhealthy_edge_interval: Option<Duration>,
    /// While successes are being counted; `None`: `interval`.
    pub healthy_edge_interval: Option<Duration>,
    /// Whether a connection serves several checks. Default yes.
    pub reuse_connection: bool,
    /// Offered in the TLS handshakes of checks instead of the cluster's.
    pub alpn: Vec<String>,
    /// Instead of those of the endpoint, for the way it is connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_labels: Option<Labels>,
    /// Where changes are written, one JSON object a line; empty: nowhere.
    pub event_log_path: String,
    /// Whether every failure is written, not only those that change something.
    pub always_log_failures: bool,
    pub always_log_successes: bool,
}

impl HealthCheck {
    pub const NO_TRAFFIC_INTERVAL: Duration = Duration::from_secs(60);

    pub fn new(probe: HealthProbe, timeout: Duration, interval: Duration) -> Self {
        Self {
            probe,
            timeout,
            interval,
            initial_jitter: None,
            interval_jitter: None,
            interval_jitter_percent: 0,
            unhealthy_threshold: 1,
            healthy_threshold: 1,
            no_traffic_interval: Self::NO_TRAFFIC_INTERVAL,
            no_traffic_healthy_interval: None,
            unhealthy_interval: None,
            unhealthy_edge_interval: None,
            healthy_edge_interval: None,
            reuse_connection: true,
            alpn: Vec::new(),
            socket_labels: None,
            event_log_path: String::new(),
            always_log_failures: false,
            always_log_successes: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthProbe {
    Grpc(GrpcProbe),
    Http(Box<HttpProbe>),
    Tcp(TcpProbe),
}

/// `grpc.health.v1.Health/Check`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GrpcProbe {
    pub service_name: String,
    /// Empty: the cluster's name.
    pub authority: String,
    pub metadata: HeaderOps,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpProbe {
    /// Empty: the cluster's name.
    pub host: String,
    pub path: String,
    pub method: String,
    pub codec: HttpProbeCodec,
    pub request_headers: HeaderOps,
    pub send: Vec<u8>,
    /// Must be found in the body in this order.
    pub receive: Vec<Vec<u8>>,
    /// Bytes of the body that are looked at; 0: all. Default 1,024.
    pub response_buffer_bytes: u64,
    /// Empty: 200 alone.
    pub expected_statuses: Vec<StatusRange>,
    /// Failures that count towards the threshold instead of deciding at once.
    pub retriable_statuses: Vec<StatusRange>,
    /// `x-envoy-upstream-healthchecked-cluster` of the answer must match.
    pub service_name: Option<StringMatch>,
}

impl HttpProbe {
    pub const RESPONSE_BUFFER_BYTES: u64 = 1024;

    pub fn new(path: impl Into<String>) -> Self {
        Self {
            host: String::new(),
            path: path.into(),
            method: "GET".to_owned(),
            codec: HttpProbeCodec::Http1,
            request_headers: HeaderOps::default(),
            send: Vec::new(),
            receive: Vec::new(),
            response_buffer_bytes: Self::RESPONSE_BUFFER_BYTES,
            expected_statuses: Vec::new(),
            retriable_statuses: Vec::new(),
            service_name: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpProbeCodec {
    #[default]
    Http1,
    Http2,
}

/// From `start` to below `end`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct StatusRange {
    pub start: u16,
    pub end: u16,
}

impl StatusRange {
    pub const fn contains(self, status: u16) -> bool {
        self.start <= status && status < self.end
    }
}

/// A connection; with payloads also an answer on it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct TcpProbe {
    pub send: Vec<u8>,
    /// Must be found in the answer in this order.
    pub receive: Vec<Vec<u8>>,
}
