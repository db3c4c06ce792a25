use std::collections::BTreeMap;
use std::net::SocketAddr;

use leno_ir::{Endpoint, EndpointHealth, EndpointSet, LocalityEndpoints, WorkloadLabels};
use leno_model::{Health, Service, ServicePort, Workload};
use leno_names::Locality;

/// One set per port and subset, empty ones included: an unknown set would hold its cluster back.
pub(crate) fn compile(service: &Service) -> Vec<EndpointSet> {
    let mut sets = Vec::new();
    let none = BTreeMap::new();
    for port in &service.ports {
        let subsets = service.subsets().iter().map(|subset| (Some(subset.name.as_str()), &subset.labels));
        for (subset, labels) in std::iter::once((None, &none)).chain(subsets) {
            let chosen = service.workloads.iter().filter(|workload| workload.matches(labels));
            let name = service.cluster_name(port.number, subset);
            sets.push(EndpointSet {
                name,
                localities: localities(service, port, chosen.map(AsRef::as_ref)),
                ..EndpointSet::default()
            });
        }
    }
    sets
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
    Endpoint {
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
        ..Endpoint::new(SocketAddr::new(workload.address, port))
    }
}
