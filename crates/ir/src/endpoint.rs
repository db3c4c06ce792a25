use std::net::SocketAddr;

use leno_names::Locality;
use serde::{Deserialize, Serialize};

/// The endpoints of one cluster (Envoy `ClusterLoadAssignment`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EndpointSet {
    /// EDS service name.
    pub name: String,
    pub localities: Vec<LocalityEndpoints>,
}

impl EndpointSet {
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.localities.iter().flat_map(|locality| &locality.endpoints)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LocalityEndpoints {
    pub locality: Locality,
    /// 0 is used first.
    pub priority: u32,
    /// Relative to the other localities of the priority.
    pub weight: u32,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Endpoint {
    pub address: SocketAddr,
    /// Relative, at least 1.
    pub weight: u32,
    pub health: EndpointHealth,
    pub workload: WorkloadLabels,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointHealth {
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
