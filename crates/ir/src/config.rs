use serde::Serialize;

use crate::{Cluster, EndpointSet, Listener, Resources, RouteTable, Scope};

/// Everything one node runs, each resource under its xDS name. Cheap to clone: resources are shared.
///
/// `endpoints` is keyed by EDS service name (`Cluster::endpoint_set_name`), not by cluster name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Config {
    pub listeners: Resources<Listener>,
    pub route_tables: Resources<RouteTable>,
    pub clusters: Resources<Cluster>,
    pub endpoints: Resources<EndpointSet>,
    /// Of connection managers that take those of SRDS.
    #[serde(skip_serializing_if = "Resources::is_empty")]
    pub scopes: Resources<Scope>,
}
