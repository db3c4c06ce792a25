//! Where traffic enters the mesh: gateways, what listens there, and the routes attached to it.
//!
//! Shape       1 Gateway -> n listeners (its own, then those of ListenerSets) -> n attached routes
//! Invariants  only what may carry traffic is here: what was refused is in the objects' statuses
//! Source      Gateway API v1.6

use std::sync::Arc;

use leno_api::{
    BackendRef, GatewayHttpRoute, GatewayTcpRoute, GatewayTlsRoute, GrpcRoute, Kind, ObjectMeta, ResourceKey,
};
use serde::Serialize;

use crate::hosts::covers;

/// A Gateway that is ours.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gateway {
    pub key: ResourceKey,
    /// Who may ask for its configuration, which holds private keys.
    pub service_accounts: Vec<String>,
    /// By port, then name.
    pub listeners: Vec<GatewayListener>,
    /// Shown to backends that want a client certificate.
    #[serde(skip)]
    pub client_certificate: Option<Arc<Certificate>>,
}

/// A listener that is programmed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GatewayListener {
    /// The Gateway, or the ListenerSet that brings it.
    pub owner: ResourceKey,
    pub name: String,
    pub port: u16,
    pub protocol: ListenerProtocol,
    /// In lower case, perhaps `*.` and a suffix; `None`: every host.
    pub hostname: Option<String>,
    #[serde(skip)]
    pub certificates: Vec<Arc<Certificate>>,
    #[serde(skip)]
    pub client_validation: Option<ClientValidation>,
    pub routes: Vec<AttachedRoute>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum ListenerProtocol {
    Http,
    /// HTTP in TLS that ends here.
    Https,
    Tcp,
    /// TLS that is passed on, chosen by server name.
    TlsPassthrough,
    /// Any protocol in TLS that ends here, chosen by server name.
    TlsTerminate,
}

impl ListenerProtocol {
    /// Whether one port can have listeners for both: those that are chosen by server name can.
    pub const fn shares_port_with(self, other: Self) -> bool {
        const fn family(protocol: ListenerProtocol) -> u8 {
            match protocol {
                ListenerProtocol::Http => 0,
                ListenerProtocol::Https | ListenerProtocol::TlsPassthrough | ListenerProtocol::TlsTerminate => 1,
                ListenerProtocol::Tcp => 2,
            }
        }
        family(self) == family(other)
    }
}

/// PEM, from a Secret.
#[derive(Clone, Eq, PartialEq)]
pub struct Certificate {
    pub chain: String,
    pub private_key: String,
}

/// Never the key.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// How certificates of clients are looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientValidation {
    /// PEM.
    pub roots: String,
    /// Clients without a valid certificate are served, too.
    pub insecure_fallback: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttachedRoute {
    #[serde(serialize_with = "as_key")]
    pub route: RouteObject,
    /// Those of the route that the listener has as well, the narrower of each pair. Empty: every host.
    pub hostnames: Vec<String>,
}

/// A route of Gateway API, as written.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteObject {
    /// Made of an object of another dialect.
    Derived {
        of: ResourceKey,
        route: Arc<GatewayHttpRoute>,
    },
    Grpc(Arc<GrpcRoute>),
    Http(Arc<GatewayHttpRoute>),
    Tcp(Arc<GatewayTcpRoute>),
    Tls(Arc<GatewayTlsRoute>),
}

/// A route whose parent is a service.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshRoute {
    pub route: RouteObject,
    /// Of the service; `None`: all.
    pub port: Option<u16>,
    /// A consumer's route: it holds for clients of this namespace alone.
    pub consumer: Option<String>,
}

impl RouteObject {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Derived { of, .. } => of.kind,
            Self::Grpc(_) => Kind::GrpcRoute,
            Self::Http(_) => Kind::HttpRoute,
            Self::Tcp(_) => Kind::TcpRoute,
            Self::Tls(_) => Kind::TlsRoute,
        }
    }

    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Derived { route, .. } => &route.metadata,
            Self::Grpc(object) => &object.metadata,
            Self::Http(object) => &object.metadata,
            Self::Tcp(object) => &object.metadata,
            Self::Tls(object) => &object.metadata,
        }
    }

    /// Where its rules lead.
    pub(crate) fn backends(&self) -> Vec<&BackendRef> {
        match self {
            Self::Grpc(object) => object.spec.rules.iter().flat_map(|rule| &rule.backend_refs).collect(),
            Self::Derived { route: object, .. } | Self::Http(object) => {
                object.spec.rules.iter().flat_map(|rule| &rule.backend_refs).collect()
            }
            Self::Tcp(object) => object.spec.rules.iter().flat_map(|rule| &rule.backend_refs).collect(),
            Self::Tls(object) => object.spec.rules.iter().flat_map(|rule| &rule.backend_refs).collect(),
        }
    }

    pub fn key(&self) -> ResourceKey {
        ResourceKey::new(self.kind(), self.metadata().namespace(), &self.metadata().name)
    }
}

fn as_key<S: serde::Serializer>(route: &RouteObject, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&route.key())
}

/// The narrower of two host patterns that have hosts in common. `None` for one that is absent means every host.
///
/// Source: Gateway API, HTTPRouteSpec.hostnames: a wildcard stands for one or more labels.
pub(crate) fn intersection<'a>(one: Option<&'a str>, other: Option<&'a str>) -> Option<Option<&'a str>> {
    match (one, other) {
        (None, only) | (only, None) => Some(only),
        (Some(one), Some(other)) if covers(one, other) => Some(Some(other)),
        (Some(one), Some(other)) if covers(other, one) => Some(Some(one)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_in_common() {
        let both = |one, other| intersection(Some(one), Some(other)).flatten();
        assert_eq!(both("a.example.com", "a.example.com"), Some("a.example.com"));
        assert_eq!(both("*.example.com", "a.example.com"), Some("a.example.com"));
        assert_eq!(both("a.b.example.com", "*.example.com"), Some("a.b.example.com"));
        assert_eq!(both("*.example.com", "*.b.example.com"), Some("*.b.example.com"));
        assert_eq!(both("*.example.com", "example.com"), None);
        assert_eq!(both("a.example.com", "b.example.com"), None);
        assert_eq!(intersection(None, Some("a")), Some(Some("a")));
        assert_eq!(intersection(None, None), Some(None));
    }
}
