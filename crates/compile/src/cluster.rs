use leno_ir::{
    BalancerPolicy, Cluster, Discovery, Flavor, LeastRequest, PeerValidation, RingFunction, StringMatch,
    UpstreamProtocol, UpstreamTls,
};
use leno_model::api::{TlsMode, TrafficPolicy};
use leno_model::{Problem, Protocol, Service, ServicePort, Snapshot};
use leno_names::SpiffeId;

use crate::policy::{self, Layer};

/// One cluster per port and subset.
pub(crate) fn compile(
    snapshot: &Snapshot,
    service: &Service,
    flavor: Flavor,
    problems: &mut Vec<Problem>,
) -> Vec<Cluster> {
    let mut clusters = Vec::new();
    for port in &service.ports {
        let layers = layers_of(service, port.number, None);
        clusters.push(one(snapshot, service, port, None, flavor, &layers, problems));
        for subset in service.subsets() {
            let layers = layers_of(service, port.number, Some(&subset.name));
            clusters.push(one(snapshot, service, port, Some(&subset.name), flavor, &layers, problems));
        }
    }
    clusters
}

/// The parts of a service's policies that hold for a port and subset, weakest first.
pub(crate) fn layers_of<'a>(service: &'a Service, port: u16, subset: Option<&str>) -> Vec<Layer<'a>> {
    let whole = service.destination_rule.as_ref().and_then(|rule| rule.spec.traffic_policy.as_ref());
    let mut all = layers(whole, "spec.trafficPolicy", port);
    let found = service.subsets().iter().enumerate().find(|(_, known)| Some(known.name.as_str()) == subset);
    if let Some((index, subset)) = found {
        let at = format!("spec.subsets[{index}].trafficPolicy");
        all.extend(layers(subset.traffic_policy.as_ref(), &at, port));
    }
    all
}

/// The parts of a policy that hold for a port, weakest first. Istio: settings of a port replace all others of the same policy.
fn layers<'a>(policy: Option<&'a TrafficPolicy>, at: &str, port: u16) -> Vec<Layer<'a>> {
    let Some(policy) = policy else { return Vec::new() };
    match policy.port_level_settings.iter().enumerate().find(|(_, level)| level.port.number == port) {
        Some((index, level)) => vec![Layer::of_port(level, format!("{at}.portLevelSettings[{index}]"))],
        None => vec![Layer::of(policy, at.to_owned())],
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
    let mut cluster = Cluster::new(name.clone(), Discovery::Eds { service_name: name });
    cluster.service = Some(service.key.clone());
    cluster.http.protocol = protocol(port.protocol);
    cluster.outlier_detection = policy::default_outlier_detection(flavor);
    let mut mode = TlsMode::IstioMutual;
    if let Some(object) = service.destination_rule_key() {
        for layer in layers {
            layer.apply(&object, &mut cluster, &mut mode, problems);
        }
    }
    cluster.balancer = balancer(cluster.balancer, flavor);
    if flavor == Flavor::Grpc {
        cluster.http.protocol = UpstreamProtocol::Http2;
    }
    if mode != TlsMode::Disable {
        cluster.tls = Some(tls(snapshot, service, port, subset, flavor, &cluster));
    }
    cluster
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

fn tls(
    snapshot: &Snapshot,
    service: &Service,
    port: &ServicePort,
    subset: Option<&str>,
    flavor: Flavor,
    cluster: &Cluster,
) -> UpstreamTls {
    let trust_domain = &snapshot.settings.trust_domain;
    let accounts = service.service_accounts.iter();
    let ids = accounts.map(|account| SpiffeId::new(trust_domain.clone(), &service.key.namespace, account).to_string());
    let alpn: &[&str] = match (flavor, port.protocol, cluster.http.protocol) {
        (Flavor::Leno, ..) => &[],
        (_, Protocol::Tcp, _) => &["istio"],
        (_, _, UpstreamProtocol::Http1) => &["http/1.1"],
        (_, _, UpstreamProtocol::Http2) => &["h2"],
        (_, _, UpstreamProtocol::Negotiated | UpstreamProtocol::SameAsDownstream) => &[],
    };
    UpstreamTls {
        // Istio's name for a cluster in SNI.
        sni: Some(format!("outbound_.{}_.{}_.{}", port.number, subset.unwrap_or_default(), service.fqdn)),
        alpn: alpn.iter().map(|&protocol| protocol.to_owned()).collect(),
        ..UpstreamTls::of_mesh(PeerValidation::of_mesh(ids.map(StringMatch::exact)))
    }
}
