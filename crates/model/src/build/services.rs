use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{IntOrString, Kind, Resource, ResourceKey, Service as WrittenService, annotation};
use leno_names::{ServiceKey, dns_label};

use crate::{MeshSettings, Problem, Protocol, Rules, Service, ServicePort, Workload};

pub(super) fn services(
    resources: &[Arc<Resource>],
    workloads: &[Arc<Workload>],
    settings: &MeshSettings,
    indices: &BTreeMap<ServiceKey, u16>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<ServiceKey, Service> {
    let index = Index::new(workloads);
    let mut all = BTreeMap::new();
    for resource in resources {
        if let Resource::Service(object) = &**resource {
            let mut service = written(object, settings);
            select(&mut service, &object.spec.selector, &index, problems);
            all.insert(service.key.clone(), service);
        }
    }
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
    for (key, service) in &mut all {
        service.index = indices.get(key).copied();
    }
    all
}

fn empty(key: ServiceKey, settings: &MeshSettings) -> Service {
    Service {
        fqdn: key.fqdn(&settings.domain),
        index: None,
        ports: Vec::new(),
        service_accounts: BTreeSet::from([key.name.clone()]),
        workloads: Vec::new(),
        rules: Rules::Default,
        destination_rule: None,
        implicit: false,
        key,
    }
}

fn written(object: &WrittenService, settings: &MeshSettings) -> Service {
    let mut service = empty(ServiceKey::new(object.metadata.namespace(), &object.metadata.name), settings);
    if let Some(accounts) = object.metadata.annotation(annotation::SERVICE_ACCOUNTS) {
        service.service_accounts =
            accounts.split(',').map(str::trim).filter(|account| !account.is_empty()).map(str::to_owned).collect();
    }
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
        if service.service_accounts.contains(&workload.service_account) {
            service.workloads.push(Arc::clone(workload));
        } else {
            let object = ResourceKey::new(Kind::WorkloadEntry, &workload.key.namespace, &workload.key.name);
            let message = format!(
                "service account \"{}\" may not stand behind service {}; allow it with the Service's annotation {}",
                workload.service_account,
                service.key,
                annotation::SERVICE_ACCOUNTS
            );
            problems.push(Problem::error(&object, "spec.serviceAccount", "service_account_not_allowed", message));
        }
    }
}
