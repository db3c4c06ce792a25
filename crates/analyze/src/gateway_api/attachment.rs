//! Routes and what they hang on.

use serde_json::Value;

use crate::Object;
use crate::codes::{LEN0001, LEN0002, LEN0007, LEN0011};
use crate::finding::Findings;
use crate::istio::hosts::overlap;
use crate::istio::services::protocol;
use crate::json::{at, list, number, text, texts};
use crate::kinds::{self, GATEWAY, LISTENER_SET, NAMESPACE, SERVICE};
use crate::objects::Objects;
use crate::routes::{ROUTES, Reference, parents};
use crate::selector::label_selector;

pub(crate) fn routes(objects: &Objects, found: &mut Findings) {
    for (kind, protocols) in ROUTES {
        for route in objects.of(kind) {
            for parent in parents(route) {
                if parent.is(SERVICE) {
                    match parent.find(objects, SERVICE) {
                        Some(service) => of_service(route, &parent, service, found),
                        None => missing(route, &parent, found),
                    }
                } else if parent.is(GATEWAY) || parent.is(LISTENER_SET) {
                    let owner = parent.find(objects, GATEWAY).or_else(|| parent.find(objects, LISTENER_SET));
                    match owner {
                        Some(owner) => of_listeners(route, protocols, &parent, owner, objects, found),
                        None => missing(route, &parent, found),
                    }
                }
            }
        }
    }
    for set in objects.of(LISTENER_SET) {
        let parent = Reference::read(at(&set.json, "spec.parentRef"), "spec.parentRef".to_owned(), GATEWAY, set);
        if parent.is(GATEWAY) && parent.find(objects, GATEWAY).is_none() {
            missing(set, &parent, found);
        }
    }
}

fn missing(from: &Object, parent: &Reference<'_>, found: &mut Findings) {
    let message = format!("there is no {} {}/{}", parent.kind, parent.namespace, parent.name);
    found.report(from, LEN0001, format!("{}.name", parent.field), message);
}

fn of_service(route: &Object, parent: &Reference<'_>, service: &Object, found: &mut Findings) {
    let ports = list(&service.json, "spec.ports");
    let meant: Vec<_> =
        ports.iter().filter(|port| parent.port.is_none_or(|meant| number(port, "port") == Some(meant))).collect();
    if let Some(port) = parent.port.filter(|_| meant.is_empty()) {
        let message = format!("{} has no port {port}", service.describe());
        found.report(route, LEN0002, format!("{}.port", parent.field), message);
    }
    let speaks_http = [kinds::HTTP_ROUTE, kinds::GRPC_ROUTE].iter().any(|kind| route.is(*kind));
    let others: Vec<_> = meant.iter().filter_map(|port| protocol(port)).filter(|name| !is_http(name)).collect();
    if speaks_http && !meant.is_empty() && others.len() == meant.len() {
        let message = format!("{} speaks {} there: no rule for HTTP applies", service.describe(), others.join(", "));
        found.report(route, LEN0011, &*parent.field, message);
    }
}

fn is_http(protocol: &str) -> bool {
    ["grpc", "grpc-web", "http", "http2", "http_proxy"].contains(&protocol)
}

fn of_listeners(
    route: &Object,
    protocols: &[&str],
    parent: &Reference<'_>,
    owner: &Object,
    objects: &Objects,
    found: &mut Findings,
) {
    let listeners = list(&owner.json, "spec.listeners");
    let named = |listener: &&Value| {
        (parent.section.is_empty() || text(listener, "name") == parent.section)
            && parent.port.is_none_or(|port| number(listener, "port") == Some(port))
    };
    let meant: Vec<_> = listeners.iter().filter(named).collect();
    if meant.is_empty() {
        let names: Vec<_> = listeners.iter().map(|listener| text(listener, "name")).collect();
        let message = format!("{} has no such listener, only {}", owner.describe(), names.join(", "));
        let field = if parent.section.is_empty() { "port" } else { "sectionName" };
        found.report(route, LEN0002, format!("{}.{field}", parent.field), message);
        return;
    }
    let reasons: Vec<_> =
        meant.iter().filter_map(|listener| refusal(route, protocols, listener, owner, objects)).collect();
    if reasons.len() == meant.len() {
        let message = format!("{} does not take it: {}", owner.describe(), reasons.join("; "));
        found.report(route, LEN0007, &*parent.field, message);
    }
}

/// Why a listener does not take a route.
fn refusal(route: &Object, protocols: &[&str], listener: &Value, owner: &Object, objects: &Objects) -> Option<String> {
    let name = text(listener, "name");
    let spoken = text(listener, "protocol");
    if !protocols.contains(&spoken) {
        return Some(format!("listener {name} speaks {spoken}"));
    }
    let kinds = list(listener, "allowedRoutes.kinds");
    if !kinds.is_empty() && !kinds.iter().any(|kind| text(kind, "kind") == route.kind) {
        return Some(format!("listener {name} takes no {}", route.kind));
    }
    let from = at(listener, "allowedRoutes.namespaces");
    let is_allowed = match text(from, "from") {
        "All" => true,
        "None" => false,
        "Selector" => objects
            .find(NAMESPACE, "", &route.namespace)
            .is_none_or(|namespace| label_selector(at(from, "selector"), &namespace.labels())),
        _ => route.namespace == owner.namespace,
    };
    if !is_allowed {
        return Some(format!("listener {name} takes none of the namespace {}", route.namespace));
    }
    let hostname = text(listener, "hostname");
    let hosts = texts(&route.json, "spec.hostnames");
    let fits = |host: &&str| hostname.is_empty() || overlap(hostname, host);
    (!hosts.is_empty() && !hosts.iter().any(fits)).then(|| format!("listener {name} is for {hostname} only"))
}
