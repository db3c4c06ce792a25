//! Objects as rows of a table.

use leno_api::{Kind, annotation};
use serde_json::Value;

use crate::table::Table;

/// Objects of one kind. With a namespace column when they are of all namespaces.
pub(crate) fn objects(kind: Kind, items: &[Value], all_namespaces: bool, wide: bool) -> Table {
    let mut head = Vec::new();
    if all_namespaces {
        head.push("NAMESPACE");
    }
    head.push("NAME");
    head.extend(columns(kind));
    head.extend(["ACCEPTED", "PROGRAMMED"]);
    if wide {
        head.extend(["LABELS", "MESSAGE"]);
    }
    let mut table = Table::new(head);
    for item in items {
        let mut row = Vec::new();
        if all_namespaces {
            row.push(namespace(item).to_owned());
        }
        row.push(name(item).to_owned());
        row.extend(details(kind, item));
        row.extend([condition(item, "Accepted"), condition(item, "Programmed")]);
        if wide {
            row.extend([pairs(&item["metadata"]["labels"]), messages(item)]);
        }
        table.row(row);
    }
    table
}

pub(crate) fn name(item: &Value) -> &str {
    item["metadata"]["name"].as_str().unwrap_or_default()
}

pub(crate) fn namespace(item: &Value) -> &str {
    item["metadata"]["namespace"].as_str().unwrap_or(leno_api::DEFAULT_NAMESPACE)
}

/// `True`, `False`, or nothing when it is not known. Of several, one that is not `True`.
pub(crate) fn condition(item: &Value, kind: &str) -> String {
    let of_kind = || conditions(item).filter(|condition| condition["type"] == kind);
    let found = of_kind().find(|condition| condition["status"] != "True").or_else(|| of_kind().next());
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default().to_owned()
}

/// Of the object, of a policy's targets and of a route's parents.
pub(crate) fn conditions(item: &Value) -> impl Iterator<Item = &Value> {
    let status = &item["status"];
    let items = |part: &'static str| status[part].as_array().into_iter().flatten();
    let of_others = items("ancestors").chain(items("parents"));
    items("conditions").chain(of_others.flat_map(|other| other["conditions"].as_array().into_iter().flatten()))
}

const fn columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::DestinationRule => &["HOST", "SUBSETS"],
        Kind::HttpRoute => &["PARENTS", "HOSTNAMES"],
        Kind::Service => &["PORTS", "SELECTOR"],
        Kind::VirtualService => &["HOSTS"],
        Kind::WorkloadEntry => &["ADDRESS", "SERVICE", "HEALTH"],
        Kind::WorkloadGroup => &["SERVICE-ACCOUNT"],
        Kind::Gateway => &["CLASS", "LISTENERS"],
        Kind::GrpcRoute | Kind::TlsRoute => &["PARENTS", "HOSTNAMES"],
        Kind::TcpRoute | Kind::UdpRoute => &["PARENTS"],
        Kind::FaultPolicy => &["TARGETS", "UNTIL"],
        Kind::DeadlinePolicy | Kind::HedgePolicy | Kind::RateLimitPolicy | Kind::RetryPolicy | Kind::TrafficPolicy => {
            &["TARGETS"]
        }
        _ => &[],
    }
}

fn details(kind: Kind, item: &Value) -> Vec<String> {
    let spec = &item["spec"];
    match kind {
        Kind::DestinationRule => vec![text(&spec["host"]), each(&spec["subsets"], |subset| text(&subset["name"]))],
        Kind::GrpcRoute | Kind::HttpRoute | Kind::TlsRoute => {
            vec![each(&spec["parentRefs"], |parent| text(&parent["name"])), each(&spec["hostnames"], text)]
        }
        Kind::Service => vec![each(&spec["ports"], port), pairs(&spec["selector"])],
        Kind::VirtualService => vec![each(&spec["hosts"], text)],
        Kind::WorkloadEntry => {
            let annotations = &item["metadata"]["annotations"];
            let health = text(&annotations[annotation::HEALTH]);
            let health = if health.is_empty() { "healthy".to_owned() } else { health };
            vec![text(&spec["address"]), text(&annotations[annotation::SERVICE]), health]
        }
        Kind::WorkloadGroup => vec![text(&spec["template"]["serviceAccount"])],
        Kind::Gateway => {
            let listener = |listener: &Value| format!("{}:{}", text(&listener["protocol"]), text(&listener["port"]));
            vec![text(&spec["gatewayClassName"]), each(&spec["listeners"], listener)]
        }
        Kind::FaultPolicy => vec![targets(spec), text(&spec["until"])],
        Kind::DeadlinePolicy | Kind::HedgePolicy | Kind::RateLimitPolicy | Kind::RetryPolicy | Kind::TrafficPolicy => {
            vec![targets(spec)]
        }
        Kind::TcpRoute | Kind::UdpRoute => vec![each(&spec["parentRefs"], |parent| text(&parent["name"]))],
        _ => Vec::new(),
    }
}

/// `Service/reviews`.
fn targets(spec: &Value) -> String {
    each(&spec["targetRefs"], |target| format!("{}/{}", text(&target["kind"]), text(&target["name"])))
}

/// `http:80`, or the number alone.
fn port(port: &Value) -> String {
    let number = text(&port["port"]);
    match port["name"].as_str() {
        Some(name) if !name.is_empty() => format!("{name}:{number}"),
        _ => number,
    }
}

/// As a cell shows it: nothing for null.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn each(values: &Value, show: impl Fn(&Value) -> String) -> String {
    values.as_array().into_iter().flatten().map(show).collect::<Vec<_>>().join(",")
}

fn pairs(map: &Value) -> String {
    let entries = map.as_object().into_iter().flatten();
    entries.map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(",")
}

fn messages(item: &Value) -> String {
    let all = conditions(item).map(|condition| text(&condition["message"])).filter(|message| !message.is_empty());
    all.collect::<Vec<_>>().join("; ")
}
