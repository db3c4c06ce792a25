use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::WorkloadEntrySpec;
use crate::schema::schema;

schema! {
    /// Services that no Kubernetes Service describes: foreign ones, or those of workloads outside a cluster.
    pub struct ServiceEntrySpec {
        /// Virtual addresses; where there are none one is allotted.
        pub addresses: Vec<String>,
        pub endpoints: Vec<WorkloadEntrySpec>,
        pub export_to: Vec<String>,
        pub hosts: Vec<String>,
        /// Default `MESH_EXTERNAL`.
        pub location: Option<EntryLocation>,
        pub ports: Vec<EntryPort>,
        /// Default `NONE`.
        pub resolution: Option<EntryResolution>,
        pub subject_alt_names: Vec<String>,
        pub workload_selector: Option<WorkloadSelector>,
    }
    pub struct EntryPort {
        pub name: String,
        pub number: u16,
        pub protocol: Option<String>,
        /// Default: `number`.
        pub target_port: Option<u16>,
    }
    pub struct WorkloadSelector {
        pub labels: BTreeMap<String, String>,
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EntryLocation {
    MeshExternal,
    MeshInternal,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EntryResolution {
    Dns,
    DnsRoundRobin,
    DynamicDns,
    None,
    Static,
}
