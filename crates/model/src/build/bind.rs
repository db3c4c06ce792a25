//! Which rule applies to which service. Resources come oldest first; the first claim wins.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{ParentRef, Resource, ResourceKey};
use leno_names::ServiceKey;

use super::resolve;
use crate::{MeshSettings, Problem, Rules, Service};

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

pub(super) fn http_routes(resources: &[Arc<Resource>], services: &mut Services, problems: &mut Vec<Problem>) {
    for resource in resources {
        let Resource::HttpRoute(object) = &**resource else { continue };
        let key = resource.key();
        let shared = Arc::new((**object).clone());
        for (index, parent) in object.spec.parent_refs.iter().enumerate() {
            match parent_service(parent, &key, services) {
                Ok(service) => match &mut service.rules {
                    Rules::HttpRoutes(routes) if routes.contains(&shared) => {}
                    Rules::HttpRoutes(routes) => routes.push(shared.clone()),
                    rules => *rules = Rules::HttpRoutes(vec![shared.clone()]),
                },
                Err((code, message)) => {
                    problems.push(Problem::error(&key, format!("spec.parentRefs[{index}]"), code, message));
                }
            }
        }
    }
}

fn parent_service<'a>(
    parent: &ParentRef,
    route: &ResourceKey,
    services: &'a mut Services,
) -> Result<&'a mut Service, (&'static str, String)> {
    let kind = parent.kind.as_deref().unwrap_or("Gateway");
    if kind != "Service" {
        return Err(("not_supported_yet", format!("not supported yet: a parent of kind {kind}; attach to a Service")));
    }
    let namespace = parent.namespace.as_deref().unwrap_or(&route.namespace);
    if namespace != route.namespace {
        let message = "not supported yet: routes for the services of another namespace".to_owned();
        return Err(("not_supported_yet", message));
    }
    let key = ServiceKey::new(namespace, &parent.name);
    let service = services.get_mut(&key).ok_or_else(|| ("unknown_host", format!("there is no service {key}")))?;
    match parent.port.filter(|port| service.port(*port).is_none()) {
        Some(port) => Err(("unknown_port", format!("service {key} has no port {port}"))),
        None => Ok(service),
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
                if let Rules::HttpRoutes(routes) = before {
                    problems.extend(routes.iter().map(|route| {
                        let object = ResourceKey::new(
                            leno_api::Kind::HttpRoute,
                            route.metadata.namespace(),
                            &route.metadata.name,
                        );
                        conflict(&object, "spec.parentRefs", &name.to_string(), &key)
                    }));
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
