use leno_ir::RoutingPriority;

use super::cluster::UpstreamCluster;
use crate::proxy_protocol::ProxyAddresses;

/// What connections are kept apart by: each serves only requests with the same.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct PoolKey {
    /// Where connections begin by saying whose they are.
    pub(super) client: Option<ProxyAddresses>,
    /// As in Envoy, so that requests of one priority do not wait behind the other's.
    pub(super) priority: RoutingPriority,
}

impl UpstreamCluster {
    /// `client`: `None` for requests of our own.
    pub(super) fn pool_key(&self, client: Option<ProxyAddresses>, priority: RoutingPriority) -> PoolKey {
        PoolKey { client: client.and_then(|client| self.announced(client)), priority }
    }
}
