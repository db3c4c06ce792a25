//! Where connections go that are not taken apart into requests.

use std::num::NonZeroU32;

use leno_ir::{CidrRange, HashPolicy, HashSource, Node, TcpProxy, Tunneling, WeightedCluster};
use leno_model::api::{BackendRef, RouteDestination, TcpMatch, TcpPool, TlsMatch, Tunnel};
use leno_model::{MeshRoute, Problem, RouteObject, Rules, Service, ServicePort, Snapshot, VirtualRoutes};

use crate::cluster::layers_of;
use crate::virtual_service::Place;
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

/// `site`: where the clusters come from, with what DestinationRules say of their connections.
pub(crate) fn outbound(
    site: hash::Site<'_>,
    node: &Node,
    stat_prefix: String,
    clusters: Vec<WeightedCluster>,
) -> TcpProxy {
    let hashes_source = |policy: &HashPolicy| policy.source == HashSource::SourceIp;
    let hash_source_ip = hash::policies(site, &clusters).iter().any(hashes_source);
    let mut proxy = TcpProxy { hash_source_ip, ..proxy(node, stat_prefix, clusters) };
    let first = proxy.clusters.first().and_then(|first| site.target(&first.name));
    if let Some((target, port, subset)) = first {
        for layer in layers_of(target, port, subset.as_deref()) {
            layer.tcp().into_iter().for_each(|pool| limits(pool, &mut proxy));
            if let Some(tunnel) = layer.tunnel() {
                proxy.tunneling = Some(Box::new(tunneling(tunnel)));
            }
        }
    }
    proxy
}

/// Istio: an idle time of zero means "never".
fn limits(pool: &TcpPool, proxy: &mut TcpProxy) {
    if let Some(idle) = pool.idle_timeout {
        proxy.idle_timeout = Some(idle.0).filter(|idle| !idle.is_zero());
    }
    if let Some(longest) = pool.max_connection_duration {
        proxy.max_connection_duration = Some(longest.0);
    }
}

/// The connection travels within a request to the proxy that the destination is.
fn tunneling(tunnel: &Tunnel) -> Tunneling {
    Tunneling {
        hostname: format!("{}:{}", tunnel.target_host, tunnel.target_port),
        post_path: tunnel.protocol.as_deref().filter(|word| word.eq_ignore_ascii_case("POST")).map(|_| "/".to_owned()),
        ..Tunneling::default()
    }
}

/// Where connections to a port go: by the first `tcp` route of its VirtualService that is meant for the port.
pub(crate) fn clusters(snapshot: &Snapshot, service: &Service, port: &ServicePort) -> Vec<WeightedCluster> {
    let fallback = || vec![WeightedCluster::new(service.cluster_name(port.number, None), 1)];
    let routes = match &service.rules {
        Rules::VirtualService(routes) => routes,
        Rules::Routes(routes) => {
            let clusters = of_routes(snapshot, port, routes);
            return if clusters.is_empty() { fallback() } else { clusters };
        }
        Rules::Default => return fallback(),
    };
    first(snapshot, &Called::of(service, port), routes).unwrap_or_else(fallback)
}

/// Where connections go that come to a gateway.
pub(crate) fn first_at(snapshot: &Snapshot, at: Place<'_>, routes: &VirtualRoutes) -> Option<Vec<WeightedCluster>> {
    first(snapshot, &Called { at, addresses: &[] }, routes)
}

fn first(snapshot: &Snapshot, called: &Called<'_>, routes: &VirtualRoutes) -> Option<Vec<WeightedCluster>> {
    let namespace = &routes.key.namespace;
    let found = routes.tcp.iter().find(|(_, route)| {
        let fits = |one: &TcpMatch| called.fits(one.port, &one.destination_subnets, &one.gateways, namespace);
        route.r#match.is_empty() || route.r#match.iter().any(fits)
    });
    let clusters = found.map(|(_, route)| targets(snapshot, called.at.port, namespace, &route.route));
    clusters.filter(|clusters| !clusters.is_empty())
}

/// Server names, and where connections go whose ClientHello asks for one of them.
pub(crate) type Named = (Vec<String>, Vec<WeightedCluster>);

/// Where connections go by the server name that a ClientHello asks for.
pub(crate) fn by_server_name(snapshot: &Snapshot, service: &Service, port: &ServicePort) -> Vec<Named> {
    let Rules::VirtualService(routes) = &service.rules else { return Vec::new() };
    named(snapshot, &Called::of(service, port), routes)
}

/// The same of those that come to a gateway.
pub(crate) fn by_server_name_at(snapshot: &Snapshot, at: Place<'_>, routes: &VirtualRoutes) -> Vec<Named> {
    named(snapshot, &Called { at, addresses: &[] }, routes)
}

fn named(snapshot: &Snapshot, called: &Called<'_>, routes: &VirtualRoutes) -> Vec<Named> {
    let namespace = &routes.key.namespace;
    let (mut all, mut taken) = (Vec::new(), Vec::new());
    for (_, route) in &routes.tls {
        let fits = |one: &&TlsMatch| called.fits(one.port, &one.destination_subnets, &one.gateways, namespace);
        // A name has one chain: the first route has it.
        let names = route.r#match.iter().filter(fits).flat_map(|one| &one.sni_hosts);
        let names = names.map(|name| name.to_ascii_lowercase());
        let mut names: Vec<_> = names.filter(|name| !taken.contains(name)).collect();
        names.sort();
        names.dedup();
        let clusters = targets(snapshot, called.at.port, namespace, &route.route);
        if !names.is_empty() && !clusters.is_empty() {
            taken.extend(names.iter().cloned());
            all.push((names, clusters));
        }
    }
    all
}

/// Destinations of `tcp` and `tls` routes that lead nowhere.
pub(crate) fn check(snapshot: &Snapshot, service: &Service, problems: &mut Vec<Problem>) {
    if let Rules::VirtualService(routes) = &service.rules {
        check_routes(snapshot, routes, problems);
    }
}

pub(crate) fn check_routes(snapshot: &Snapshot, routes: &VirtualRoutes, problems: &mut Vec<Problem>) {
    let tcp = routes.tcp.iter().map(|(index, route)| (format!("spec.tcp[{index}]"), &route.route));
    let tls = routes.tls.iter().map(|(index, route)| (format!("spec.tls[{index}]"), &route.route));
    for (at, targets) in tcp.chain(tls) {
        for (index, target) in targets.iter().enumerate() {
            let (to, at) = (&target.destination, format!("{at}.route[{index}].destination"));
            let Some(found) = snapshot.service(&to.host, &routes.key.namespace) else {
                let message = format!("no service of the mesh is called \"{}\"; it gets no connections", to.host);
                problems.push(Problem::error(&routes.key, format!("{at}.host"), "unknown_host", message));
                continue;
            };
            let subset = to.subset.as_deref().filter(|name| found.subsets().iter().all(|known| known.name != *name));
            if let Some(subset) = subset {
                let message = format!("no DestinationRule of {} has a subset \"{subset}\"", found.key);
                problems.push(Problem::error(&routes.key, format!("{at}.subset"), "unknown_subset", message));
            }
        }
    }
}

/// What is called: where, and by which addresses.
struct Called<'a> {
    at: Place<'a>,
    /// None where a connection is not known by the address it was for.
    addresses: &'a [String],
}

impl<'a> Called<'a> {
    fn of(service: &'a Service, port: &ServicePort) -> Self {
        Self { at: Place::of_mesh(port.number), addresses: &service.addresses }
    }

    /// What a connection was for is known by its address here: of subnets those count that hold a virtual address.
    fn fits(&self, port: Option<u16>, subnets: &[String], gateways: &[String], namespace: &str) -> bool {
        port.is_none_or(|number| number == self.at.port)
            && self.at.is_among(gateways, namespace)
            && (subnets.is_empty() || subnets.iter().filter_map(|text| range(text)).any(|range| self.is_in(range)))
    }

    fn is_in(&self, range: CidrRange) -> bool {
        let addresses = self.addresses.iter().filter_map(|text| self::range(text));
        addresses.map(|address| address.address()).any(|address| range.contains(address))
    }
}

/// `10.0.0.0/8`, or one address.
fn range(text: &str) -> Option<CidrRange> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: std::net::IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    CidrRange::new(address, bits.map_or(Some(whole), |bits| bits.parse().ok())?)
}

fn targets(snapshot: &Snapshot, port: u16, namespace: &str, written: &[RouteDestination]) -> Vec<WeightedCluster> {
    let single = written.len() == 1;
    let target = |target: &RouteDestination| {
        let to = &target.destination;
        let found = snapshot.service(&to.host, namespace)?;
        let number = to.port.as_ref().map_or(port, |port| port.number);
        let weight = target.weight.unwrap_or(u32::from(single));
        Some(WeightedCluster::new(found.cluster_name(number, to.subset.as_deref()), weight))
    };
    written.iter().filter_map(target).collect()
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
        let (service, port) = snapshot.mesh_backend((key.kind, &key.namespace), to, port.number).ok()?;
        let weight = to.weight.unwrap_or(1);
        (weight > 0).then(|| WeightedCluster::new(service.cluster_name(port.number, None), weight))
    };
    backends.iter().filter_map(cluster).collect()
}
