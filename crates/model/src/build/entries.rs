//! ServiceEntries: each of their hosts is a service, or a part of one that is there already.
//!
//! Invariants  a host that a Service of the same namespace has is that Service, with more endpoints and names; of several
//!             ServiceEntries of one namespace for a host the oldest decides, the others add ports and endpoints
//! Source      Istio ServiceEntry; who may stand behind an entry is ours (see [`accounts`])

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{
    EntryLocation, EntryPort, EntryResolution, IntOrString, MeshConfig, Resource, ResourceKey, ServiceEntry,
};
use leno_names::ServiceKey;

use super::services::{self, World, empty};
use crate::workload::address;
use crate::{
    Address, Location, MeshSettings, Problem, Protocol, Resolution, Service, ServicePort, Visibility, Workload,
};

type Services = BTreeMap<ServiceKey, Service>;

/// The services that entries may become; a few of them turn out to be Services of the mesh.
pub(super) fn keys(resources: &[Arc<Resource>]) -> impl Iterator<Item = ServiceKey> {
    resources.iter().flat_map(|resource| {
        let Resource::ServiceEntry(object) = &**resource else { return Vec::new() };
        let namespace = object.metadata.namespace();
        object.spec.hosts.iter().map(|host| ServiceKey::new(namespace, host.to_ascii_lowercase())).collect()
    })
}

/// Adds what entries say; the value is the keys of those that are services of their own, in order of age.
pub(super) fn add(world: &World<'_>, services: &mut Services, problems: &mut Vec<Problem>) -> Vec<ServiceKey> {
    let World { resources, workloads, settings, mesh } = *world;
    let mut own = Vec::new();
    for resource in resources {
        let Resource::ServiceEntry(object) = &**resource else { continue };
        let key = resource.key();
        let entry = Entry { object, workloads: behind(object, &key, workloads, problems), key, mesh };
        for host in &object.spec.hosts {
            let host = host.to_ascii_lowercase();
            let service = entry.service(&host, services, settings, problems);
            if !own.contains(&service) && services.get(&service).is_some_and(|service| !service.is_of_mesh()) {
                own.push(service);
            }
        }
    }
    own
}

struct Entry<'a> {
    object: &'a ServiceEntry,
    workloads: Vec<Arc<Workload>>,
    key: ResourceKey,
    mesh: &'a MeshConfig,
}

impl Entry<'_> {
    /// The service that a host of the entry is.
    fn service(
        &self,
        host: &str,
        services: &mut Services,
        settings: &MeshSettings,
        problems: &mut Vec<Problem>,
    ) -> ServiceKey {
        let namespace = &self.key.namespace;
        let of_mesh = crate::hosts::resolve(host, namespace, &settings.domain)
            .filter(|key| key.namespace == *namespace && key.fqdn(&settings.domain) == host);
        let key = of_mesh.filter(|key| services.contains_key(key)).unwrap_or_else(|| ServiceKey::new(namespace, host));
        let is_new = !services.contains_key(&key);
        let service = services.entry(key.clone()).or_insert_with(|| self.start(key.clone(), host, settings));
        service.origins.push(self.key.clone());
        service.subject_alt_names.extend(self.object.spec.subject_alt_names.iter().cloned());
        if !service.is_of_mesh() {
            self.ports(service, problems);
        }
        self.endpoints(service, host, is_new, problems);
        key
    }

    fn start(&self, key: ServiceKey, host: &str, settings: &MeshSettings) -> Service {
        let spec = &self.object.spec;
        Service {
            fqdn: host.to_owned(),
            visibility: Visibility::of(&spec.export_to, &self.mesh.default_service_export_to, &self.key.namespace),
            location: match spec.location {
                Some(EntryLocation::MeshInternal) => Location::Internal,
                None | Some(EntryLocation::MeshExternal) => Location::External,
            },
            resolution: match spec.resolution {
                Some(EntryResolution::Dns) => Resolution::Dns,
                Some(EntryResolution::DnsRoundRobin) => Resolution::DnsRoundRobin,
                Some(EntryResolution::DynamicDns) => Resolution::DynamicDns,
                None | Some(EntryResolution::None) => Resolution::None,
                Some(EntryResolution::Static) => Resolution::Static,
            },
            addresses: spec.addresses.clone(),
            service_accounts: accounts(self.object, host),
            ..empty(key, settings)
        }
    }

    fn ports(&self, service: &mut Service, problems: &mut Vec<Problem>) {
        for (index, port) in self.object.spec.ports.iter().enumerate() {
            let port = written(port);
            match service.port(port.number) {
                None => service.ports.push(port),
                Some(first) if first.protocol != port.protocol => {
                    let message = format!(
                        "port {} of \"{}\" is there already with another protocol, which holds",
                        port.number, service.fqdn
                    );
                    let field = format!("spec.ports[{index}].protocol");
                    problems.push(Problem::error(&self.key, field, "conflict", message));
                }
                Some(_) => {}
            }
        }
        service.ports.sort_by_key(|port| port.number);
    }

    fn endpoints(&self, service: &mut Service, host: &str, is_new: bool, problems: &mut Vec<Problem>) {
        let takes_names = matches!(service.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
        for workload in &self.workloads {
            let fits = matches!(workload.address, Address::Ip(_)) || takes_names;
            if fits && !service.workloads.contains(workload) {
                // What an operator wrote is trusted; who came by himself must be allowed.
                if !workload.registered {
                    service.service_accounts.insert(workload.service_account.clone());
                }
                if service.service_accounts.contains(&workload.service_account) {
                    service.workloads.push(workload.clone());
                } else {
                    problems.push(services::not_allowed(workload, service));
                }
            }
        }
        let is_host = self.object.spec.endpoints.is_empty() && self.object.spec.workload_selector.is_none();
        let is_looked_up = takes_names || service.resolution == Resolution::None;
        if is_new && is_host && is_looked_up && !host.starts_with('*') {
            let itself = Workload::written(self.key.clone(), Address::Name(host.to_owned()), &Default::default());
            service.workloads.push(Arc::new(itself));
        }
    }
}

fn written(port: &EntryPort) -> ServicePort {
    let protocol = port.protocol.as_deref().filter(|word| !word.is_empty());
    ServicePort {
        number: port.number,
        name: Some(port.name.clone()).filter(|name| !name.is_empty()),
        target: IntOrString::Int(port.target_port.unwrap_or(port.number)),
        protocol: Protocol::of(protocol, Some(&port.name)),
    }
}

/// Who may stand behind an entry: those whom its annotation or its SPIFFE IDs name, or else one that is called as it is.
fn accounts(object: &ServiceEntry, host: &str) -> BTreeSet<String> {
    let namespace = object.metadata.namespace();
    let of_ids = object.spec.subject_alt_names.iter().filter_map(|name| name.parse::<leno_names::SpiffeId>().ok());
    let of_ids: BTreeSet<_> = of_ids.filter(|id| id.namespace == namespace).map(|id| id.service_account).collect();
    services::accounts(&object.metadata).unwrap_or_else(|| match of_ids.is_empty() {
        true => host.split('.').next().into_iter().chain([&*object.metadata.name]).map(str::to_owned).collect(),
        false => of_ids,
    })
}

/// The endpoints that an entry lists, or those workloads that its selector chooses.
fn behind(
    object: &ServiceEntry,
    key: &ResourceKey,
    workloads: &[Arc<Workload>],
    problems: &mut Vec<Problem>,
) -> Vec<Arc<Workload>> {
    if let Some(selector) = &object.spec.workload_selector {
        let chosen = |workload: &&Arc<Workload>| {
            workload.key.namespace == key.namespace && !selector.labels.is_empty() && workload.matches(&selector.labels)
        };
        return workloads.iter().filter(chosen).cloned().collect();
    }
    let mut all = Vec::new();
    for (index, endpoint) in object.spec.endpoints.iter().enumerate() {
        match address(endpoint.address.as_deref().unwrap_or_default()) {
            Ok(address) => all.push(Arc::new(Workload::written(key.clone(), address, endpoint))),
            Err(message) => {
                let field = format!("spec.endpoints[{index}].address");
                problems.push(Problem::error(key, field, "not_supported_yet", message));
            }
        }
    }
    all
}
