use serde::{Deserialize, Serialize};

use super::WorkloadSelector;
use crate::schema::{Opaque, schema};

schema! {
    /// Changes to what proxies are told, in the words of Envoy's API.
    pub struct EnvoyFilterSpec {
        pub config_patches: Vec<EnvoyPatch>,
        /// Smaller ones come first; default 0.
        pub priority: Option<i32>,
        pub target_refs: Opaque,
        /// None: all workloads of the namespace, or in the root namespace of the mesh.
        pub workload_selector: Option<WorkloadSelector>,
    }
    pub struct EnvoyPatch {
        pub apply_to: Option<EnvoyPart>,
        pub r#match: PatchMatch,
        pub patch: Patch,
    }
    pub struct PatchMatch {
        pub cluster: Option<ClusterMatch>,
        /// Default `ANY`.
        pub context: Option<PatchContext>,
        pub listener: Option<ListenerMatch>,
        pub proxy: Opaque,
        pub route_configuration: Option<RouteTableMatch>,
        pub waypoint: Opaque,
    }
    pub struct ClusterMatch {
        pub name: Option<String>,
        pub port_number: Option<u16>,
        /// The whole host.
        pub service: Option<String>,
        pub subset: Option<String>,
    }
    pub struct ListenerMatch {
        pub filter_chain: Option<FilterChainMatch>,
        pub listener_filter: Option<String>,
        pub name: Option<String>,
        pub port_name: Option<String>,
        pub port_number: Option<u16>,
    }
    pub struct FilterChainMatch {
        pub application_protocols: Option<String>,
        pub destination_port: Option<u16>,
        pub filter: Option<FilterMatch>,
        pub name: Option<String>,
        pub sni: Option<String>,
        pub transport_protocol: Option<String>,
        pub transport_socket: Option<String>,
    }
    pub struct FilterMatch {
        pub name: Option<String>,
        pub sub_filter: Option<SubFilterMatch>,
    }
    pub struct SubFilterMatch {
        pub name: Option<String>,
    }
    pub struct RouteTableMatch {
        pub gateway: Option<String>,
        pub name: Option<String>,
        pub port_name: Option<String>,
        pub port_number: Option<u16>,
        pub vhost: Option<VirtualHostMatch>,
    }
    pub struct VirtualHostMatch {
        pub domain_name: Option<String>,
        pub name: Option<String>,
        pub route: Option<RouteMatch>,
    }
    pub struct RouteMatch {
        pub action: Option<String>,
        pub name: Option<String>,
    }
    pub struct Patch {
        pub filter_class: Option<String>,
        pub operation: Option<PatchOperation>,
        pub value: Opaque,
    }
}

/// What is changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EnvoyPart {
    Bootstrap,
    Cluster,
    ExtensionConfig,
    FilterChain,
    HttpFilter,
    HttpRoute,
    Invalid,
    Listener,
    ListenerFilter,
    NetworkFilter,
    RouteConfiguration,
    VirtualHost,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PatchContext {
    Any,
    Gateway,
    SidecarInbound,
    SidecarOutbound,
    Waypoint,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PatchOperation {
    Add,
    InsertAfter,
    InsertBefore,
    InsertFirst,
    Invalid,
    Merge,
    MergeAndReplaceList,
    Remove,
    Replace,
}
