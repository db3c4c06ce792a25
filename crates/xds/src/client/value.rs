use std::sync::Arc;

use leno_ir::{Cluster, Config, EndpointSet, Listener, RouteTable, Scope};

use crate::tables::{listener_problems, table_problems};
use crate::{DecodeError, ResourceKind, codec};

/// A decoded resource.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Cluster(Arc<Cluster>),
    Endpoints(Arc<EndpointSet>),
    Listener(Arc<Listener>),
    RouteTable(Arc<RouteTable>),
    Scope(Arc<Scope>),
}

impl Value {
    pub(super) fn decode(kind: ResourceKind, body: &[u8]) -> Option<Result<Self, DecodeError>> {
        Some(match kind {
            ResourceKind::Cluster => codec::decode_cluster(body).map(|value| Self::Cluster(Arc::new(value))),
            ResourceKind::Endpoints => codec::decode_endpoints(body).map(|value| Self::Endpoints(Arc::new(value))),
            ResourceKind::Listener => codec::decode_listener(body).map(|value| Self::Listener(Arc::new(value))),
            ResourceKind::RouteTable => codec::decode_route_table(body).map(|value| Self::RouteTable(Arc::new(value))),
            ResourceKind::Scope => codec::decode_scope(body).map(|value| Self::Scope(Arc::new(value))),
            ResourceKind::Secret => return None,
        })
    }

    /// What is wrong with it though each of its fields is right.
    pub(super) fn problems(&self) -> Vec<DecodeError> {
        match self {
            Self::Listener(value) => listener_problems(value),
            Self::RouteTable(value) => table_problems(value),
            Self::Cluster(_) | Self::Endpoints(_) | Self::Scope(_) => Vec::new(),
        }
    }

    /// The name inside the resource, which must be the one it was sent under.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Cluster(value) => &value.name,
            Self::Endpoints(value) => &value.name,
            Self::Listener(value) => &value.name,
            Self::RouteTable(value) => &value.name,
            Self::Scope(value) => &value.name,
        }
    }

    pub(super) fn add_to(&self, config: &mut Config, name: &str) {
        let name = name.to_owned();
        match self {
            Self::Cluster(value) => drop(config.clusters.insert(name, value.clone())),
            Self::Endpoints(value) => drop(config.endpoints.insert(name, value.clone())),
            Self::Listener(value) => drop(config.listeners.insert(name, value.clone())),
            Self::RouteTable(value) => drop(config.route_tables.insert(name, value.clone())),
            Self::Scope(value) => drop(config.scopes.insert(name, value.clone())),
        }
    }
}
