//! SMI in the terms of the model: splits become routes of a service, targets become rules of access.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{
    BackendRef, GatewayHttpRoute, HttpRouteGroupSpec, HttpRouteMatch, HttpRouteRule, IntOrString, PathKind, PathMatch,
    Resource, ResourceKey, SmiMatch, TrafficSplit, TrafficTarget, ValueMatch, ValueMatchKind,
};
use leno_names::ServiceKey;

use crate::access::{AccessRule, Allowed};
use crate::gateway::{MeshRoute, RouteObject};
use crate::hosts::resolve;
use crate::{Problem, Services};

/// By namespace and name of the service account that is called.
pub(crate) type Access = BTreeMap<(String, String), Vec<AccessRule>>;

/// Matches and ports by namespace and name.
#[derive(Default)]
pub(super) struct Specs<'a> {
    groups: BTreeMap<(&'a str, &'a str), &'a HttpRouteGroupSpec>,
    ports: BTreeMap<(&'a str, &'a str), &'a [u16]>,
}

impl<'a> Specs<'a> {
    pub(super) fn of(resources: &'a [Arc<Resource>]) -> Self {
        let mut specs = Self::default();
        for resource in resources {
            match &**resource {
                Resource::HttpRouteGroup(object) => {
                    specs.groups.insert((object.metadata.namespace(), &object.metadata.name), &object.spec);
                }
                Resource::SmiTcpRoute(object) => {
                    let ports = object.spec.matches.ports.as_slice();
                    specs.ports.insert((object.metadata.namespace(), &object.metadata.name), ports);
                }
                _ => {}
            }
        }
        specs
    }
}

/// The routes that TrafficSplits stand for, oldest first.
pub(super) fn splits(
    resources: &[Arc<Resource>],
    specs: &Specs<'_>,
    services: &Services,
    domain: &str,
    problems: &mut Vec<Problem>,
) -> Vec<(ServiceKey, MeshRoute)> {
    let mut all: Vec<(ServiceKey, MeshRoute)> = Vec::new();
    for resource in resources {
        let Resource::TrafficSplit(split) = &**resource else { continue };
        let key = resource.key();
        let root = resolve(&split.spec.service, &key.namespace, domain).filter(|root| services.contains_key(root));
        let Some(root) = root else {
            let message = format!("there is no service \"{}\" in namespace {}", split.spec.service, key.namespace);
            problems.push(Problem::error(&key, "spec.service", "unknown_host", message));
            continue;
        };
        if let Some((_, first)) = all.iter().find(|(service, _)| *service == root) {
            let message = format!("{} already splits {root}; this one has no effect", first.route.key());
            problems.push(Problem::error(&key, "spec.service", "conflict", message));
            continue;
        }
        let route = Arc::new(route(split, &key, &root, specs, domain, problems));
        all.push((root, MeshRoute { route: RouteObject::Derived { of: key, route }, port: None, consumer: None }));
    }
    all
}

fn route(
    split: &TrafficSplit,
    key: &ResourceKey,
    root: &ServiceKey,
    specs: &Specs<'_>,
    domain: &str,
    problems: &mut Vec<Problem>,
) -> GatewayHttpRoute {
    let backends = split.spec.backends.iter().map(|backend| {
        let service = resolve(&backend.service, &key.namespace, domain);
        let service = service.unwrap_or_else(|| ServiceKey::new(&key.namespace, &backend.service));
        // Whole numbers are wanted; shares below one part in a thousand are lost.
        let fine = split.spec.backends.iter().any(|backend| backend.weight.fract() != 0.0);
        let weight = backend.weight.max(0.0) * if fine { 1000.0 } else { 1.0 };
        backend_ref(&service, weight.round() as u32)
    });
    let backend_refs: Vec<_> = backends.collect();
    let mut matches = Vec::new();
    for (index, reference) in split.spec.matches.iter().enumerate() {
        match specs.groups.get(&(&*key.namespace, &*reference.name)) {
            Some(group) => matches.extend(group.matches.iter().flat_map(conditions)),
            None => {
                let message =
                    format!("there is no HTTPRouteGroup \"{}\" in namespace {}", reference.name, key.namespace);
                problems.push(Problem::error(key, format!("spec.matches[{index}]"), "unknown_reference", message));
            }
        }
    }
    let mut route = GatewayHttpRoute::default();
    route.metadata.name.clone_from(&split.metadata.name);
    route.metadata.namespace = Some(key.namespace.clone());
    let is_conditional = !split.spec.matches.is_empty();
    if !is_conditional || !matches.is_empty() {
        route.spec.rules.push(HttpRouteRule { matches, backend_refs, ..HttpRouteRule::default() });
    }
    if is_conditional {
        // Everything else goes where it was going.
        let rest = vec![backend_ref(root, 1)];
        route.spec.rules.push(HttpRouteRule { backend_refs: rest, ..HttpRouteRule::default() });
    }
    route
}

fn backend_ref(service: &ServiceKey, weight: u32) -> BackendRef {
    BackendRef {
        name: service.name.clone(),
        namespace: Some(service.namespace.clone()),
        weight: Some(weight),
        ..BackendRef::default()
    }
}

/// One for each method.
fn conditions(written: &SmiMatch) -> Vec<HttpRouteMatch> {
    let headers = written.headers.iter().flatten().map(|(name, pattern)| ValueMatch {
        name: name.clone(),
        r#type: Some(ValueMatchKind::RegularExpression),
        value: pattern.clone(),
    });
    let any = HttpRouteMatch {
        headers: headers.collect(),
        path: written
            .path_regex
            .clone()
            .map(|pattern| PathMatch { r#type: Some(PathKind::RegularExpression), value: Some(pattern) }),
        ..HttpRouteMatch::default()
    };
    if written.methods.is_empty() || written.methods.iter().any(|method| method == "*") {
        return vec![any];
    }
    let with = |method: &String| HttpRouteMatch { method: Some(method.clone()), ..any.clone() };
    written.methods.iter().map(with).collect()
}

/// What TrafficTargets say, by whom it is said of.
pub(super) fn access(resources: &[Arc<Resource>], specs: &Specs<'_>, problems: &mut Vec<Problem>) -> Access {
    let mut all = Access::new();
    for resource in resources {
        let Resource::TrafficTarget(target) = &**resource else { continue };
        let key = resource.key();
        let destination = &target.spec.destination;
        let namespace = destination.namespace.as_deref().unwrap_or(&key.namespace);
        let rule = rule(target, &key, specs, problems);
        all.entry((namespace.to_owned(), destination.name.clone())).or_default().push(rule);
    }
    all
}

fn rule(target: &TrafficTarget, key: &ResourceKey, specs: &Specs<'_>, problems: &mut Vec<Problem>) -> AccessRule {
    let sources = target
        .spec
        .sources
        .iter()
        .map(|source| (source.namespace.clone().unwrap_or_else(|| key.namespace.clone()), source.name.clone()));
    let mut allows = Vec::new();
    for (index, rule) in target.spec.rules.iter().enumerate() {
        let name = (&*key.namespace, &*rule.name);
        let found = match rule.kind.as_str() {
            "HTTPRouteGroup" => specs.groups.get(&name).map(|group| {
                let wanted = |one: &&SmiMatch| rule.matches.is_empty() || rule.matches.contains(&one.name);
                Allowed::Requests(group.matches.iter().filter(wanted).cloned().collect())
            }),
            "TCPRoute" => specs.ports.get(&name).map(|ports| Allowed::Ports(ports.to_vec())),
            _ => None,
        };
        match found {
            Some(allowed) => allows.push(allowed),
            None => {
                let message = format!(
                    "there is no {} \"{}\" in namespace {}; it allows nothing",
                    rule.kind, rule.name, key.namespace
                );
                problems.push(Problem::error(key, format!("spec.rules[{index}]"), "unknown_reference", message));
            }
        }
    }
    let port = match &target.spec.destination.port {
        Some(IntOrString::Int(port)) => Some(*port),
        Some(IntOrString::String(text)) => text.parse().ok(),
        None => None,
    };
    AccessRule { object: key.clone(), sources: sources.collect(), port, allows }
}
