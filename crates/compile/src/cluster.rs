use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use leno_ir::{
    BalancerPolicy, Cluster, Discovery, Dns, DnsLookupFamily, DynamicHosts, EndpointSet, Flavor, LeastRequest,
    RetryBudget, RingFunction, SocketMatch, UpstreamProtocol,
};
use leno_model::{
    Location, Policies, PolicyPart, Problem, Protocol, Resolution, Service, ServicePort, Snapshot, Strangers,
};

use crate::policy::{self, Layer, Transport};
use crate::{endpoints, mesh, tls, traffic};

/// One cluster per port and subset.
pub(crate) fn compile(
    snapshot: &Snapshot,
    service: &Service,
    flavor: Flavor,
    problems: &mut Vec<Problem>,
) -> Vec<Cluster> {
    let mut clusters = Vec::new();
    for port in &service.ports {
        for subset in std::iter::once(None).chain(service.subsets().iter().map(|subset| Some(&*subset.name))) {
            let layers = layers_of(service, port.number, subset);
            clusters.push(one(snapshot, service, port, subset, flavor, &layers, problems));
        }
    }
    clusters
}

/// The parts of a service's policies that hold for a port and subset, weakest first.
pub(crate) fn layers_of<'a>(service: &'a Service, port: u16, subset: Option<&str>) -> Vec<Layer<'a>> {
    let Some(policies) = service.policies.as_deref() else { return Vec::new() };
    let Policies { whole, subsets, .. } = policies;
    let subset = subsets.iter().find(|known| Some(known.name.as_str()) == subset);
    let parts = whole.iter().chain(subset.and_then(|subset| subset.part.as_ref()));
    parts.map(|part| layer(part, port)).collect()
}

/// The part of a policy that holds for a port. Istio: settings of a port replace all others of the same policy.
fn layer(part: &PolicyPart, port: u16) -> Layer<'_> {
    let levels = &part.policy.port_level_settings;
    let whole = Layer::of(part);
    match levels.iter().enumerate().find(|(_, level)| level.port.number == port) {
        Some((index, level)) => Layer::of_port(level, whole, format!("{}.portLevelSettings[{index}]", part.at)),
        None => whole,
    }
}

fn one(
    snapshot: &Snapshot,
    service: &Service,
    port: &ServicePort,
    subset: Option<&str>,
    flavor: Flavor,
    layers: &[Layer<'_>],
    problems: &mut Vec<Problem>,
) -> Cluster {
    let name = service.cluster_name(port.number, subset);
    let mut cluster = Cluster::new(name, discovery(snapshot, service, port, subset, flavor));
    cluster.service = Some(service.key.clone());
    cluster.http.protocol = protocol(port.protocol);
    mesh::defaults(&mut cluster, service, port, &snapshot.mesh);
    cluster.outlier_detection = policy::default_outlier_detection(flavor);
    for held in service.attached.iter().flat_map(|attached| attached.layers(port.name.as_deref())) {
        held.traffic.iter().for_each(|held| traffic::apply(&held.spec, &mut cluster));
    }
    let mut transport = match (service.location, service.strangers) {
        (Location::External, _) | (_, Strangers::All) => Transport::Plain,
        (Location::Internal, Strangers::None | Strangers::Some) => Transport::Mesh,
    };
    if let Some(retries) = service.traffic.as_ref().and_then(|traffic| traffic.retries) {
        cluster.circuit_breakers.default.retry_budget =
            Some(RetryBudget { budget: retries.share, min_retry_concurrency: retries.least.get() });
    }
    for layer in layers {
        layer.apply(&mut cluster, &mut transport, problems);
    }
    if service.strangers == Strangers::Some && matches!(transport, Transport::Mesh) {
        let plain = SocketMatch { name: "plain".to_owned(), labels: endpoints::stranger(), ..SocketMatch::default() };
        cluster.socket_matches.push(plain);
    }
    cluster.balancer = balancer(cluster.balancer, flavor);
    if let Discovery::DynamicHosts(_) = &cluster.discovery {
        cluster.balancer = BalancerPolicy::ClusterProvided;
        if !port.protocol.may_be_http() {
            problems.extend(service.origins.iter().map(|object| {
                let message = format!(
                    "only HTTP says which host of {} is meant: through port {} nothing is reached but by the forward proxy",
                    service.fqdn, port.number
                );
                Problem::warning(object, "spec.ports", "host_unknown", message)
            }));
        }
    }
    if flavor == Flavor::Grpc {
        cluster.http.protocol = UpstreamProtocol::Http2;
    }
    tls::secure(&mut cluster, &tls::Secured { snapshot, service, port, subset, flavor, transport });
    cluster
}

/// Chosen, as Istio does: names are asked for again after this, or after the time that the answer may be kept.
const DNS_REFRESH: Duration = Duration::from_secs(60);

fn discovery(
    snapshot: &Snapshot,
    service: &Service,
    port: &ServicePort,
    subset: Option<&str>,
    flavor: Flavor,
) -> Discovery {
    let name = service.cluster_name(port.number, subset);
    if service.has_endpoint_sets() {
        return Discovery::Eds { service_name: name };
    }
    if names_itself(service, flavor) {
        return Discovery::DynamicHosts(DynamicHosts {
            refresh_rate: snapshot.mesh.dns_refresh_rate.map_or(DNS_REFRESH, |rate| rate.0),
            ..DynamicHosts::default()
        });
    }
    let mut set = endpoints::of(service, port, subset);
    // gRPC knows one kind: one name, of which it connects to one address.
    let is_logical = service.resolution == Resolution::DnsRoundRobin || flavor == Flavor::Grpc;
    if is_logical {
        let first = set.localities.iter().position(|locality| !locality.endpoints.is_empty());
        set.localities = first.map(|at| set.localities.swap_remove(at)).into_iter().collect();
        set.localities.iter_mut().for_each(|locality| locality.endpoints.truncate(1));
    }
    if is_logical && set.localities.is_empty() {
        // A logical name there must be: nothing is there to be asked.
        return Discovery::Static(Arc::new(EndpointSet { name, ..EndpointSet::default() }));
    }
    Discovery::Dns(Box::new(Dns {
        is_logical,
        refresh_rate: snapshot.mesh.dns_refresh_rate.map_or(DNS_REFRESH, |rate| rate.0),
        respect_ttl: true,
        lookup_family: DnsLookupFamily::V4Preferred,
        ..Dns::new(Arc::new(set))
    }))
}

/// Requests themselves say where they go: to hosts of a pattern, or to any of a service that is looked up so. Guests cannot.
fn names_itself(service: &Service, flavor: Flavor) -> bool {
    let is_pattern = service.fqdn.starts_with('*') && service.workloads.is_empty();
    let is_meant = service.resolution == Resolution::DynamicDns || service.resolution == Resolution::None && is_pattern;
    is_meant && flavor == Flavor::Leno
}

/// Where requests to strangers go.
pub(crate) const PASSTHROUGH: &str = "PassthroughCluster";

/// Called as in Istio: whatever host a request names.
pub(crate) fn passthrough() -> Cluster {
    let mut cluster = Cluster::new(PASSTHROUGH, Discovery::DynamicHosts(DynamicHosts::default()));
    cluster.balancer = BalancerPolicy::ClusterProvided;
    cluster.http.protocol = UpstreamProtocol::SameAsDownstream;
    cluster
}

/// The address of an endpoint that is known by name.
pub(crate) const fn unresolved(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// A port that is called `http` speaks HTTP/1.1, whatever the client does, as in Istio; `useClientProtocol` changes that.
pub(crate) const fn protocol(protocol: Protocol) -> UpstreamProtocol {
    match protocol {
        Protocol::Grpc | Protocol::Http2 => UpstreamProtocol::Http2,
        Protocol::Http => UpstreamProtocol::Http1,
        _ => UpstreamProtocol::SameAsDownstream,
    }
}

/// The nearest that each program has.
fn balancer(wanted: BalancerPolicy, flavor: Flavor) -> BalancerPolicy {
    match (wanted, flavor) {
        (BalancerPolicy::PeakEwma { .. }, Flavor::Envoy) => BalancerPolicy::LeastRequest(LeastRequest::default()),
        (BalancerPolicy::Maglev { .. }, Flavor::Grpc) => BalancerPolicy::RingHash {
            minimum_ring_size: BalancerPolicy::MINIMUM_RING_SIZE,
            maximum_ring_size: BalancerPolicy::MAXIMUM_RING_SIZE,
            function: RingFunction::XxHash,
        },
        (BalancerPolicy::PeakEwma { .. } | BalancerPolicy::Random, Flavor::Grpc) => BalancerPolicy::RoundRobin,
        (wanted, _) => wanted,
    }
}
