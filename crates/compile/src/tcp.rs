use std::num::NonZeroU32;

use leno_ir::{HashPolicy, HashSource, Node, TcpProxy, WeightedCluster};
use leno_model::api::BackendRef;
use leno_model::{MeshRoute, RouteObject, Rules, Service, ServicePort, Snapshot};

use crate::{hash, listener};

/// Chosen: Envoy's default is 1, which makes a TCP client see every endpoint that just died; nothing was sent yet, so trying
/// another is safe.
const MAX_CONNECT_ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);

pub(crate) fn proxy(node: &Node, stat_prefix: String, clusters: Vec<WeightedCluster>) -> TcpProxy {
    TcpProxy {
        max_connect_attempts: MAX_CONNECT_ATTEMPTS,
        access_log: listener::access_log(node),
        ..TcpProxy::new(stat_prefix, clusters)
    }
}

pub(crate) fn outbound(
    snapshot: &Snapshot,
    service: &Service,
    port: &ServicePort,
    node: &Node,
    stat_prefix: String,
) -> TcpProxy {
    let clusters = clusters(snapshot, service, port);
    let hashes_source = |policy: &HashPolicy| policy.source == HashSource::SourceIp;
    let hash_source_ip = hash::policies(snapshot, service, &clusters).iter().any(hashes_source);
    TcpProxy { hash_source_ip, ..proxy(node, stat_prefix, clusters) }
}

/// Where connections to a port go: by the first `tcp` route of its VirtualService that is meant for the port.
pub(crate) fn clusters(snapshot: &Snapshot, service: &Service, port: &ServicePort) -> Vec<WeightedCluster> {
    let fallback = || vec![WeightedCluster::new(service.cluster_name(port.number, None), 1)];
    let object = match &service.rules {
        Rules::VirtualService(object) => object,
        Rules::Routes(routes) => {
            let clusters = of_routes(snapshot, port, routes);
            return if clusters.is_empty() { fallback() } else { clusters };
        }
        Rules::Default => return fallback(),
    };
    let meant = |route: &&leno_model::api::TcpRoute| {
        route.r#match.is_empty() || route.r#match.iter().any(|m| m.port.is_none_or(|number| number == port.number))
    };
    let Some(route) = object.spec.tcp.iter().find(meant) else { return fallback() };
    let namespace = object.metadata.namespace();
    let single = route.route.len() == 1;
    let target = |target: &leno_model::api::RouteDestination| {
        let to = &target.destination;
        let found = snapshot.service(&to.host, namespace)?;
        let number = to.port.as_ref().map_or(port.number, |port| port.number);
        let weight = target.weight.unwrap_or(u32::from(single));
        Some(WeightedCluster::new(found.cluster_name(number, to.subset.as_deref()), weight))
    };
    let clusters: Vec<_> = route.route.iter().filter_map(target).collect();
    if clusters.is_empty() { fallback() } else { clusters }
}

/// The backends of the oldest TCPRoute of the port, or of a split without conditions.
fn of_routes(snapshot: &Snapshot, port: &ServicePort, routes: &[MeshRoute]) -> Vec<WeightedCluster> {
    let backends = |route: &MeshRoute| match &route.route {
        RouteObject::Derived { route, .. } => {
            let rule = route.spec.rules.first().filter(|rule| rule.matches.is_empty())?;
            Some(rule.backend_refs.clone())
        }
        RouteObject::Tcp(route) => Some(route.spec.rules.first()?.backend_refs.clone()),
        RouteObject::Grpc(_) | RouteObject::Http(_) | RouteObject::Tls(_) => None,
    };
    let meant = routes.iter().filter(|route| route.port.is_none_or(|number| number == port.number));
    let Some((route, backends)) = meant.filter_map(|route| Some((route, backends(route)?))).next() else {
        return Vec::new();
    };
    let key = route.route.key();
    let cluster = |to: &BackendRef| {
        let (service, port) = snapshot.backend((key.kind, &key.namespace), to, Some(port.number)).ok()?;
        let weight = to.weight.unwrap_or(1);
        (weight > 0).then(|| WeightedCluster::new(service.cluster_name(port.number, None), weight))
    };
    backends.iter().filter_map(cluster).collect()
}
