use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{
    IntOrString, Kind, MeshConfig, ObjectMeta, Resource, ResourceKey, Service as WrittenService, annotation,
};
use leno_names::{ServiceKey, dns_label};

use super::slices;
use crate::{
    Address, Location, MeshSettings, Problem, Protocol, Resolution, Rules, Service, ServicePort, Strangers, Visibility,
    Workload,
};

/// Istio's annotation on a Service, in place of the field that other kinds have.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// What services are made of.
pub(super) struct World<'a> {
    pub resources: &'a [Arc<Resource>],
    pub workloads: &'a [Arc<Workload>],
    pub settings: &'a MeshSettings,
    pub mesh: &'a MeshConfig,
}

pub(super) fn services(world: &World<'_>, problems: &mut Vec<Problem>) -> BTreeMap<ServiceKey, Service> {
    let World { resources, workloads, settings, mesh } = *world;
    let index = Index::new(workloads);
    let mut all = BTreeMap::new();
    for resource in resources {
        if let Resource::Service(object) = &**resource {
            let mut service = written(object, settings, mesh);
            select(&mut service, &object.spec.selector, &index, problems);
            all.insert(service.key.clone(), service);
        }
    }
    slices::add(resources, workloads, &mut all, problems);
    for (key, ports) in implied(workloads) {
        if !all.contains_key(&key) {
            let mut service = empty(key, settings);
            service.implicit = true;
            service.ports = ports;
            let selector = BTreeMap::from([("app".to_owned(), service.key.name.clone())]);
            select(&mut service, &selector, &index, problems);
            all.insert(service.key.clone(), service);
        }
    }
    all
}

pub(super) fn empty(key: ServiceKey, settings: &MeshSettings) -> Service {
    Service {
        origins: Vec::new(),
        visibility: Visibility::Everywhere,
        location: Location::Internal,
        resolution: Resolution::Static,
        addresses: Vec::new(),
        subject_alt_names: Vec::new(),
        fqdn: key.fqdn(&settings.domain),
        index: None,
        ports: Vec::new(),
        service_accounts: BTreeSet::from([key.name.clone()]),
        workloads: Vec::new(),
        strangers: Strangers::None,
        rules: Rules::Default,
        policies: None,
        traffic: None,
        attached: None,
        implicit: false,
        key,
    }
}

fn written(object: &WrittenService, settings: &MeshSettings, mesh: &MeshConfig) -> Service {
    let mut service = empty(ServiceKey::new(object.metadata.namespace(), &object.metadata.name), settings);
    service.origins.push(ResourceKey::new(Kind::Service, &service.key.namespace, &service.key.name));
    if let Some(accounts) = accounts(&object.metadata) {
        service.service_accounts = accounts;
    }
    let exported = object.metadata.annotation(EXPORT_TO).into_iter().flat_map(|text| text.split(',')).map(str::trim);
    let exported: Vec<_> = exported.filter(|word| !word.is_empty()).map(str::to_owned).collect();
    service.visibility = Visibility::of(&exported, &mesh.default_service_export_to, &service.key.namespace);
    let tcp = object.spec.ports.iter().filter(|port| port.protocol.as_deref().is_none_or(|p| p == "TCP"));
    service.ports = tcp
        .map(|port| ServicePort {
            number: port.port,
            name: port.name.clone(),
            target: port.target_port.clone().unwrap_or(IntOrString::Int(port.port)),
            protocol: Protocol::of(port.app_protocol.as_deref(), port.name.as_deref()),
        })
        .collect();
    service.ports.sort_by_key(|port| port.number);
    service.ports.dedup_by_key(|port| port.number);
    service
}

/// Who may stand behind a service, as its author says.
pub(super) fn accounts(metadata: &ObjectMeta) -> Option<BTreeSet<String>> {
    let text = metadata.annotation(annotation::SERVICE_ACCOUNTS)?;
    Some(text.split(',').map(str::trim).filter(|account| !account.is_empty()).map(str::to_owned).collect())
}

/// Services that workloads name, with a port for each of theirs.
fn implied(workloads: &[Arc<Workload>]) -> BTreeMap<ServiceKey, Vec<ServicePort>> {
    let mut all: BTreeMap<ServiceKey, BTreeMap<u16, Protocol>> = BTreeMap::new();
    for workload in workloads {
        let Some(name) = workload.service.as_deref().filter(|name| dns_label(name).is_ok()) else { continue };
        let ports = all.entry(ServiceKey::new(&workload.key.namespace, name)).or_default();
        for port in workload.ports.keys().filter_map(|text| text.parse().ok()) {
            let protocol = workload.protocols.get(&port).copied().unwrap_or_default();
            // Of instances that disagree, the first by name decides.
            ports.entry(port).or_insert(protocol);
        }
    }
    let port = |(number, protocol)| ServicePort { number, name: None, target: IntOrString::Int(number), protocol };
    all.into_iter().map(|(key, ports)| (key, ports.into_iter().map(port).collect())).collect()
}

/// Workloads by what selects them, each list in order of name: every service looks only at those that it may mean.
#[derive(Default)]
struct Index<'a> {
    /// Namespace, label, value.
    by_label: BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a Arc<Workload>>>,
    /// Namespace, service.
    by_service: BTreeMap<(&'a str, &'a str), Vec<&'a Arc<Workload>>>,
}

impl<'a> Index<'a> {
    fn new(workloads: &'a [Arc<Workload>]) -> Self {
        let mut index = Self::default();
        for workload in workloads {
            let namespace = &*workload.key.namespace;
            for (label, value) in &workload.labels {
                index.by_label.entry((namespace, label, value)).or_default().push(workload);
            }
            if let Some(service) = workload.service.as_deref() {
                index.by_service.entry((namespace, service)).or_default().push(workload);
            }
        }
        index
    }
}

/// Fills in the workloads. A service without selector takes those that name it.
fn select(service: &mut Service, selector: &BTreeMap<String, String>, index: &Index<'_>, problems: &mut Vec<Problem>) {
    let namespace = &*service.key.namespace;
    let candidates = match selector.first_key_value() {
        Some((label, value)) if !service.implicit => index.by_label.get(&(namespace, &**label, &**value)),
        _ => index.by_service.get(&(namespace, &*service.key.name)),
    };
    for workload in candidates.into_iter().flatten() {
        if !service.implicit && !workload.matches(selector) {
            continue;
        }
        if let Address::Name(name) = &workload.address {
            let object = ResourceKey::new(Kind::WorkloadEntry, &workload.key.namespace, &workload.key.name);
            let message = format!(
                "service {} takes IP addresses only; \"{name}\" needs a ServiceEntry with resolution DNS",
                service.key
            );
            problems.push(Problem::error(&object, "spec.address", "name_not_looked_up", message));
        } else if service.service_accounts.contains(&workload.service_account) {
            service.workloads.push(Arc::clone(workload));
        } else {
            problems.push(not_allowed(workload, service));
        }
    }
}

/// The workload may not stand behind the service.
pub(super) fn not_allowed(workload: &Workload, service: &Service) -> Problem {
    let message = format!(
        "service account \"{}\" may not stand behind service {}; allow it with the Service's annotation {}",
        workload.service_account,
        service.key,
        annotation::SERVICE_ACCOUNTS
    );
    let object = ResourceKey::new(Kind::WorkloadEntry, &workload.key.namespace, &workload.key.name);
    Problem::error(&object, "spec.serviceAccount", "service_account_not_allowed", message)
}
