use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use leno_identity::CertificateSummary;
use leno_ir::Config;
use serde_json::{Value, json};

use super::CertificatesInUse;

pub(super) fn config(config: &Config) -> Value {
    json!({ "version": version(), "config": config })
}

/// Envoy's `admin.v3.ServerInfo`, as far as there is something to say.
pub(super) fn server_info(uptime: Duration, state: &str, workers: usize) -> Value {
    let uptime = format!("{}s", uptime.as_secs());
    json!({
        "version": concat!("leno/", env!("CARGO_PKG_VERSION")),
        "state": state,
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
        "hot_restart_version": "disabled",
        "command_line_options": { "concurrency": workers },
    })
}

/// Envoy's `admin.v3.UnreadyTargetsDumps`.
pub(super) fn init_dump(pending: &[&str]) -> Value {
    match pending {
        [] => json!({}),
        names => json!({ "unready_targets_dumps": [{ "name": "init manager Server", "target_names": names }] }),
    }
}

/// Envoy's `admin.v3.Memory`; numbers of 64 bits are strings.
pub(super) fn memory() -> Value {
    // What the allocator holds is not told apart from what it has given out.
    let bytes = leno_runtime::memory::resident_bytes().unwrap_or(0).to_string();
    json!({
        "allocated": bytes,
        "heap_size": bytes,
        "pageheap_unmapped": "0",
        "pageheap_free": "0",
        "total_thread_cache": "0",
        "total_physical_bytes": bytes,
    })
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

/// `name::address`, as Envoy's.
pub(super) fn listeners(listeners: &[(String, SocketAddr)]) -> String {
    let mut out = String::new();
    for (name, address) in listeners {
        let _ = writeln!(out, "{name}::{address}");
    }
    out
}

/// Envoy's `admin.v3.Listeners`.
pub(super) fn listeners_json(listeners: &[(String, SocketAddr)]) -> Value {
    let status = |(name, address): &(String, SocketAddr)| json!({ "name": name, "local_address": socket(*address) });
    json!({ "listener_statuses": listeners.iter().map(status).collect::<Vec<_>>() })
}

pub(super) fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}
