use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use leno_ir::{Endpoint, EndpointHealth, EndpointSet, Labels, Node, WorkloadLabels};
use leno_model::api::LocalityLb;
use leno_model::{Address, Health, Service, ServicePort, Workload};

use crate::cluster::{layers_of, unresolved};
use crate::locality::{self, Candidate};

/// One set per port and subset, empty ones included: an unknown set would hold its cluster back. None for services whose
/// clusters look their endpoints up.
pub(crate) fn compile(service: &Service) -> Vec<EndpointSet> {
    if !service.has_endpoint_sets() {
        return Vec::new();
    }
    places(service).map(|(port, subset)| of(service, port, subset)).collect()
}

fn places(service: &Service) -> impl Iterator<Item = (&ServicePort, Option<&str>)> {
    let subsets = || std::iter::once(None).chain(service.subsets().iter().map(|subset| Some(&*subset.name)));
    service.ports.iter().flat_map(move |port| subsets().map(move |subset| (port, subset)))
}

pub(crate) fn of(service: &Service, port: &ServicePort, subset: Option<&str>) -> EndpointSet {
    set(service, port, subset, locality::plain(candidates(service, port, subset)))
}

/// The sets that are not the same to all clients, by name.
pub(crate) fn arranged_for(service: &Service, node: &Node, mesh: Option<&LocalityLb>) -> BTreeMap<String, EndpointSet> {
    if !service.has_endpoint_sets() || service.policies.is_none() && mesh.is_none() {
        return BTreeMap::new();
    }
    let arranged = places(service).filter_map(|(port, subset)| {
        let setting = setting(service, port, subset, mesh)?;
        let localities = locality::arranged(candidates(service, port, subset), &setting, node);
        let set = set(service, port, subset, localities);
        Some((set.name.clone(), set))
    });
    arranged.collect()
}

/// How the localities of a cluster are used; `None`: alike. Istio: failover needs somebody who sees failures.
fn setting(
    service: &Service,
    port: &ServicePort,
    subset: Option<&str>,
    mesh: Option<&LocalityLb>,
) -> Option<LocalityLb> {
    let (mut setting, mut sees_failures) = (mesh.cloned(), false);
    for layer in layers_of(service, port.number, subset) {
        setting = layer.locality().cloned().or(setting);
        sees_failures |= layer.sees_failures();
    }
    let setting = setting.unwrap_or_default();
    let is_on = setting.enabled != Some(false) && (sees_failures || !setting.distribute.is_empty());
    is_on.then_some(setting)
}

fn set(
    service: &Service,
    port: &ServicePort,
    subset: Option<&str>,
    localities: Vec<leno_ir::LocalityEndpoints>,
) -> EndpointSet {
    EndpointSet { name: service.cluster_name(port.number, subset), localities, ..EndpointSet::default() }
}

fn candidates<'a>(service: &'a Service, port: &ServicePort, subset: Option<&str>) -> Vec<Candidate<'a>> {
    let chosen = service.subsets().iter().find(|known| Some(&*known.name) == subset);
    let fits = |workload: &&Arc<Workload>| chosen.is_none_or(|subset| workload.matches(&subset.labels));
    let workloads = service.workloads.iter().filter(fits).map(AsRef::as_ref);
    let candidate = |workload: &'a Workload| {
        let number = port.on(workload)?;
        Some(Candidate { workload, endpoint: endpoint(service, workload, number) })
    };
    workloads.filter_map(candidate).collect()
}

/// What endpoints are labelled with that know nothing of the mesh's mutual TLS.
pub(crate) fn stranger() -> Labels {
    Labels::from([("leno.dev/transport".to_owned(), leno_ir::MetadataValue::String("plain".to_owned()))])
}

fn endpoint(service: &Service, workload: &Workload, port: u16) -> Endpoint {
    let (address, name) = match &workload.address {
        Address::Ip(ip) => (SocketAddr::new(*ip, port), None),
        Address::Name(name) => (unresolved(port), Some(name.clone())),
    };
    Endpoint {
        hostname: name.clone().unwrap_or_default(),
        resolve: name,
        weight: workload.weight,
        health: match workload.health {
            Health::Draining => EndpointHealth::Draining,
            Health::Healthy => EndpointHealth::Healthy,
            Health::Unhealthy => EndpointHealth::Unhealthy,
        },
        workload: WorkloadLabels {
            workload: workload.key.name.clone(),
            namespace: workload.key.namespace.clone(),
            service: service.key.name.clone(),
            version: workload.labels.get("version").cloned().unwrap_or_default(),
            cluster: String::new(),
        },
        socket_labels: if workload.is_stranger { stranger() } else { Labels::new() },
        ..Endpoint::new(address)
    }
}
