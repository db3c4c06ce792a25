use leno_ir::Cluster;

use super::cluster::UpstreamCluster;
use super::endpoint::EndpointState;
use crate::tls::ClusterTls;
use crate::worker::Worker;

/// The TLS of each way that endpoints of a cluster are connected to.
#[derive(Debug)]
pub(super) struct Sockets {
    own: Option<ClusterTls>,
    matches: Vec<Option<ClusterTls>>,
}

impl Sockets {
    pub(super) fn new(config: &Cluster, worker: &Worker) -> Self {
        let of = |tls: Option<&_>| tls.map(|tls| worker.tls().of_cluster(tls));
        let matches = config.socket_matches.iter().map(|one| of(one.tls.as_ref())).collect();
        Self { own: of(config.tls.as_ref()), matches }
    }

    pub(super) fn of(&self, socket: Option<usize>) -> Option<&ClusterTls> {
        match socket.and_then(|at| self.matches.get(at)) {
            Some(tls) => tls.as_ref(),
            None => self.own.as_ref(),
        }
    }
}

impl UpstreamCluster {
    /// The way an endpoint is connected to.
    pub(super) fn socket_of(&self, state: &EndpointState) -> Option<usize> {
        if self.config.socket_matches.is_empty() { None } else { state.source().socket(&self.config) }
    }
}

/// Whether endpoints are connected to in the same ways under both.
pub(super) fn are_same(one: &Cluster, other: &Cluster) -> bool {
    one.tls == other.tls
        && one.proxy_protocol == other.proxy_protocol
        && one.socket_matches == other.socket_matches
        && one.http.server_name == other.http.server_name
}
