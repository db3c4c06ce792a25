//! Our own analyses of SMI's kinds.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Object;
use crate::codes::{LEN0015, LEN0016, LEN0017};
use crate::finding::Findings;
use crate::istio::hosts::whole;
use crate::json::{list, text, texts};
use crate::kinds::{
    HTTP_ROUTE, HTTP_ROUTE_GROUP, SERVICE, SMI_TCP_ROUTE, SMI_UDP_ROUTE, TRAFFIC_SPLIT, TRAFFIC_TARGET, VIRTUAL_SERVICE,
};
use crate::objects::Objects;
use crate::routes::parents;

/// Splits of services, and to services, that do not exist.
pub(crate) fn splits(objects: &Objects, found: &mut Findings) {
    for split in objects.of(TRAFFIC_SPLIT) {
        let root = text(&split.json, "spec.service");
        service(split, root, "spec.service", objects, found);
        for (index, backend) in list(&split.json, "spec.backends").iter().enumerate() {
            service(split, text(backend, "service"), &format!("spec.backends[{index}].service"), objects, found);
        }
        for (index, rules) in list(&split.json, "spec.matches").iter().enumerate() {
            reference(split, rules, &format!("spec.matches[{index}]"), objects, found);
        }
    }
}

fn service(split: &Object, name: &str, field: &str, objects: &Objects, found: &mut Findings) {
    // A whole name is allowed for the root.
    let short = name.split('.').next().unwrap_or_default();
    if objects.find(SERVICE, &split.namespace, short).is_none() {
        let message = format!("there is no Service {}/{name}", split.namespace);
        found.report(split, LEN0015, field, message);
    }
}

/// Targets whose rules do not exist.
pub(crate) fn targets(objects: &Objects, found: &mut Findings) {
    for target in objects.of(TRAFFIC_TARGET) {
        // v1alpha1 had them above the wish.
        for path in ["spec.rules", "specs"] {
            for (index, rules) in list(&target.json, path).iter().enumerate() {
                reference(target, rules, &format!("{path}[{index}]"), objects, found);
            }
        }
    }
}

/// An HTTPRouteGroup with matches of it, or a route of TCP or UDP.
fn reference(from: &Object, rules: &Value, field: &str, objects: &Objects, found: &mut Findings) {
    let kind = match text(rules, "kind") {
        "HTTPRouteGroup" => HTTP_ROUTE_GROUP,
        "TCPRoute" => SMI_TCP_ROUTE,
        "UDPRoute" => SMI_UDP_ROUTE,
        _ => return,
    };
    let name = text(rules, "name");
    let Some(group) = objects.find(kind, &from.namespace, name) else {
        let message = format!("there is no {} {}/{name}", kind.1, from.namespace);
        found.report(from, LEN0016, format!("{field}.name"), message);
        return;
    };
    // `matches` in older versions of the group.
    let known: Vec<_> = ["spec.matches", "matches"]
        .iter()
        .flat_map(|path| list(&group.json, path))
        .map(|one| text(one, "name"))
        .collect();
    for (index, wanted) in texts(rules, "matches").into_iter().enumerate() {
        if !known.contains(&wanted) {
            let message = format!("{} has no match `{wanted}`, only {}", group.describe(), known.join(", "));
            found.report(from, LEN0016, format!("{field}.matches[{index}]"), message);
        }
    }
}

/// Services that more than one dialect, or more than one TrafficSplit, routes for. Which of them holds is not for the author to
/// guess.
pub(crate) fn rivals(objects: &Objects, found: &mut Findings) {
    let mut all: BTreeMap<String, Vec<(&Object, String)>> = BTreeMap::new();
    for split in objects.of(TRAFFIC_SPLIT) {
        let root = text(&split.json, "spec.service");
        all.entry(whole(&split.namespace, root)).or_default().push((split, "spec.service".to_owned()));
    }
    for route in objects.of(VIRTUAL_SERVICE) {
        let gateways = texts(&route.json, "spec.gateways");
        if gateways.is_empty() || gateways.contains(&"mesh") {
            for (index, host) in texts(&route.json, "spec.hosts").into_iter().enumerate() {
                let field = format!("spec.hosts[{index}]");
                all.entry(whole(&route.namespace, host)).or_default().push((route, field));
            }
        }
    }
    for route in objects.of(HTTP_ROUTE) {
        for parent in parents(route).filter(|parent| parent.is(SERVICE)) {
            let host = whole(parent.namespace, parent.name);
            all.entry(host).or_default().push((route, parent.field));
        }
    }
    for (host, routes) in all {
        for (object, field) in &routes {
            // Several HTTPRoutes of one service are merged; several VirtualServices are IST0109.
            let is_rival = |(other, _): &&(&Object, String)| {
                other.index != object.index && (other.kind != object.kind || object.is(TRAFFIC_SPLIT))
            };
            let others: Vec<_> = routes.iter().filter(is_rival).map(|(other, _)| other.describe()).collect();
            if !others.is_empty() {
                let message = format!("{host} is routed by {} too; only one of them has an effect", others.join(", "));
                found.report(object, LEN0017, &**field, message);
            }
        }
    }
}
