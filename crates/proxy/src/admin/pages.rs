use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use leno_identity::CertificateSummary;
use leno_ir::{Config, EndpointHealth};
use serde_json::{Value, json};

use super::{CertificatesInUse, ClusterStatus, EndpointStatus};
use crate::dynamics::CheckedHealth;

pub(super) const HELP: &str = "\
GET  /ready              whether the proxy serves\n\
GET  /stats/prometheus   metrics\n\
GET  /config_dump        the active configuration\n\
GET  /clusters           endpoints and their health\n\
GET  /listeners          names and addresses\n\
GET  /certs              certificates in use\n\
GET  /server_info        version and uptime\n\
GET  /logging            the filter of the process log\n\
POST /logging?level=…    change it\n\
POST /drain_listeners    leave the mesh; what is under way goes on\n\
POST /reopen_logs        open the access logs anew\n\
POST /quitquitquit       drain and end\n";

pub(super) fn config_dump(config: &Config) -> Value {
    json!({ "version": version(), "config": config })
}

pub(super) fn server_info(uptime: Duration, is_ready: bool) -> Value {
    let state = if is_ready { "LIVE" } else { "PRE_INITIALIZING" };
    json!({ "version": version(), "state": state, "uptime_seconds": uptime.as_secs() })
}

/// Envoy's `admin.v3.Certificates`: numbers of 64 bits are strings, as in all JSON made from protobuf.
pub(super) fn certificates(certificates: &CertificatesInUse, now: SystemTime) -> Value {
    let list = |list: &[CertificateSummary]| list.iter().map(|each| certificate(each, now)).collect::<Vec<_>>();
    json!({ "certificates": [{ "ca_cert": list(&certificates.roots), "cert_chain": list(&certificates.chain) }] })
}

fn certificate(summary: &CertificateSummary, now: SystemTime) -> Value {
    let left = summary.not_after.duration_since(now).unwrap_or_default();
    let names: Vec<_> = summary.uris.iter().map(|uri| json!({ "uri": uri })).collect();
    json!({
        "path": "<inline>",
        "serial_number": summary.serial_number,
        "subject_alt_names": names,
        "days_until_expiration": (left.as_secs() / SECONDS_PER_DAY).to_string(),
        "valid_from": summary.valid_from(),
        "expiration_time": summary.expiration_time(),
    })
}

const SECONDS_PER_DAY: u64 = 24 * 3600;

fn version() -> Value {
    json!({ "name": "leno", "version": env!("CARGO_PKG_VERSION") })
}

/// `name::address::key::value`, as Envoy's.
pub(super) fn clusters(clusters: &[ClusterStatus]) -> String {
    let mut out = String::new();
    for cluster in clusters {
        for endpoint in &cluster.endpoints {
            let start = format!("{}::{}::", cluster.name, endpoint.address);
            let flags = health_flags(endpoint);
            let ewma_ms = endpoint.latency.as_secs_f64() * 1000.0;
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{start}health_flags::{flags}");
            let _ = writeln!(out, "{start}rq_active::{}", endpoint.active_requests);
            let _ = writeln!(out, "{start}weight::{}", endpoint.weight);
            let _ = writeln!(out, "{start}ewma_ms::{ewma_ms:.3}");
        }
    }
    out
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

/// `name::address`, as Envoy's.
pub(super) fn listeners(listeners: &[(String, SocketAddr)]) -> String {
    let mut out = String::new();
    for (name, address) in listeners {
        let _ = writeln!(out, "{name}::{address}");
    }
    out
}
