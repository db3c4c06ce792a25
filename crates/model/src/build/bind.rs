//! Which rule applies to which service. Resources come oldest first; the first claim wins.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{Resource, ResourceKey};
use leno_names::ServiceKey;

use super::resolve;
use crate::{MeshRoute, MeshSettings, Problem, Rules, Service};

type Services = BTreeMap<ServiceKey, Service>;

pub(super) fn destination_rules(
    resources: &[Arc<Resource>],
    services: &mut Services,
    settings: &MeshSettings,
    problems: &mut Vec<Problem>,
) {
    for resource in resources {
        let Resource::DestinationRule(object) = &**resource else { continue };
        let key = resource.key();
        let found = resolve(&object.spec.host, &key.namespace, &settings.domain);
        let Some(service) = found.and_then(|key| services.get_mut(&key)) else {
            problems.push(unknown_host(&key, "spec.host", &object.spec.host));
            continue;
        };
        match service.destination_rule_key() {
            None => service.destination_rule = Some(Arc::new((**object).clone())),
            Some(winner) => problems.push(conflict(&key, "spec.host", &object.spec.host, &winner)),
        }
    }
}

fn unknown_host(object: &ResourceKey, field: &str, host: &str) -> Problem {
    let message = format!("no service of the mesh is called \"{host}\" in namespace {}", object.namespace);
    Problem::warning(object, field, "unknown_host", message)
}

fn conflict(object: &ResourceKey, field: &str, host: &str, winner: &ResourceKey) -> Problem {
    Problem::error(object, field, "conflict", format!("{winner} already has \"{host}\"; this one has no effect"))
}

/// Routes whose parent is a service, oldest first.
pub(super) fn mesh_routes(routes: Vec<(ServiceKey, MeshRoute)>, services: &mut Services) {
    for (key, route) in routes {
        let Some(service) = services.get_mut(&key) else { continue };
        match &mut service.rules {
            Rules::Routes(routes) => routes.push(route),
            rules => *rules = Rules::Routes(vec![route]),
        }
    }
}

pub(super) fn virtual_services(
    resources: &[Arc<Resource>],
    services: &mut Services,
    settings: &MeshSettings,
    problems: &mut Vec<Problem>,
) {
    // Per service the most specific claim so far: longer host patterns beat shorter, names beat patterns.
    let mut claims: BTreeMap<ServiceKey, (usize, ResourceKey)> = BTreeMap::new();
    for resource in resources {
        let Resource::VirtualService(object) = &**resource else { continue };
        let key = resource.key();
        if !object.spec.gateways.is_empty() && !object.spec.gateways.iter().any(|gateway| gateway == "mesh") {
            let message = "not supported yet: gateways other than \"mesh\"; the object has no effect";
            problems.push(Problem::warning(&key, "spec.gateways", "not_supported_yet", message));
            continue;
        }
        let shared = Arc::new((**object).clone());
        for (index, host) in object.spec.hosts.iter().enumerate() {
            let field = format!("spec.hosts[{index}]");
            let meant = named_by(host, &key.namespace, services, settings);
            if meant.is_empty() {
                problems.push(unknown_host(&key, &field, host));
            }
            let weight = if host.starts_with('*') { host.len() } else { usize::MAX };
            for name in meant {
                match claims.get(&name) {
                    Some((other, winner)) if *other >= weight => {
                        if *other == weight && *winner != key {
                            problems.push(conflict(&key, &field, host, winner));
                        }
                        continue;
                    }
                    _ => claims.insert(name.clone(), (weight, key.clone())),
                };
                let Some(service) = services.get_mut(&name) else { continue };
                let before = std::mem::replace(&mut service.rules, Rules::VirtualService(shared.clone()));
                if let Rules::Routes(routes) = before {
                    let lost =
                        |route: MeshRoute| conflict(&route.route.key(), "spec.parentRefs", &name.to_string(), &key);
                    problems.extend(routes.into_iter().map(lost));
                }
            }
        }
    }
}

/// The services that a host or a pattern such as `*.shop.svc.cluster.local` means.
fn named_by(host: &str, namespace: &str, services: &Services, settings: &MeshSettings) -> Vec<ServiceKey> {
    match host.strip_prefix('*') {
        Some(suffix) => services
            .values()
            .filter(|service| service.fqdn.ends_with(suffix))
            .map(|service| service.key.clone())
            .collect(),
        None => {
            resolve(host, namespace, &settings.domain).filter(|key| services.contains_key(key)).into_iter().collect()
        }
    }
}
