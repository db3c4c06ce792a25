use std::collections::{BTreeMap, BTreeSet};

use super::hosts::{ALL, Hosts, overlap, scopes, targets, whole};
use crate::Object;
use crate::codes::{IST0101, IST0109, IST0112, IST0132, IST0140, IST0149, IST0165};
use crate::finding::Findings;
use crate::json::{at, labels, list, number, text, texts};
use crate::kinds::{DESTINATION_RULE, GATEWAY, ISTIO_GATEWAY, POD, REQUEST_AUTHENTICATION, VIRTUAL_SERVICE};
use crate::objects::Objects;
use crate::selector::selects;

/// The word for all sidecars.
const MESH: &str = "mesh";

/// One host with several VirtualServices inside the mesh.
pub(crate) fn mesh_hosts(objects: &Objects, found: &mut Findings) {
    let mut all: BTreeMap<(String, String), Vec<&Object>> = BTreeMap::new();
    for route in objects.of(VIRTUAL_SERVICE) {
        let gateways = texts(&route.json, "spec.gateways");
        if !gateways.is_empty() && !gateways.contains(&MESH) {
            continue;
        }
        for scope in scopes(&texts(&route.json, "spec.exportTo"), &route.namespace) {
            for host in texts(&route.json, "spec.hosts") {
                all.entry((scope.clone(), whole(&route.namespace, host))).or_default().push(route);
            }
        }
    }
    let mut told = BTreeSet::new();
    for ((scope, host), routes) in &all {
        let mut routes = routes.clone();
        if scope != ALL {
            let of_all = all.iter().filter(|((scope, other), _)| scope == ALL && overlap(host, other));
            routes.extend(of_all.flat_map(|(_, routes)| routes));
        }
        if routes.len() < 2 {
            continue;
        }
        let mut names: Vec<_> = routes.iter().map(|route| route.full_name()).collect();
        names.sort();
        for route in routes.into_iter().filter(|route| told.insert(route.index)) {
            let index = texts(&route.json, "spec.hosts").iter().position(|own| whole(&route.namespace, own) == *host);
            let field = index.map_or_else(|| "spec.hosts".to_owned(), |index| format!("spec.hosts[{index}]"));
            let message = format!("{} all route {host} inside the mesh; make them one", names.join(", "));
            found.report(route, IST0109, field, message);
        }
    }
}

/// Destinations that do not exist, and ports that are missing or wrong.
pub(crate) fn destinations(objects: &Objects, found: &mut Findings) {
    let hosts = Hosts::of(objects);
    let with_subsets = with_subsets(objects);
    for route in objects.of(VIRTUAL_SERVICE) {
        for target in targets(route) {
            let name = text(target.destination, "host");
            let host = hosts.find(name, &route.namespace, &texts(&route.json, "spec.exportTo"));
            let Some(host) = host else {
                let what = if target.is_mirror { "mirror" } else { "destination" };
                let message = match name {
                    "" => format!("the {what} names no host"),
                    name => format!("the {what} `{name}` is no service that is known here"),
                };
                found.report(route, IST0101, format!("{}.host", target.field), message);
                continue;
            };
            let listed = || host.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            match number(target.destination, "port.number") {
                None if host.ports.len() > 1 => {
                    let message = format!("`{name}` has several ports ({}): say which", listed());
                    found.report(route, IST0112, target.field, message);
                }
                Some(port) if !host.ports.contains(&port) => {
                    let message = format!("`{name}` has no port {port}, only {}", listed());
                    found.report(route, IST0101, format!("{}.port.number", target.field), message);
                }
                _ => {}
            }
        }
        ignored_subsets(route, &with_subsets, found);
    }
}

/// Of each host the VirtualServices that route it to subsets of itself, once for each destination.
fn with_subsets(objects: &Objects) -> BTreeMap<&str, Vec<&Object>> {
    let mut all: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    for route in objects.of(VIRTUAL_SERVICE) {
        let hosts = texts(&route.json, "spec.hosts");
        for target in targets(route).iter().filter(|target| target.field.starts_with("spec.http") && !target.is_mirror)
        {
            let [host, subset] = ["host", "subset"].map(|field| text(target.destination, field));
            if !subset.is_empty() && hosts.contains(&host) {
                all.entry(host).or_default().push(route);
            }
        }
    }
    all
}

/// Rules inside the mesh that a gateway's own do not go through.
fn ignored_subsets(route: &Object, with_subsets: &BTreeMap<&str, Vec<&Object>>, found: &mut Findings) {
    if texts(&route.json, "spec.gateways").is_empty() {
        return;
    }
    let plain = targets(route).into_iter().filter(|target| {
        target.field.starts_with("spec.http") && !target.is_mirror && text(target.destination, "subset").is_empty()
    });
    for target in plain {
        let host = text(target.destination, "host");
        for other in with_subsets.get(host).into_iter().flatten() {
            let message = format!(
                "requests that enter by a gateway go to `{host}` past the subsets of {}; route to subsets here",
                other.describe()
            );
            found.report(route, IST0140, format!("{}.host", target.field), message);
        }
    }
}

/// Subsets that no DestinationRule has.
pub(crate) fn subsets(objects: &Objects, found: &mut Findings) {
    let mut known = BTreeSet::new();
    for rule in objects.of(DESTINATION_RULE) {
        for subset in list(&rule.json, "spec.subsets") {
            known.insert((service(&rule.namespace, text(&rule.json, "spec.host")), text(subset, "name")));
        }
    }
    for route in objects.of(VIRTUAL_SERVICE) {
        for target in targets(route) {
            let [host, subset] = ["host", "subset"].map(|field| text(target.destination, field));
            if !subset.is_empty() && !known.contains(&(service(&route.namespace, host), subset)) {
                let message = format!("no DestinationRule gives `{host}` a subset `{subset}`");
                found.report(route, IST0101, format!("{}.subset", target.field), message);
            }
        }
    }
}

/// Namespace and name of a whole name in the cluster; any other name is one of the namespace.
fn service(namespace: &str, host: &str) -> (String, String) {
    let local = host.strip_suffix(".svc.cluster.local").and_then(|rest| rest.rsplit_once('.'));
    local.map_or_else(|| (namespace.to_owned(), host.to_owned()), |(name, namespace)| (namespace.into(), name.into()))
}

/// Gateways that do not exist, or take none of the hosts.
pub(crate) fn gateways(objects: &Objects, found: &mut Findings) {
    for route in objects.of(VIRTUAL_SERVICE) {
        let hosts = texts(&route.json, "spec.hosts");
        for (index, name) in
            texts(&route.json, "spec.gateways").into_iter().enumerate().filter(|(_, name)| *name != MESH)
        {
            let field = format!("spec.gateways[{index}]");
            if name.contains("~istio-autogenerated-k8s-gateway~") {
                let message =
                    format!("`{name}` is made by Istio and may change; attach an HTTPRoute to the Gateway instead");
                found.report(route, IST0165, field, message);
                continue;
            }
            let gateway = objects
                .find_named(ISTIO_GATEWAY, &route.namespace, name)
                .or_else(|| objects.find_named(GATEWAY, &route.namespace, name));
            if gateway.is_none() {
                found.report(route, IST0101, &*field, format!("there is no Gateway `{name}`"));
            }
            let taken = gateway.map(|gateway| taken_hosts(gateway, &route.namespace)).unwrap_or_default();
            if !taken.iter().any(|taken| hosts.iter().any(|host| overlap(taken, host))) {
                let message = format!("Gateway `{name}` takes none of the hosts {}", hosts.join(", "));
                found.report(route, IST0132, field, message);
            }
        }
    }
}

/// Hosts that a gateway takes from VirtualServices of a namespace.
fn taken_hosts(gateway: &Object, namespace: &str) -> Vec<String> {
    if gateway.is(GATEWAY) {
        let listeners = list(&gateway.json, "spec.listeners").iter();
        let host = |name: &str| if name.is_empty() { "*".to_owned() } else { name.to_owned() };
        return listeners.map(|listener| host(text(listener, "hostname"))).collect();
    }
    let servers = list(&gateway.json, "spec.servers").iter();
    let hosts = servers.flat_map(|server| texts(server, "hosts")).filter_map(|host| match host.split_once('/') {
        None => Some(host),
        Some(("*", host)) => Some(host),
        Some((".", host)) => (gateway.namespace == namespace).then_some(host),
        Some((of, host)) => (of == namespace).then_some(host),
    });
    hosts.map(str::to_owned).collect()
}

/// Claims of tokens that nobody has verified.
pub(crate) fn claims(objects: &Objects, found: &mut Findings) {
    for route in objects.of(VIRTUAL_SERVICE) {
        let Some((field, claim)) = claim(route) else { continue };
        for name in texts(&route.json, "spec.gateways").into_iter().filter(|name| *name != MESH) {
            let Some(gateway) = objects.find_named(ISTIO_GATEWAY, &route.namespace, name) else { continue };
            let wanted = labels(&gateway.json, "spec.selector");
            for pod in objects.of(POD).filter(|pod| selects(&wanted, &pod.labels())) {
                let verifies = objects.of(REQUEST_AUTHENTICATION).any(|authentication| {
                    [objects.root_namespace(), &pod.namespace].contains(&authentication.namespace.as_str())
                        && selects(&labels(&authentication.json, "spec.selector.matchLabels"), &pod.labels())
                });
                if !verifies {
                    let message = format!(
                        "`{claim}` is only there when a RequestAuthentication applies to the gateway's pods; none does to {}",
                        pod.full_name()
                    );
                    found.report(route, IST0149, &*field, message);
                }
            }
        }
    }
}

/// The first header that stands for a claim: `@request.auth.claims.sub`, `@request.auth.claims[sub]`.
fn claim(route: &Object) -> Option<(String, String)> {
    const CLAIMS: &str = "@request.auth.claims";
    let is_claim = |name: &str| {
        name.get(..CLAIMS.len()).is_some_and(|start| start.eq_ignore_ascii_case(CLAIMS))
            && name.get(CLAIMS.len()..).is_some_and(|rest| {
                (rest.starts_with('.') && rest.len() > 1)
                    || (rest.starts_with('[') && rest.ends_with(']') && rest.len() > 2)
            })
    };
    for (index, rule) in list(&route.json, "spec.http").iter().enumerate() {
        for (place, condition) in list(rule, "match").iter().enumerate() {
            for kind in ["headers", "withoutHeaders"] {
                let names = at(condition, kind).as_object().into_iter().flatten().map(|(name, _)| name);
                if let Some(name) = names.into_iter().find(|name| is_claim(name)) {
                    return Some((format!("spec.http[{index}].match[{place}].{kind}.{name}"), name.clone()));
                }
            }
        }
    }
    None
}
