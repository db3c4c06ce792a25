//! Rules and matches of VirtualServices that earlier ones make useless.

use std::collections::HashMap;

use serde_json::Value;

use crate::Object;
use crate::codes::{IST0130, IST0131};
use crate::finding::Findings;
use crate::json::{at, list, number, text};
use crate::kinds::VIRTUAL_SERVICE;
use crate::objects::Objects;

pub(crate) fn rules(objects: &Objects, found: &mut Findings) {
    for route in objects.of(VIRTUAL_SERVICE) {
        for protocol in ["http", "tcp", "tls"] {
            let rules = list(&route.json, &format!("spec.{protocol}"));
            same(route, protocol, rules, found);
        }
        covered(route, list(&route.json, "spec.http"), found);
    }
}

/// Equal matches, and rules behind one that takes everything.
fn same(route: &Object, protocol: &str, rules: &[Value], found: &mut Findings) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut takes_all: Option<usize> = None;
    for (index, rule) in rules.iter().enumerate() {
        let field = format!("spec.{protocol}[{index}]");
        let matches = list(rule, "match");
        if let Some(before) = takes_all {
            let message = format!("{} takes everything before it", name(rules, before));
            found.report(route, IST0130, field, message);
            continue;
        }
        if matches.is_empty() {
            takes_all = Some(index);
            continue;
        }
        let mut duplicates = 0;
        for (place, condition) in matches.iter().enumerate() {
            match seen.get(&without_name(condition)) {
                Some(before) => {
                    duplicates += 1;
                    let message = format!("{} has the same match", name(rules, *before));
                    found.report(route, IST0131, format!("{field}.match[{place}]"), message);
                }
                None => {
                    seen.insert(without_name(condition), index);
                }
            }
        }
        if duplicates == matches.len() {
            found.report(route, IST0130, field, "rules before it have all its matches");
        }
    }
}

fn name(rules: &[Value], index: usize) -> String {
    match rules.get(index).map(|rule| text(rule, "name")).unwrap_or_default() {
        "" => format!("rule {}", index + 1),
        name => format!("rule \"{name}\""),
    }
}

fn without_name(condition: &Value) -> String {
    let mut condition = condition.clone();
    if let Some(fields) = condition.as_object_mut() {
        fields.remove("name");
        fields.sort_keys();
    }
    condition.to_string()
}

/// Prefixes of paths behind shorter ones that ask no more of a request.
fn covered(route: &Object, rules: &[Value], found: &mut Findings) {
    let prefixes: Vec<_> = rules
        .iter()
        .enumerate()
        .flat_map(|(index, rule)| list(rule, "match").iter().enumerate().map(move |(place, one)| (index, place, one)))
        .filter(|(_, _, condition)| !text(condition, "uri.prefix").is_empty())
        .collect();
    for (at_prefix, (index, _, earlier)) in prefixes.iter().enumerate() {
        for (later_index, place, later) in prefixes.iter().skip(at_prefix + 1) {
            let [short, long] = [earlier, later].map(|condition| text(condition, "uri.prefix"));
            if short != long && long.starts_with(short) && asks_no_more(earlier, later) {
                let message = format!("{} takes \"{long}\" already with its prefix \"{short}\"", name(rules, *index));
                found.report(route, IST0131, format!("spec.http[{later_index}].match[{place}].uri.prefix"), message);
            }
        }
    }
}

/// As Istio compares: a match that names no method is for GET, and other conditions must be the same, or begin alike.
fn asks_no_more(earlier: &Value, later: &Value) -> bool {
    let method = |condition: &Value| match string_match(at(condition, "method")) {
        none if none.is_empty() => "exact GET".to_owned(),
        method => method,
    };
    let alike = |field: &str| maps_alike(at(earlier, field), at(later, field));
    number(earlier, "port") == number(later, "port")
        && method(earlier).starts_with(&method(later))
        && string_match(at(earlier, "authority")).starts_with(&string_match(at(later, "authority")))
        && ["headers", "queryParams", "withoutHeaders"].into_iter().all(alike)
}

fn string_match(value: &Value) -> String {
    ["exact", "prefix"]
        .into_iter()
        .find(|kind| !text(value, kind).is_empty())
        .map(|kind| format!("{kind} {}", text(value, kind)))
        .unwrap_or_default()
}

fn maps_alike(earlier: &Value, later: &Value) -> bool {
    let count = |map: &Value| map.as_object().map_or(0, serde_json::Map::len);
    let each =
        earlier.as_object().into_iter().flatten().all(|(key, value)| {
            later.get(key).is_some_and(|later| string_match(value).starts_with(&string_match(later)))
        });
    count(earlier) == count(later) && each
}
