use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use leno_ir::{
    Cluster, Direction, Discovery, DownstreamTls, Endpoint, EndpointSet, FilterChain, FilterChainMatch, Forward,
    ForwardClientCert, HttpConnectionManager, Listener, ListenerOptions, LocalityEndpoints, NetworkFilter, Node,
    PeerValidation, Route, RouteAction, RouteMatch, RouteSource, RouteTable, VirtualHost, WorkloadPort,
};
use leno_model::api::{ConnectionPool, IntOrString};
use leno_model::{Ingress, Protocol, Service, ServicePort, Snapshot};

use crate::access::Guard;
use crate::{listener, policy, rate_limit, tcp};

const HTTP_ALPN: [&str; 4] = ["h2", "http/1.1", "istio-h2", "istio-http/1.1"];
const TCP_ALPN: &str = "istio";

/// A listener with mutual TLS and a cluster for each port of the application.
///
/// `limited`: the services of the mesh that have limits.
pub(crate) fn compile(snapshot: &Snapshot, node: &Node, limited: &[&Arc<Service>]) -> (Vec<Listener>, Vec<Cluster>) {
    let Some(address) = node.address else { return (Vec::new(), Vec::new()) };
    let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
    for port in &node.ports {
        let Some((port, pool)) = wanted(port, address, &snapshot.ingress) else { continue };
        let mut listener = listener(node, &port, SocketAddr::new(address, port.inbound));
        if let Some(guard) = Guard::of(snapshot, node, port.app) {
            protect(&mut listener, &guard, port.app);
        }
        limit(&mut listener, limited, node, port.app);
        listeners.push(listener);
        let mut cluster = cluster(&port);
        pool.into_iter().for_each(|pool| policy::connection_pool(pool, &mut cluster));
        clusters.push(cluster);
    }
    (listeners, clusters)
}

/// A port as its Sidecar wants it; `None` where that names others only.
fn wanted<'a>(
    port: &WorkloadPort,
    address: IpAddr,
    ingress: &'a Ingress,
) -> Option<(WorkloadPort, Option<&'a ConnectionPool>)> {
    let mut port = port.clone();
    if ingress.listeners.is_empty() {
        return Some((port, ingress.pool.as_ref()));
    }
    let listener = ingress.listeners.iter().find(|listener| listener.port.number == port.app)?;
    if let Some(protocol) = listener.port.protocol.as_ref().filter(|word| !word.is_empty()) {
        port.protocol = protocol.to_ascii_lowercase();
    }
    if let Some(endpoint) = listener.default_endpoint.as_deref().and_then(|text| text.parse::<SocketAddr>().ok()) {
        // Istio: any address is the workload's own.
        let ip = if endpoint.ip().is_unspecified() { address } else { endpoint.ip() };
        port.app_address = SocketAddr::new(ip, endpoint.port());
    }
    Some((port, listener.connection_pool.as_ref().or(ingress.pool.as_ref())))
}

/// Requests are asked for where there are some, else connections.
fn protect(listener: &mut Listener, guard: &Guard<'_>, port: u16) {
    for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
        match &mut chain.filter {
            NetworkFilter::Http(manager) => manager.filters.push(guard.of_requests(port)),
            NetworkFilter::Tcp(_) => chain.connection_filters.push(guard.of_connections(port)),
        }
    }
}

/// The limits of the service that the workload is an instance of.
fn limit(listener: &mut Listener, limited: &[&Arc<Service>], node: &Node, port: u16) {
    let own = |service: &&&Arc<Service>| {
        let is_named = node.service.as_deref() == Some(&*service.key.name) && service.key.namespace == node.namespace;
        is_named
            || service.workloads.iter().any(|one| one.key.name == node.workload && one.key.namespace == node.namespace)
    };
    let held = limited.iter().filter(own).find_map(|service| {
        let is_here = |to: &&ServicePort| match &to.target {
            IntOrString::Int(number) => *number == port,
            IntOrString::String(_) => true,
        };
        let named = service.ports.iter().find(is_here).and_then(|port| port.name.as_deref());
        service.attached.as_ref()?.of_port(named).rate_limit
    });
    let Some(held) = held else { return };
    for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
        if let NetworkFilter::Http(manager) = &mut chain.filter {
            rate_limit::limit_all(&held, manager);
        }
    }
}

fn name(port: &WorkloadPort) -> String {
    format!("inbound|{}||", port.app)
}

fn listener(node: &Node, port: &WorkloadPort, address: SocketAddr) -> Listener {
    let chain = |alpn: &[&str], matched: &[&str], filter| FilterChain {
        name: name(port),
        matches: FilterChainMatch { application_protocols: words(matched), ..FilterChainMatch::default() },
        tls: Some(tls(alpn)),
        connection_filters: Vec::new(),
        filter,
    };
    let all: Vec<_> = HTTP_ALPN.into_iter().chain([TCP_ALPN]).collect();
    let (filter_chains, default) = match Protocol::from_word(&port.protocol) {
        Protocol::Tcp | Protocol::Tls => (Vec::new(), chain(&[TCP_ALPN], &[], tcp_filter(node, port))),
        // ALPN tells what the caller's proxy found out; callers without it are passed through byte by byte.
        Protocol::Auto => {
            (vec![chain(&all, &HTTP_ALPN, http_filter(node, port))], chain(&all, &[], tcp_filter(node, port)))
        }
        _ => (Vec::new(), chain(&HTTP_ALPN, &[], http_filter(node, port))),
    };
    Listener {
        name: name(port),
        address,
        direction: Direction::Inbound,
        inspect_tls: !filter_chains.is_empty(),
        inspect_http: false,
        filter_chains,
        default_filter_chain: Some(default),
        options: ListenerOptions::default(),
        api: false,
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Any workload of the trust domain may connect; who may do what is for authorization to say.
fn tls(alpn: &[&str]) -> DownstreamTls {
    DownstreamTls::of_mesh(Some(PeerValidation::of_mesh([])), words(alpn))
}

fn http_filter(node: &Node, port: &WorkloadPort) -> NetworkFilter {
    let host = VirtualHost {
        name: name(port),
        domains: vec!["*".to_owned()],
        routes: vec![Route::new("default", RouteMatch::any(), RouteAction::Forward(Box::new(Forward::to(name(port)))))],
        ..VirtualHost::default()
    };
    let table = RouteTable::new(name(port), vec![host]);
    let mut manager = HttpConnectionManager::new(name(port), RouteSource::Inline(Arc::new(table)));
    // A sidecar in front of us says when it gives up; then nobody waits for our answer either.
    manager.router.respect_expected_timeout = true;
    manager.access_log = listener::access_log(node);
    manager.forward_client_cert = ForwardClientCert::SanitizeSet;
    NetworkFilter::Http(Box::new(manager))
}

fn tcp_filter(node: &Node, port: &WorkloadPort) -> NetworkFilter {
    let cluster = leno_ir::WeightedCluster::new(name(port), 1);
    NetworkFilter::Tcp(tcp::proxy(node, name(port), vec![cluster]))
}

fn cluster(port: &WorkloadPort) -> Cluster {
    let endpoint = Endpoint::new(port.app_address);
    let locality = LocalityEndpoints { weight: 1, endpoints: vec![endpoint], ..LocalityEndpoints::default() };
    let set = EndpointSet { name: name(port), localities: vec![locality], ..EndpointSet::default() };
    let mut cluster = Cluster::new(name(port), Discovery::Static(Arc::new(set)));
    cluster.balancer = leno_ir::BalancerPolicy::RoundRobin;
    // Also when the client's sidecar was told to speak HTTP/2 with us (`h2UpgradePolicy`).
    cluster.http.protocol = crate::cluster::protocol(Protocol::from_word(&port.protocol));
    cluster
}
