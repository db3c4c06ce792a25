//! Matches that never decide. Gateway API takes the most specific match, whatever the order; of equal ones the first rule of the
//! oldest route wins, then the first by name.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Object;
use crate::codes::{LEN0008, LEN0017};
use crate::finding::Findings;
use crate::json::{list, text, texts};
use crate::kinds::{GRPC_ROUTE, HTTP_ROUTE, Kind, TCP_ROUTE, TLS_ROUTE, UDP_ROUTE};
use crate::objects::Objects;
use crate::routes::parents;

pub(crate) fn shadowed(objects: &Objects, found: &mut Findings) {
    for kind in [HTTP_ROUTE, GRPC_ROUTE] {
        let mut seen: BTreeMap<(String, String, String), (&Object, usize)> = BTreeMap::new();
        for route in by_age(kind, objects) {
            for (index, rule) in list(&route.json, "spec.rules").iter().enumerate() {
                let whole = [json!({})];
                let matches = if list(rule, "matches").is_empty() { &whole[..] } else { list(rule, "matches") };
                for (place, condition) in matches.iter().enumerate() {
                    let condition = normal(condition).to_string();
                    let keys = places(route).into_iter().map(|(parent, host)| (parent, host, condition.clone()));
                    let keys: Vec<_> = keys.collect();
                    // It is shadowed when it is so for every parent and host.
                    let first = keys.first().and_then(|key| seen.get(key)).copied();
                    if let Some((other, rule)) = first
                        && keys.iter().all(|key| seen.contains_key(key))
                    {
                        let who = if other.index == route.index { "this route".to_owned() } else { other.describe() };
                        let message = format!("rule {} of {who} has the same match and comes first", rule + 1);
                        let field = if list(rule_of(route, index), "matches").is_empty() {
                            format!("spec.rules[{index}]")
                        } else {
                            format!("spec.rules[{index}].matches[{place}]")
                        };
                        found.report(route, LEN0008, field, message);
                    }
                    for key in keys {
                        seen.entry(key).or_insert((route, index));
                    }
                }
            }
        }
    }
    for kind in [TCP_ROUTE, UDP_ROUTE, TLS_ROUTE] {
        rivals(kind, objects, found);
    }
}

fn rule_of(route: &Object, index: usize) -> &Value {
    list(&route.json, "spec.rules").get(index).unwrap_or(&Value::Null)
}

/// Routes without matches: a listener, or a host of it, has one.
fn rivals(kind: Kind, objects: &Objects, found: &mut Findings) {
    let mut seen: BTreeMap<(String, String), &Object> = BTreeMap::new();
    for route in by_age(kind, objects) {
        for key in places(route) {
            match seen.get(&key).filter(|first| first.index != route.index) {
                Some(first) => {
                    let message = format!("{} is attached there already and comes first", first.describe());
                    found.report(route, LEN0017, "spec.parentRefs", message);
                    break;
                }
                None => {
                    seen.insert(key, route);
                }
            }
        }
    }
}

fn by_age(kind: Kind, objects: &Objects) -> Vec<&Object> {
    let mut routes: Vec<_> = objects.of(kind).collect();
    let age = |route: &Object| {
        let stamp = text(&route.json, "metadata.creationTimestamp").to_owned();
        (stamp.is_empty(), stamp, route.namespace.clone(), route.name.clone())
    };
    routes.sort_by_key(|route| age(route));
    routes
}

/// Parents with each host.
fn places(route: &Object) -> Vec<(String, String)> {
    let hosts = texts(&route.json, "spec.hostnames");
    let hosts = if hosts.is_empty() { vec![""] } else { hosts };
    parents(route)
        .flat_map(|parent| {
            let parent = format!(
                "{}/{} {}/{} {} {:?}",
                parent.group, parent.kind, parent.namespace, parent.name, parent.section, parent.port
            );
            hosts.iter().map(move |host| (parent.clone(), (*host).to_owned())).collect::<Vec<_>>()
        })
        .collect()
}

/// With defaults, and with names of headers in lower case and in order.
fn normal(condition: &Value) -> Value {
    let mut normal = condition.clone();
    let Some(fields) = normal.as_object_mut() else { return normal };
    for (path, kind) in [("path", "PathPrefix"), ("method", "Exact")] {
        if let Some(value) = fields.get_mut(path).filter(|value| value.is_object())
            && value.get("type").is_none()
        {
            value["type"] = kind.into();
        }
    }
    if fields.get("path").is_some_and(|path| *path == json!({ "type": "PathPrefix", "value": "/" })) {
        fields.remove("path");
    }
    for name in ["headers", "queryParams"] {
        if let Some(items) = fields.get_mut(name).and_then(Value::as_array_mut) {
            for item in items.iter_mut() {
                let lower = text(item, "name").to_lowercase();
                if item.get("type").is_none() {
                    item["type"] = "Exact".into();
                }
                if name == "headers" {
                    item["name"] = lower.into();
                }
            }
            items.iter_mut().for_each(Value::sort_all_objects);
            items.sort_by_key(Value::to_string);
        }
    }
    normal.sort_all_objects();
    normal
}
