use std::fmt;

/// The resource types Leno speaks, in the order in which additions are pushed: what is referred to comes first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ResourceKind {
    Cluster,
    Endpoints,
    Secret,
    Listener,
    RouteTable,
    Scope,
}

impl ResourceKind {
    /// Every kind, in push order.
    pub const ALL: [Self; 6] =
        [Self::Cluster, Self::Endpoints, Self::Secret, Self::Listener, Self::RouteTable, Self::Scope];

    /// Its `type_url` on the wire.
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::RouteTable => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Scope => "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        }
    }

    pub fn from_type_url(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// The name of its discovery service: `CDS`, `EDS`, …
    pub const fn service(self) -> &'static str {
        match self {
            Self::Cluster => "CDS",
            Self::Endpoints => "EDS",
            Self::Listener => "LDS",
            Self::RouteTable => "RDS",
            Self::Scope => "SRDS",
            Self::Secret => "SDS",
        }
    }

    /// Whether a first request without names asks for everything, and a full-state response always carries the whole
    /// set (xDS protocol, "Wildcard subscription" and "Deleting resources").
    pub const fn is_root(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener | Self::Scope)
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service())
    }
}
