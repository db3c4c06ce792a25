use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{
    IntOrString, Kind, MeshConfig, ObjectMeta, Resource, ResourceKey, Service as WrittenService, annotation,
};
use leno_names::{ServiceKey, dns_label};

use super::entries::{self, Entries};
use super::objects::Objects;
use super::slices::{self, Slices};
use super::workloads::Workloads;
use crate::{
    Address, Location, MeshSettings, Problem, Protocol, Resolution, Rules, Service, ServicePort, Strangers, Visibility,
    Workload,
};

/// Istio's annotation on a Service, in place of the field that other kinds have.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// What services are made of.
pub(super) struct World<'a> {
    pub objects: &'a Objects,
    pub workloads: &'a Workloads,
    pub entries: &'a Entries,
    pub slices: &'a Slices,
    pub settings: &'a MeshSettings,
    pub mesh: &'a MeshConfig,
}

impl World<'_> {
    fn object(&self, key: &ServiceKey) -> Option<&WrittenService> {
        match &**self.objects.get(&ResourceKey::new(Kind::Service, &key.namespace, &key.name))? {
            Resource::Service(object) => Some(object),
            _ => None,
        }
    }

    /// Whether it is a Service, written or implied.
    pub(super) fn is_of_mesh(&self, key: &ServiceKey) -> bool {
        self.object(key).is_some() || is_implied(self.workloads, key)
    }

    /// The service of a key, if anything makes one.
    pub(super) fn service(&self, key: &ServiceKey, problems: &mut Vec<Problem>) -> Option<Service> {
        let own = match self.object(key) {
            Some(object) => {
                let mut service = written(object, self.settings, self.mesh);
                select(&mut service, &object.spec.selector, self.workloads, problems);
                slices::extend(self.slices, self.workloads, &mut service, problems);
                Some(service)
            }
            None if is_implied(self.workloads, key) => {
                let mut service = empty(key.clone(), self.settings);
                service.implicit = true;
                service.ports = implied_ports(self.workloads.of_service(&key.namespace, &key.name));
                let selector = BTreeMap::from([("app".to_owned(), key.name.clone())]);
                select(&mut service, &selector, self.workloads, problems);
                Some(service)
            }
            None => None,
        };
        entries::extend(self, key, own, problems)
    }
}

/// What of a workload decides which Services look at it: its namespace and one of its labels.
pub(super) type Selector = (String, String, String);

/// That of a Service; `None` where workloads name it themselves.
pub(super) fn selector(object: &WrittenService) -> Option<Selector> {
    let (label, value) = object.spec.selector.first_key_value()?;
    Some((object.metadata.namespace().to_owned(), label.clone(), value.clone()))
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

/// Whether workloads name the service.
fn is_implied(workloads: &Workloads, key: &ServiceKey) -> bool {
    dns_label(&key.name).is_ok() && !workloads.of_service(&key.namespace, &key.name).is_empty()
}

/// A port for each of those of its workloads.
fn implied_ports(workloads: &[Arc<Workload>]) -> Vec<ServicePort> {
    let mut all: BTreeMap<u16, Protocol> = BTreeMap::new();
    for workload in workloads {
        for port in workload.ports.keys().filter_map(|text| text.parse().ok()) {
            let protocol = workload.protocols.get(&port).copied().unwrap_or_default();
            // Of instances that disagree, the first by name decides.
            all.entry(port).or_insert(protocol);
        }
    }
    let port = |(number, protocol)| ServicePort { number, name: None, target: IntOrString::Int(number), protocol };
    all.into_iter().map(port).collect()
}

/// Fills in the workloads. A service without selector takes those that name it.
fn select(
    service: &mut Service,
    selector: &BTreeMap<String, String>,
    workloads: &Workloads,
    problems: &mut Vec<Problem>,
) {
    let namespace = &*service.key.namespace;
    let candidates = match selector.first_key_value() {
        Some((label, value)) if !service.implicit => workloads.of_label(namespace, label, value),
        _ => workloads.of_service(namespace, &service.key.name),
    };
    for workload in candidates {
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
