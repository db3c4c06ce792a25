//! Resources to snapshot.

mod bind;
mod gateways;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{Resource, annotation, not_supported_yet};
use leno_names::ServiceKey;

pub use gateways::BackendError;
pub(crate) use gateways::backend;

use crate::{Grants, MeshSettings, Problem, Snapshot, Workload};

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
    let workloads = workloads(&resources, &mut problems);
    let mut services = services::services(&resources, &workloads, settings, indices, &mut problems);
    bind::destination_rules(&resources, &mut services, settings, &mut problems);
    let grants = Grants::of(&resources);
    let mut entry = gateways::build(&gateways::World::new(&resources, &services, &grants));
    problems.append(&mut entry.problems);
    bind::mesh_routes(entry.mesh_routes, &mut services);
    bind::virtual_services(&resources, &mut services, settings, &mut problems);
    problems.sort();
    problems.dedup();
    let services = services.into_iter().map(|(key, service)| (key, Arc::new(service))).collect();
    let snapshot = Snapshot {
        services,
        gateways: entry.gateways,
        backend_tls: entry.backend_tls,
        grants,
        statuses: entry.statuses,
        ..Snapshot::empty(settings.clone())
    };
    (snapshot, problems)
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
    resources.iter().filter_map(key).collect()
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

pub(crate) fn resolve(host: &str, namespace: &str, domain: &str) -> Option<ServiceKey> {
    let host = &*host.to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(host);
    let local = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix(".svc."));
    let short = local.or_else(|| host.strip_suffix(".svc")).unwrap_or(host);
    match short.split_once('.') {
        None if local.is_none() => Some(ServiceKey::new(namespace, short)),
        Some((name, namespace)) if !namespace.contains('.') => Some(ServiceKey::new(namespace, name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_where_they_are_said() {
        let key = |host| resolve(host, "shop", "cluster.local").map(|key| key.to_string());
        assert_eq!(key("reviews").as_deref(), Some("shop/reviews"));
        for host in ["reviews.a", "reviews.a.svc", "reviews.a.svc.cluster.local", "reviews.a.svc.cluster.local."] {
            assert_eq!(key(host).as_deref(), Some("a/reviews"), "{host}");
        }
        assert_eq!(key("www.example.com"), None);
    }
}
