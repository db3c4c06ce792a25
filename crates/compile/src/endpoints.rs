use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use leno_ir::{Endpoint, EndpointHealth, EndpointSet, LocalityEndpoints, WorkloadLabels};
use leno_model::{Address, Health, Service, ServicePort, Workload};
use leno_names::Locality;

use crate::cluster::unresolved;

/// One set per port and subset, empty ones included: an unknown set would hold its cluster back. None for services whose
/// clusters look their endpoints up.
pub(crate) fn compile(service: &Service) -> Vec<EndpointSet> {
    if !service.has_endpoint_sets() {
        return Vec::new();
    }
    let subsets = || std::iter::once(None).chain(service.subsets().iter().map(|subset| Some(&*subset.name)));
    service.ports.iter().flat_map(|port| subsets().map(move |subset| of(service, port, subset))).collect()
}

pub(crate) fn of(service: &Service, port: &ServicePort, subset: Option<&str>) -> EndpointSet {
    let chosen = service.subsets().iter().find(|known| Some(&*known.name) == subset);
    let fits = |workload: &&Arc<Workload>| chosen.is_none_or(|subset| workload.matches(&subset.labels));
    let workloads = service.workloads.iter().filter(fits).map(AsRef::as_ref);
    EndpointSet {
        name: service.cluster_name(port.number, subset),
        localities: localities(service, port, workloads),
        ..EndpointSet::default()
    }
}

fn localities<'a>(
    service: &Service,
    port: &ServicePort,
    workloads: impl Iterator<Item = &'a Workload>,
) -> Vec<LocalityEndpoints> {
    let mut all: BTreeMap<Locality, Vec<Endpoint>> = BTreeMap::new();
    for workload in workloads {
        if let Some(number) = port.on(workload) {
            all.entry(workload.locality.clone()).or_default().push(endpoint(service, workload, number));
        }
    }
    all.into_iter()
        .map(|(locality, endpoints)| {
            let weight = endpoints.iter().fold(0_u32, |sum, endpoint| sum.saturating_add(endpoint.weight));
            LocalityEndpoints { locality, weight, endpoints, ..LocalityEndpoints::default() }
        })
        .collect()
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
        ..Endpoint::new(address)
    }
}
