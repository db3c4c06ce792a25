//! Which rule applies to which service. Resources come oldest first; the first claim wins.

use std::sync::Arc;

use leno_api::{MeshConfig, Resource, ResourceKey};
use leno_names::ServiceKey;

use super::credentials::Secrets;
use super::istio_gateways::Bound;
use crate::hosts::{Hosts, covers};
use crate::istio_gateway::BoundRoutes;
use crate::rulebook::{DestinationRuleEntry, Rulebook, VirtualServiceEntry, merge};
use crate::virtual_routes::Delegates;
use crate::{MeshRoute, Problem, Services, VirtualRoutes, Visibility};

/// Fills the rulebook.
pub(super) struct Binding<'a> {
    pub services: &'a Services,
    pub hosts: &'a Hosts,
    pub rulebook: &'a mut Rulebook,
    /// What is said of gateways.
    pub at_gateways: Bound,
}

impl Binding<'_> {
    pub(super) fn destination_rules(
        &mut self,
        resources: &[Arc<Resource>],
        mesh: &MeshConfig,
        root: &str,
        problems: &mut Vec<Problem>,
    ) {
        let secrets = Secrets::new(resources);
        for resource in resources {
            let Resource::DestinationRule(object) = &**resource else { continue };
            let key = resource.key();
            let host = self.host(&object.spec.host, &key.namespace);
            let visibility =
                Visibility::of(&object.spec.export_to, &mesh.default_destination_rule_export_to, &key.namespace);
            let meant = self.services_of(&host);
            if meant.is_empty() {
                problems.push(unknown_host(&key, "spec.host", &object.spec.host));
            }
            let is_elsewhere = meant.iter().any(|service| service.namespace != key.namespace) && key.namespace != root;
            let selector = object.spec.workload_selector.as_ref();
            if is_elsewhere || selector.is_some() || visibility != Visibility::Everywhere {
                self.rulebook.differences.see(&visibility, &key.namespace);
            }
            if let Some(selector) = selector {
                self.rulebook.differences.select(&selector.match_labels);
            }
            let rules = self.rulebook.destination_rules.entry(key.namespace.clone()).or_default();
            let credentials = secrets.of(&key, object, problems);
            let object = object.clone();
            rules.add(&host, DestinationRuleEntry { key, object, visibility, credentials });
        }
        for rules in self.rulebook.destination_rules.values() {
            for same in rules.lists() {
                let plain: Vec<_> = same.iter().filter(|rule| rule.selector().is_none()).collect();
                merge(&plain, problems);
            }
        }
    }

    pub(super) fn virtual_services(
        &mut self,
        resources: &[Arc<Resource>],
        mesh: &MeshConfig,
        problems: &mut Vec<Problem>,
    ) {
        let delegates = delegates(resources, mesh);
        for resource in resources {
            let Resource::VirtualService(object) = &**resource else { continue };
            let key = resource.key();
            let visibility =
                Visibility::of(&object.spec.export_to, &mesh.default_virtual_service_export_to, &key.namespace);
            if visibility != Visibility::Everywhere {
                self.rulebook.differences.see(&visibility, &key.namespace);
            }
            let routes = Arc::new(VirtualRoutes::new(&key, object, &delegates, problems));
            routes.tell_apart(&mut self.rulebook.differences);
            let gateways = &object.spec.gateways;
            if !gateways.is_empty() {
                // At a gateway a name with a dot is what clients ask for (Istio).
                let asked = |host: &String| match host.contains('.') {
                    true => host.to_ascii_lowercase(),
                    false => self.host(host, &key.namespace),
                };
                let hosts = object.spec.hosts.iter().map(asked).collect();
                let (routes, visibility) = (routes.clone(), visibility.clone());
                self.at_gateways.add(gateways, BoundRoutes { routes, hosts, visibility });
            }
            if !gateways.is_empty() && !gateways.iter().any(|gateway| gateway == "mesh") {
                continue;
            }
            for (index, host) in object.spec.hosts.iter().enumerate() {
                let field = format!("spec.hosts[{index}]");
                let meant = self.host(host, &key.namespace);
                if self.services_of(&meant).is_empty() {
                    problems.push(unknown_host(&key, &field, host));
                }
                let all = &mut self.rulebook.virtual_services;
                let same = all.exactly(&meant);
                let clash = |entry: &&VirtualServiceEntry| entry.key != key && entry.visibility == visibility;
                if let Some(winner) = same.iter().find(clash) {
                    problems.push(conflict(&key, &field, host, &winner.key));
                }
                let (key, routes, visibility) = (key.clone(), routes.clone(), visibility.clone());
                all.add(&meant, VirtualServiceEntry { key, routes, visibility });
            }
        }
    }

    /// The host, or the pattern of hosts, that is meant by `host` in `namespace`.
    fn host(&self, host: &str, namespace: &str) -> String {
        if host.starts_with('*') { host.to_ascii_lowercase() } else { self.hosts.canonical(host, namespace) }
    }

    /// The services that a host or a pattern such as `*.shop.svc.cluster.local` means.
    fn services_of(&self, host: &str) -> Vec<&ServiceKey> {
        match host.starts_with('*') {
            true => {
                let all = self.services.values().filter(|service| covers(host, &service.fqdn));
                all.map(|service| &service.key).collect()
            }
            false => self.hosts.of(host).iter().collect(),
        }
    }
}

/// VirtualServices without hosts: they hold only where another one says so.
fn delegates(resources: &[Arc<Resource>], mesh: &MeshConfig) -> Delegates {
    let delegate = |resource: &Arc<Resource>| {
        let Resource::VirtualService(object) = &**resource else { return None };
        let namespace = object.metadata.namespace();
        let visibility = Visibility::of(&object.spec.export_to, &mesh.default_virtual_service_export_to, namespace);
        let place = (namespace.to_owned(), object.metadata.name.clone());
        object.spec.hosts.is_empty().then(|| (place, (object.clone(), visibility)))
    };
    resources.iter().filter_map(delegate).collect()
}

fn unknown_host(object: &ResourceKey, field: &str, host: &str) -> Problem {
    let message = format!("no service of the mesh is called \"{host}\" in namespace {}", object.namespace);
    Problem::warning(object, field, "unknown_host", message)
}

fn conflict(object: &ResourceKey, field: &str, host: &str, winner: &ResourceKey) -> Problem {
    Problem::error(object, field, "conflict", format!("{winner} already has \"{host}\"; this one has no effect"))
}

/// What Gateway API's routes say of services, oldest first. Where a VirtualService speaks, they are not heard.
pub(super) fn mesh_routes(
    routes: Vec<(ServiceKey, MeshRoute)>,
    services: &Services,
    rulebook: &mut Rulebook,
    problems: &mut Vec<Problem>,
) {
    for (key, route) in routes {
        let Some(service) = services.get(&key) else { continue };
        let client = route.consumer.as_deref().unwrap_or(&key.namespace);
        if let Some(winner) = rulebook.virtual_service(&service.fqdn, client, None) {
            problems.push(conflict(&route.route.key(), "spec.parentRefs", &key.to_string(), &winner.key));
        }
        rulebook.differences.namespaces.extend(route.consumer.clone());
        rulebook.routes.entry(key).or_default().push(route);
    }
}
