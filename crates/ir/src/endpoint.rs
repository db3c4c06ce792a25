use std::net::{IpAddr, SocketAddr};

use leno_names::{Fraction, Locality};
use serde::{Deserialize, Serialize};

use crate::{Labels, Metadata};

/// The endpoints of one cluster (Envoy `ClusterLoadAssignment`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EndpointSet {
    /// EDS service name.
    pub name: String,
    pub localities: Vec<LocalityEndpoints>,
    #[serde(skip_serializing_if = "EndpointPolicy::is_default")]
    pub policy: EndpointPolicy,
}

impl EndpointSet {
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.localities.iter().flat_map(|locality| &locality.endpoints)
    }
}

/// How the endpoints of a set are used (Envoy `ClusterLoadAssignment.Policy`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct EndpointPolicy {
    /// Shares of the requests that are refused before an endpoint is looked for, one after the other (503, flag DO).
    pub drop_overloads: Vec<Fraction>,
    /// A priority or locality takes its whole share while its healthy endpoints times this are at least all of them.
    /// Default 140.
    pub overprovisioning_percent: u32,
    /// Whether the health of a priority counts weights instead of endpoints.
    pub weighted_priority_health: bool,
}

impl EndpointPolicy {
    pub const OVERPROVISIONING_PERCENT: u32 = 140;

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for EndpointPolicy {
    fn default() -> Self {
        Self {
            drop_overloads: Vec::new(),
            overprovisioning_percent: Self::OVERPROVISIONING_PERCENT,
            weighted_priority_health: false,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LocalityEndpoints {
    pub locality: Locality,
    /// 0 is used first.
    pub priority: u32,
    /// Relative to the other localities of the priority; 0: a last resort.
    pub weight: u32,
    /// As those of an endpoint, for endpoints whose own lead nowhere.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub socket_labels: Labels,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Endpoint {
    pub address: SocketAddr,
    /// Its name, for health checks and rewrites of the host; empty where there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// The name whose addresses this stands for, where a cluster looks names up; `address` then has only the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve: Option<String>,
    /// Relative, at least 1.
    pub weight: u32,
    pub health: EndpointHealth,
    #[serde(skip_serializing_if = "EndpointCheck::is_default")]
    pub check: EndpointCheck,
    pub workload: WorkloadLabels,
    /// What subsets tell it apart by.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// What else is said of it, for access logs.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// What clusters decide by how to connect to it (metadata of the filter `envoy.transport_socket_match`).
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub socket_labels: Labels,
}

impl Endpoint {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            hostname: String::new(),
            resolve: None,
            weight: 1,
            health: EndpointHealth::Unknown,
            check: EndpointCheck::default(),
            workload: WorkloadLabels::default(),
            labels: Labels::new(),
            metadata: Metadata::new(),
            socket_labels: Labels::new(),
        }
    }
}

/// Where and how the active health checks of a cluster ask this endpoint (Envoy `HealthCheckConfig`).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct EndpointCheck {
    /// Instead of the endpoint's own address.
    pub address: Option<IpAddr>,
    /// Instead of the endpoint's own port.
    pub port: Option<u16>,
    /// The host asked for, instead of the check's; empty: the check's.
    pub hostname: String,
    /// It is not asked, and counts as healthy.
    pub disabled: bool,
}

impl EndpointCheck {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointHealth {
    /// Takes what healthy endpoints cannot.
    Degraded,
    /// Finishes what it has, gets nothing new.
    Draining,
    Healthy,
    Unhealthy,
    /// Not checked; used like healthy.
    #[default]
    Unknown,
}

impl EndpointHealth {
    pub const fn takes_traffic(self) -> bool {
        matches!(self, Self::Healthy | Self::Unknown)
    }
}

/// Who runs there, for metric labels and logs. Empty where unknown.
///
/// On the wire it is Istio's endpoint metadata: filter `istio`, key `workload`, value `workload;namespace;service;version;cluster`.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct WorkloadLabels {
    pub workload: String,
    pub namespace: String,
    /// The canonical service.
    pub service: String,
    /// The canonical revision.
    pub version: String,
    pub cluster: String,
}
