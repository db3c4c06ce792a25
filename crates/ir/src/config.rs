use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::{Cluster, EndpointSet, Listener, RouteTable, Scope};

/// Everything one node runs, each resource under its xDS name. Cheap to clone: resources are shared.
///
/// `endpoints` is keyed by EDS service name (`Cluster::endpoint_set_name`), not by cluster name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Config {
    pub listeners: BTreeMap<String, Arc<Listener>>,
    pub route_tables: BTreeMap<String, Arc<RouteTable>>,
    pub clusters: BTreeMap<String, Arc<Cluster>>,
    pub endpoints: BTreeMap<String, Arc<EndpointSet>>,
    /// Of connection managers that take those of SRDS.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scopes: BTreeMap<String, Arc<Scope>>,
}
