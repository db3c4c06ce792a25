//! What Istio's MeshConfig says for those who do not say it themselves.

use leno_ir::{Cluster, EscapedSlashes, Listener, NetworkFilter, Node, UpstreamProtocol};
use leno_model::api::{H2UpgradePolicy, MeshConfig};
use leno_model::{Location, Protocol, Service, ServicePort};

use crate::policy::keepalive;

/// A proxy that names no access log writes that of the mesh.
pub(crate) fn with_access_log(node: &Node, mesh: &MeshConfig) -> Node {
    let mut node = node.clone();
    let path = mesh.access_log_file.as_deref().filter(|path| !path.is_empty());
    if let Some(path) = path.filter(|_| node.access_log.is_none()) {
        node.access_log = Some(if path == "/dev/stdout" { "-".to_owned() } else { path.to_owned() });
        if node.access_log_format.is_none() {
            let is_json = mesh.access_log_encoding.as_deref() == Some("JSON");
            let text = mesh.access_log_format.clone().filter(|text| !text.is_empty());
            node.access_log_format = if is_json { Some("json".to_owned()) } else { text };
        }
    }
    node
}

/// How paths are spelt before anybody looks at them.
pub(crate) fn normalize(listener: &mut Listener, mesh: &MeshConfig) {
    let Some(wanted) = mesh.path_normalization.as_ref().and_then(|paths| paths.normalization.as_deref()) else {
        return;
    };
    for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
        let NetworkFilter::Http(manager) = &mut chain.filter else { continue };
        manager.edge.normalize_path =
            matches!(wanted, "DEFAULT" | "BASE" | "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES");
        manager.edge.merge_slashes = matches!(wanted, "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES");
        if wanted == "DECODE_AND_MERGE_SLASHES" {
            manager.edge.escaped_slashes = EscapedSlashes::UnescapeAndForward;
        }
    }
}

/// What policies may then change.
pub(crate) fn defaults(cluster: &mut Cluster, service: &Service, port: &ServicePort, mesh: &MeshConfig) {
    if let Some(timeout) = mesh.connect_timeout {
        cluster.connect_timeout = timeout.0;
    }
    if let Some(written) = &mesh.tcp_keepalive {
        cluster.socket.keepalive = Some(keepalive(written));
    }
    let upgrades = mesh.h2_upgrade_policy == Some(H2UpgradePolicy::Upgrade);
    if upgrades && service.location == Location::Internal && port.protocol == Protocol::Http {
        cluster.http.protocol = UpstreamProtocol::Http2;
    }
}
