use serde::{Deserialize, Serialize};

use super::{ConnectionPool, Destination, WorkloadSelector};
use crate::schema::{Opaque, schema};

schema! {
    /// What workloads of a namespace, or those that are selected, may reach, and how they are reached.
    pub struct SidecarSpec {
        /// None: as the namespace's, or else the root namespace's, Sidecar has it; or else everything.
        pub egress: Vec<EgressListener>,
        pub inbound_connection_pool: Option<ConnectionPool>,
        /// None: as workloads say themselves.
        pub ingress: Vec<IngressListener>,
        pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
        pub workload_selector: Option<WorkloadSelector>,
    }
    pub struct EgressListener {
        pub bind: Option<String>,
        pub capture_mode: Option<String>,
        /// `namespace/host`: `.` and `*` are the own namespace and all, a host may be `*` or begin with `*.`.
        pub hosts: Vec<String>,
        pub port: Option<SidecarPort>,
    }
    pub struct IngressListener {
        pub bind: Option<String>,
        pub capture_mode: Option<String>,
        pub connection_pool: Option<ConnectionPool>,
        /// Where the application listens: `127.0.0.1:8080`, `0.0.0.0:8080`.
        pub default_endpoint: Option<String>,
        pub port: SidecarPort,
        pub tls: Opaque,
    }
    pub struct SidecarPort {
        pub name: Option<String>,
        pub number: u16,
        pub protocol: Option<String>,
        pub target_port: Option<u16>,
    }
    pub struct OutboundTrafficPolicy {
        pub egress_proxy: Option<Destination>,
        pub mode: Option<OutboundMode>,
    }
}

/// What becomes of requests to hosts that nobody has described.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    AllowAny,
    RegistryOnly,
}
