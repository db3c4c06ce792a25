use std::rc::Rc;

use leno_ir::RoutingPriority;

use super::cluster::UpstreamCluster;
use super::endpoint::EndpointState;
use crate::proxy_protocol::ProxyAddresses;

/// For whom a connection is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// `None`: for ourselves.
    pub(crate) client: Option<ProxyAddresses>,
    pub(crate) priority: RoutingPriority,
    /// The server as the request names it; `None` where nobody asks.
    pub(crate) server_name: Option<Rc<str>>,
}

/// What connections are kept apart by: each serves only requests with the same.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct PoolKey {
    /// Where connections begin by saying whose they are.
    pub(super) client: Option<ProxyAddresses>,
    /// As in Envoy, so that requests of one priority do not wait behind the other's.
    pub(super) priority: RoutingPriority,
    /// Where TLS is for the server that requests name.
    pub(super) server_name: Option<Rc<str>>,
}

impl PoolKey {
    /// Whether idle connections may be there that are of no use for such requests.
    pub(super) fn is_apart(&self) -> bool {
        self.client.is_some() || self.server_name.is_some()
    }
}

impl UpstreamCluster {
    pub(super) fn pool_key(&self, caller: &Caller, state: &EndpointState) -> PoolKey {
        let socket = self.socket_of(state);
        let has_tls = caller.server_name.is_some() && self.config.tls_of(socket).is_some();
        PoolKey {
            client: caller.client.filter(|_| self.config.proxy_protocol_of(socket).is_some()),
            priority: caller.priority,
            server_name: caller.server_name.clone().filter(|_| has_tls),
        }
    }
}
