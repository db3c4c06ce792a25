//! Objects as rows of a table, for people.
//!
//! Source      Kubernetes `meta.k8s.io/v1` Table; the columns of the upstream CRDs, and two of ours

use std::time::SystemTime;

use leno_api::Kind;
use serde_json::{Value, json};

mod age;

/// Title and where the value is: fields, separated by dots; `[]` all items of a list; `[Programmed]` the condition of that
/// type, its status.
type Column = (&'static str, &'static str);

/// Conditions that every kind has a column for.
const CONDITIONS: [&str; 2] = ["Accepted", "Programmed"];

fn columns(kind: Kind) -> &'static [Column] {
    match kind.as_str() {
        "AuthorizationPolicy" => &[("Action", "spec.action")],
        "BackendTLSPolicy" => &[("Targets", "spec.targetRefs[].name"), ("Hostname", "spec.validation.hostname")],
        "ConfigMap" => &[],
        "DeadlinePolicy" | "HedgePolicy" | "RateLimitPolicy" | "RetryPolicy" | "TrafficPolicy" => {
            &[("Targets", "spec.targetRefs[].name")]
        }
        "DestinationRule" => &[("Host", "spec.host")],
        "FaultPolicy" => &[("Targets", "spec.targetRefs[].name"), ("Until", "spec.until")],
        "GRPCRoute" | "HTTPRoute" | "TLSRoute" => &[("Hostnames", "spec.hostnames")],
        "Gateway" => &[
            ("Class", "spec.gatewayClassName"),
            ("Selector", "spec.selector"),
            ("Address", "status.addresses[].value"),
        ],
        "GatewayClass" => &[("Controller", "spec.controllerName")],
        "Namespace" => &[("Status", "status.phase")],
        "PeerAuthentication" => &[("Mode", "spec.mtls.mode")],
        "Secret" => &[("Type", "type")],
        "Service" => &[("Type", "spec.type"), ("Cluster-IP", "spec.clusterIP"), ("Port(s)", "spec.ports[].port")],
        "ServiceEntry" => &[("Hosts", "spec.hosts"), ("Location", "spec.location"), ("Resolution", "spec.resolution")],
        "TrafficSplit" => &[("Service", "spec.service")],
        "VirtualService" => &[("Gateways", "spec.gateways"), ("Hosts", "spec.hosts")],
        "WorkloadEntry" => &[("Address", "spec.address")],
        "WorkloadGroup" => &[("Service Account", "spec.template.serviceAccount")],
        _ => &[],
    }
}

/// What a row carries besides its cells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RowObject {
    Metadata,
    None,
    Object,
}

impl RowObject {
    /// The parameter `includeObject`.
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "None" => Self::None,
            "Object" => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// `metadata` is that of the list.
pub(crate) fn table(kind: Kind, objects: &[Value], metadata: Value, carried: RowObject, now: SystemTime) -> Value {
    let columns = columns(kind);
    let column = |name: &str, kind: &str, priority: u8| {
        let format = if name == "Name" { "name" } else { "" };
        json!({ "name": name, "type": kind, "format": format, "description": "", "priority": priority })
    };
    let mut heads = vec![column("Name", "string", 0)];
    heads.extend(columns.iter().map(|(title, _)| *title).chain(CONDITIONS).map(|title| column(title, "string", 0)));
    heads.extend([column("Age", "string", 0), column("Labels", "string", 1), column("Message", "string", 1)]);
    let rows: Vec<_> = objects
        .iter()
        .map(|object| {
            let mut cells = vec![object["metadata"]["name"].clone()];
            cells.extend(columns.iter().map(|(_, path)| json!(cell(object, path))));
            cells.extend(CONDITIONS.map(|wanted| json!(condition(object, wanted))));
            cells.extend([json!(age::of(object, now)), json!(labels(object)), json!(messages(object))]);
            let mut row = json!({ "cells": cells });
            match carried {
                RowObject::None => {}
                RowObject::Object => row["object"] = object.clone(),
                RowObject::Metadata => row["object"] = metadata_of(object),
            }
            row
        })
        .collect();
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": heads, "rows": rows })
}

/// The object as `PartialObjectMetadata`.
pub(crate) fn metadata_of(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

fn cell(object: &Value, path: &str) -> String {
    let mut values = vec![object];
    for step in path.split('.') {
        let (name, below) = step.strip_suffix(']').and_then(|step| step.split_once('[')).unwrap_or((step, "-"));
        let fields = values.into_iter().filter_map(|value| value.get(name));
        let items = |value| Value::as_array(value).into_iter().flatten();
        values = match below {
            "-" => fields.collect(),
            "" => fields.flat_map(items).collect(),
            wanted => {
                let conditions = fields.flat_map(items).filter(|condition| condition["type"] == wanted);
                conditions.map(|condition| &condition["status"]).collect()
            }
        };
    }
    values.into_iter().map(text).collect::<Vec<_>>().join(",")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn labels(object: &Value) -> String {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    labels.map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(",")
}

/// Of the object, of a policy's targets and of a route's parents.
fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    let status = &object["status"];
    let items = |part: &'static str| status[part].as_array().into_iter().flatten();
    let of_others = items("ancestors").chain(items("parents"));
    items("conditions").chain(of_others.flat_map(|other| other["conditions"].as_array().into_iter().flatten()))
}

/// Of several of one type, one that is not `True`.
fn condition(object: &Value, wanted: &str) -> String {
    let of_type = || conditions(object).filter(|condition| condition["type"] == wanted);
    let found = of_type().find(|condition| condition["status"] != "True").or_else(|| of_type().next());
    found.map(|condition| text(&condition["status"])).unwrap_or_default()
}

fn messages(object: &Value) -> String {
    let messages =
        conditions(object).map(|condition| text(&condition["message"])).filter(|message| !message.is_empty());
    messages.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found_by_their_paths() {
        let object = json!({
            "metadata": { "name": "a", "labels": { "x": "y" } },
            "spec": { "ports": [{ "port": 80 }, { "port": 81 }], "hosts": ["a", "b"] },
            "status": { "conditions": [{ "type": "Accepted", "status": "True", "message": "well" }] },
        });
        for (path, wanted) in [
            ("spec.ports[].port", "80,81"),
            ("spec.hosts", "[\"a\",\"b\"]"),
            ("spec.nothing.there", ""),
            ("status.conditions[Accepted]", "True"),
            ("status.conditions[Programmed]", ""),
        ] {
            assert_eq!(cell(&object, path), wanted, "{path}");
        }
        assert_eq!((condition(&object, "Accepted"), condition(&object, "Programmed")), ("True".into(), "".into()));
        let accepted = |status: &str| json!({ "conditions": [{ "type": "Accepted", "status": status }] });
        let policy = json!({ "status": { "ancestors": [accepted("True"), accepted("False")] } });
        assert_eq!(condition(&policy, "Accepted"), "False", "one target is enough");
        let table = table(Kind::Service, &[object], json!({}), RowObject::Metadata, SystemTime::UNIX_EPOCH);
        let width = table["columnDefinitions"].as_array().unwrap().len();
        assert_eq!(table["rows"][0]["cells"].as_array().unwrap().len(), width);
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    }
}
