//! Resources to snapshot.

mod attach;
mod bind;
mod credentials;
mod entries;
mod gateways;
mod istio_gateways;
mod services;
mod settings;
mod slices;
mod smi;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{EnvoyFilter, MeshConfig, Resource, annotation, not_supported_yet};
use leno_names::ServiceKey;

pub use gateways::BackendError;
pub(crate) use gateways::{Attached, backend};

use crate::client::Differences;
use crate::hosts::Hosts;
use crate::rulebook::Rulebook;
use crate::sidecar::Sidecars;
use crate::{Grants, MeshSettings, Problem, Service, Snapshot, Visibility, Workload};

pub(crate) fn build(
    resources: &[Arc<Resource>],
    settings: &MeshSettings,
    indices: &BTreeMap<ServiceKey, u16>,
) -> (Snapshot, Vec<Problem>) {
    let resources = in_order(resources);
    let mut problems = Vec::new();
    for resource in &resources {
        let key = resource.key();
        problems.extend(not_supported_yet(resource).into_iter().map(|field| {
            let message = format!("not supported yet: {field}");
            Problem::warning(&key, field, "not_supported_yet", message)
        }));
    }
    let mut mesh = mesh_config(&resources, settings, &mut problems);
    settings::lay_over(&mut mesh, &resources, &mut problems);
    let settings = &settings.with(&mesh);
    let workloads = workloads(&resources, &mut problems);
    let world = services::World { resources: &resources, workloads: &workloads, settings, mesh: &mesh };
    let mut services = services::services(&world, &mut problems);
    let entries = entries::add(&world, &mut services, &mut problems);
    let policies = traffic::apply(&resources, &mut services);
    problems.extend(policies.iter().flat_map(|(key, status)| gateways::problems(key, status)));
    let attachments = attach::Attachments::of(&resources, &services, &settings.root_namespace);
    for (key, service) in &mut services {
        service.index = indices.get(key).copied();
        service.attached = attachments.of_service(key);
    }
    let hosts = hosts(&services, &entries, settings);
    let mut rulebook = Rulebook { differences: differences(&services, &hosts), ..Rulebook::default() };
    rulebook.sidecars = Sidecars::new(&resources, &settings.root_namespace, &mut rulebook.differences);
    let mut binding =
        bind::Binding { services: &services, hosts: &hosts, rulebook: &mut rulebook, at_gateways: Default::default() };
    binding.destination_rules(&resources, &mesh, &settings.root_namespace, &mut problems);
    binding.virtual_services(&resources, &mesh, &mut problems);
    let istio_gateways = istio_gateways::build(&resources, binding.at_gateways, &mut problems);
    let grants = Grants::of(&resources);
    let mut entry = gateways::build(&gateways::World::new(&resources, &services, &grants));
    problems.append(&mut entry.problems);
    entry.statuses.extend(policies);
    let specs = smi::Specs::of(&resources);
    entry.mesh_routes.extend(smi::splits(&resources, &specs, &services, &settings.domain, &mut problems));
    problems.extend(attachments.problems);
    entry.statuses.extend(attachments.statuses);
    let access = smi::access(&resources, &specs, &mut problems);
    bind::mesh_routes(entry.mesh_routes, &services, &mut rulebook, &mut problems);
    let services = services.into_iter().map(|(key, service)| (key, Arc::new(service))).collect();
    let mut snapshot = Snapshot {
        services,
        gateways: entry.gateways,
        istio_gateways,
        envoy_filters: envoy_filters(&resources),
        backend_tls: entry.backend_tls,
        grants,
        statuses: entry.statuses,
        route_policies: Arc::new(attachments.routes),
        mesh: Arc::new(mesh),
        access,
        hosts,
        rulebook: Arc::new(rulebook),
        ..Snapshot::empty(settings.clone())
    };
    snapshot.bind_to_own_namespaces();
    problems.sort();
    problems.dedup();
    (snapshot, problems)
}

fn envoy_filters(resources: &[Arc<Resource>]) -> Vec<Arc<EnvoyFilter>> {
    let filter = |resource: &Arc<Resource>| match &**resource {
        Resource::EnvoyFilter(object) => Some(Arc::new((**object).clone())),
        _ => None,
    };
    let mut all: Vec<_> = resources.iter().filter_map(filter).collect();
    all.sort_by_key(|filter| filter.spec.priority.unwrap_or_default());
    all
}

/// What Istio's ConfigMap says of the mesh: `istio` in `istio-system` or in the root namespace, the key `mesh`.
fn mesh_config(resources: &[Arc<Resource>], settings: &MeshSettings, problems: &mut Vec<Problem>) -> MeshConfig {
    let found = resources.iter().find_map(|resource| {
        let Resource::ConfigMap(object) = &**resource else { return None };
        let key = resource.key();
        let is_it = key.name == "istio" && ["istio-system", &settings.root_namespace].contains(&&*key.namespace);
        Some((key, object.data.get("mesh")?)).filter(|_| is_it)
    });
    let Some((key, text)) = found else { return MeshConfig::default() };
    let (config, found) = MeshConfig::read(text);
    problems.extend(found.into_iter().map(|(field, message)| {
        let path = if field.is_empty() { "data.mesh".to_owned() } else { format!("data.mesh.{field}") };
        Problem::warning(&key, path, "not_supported_yet", message)
    }));
    config
}

/// Services of the mesh before hosts of ServiceEntries, those in order of age.
fn hosts(services: &BTreeMap<ServiceKey, Service>, entries: &[ServiceKey], settings: &MeshSettings) -> Hosts {
    let mut hosts = Hosts::new(&settings.domain);
    let of_mesh = services.iter().filter(|(_, service)| service.is_of_mesh());
    let entries = entries.iter().filter_map(|key| services.get_key_value(key));
    for (key, service) in of_mesh.chain(entries) {
        hosts.add(&service.fqdn, key);
    }
    hosts
}

/// What services differ by to those who look at them.
fn differences(services: &BTreeMap<ServiceKey, Service>, hosts: &Hosts) -> Differences {
    let mut differences = Differences::default();
    for service in services.values().filter(|service| service.visibility != Visibility::Everywhere) {
        differences.see(&service.visibility, &service.key.namespace);
    }
    for (_, keys) in hosts.iter().filter(|(_, keys)| keys.len() > 1) {
        differences.namespaces.extend(keys.iter().map(|key| key.namespace.clone()));
    }
    differences
}

/// Every service of the mesh, those included that only workloads name: each wants a number.
pub fn service_keys(resources: &[Arc<Resource>]) -> BTreeSet<ServiceKey> {
    let key = |resource: &Arc<Resource>| match &**resource {
        Resource::Service(object) => Some(ServiceKey::new(object.metadata.namespace(), &object.metadata.name)),
        Resource::WorkloadEntry(object) => object
            .metadata
            .annotation(annotation::SERVICE)
            .filter(|name| leno_names::dns_label(name).is_ok())
            .map(|name| ServiceKey::new(object.metadata.namespace(), name)),
        _ => None,
    };
    resources.iter().filter_map(key).chain(entries::keys(resources)).collect()
}

/// Oldest first, then by name (Gateway API: "conflicts"): who comes first wins. One of each key.
fn in_order(resources: &[Arc<Resource>]) -> Vec<Arc<Resource>> {
    let age = |resource: &Resource| {
        let stamp = resource.metadata().creation_timestamp.clone();
        (stamp.is_none(), stamp)
    };
    // The text only decides between objects of one key, which hardly ever meet: written out for those alone.
    let text = |resource: &Resource| resource.to_json().to_string();
    let keyed = resources.iter().map(|resource| (age(resource), resource.key(), resource.clone()));
    let mut keyed: Vec<_> = keyed.collect();
    keyed.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)).then_with(|| text(&a.2).cmp(&text(&b.2))));
    let mut sorted: Vec<_> = keyed.into_iter().map(|(_, _, resource)| resource).collect();
    let mut seen = BTreeSet::new();
    sorted.retain(|resource| seen.insert(resource.key()));
    sorted
}

fn workloads(resources: &[Arc<Resource>], problems: &mut Vec<Problem>) -> Vec<Arc<Workload>> {
    let mut all = Vec::new();
    for resource in resources {
        if let Resource::WorkloadEntry(entry) = &**resource {
            all.extend(Workload::read(resource.key(), entry, problems).map(Arc::new));
        }
    }
    all.sort_by(|a, b| a.key.cmp(&b.key));
    all
}
