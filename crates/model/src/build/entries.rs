//! ServiceEntries: each of their hosts is a service, or a part of one that is there already.
//!
//! Invariants  a host that a Service of the same namespace has is that Service, with more endpoints and names; of several
//!             ServiceEntries of one namespace for a host the oldest decides, the others add ports and endpoints
//! Source      Istio ServiceEntry; who may stand behind an entry is ours (see [`accounts`])

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{EntryLocation, EntryPort, EntryResolution, IntOrString, ResourceKey, ServiceEntry};
use leno_names::ServiceKey;

use super::objects::Place;
use super::services::{self, World, empty};
use super::workloads::Workloads;
use crate::workload::address;
use crate::{Address, Location, Problem, Protocol, Resolution, Service, ServicePort, Visibility, Workload};

/// ServiceEntries by the hosts they name.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// By namespace and host, oldest first.
    by_host: BTreeMap<(String, String), BTreeMap<Place, Arc<Entry>>>,
    /// Those that choose workloads by their labels; by namespace.
    choosing: BTreeMap<String, BTreeMap<ResourceKey, Arc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    key: ResourceKey,
    object: Arc<ServiceEntry>,
    /// That it lists itself.
    endpoints: Vec<Arc<Workload>>,
}

impl Entries {
    pub(super) fn add(&mut self, place: &Place, object: &Arc<ServiceEntry>, problems: &mut Vec<Problem>) {
        let key = place.1.clone();
        let endpoints = listed(object, &key, problems);
        let entry = Arc::new(Entry { key, object: object.clone(), endpoints });
        for host in hosts(object) {
            let same = self.by_host.entry((entry.key.namespace.clone(), host)).or_default();
            same.insert(place.clone(), entry.clone());
        }
        if object.spec.workload_selector.is_some() {
            let own = self.choosing.entry(entry.key.namespace.clone()).or_default();
            own.insert(entry.key.clone(), entry);
        }
    }

    pub(super) fn remove(&mut self, place: &Place, object: &ServiceEntry) {
        let namespace = &place.1.namespace;
        for host in hosts(object) {
            let host = (namespace.clone(), host);
            if let Some(same) = self.by_host.get_mut(&host) {
                same.remove(place);
                if same.is_empty() {
                    self.by_host.remove(&host);
                }
            }
        }
        if let Some(own) = self.choosing.get_mut(namespace) {
            own.remove(&place.1);
        }
    }

    /// The services that entries which choose a workload may become.
    pub(super) fn choosing<'a>(&'a self, workload: &'a Workload, domain: &'a str) -> impl Iterator<Item = ServiceKey> {
        let own = self.choosing.get(&workload.key.namespace).into_iter().flat_map(BTreeMap::values);
        let chosen = own.filter(|entry| entry.chooses(workload));
        chosen.flat_map(move |entry| keys(&entry.object, domain))
    }

    /// Namespace and host of all, oldest first; some twice.
    pub(super) fn hosts(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut all: Vec<_> =
            self.by_host.iter().filter_map(|(host, same)| Some((same.keys().next()?, host))).collect();
        all.sort();
        all.into_iter().map(|(_, (namespace, host))| (&**namespace, &**host))
    }

    /// Those that name one of the hosts, oldest first, with the host.
    fn of<'a>(&'a self, namespace: &str, hosts: &[&str]) -> Vec<(&'a str, &'a Arc<Entry>)> {
        let lists =
            hosts.iter().filter_map(|host| self.by_host.get_key_value(&(namespace.to_owned(), (*host).to_owned())));
        let mut all: Vec<_> = lists
            .flat_map(|((_, host), same)| same.iter().map(move |(place, entry)| (place, &**host, entry)))
            .collect();
        all.sort_by_key(|(place, host, _)| (*place, *host));
        all.into_iter().map(|(_, host, entry)| (host, entry)).collect()
    }
}

fn hosts(object: &ServiceEntry) -> BTreeSet<String> {
    object.spec.hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
}

/// The services that an entry may become: hosts of its own, or parts of Services of its namespace.
pub(super) fn keys(object: &ServiceEntry, domain: &str) -> BTreeSet<ServiceKey> {
    let namespace = object.metadata.namespace();
    let of_host = |host: String| {
        let of_mesh = of_mesh(&host, namespace, domain);
        std::iter::once(ServiceKey::new(namespace, host)).chain(of_mesh)
    };
    hosts(object).into_iter().flat_map(of_host).collect()
}

/// As [`keys`], without Services of the mesh.
pub(super) fn own_keys(object: &ServiceEntry) -> Vec<ServiceKey> {
    hosts(object).into_iter().map(|host| ServiceKey::new(object.metadata.namespace(), host)).collect()
}

/// The Service whose whole name the host is, whether there is one or not.
fn of_mesh(host: &str, namespace: &str, domain: &str) -> Option<ServiceKey> {
    let named = crate::hosts::resolve(host, namespace, domain);
    named.filter(|key| key.namespace == namespace && key.fqdn(domain) == host)
}

/// The service that a host of an entry is.
pub(super) fn key_of(world: &World<'_>, namespace: &str, host: &str) -> ServiceKey {
    let of_mesh = of_mesh(host, namespace, &world.settings.domain).filter(|key| world.is_of_mesh(key));
    of_mesh.unwrap_or_else(|| ServiceKey::new(namespace, host))
}

/// The service with what entries say of it.
pub(super) fn extend(
    world: &World<'_>,
    key: &ServiceKey,
    own: Option<Service>,
    problems: &mut Vec<Problem>,
) -> Option<Service> {
    let fqdn = own.as_ref().map(|own| own.fqdn.clone());
    let hosts: Vec<_> = std::iter::once(key.name.as_str()).chain(fqdn.as_deref()).collect();
    let mut service = own;
    for (host, entry) in world.entries.of(&key.namespace, &hosts) {
        if key_of(world, &key.namespace, host) == *key {
            entry.add_to(&mut service, key, host, world, problems);
        }
    }
    service
}

impl Entry {
    fn add_to(
        &self,
        service: &mut Option<Service>,
        key: &ServiceKey,
        host: &str,
        world: &World<'_>,
        problems: &mut Vec<Problem>,
    ) {
        let is_new = service.is_none();
        let service = service.get_or_insert_with(|| self.start(key.clone(), host, world));
        service.origins.push(self.key.clone());
        service.subject_alt_names.extend(self.object.spec.subject_alt_names.iter().cloned());
        if !service.is_of_mesh() {
            self.ports(service, problems);
        }
        self.endpoints(service, host, is_new, world.workloads, problems);
    }

    fn chooses(&self, workload: &Workload) -> bool {
        self.object.spec.workload_selector.as_ref().is_some_and(|selector| {
            workload.key.namespace == self.key.namespace
                && !selector.labels.is_empty()
                && workload.matches(&selector.labels)
        })
    }

    /// The endpoints that it lists, or those workloads that its selector chooses, in order of name.
    fn behind<'a>(&'a self, workloads: &'a Workloads) -> impl Iterator<Item = &'a Arc<Workload>> {
        let selector = self.object.spec.workload_selector.as_ref();
        let first = selector.and_then(|selector| selector.labels.first_key_value());
        let candidates = first.map_or(&[][..], |(label, value)| workloads.of_label(&self.key.namespace, label, value));
        let listed = if selector.is_some() { &[][..] } else { &self.endpoints };
        candidates.iter().filter(|workload| self.chooses(workload)).chain(listed)
    }

    fn start(&self, key: ServiceKey, host: &str, world: &World<'_>) -> Service {
        let (spec, mesh) = (&self.object.spec, world.mesh);
        Service {
            fqdn: host.to_owned(),
            visibility: Visibility::of(&spec.export_to, &mesh.default_service_export_to, &self.key.namespace),
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
            service_accounts: accounts(&self.object, host),
            ..empty(key, world.settings)
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

    fn endpoints(
        &self,
        service: &mut Service,
        host: &str,
        is_new: bool,
        workloads: &Workloads,
        problems: &mut Vec<Problem>,
    ) {
        let takes_names = matches!(service.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
        for workload in self.behind(workloads) {
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

fn listed(object: &ServiceEntry, key: &ResourceKey, problems: &mut Vec<Problem>) -> Vec<Arc<Workload>> {
    if object.spec.workload_selector.is_some() {
        return Vec::new();
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
