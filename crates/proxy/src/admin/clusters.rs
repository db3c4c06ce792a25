use std::fmt::Write;

use leno_ir::{CircuitBreakers, EndpointHealth, Thresholds};
use serde_json::{Map, Value, json};

use super::pages::socket;
use super::{ClusterStatus, EndpointStatus};
use crate::dynamics::CheckedHealth;

/// `name::address::key::value`, as Envoy's, and the latency that the balancer expects.
pub(super) fn text(clusters: &[ClusterStatus]) -> String {
    let mut out = String::new();
    for cluster in clusters {
        let name = &cluster.config.name;
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(out, "{name}::observability_name::{name}");
        for (priority, thresholds) in priorities(&cluster.config.circuit_breakers) {
            for (limit, value) in limits(thresholds) {
                let _ = writeln!(out, "{name}::{priority}_priority::{limit}::{value}");
            }
        }
        let _ = writeln!(out, "{name}::added_via_api::{}", is_dynamic(cluster));
        for endpoint in &cluster.endpoints {
            write_endpoint(name, endpoint, &mut out);
        }
    }
    out
}

fn write_endpoint(cluster: &str, endpoint: &EndpointStatus, out: &mut String) {
    let start = format!("{cluster}::{}::", endpoint.address);
    let counts = endpoint.counts;
    let locality = &endpoint.locality;
    for (name, value) in [
        ("cx_active", counts.cx_active),
        ("cx_connect_fail", counts.cx_connect_fail),
        ("cx_total", counts.cx_total),
        ("rq_active", endpoint.active_requests),
        ("rq_error", counts.rq_error),
        ("rq_success", counts.rq_success),
        ("rq_timeout", counts.rq_timeout),
        ("rq_total", counts.rq_total),
    ] {
        let _ = writeln!(out, "{start}{name}::{value}");
    }
    let _ = writeln!(out, "{start}hostname::{}", endpoint.hostname);
    let _ = writeln!(out, "{start}health_flags::{}", health_flags(endpoint));
    let _ = writeln!(out, "{start}weight::{}", endpoint.weight);
    let _ = writeln!(out, "{start}region::{}", locality.region);
    let _ = writeln!(out, "{start}zone::{}", locality.zone);
    let _ = writeln!(out, "{start}sub_zone::{}", locality.sub_zone);
    let _ = writeln!(out, "{start}canary::false");
    let _ = writeln!(out, "{start}priority::{}", endpoint.priority);
    let _ = writeln!(out, "{start}success_rate::-1");
    let _ = writeln!(out, "{start}local_origin_success_rate::-1");
    let _ = writeln!(out, "{start}ewma_ms::{:.3}", endpoint.latency.as_secs_f64() * 1000.0);
}

fn priorities(breakers: &CircuitBreakers) -> [(&'static str, &Thresholds); 2] {
    [("default", &breakers.default), ("high", breakers.high.as_deref().unwrap_or(&Thresholds::ENVOY))]
}

fn limits(thresholds: &Thresholds) -> [(&'static str, u32); 4] {
    [
        ("max_connections", thresholds.max_connections),
        ("max_pending_requests", thresholds.max_pending_requests),
        ("max_requests", thresholds.max_requests),
        ("max_retries", thresholds.max_retries),
    ]
}

/// Whether it came from a control plane, as far as it can be told by its endpoints.
fn is_dynamic(cluster: &ClusterStatus) -> bool {
    cluster.is_dynamic
}

/// Envoy's words, in its order.
fn health_flags(endpoint: &EndpointStatus) -> String {
    let checked = |of: fn(&CheckedHealth) -> bool| endpoint.checked.as_ref().is_some_and(of);
    let flags = [
        (checked(|checked| checked.is_failed), "/failed_active_hc"),
        (endpoint.is_ejected, "/failed_outlier_check"),
        (matches!(endpoint.health, EndpointHealth::Unhealthy), "/failed_eds_health"),
        (checked(|checked| checked.is_degraded), "/degraded_active_hc"),
        (matches!(endpoint.health, EndpointHealth::Degraded), "/degraded_eds_health"),
        (checked(|checked| checked.is_leaving), "/pending_dynamic_removal"),
        (checked(|checked| checked.is_pending), "/pending_active_hc"),
        (checked(|checked| checked.is_excluded), "/excluded_via_immediate_hc_fail"),
        (checked(|checked| checked.has_timed_out), "/active_hc_timeout"),
        (matches!(endpoint.health, EndpointHealth::Draining), "/eds_status_draining"),
    ];
    let flags: String = flags.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag)).collect();
    if flags.is_empty() { "healthy".to_owned() } else { flags }
}

/// Envoy's `admin.v3.Clusters`: what is zero, false or empty is left out, as in all JSON made from protobuf.
pub(super) fn json(clusters: &[ClusterStatus]) -> Value {
    json!({ "cluster_statuses": clusters.iter().map(cluster_json).collect::<Vec<_>>() })
}

fn cluster_json(cluster: &ClusterStatus) -> Value {
    let name = &cluster.config.name;
    let thresholds = |(priority, thresholds): (&str, &Thresholds)| {
        let priority = (priority == "high").then(|| ("priority".to_owned(), json!("HIGH")));
        let of_limits = limits(thresholds).map(|(name, value)| (name.to_owned(), json!(value)));
        Value::Object(priority.into_iter().chain(of_limits).collect())
    };
    let mut status = Map::new();
    status.insert("name".to_owned(), json!(name));
    if is_dynamic(cluster) {
        status.insert("added_via_api".to_owned(), json!(true));
    }
    if !cluster.endpoints.is_empty() {
        let hosts = cluster.endpoints.iter().map(endpoint_json);
        status.insert("host_statuses".to_owned(), hosts.collect());
    }
    status.insert(
        "circuit_breakers".to_owned(),
        json!({ "thresholds": priorities(&cluster.config.circuit_breakers).map(thresholds) }),
    );
    status.insert("observability_name".to_owned(), json!(name));
    Value::Object(status)
}

fn endpoint_json(endpoint: &EndpointStatus) -> Value {
    let counts = endpoint.counts;
    let stat = |kind: Option<&str>, name: &str, value: u64| {
        let mut stat = Map::new();
        if let Some(kind) = kind {
            stat.insert("type".to_owned(), json!(kind));
        }
        if value > 0 {
            stat.insert("value".to_owned(), json!(value.to_string()));
        }
        stat.insert("name".to_owned(), json!(name));
        Value::Object(stat)
    };
    let mut status = Map::new();
    status.insert("address".to_owned(), socket(endpoint.address));
    let stats = [
        stat(None, "cx_connect_fail", counts.cx_connect_fail),
        stat(None, "cx_total", counts.cx_total),
        stat(None, "rq_error", counts.rq_error),
        stat(None, "rq_success", counts.rq_success),
        stat(None, "rq_timeout", counts.rq_timeout),
        stat(None, "rq_total", counts.rq_total),
        stat(Some("GAUGE"), "cx_active", counts.cx_active),
        stat(Some("GAUGE"), "rq_active", endpoint.active_requests),
    ];
    status.insert("stats".to_owned(), json!(stats));
    status.insert("health_status".to_owned(), health_json(endpoint));
    if !endpoint.hostname.is_empty() {
        status.insert("hostname".to_owned(), json!(endpoint.hostname));
    }
    status.insert("weight".to_owned(), json!(endpoint.weight));
    if endpoint.priority > 0 {
        status.insert("priority".to_owned(), json!(endpoint.priority));
    }
    let locality = &endpoint.locality;
    let parts = [("region", &locality.region), ("zone", &locality.zone), ("sub_zone", &locality.sub_zone)];
    let parts = parts.into_iter().filter(|(_, part)| !part.is_empty());
    status.insert("locality".to_owned(), parts.map(|(name, part)| (name.to_owned(), json!(part))).collect());
    Value::Object(status)
}

fn health_json(endpoint: &EndpointStatus) -> Value {
    let checked = |of: fn(&CheckedHealth) -> bool| endpoint.checked.as_ref().is_some_and(of);
    let flags = [
        (checked(|checked| checked.is_failed), "failed_active_health_check"),
        (endpoint.is_ejected, "failed_outlier_check"),
        (checked(|checked| checked.is_degraded), "failed_active_degraded_check"),
        (checked(|checked| checked.is_leaving), "pending_dynamic_removal"),
        (checked(|checked| checked.is_pending), "pending_active_hc"),
        (checked(|checked| checked.is_excluded), "excluded_via_immediate_hc_fail"),
        (checked(|checked| checked.has_timed_out), "active_hc_timeout"),
    ];
    let eds = match endpoint.health {
        EndpointHealth::Degraded => "DEGRADED",
        EndpointHealth::Draining => "DRAINING",
        EndpointHealth::Unhealthy => "UNHEALTHY",
        _ => "HEALTHY",
    };
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| (name.to_owned(), json!(true)));
    Value::Object(flags.chain([("eds_health_status".to_owned(), json!(eds))]).collect())
}
