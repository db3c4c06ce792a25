use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::SystemTime;

use leno_balance::{CheckFailure, CheckResult, HostCheck, Transition};
use leno_ir::{Endpoint, HealthCheck, HealthProbe};
use serde_json::{Value, json};

/// The file that tells what checks have changed: one JSON object a line, Envoy's `HealthCheckEvent`.
#[derive(Debug)]
pub(super) struct EventLog {
    file: File,
    cluster: String,
    checker: &'static str,
    logs_failures: bool,
    logs_successes: bool,
}

impl EventLog {
    /// `None`: none is wanted, or the file cannot be opened, which is logged.
    pub(super) fn open(cluster: &str, config: &HealthCheck) -> Option<Self> {
        let path = &config.event_log_path;
        if path.is_empty() {
            return None;
        }
        match OpenOptions::new().create(true).append(true).open(path) {
            Ok(file) => Some(Self {
                file,
                cluster: cluster.to_owned(),
                checker: match config.probe {
                    HealthProbe::Grpc(_) => "GRPC",
                    HealthProbe::Http(_) => "HTTP",
                    HealthProbe::Tcp(_) => "TCP",
                },
                logs_failures: config.always_log_failures,
                logs_successes: config.always_log_successes,
            }),
            Err(error) => {
                tracing::warn!(cluster, path, %error, "the log of health checks cannot be opened");
                None
            }
        }
    }

    pub(super) fn note(&mut self, endpoint: &Endpoint, check: &HostCheck, result: CheckResult, transition: Transition) {
        let has_changed = transition == Transition::Changed;
        let (name, event) = match result {
            CheckResult::Failure(failure) => {
                if has_changed {
                    self.write(endpoint, "eject_unhealthy_event", json!({ "failure_type": failure_type(failure) }));
                }
                if !has_changed && !self.logs_failures {
                    return;
                }
                ("health_check_failure_event", json!({ "failure_type": failure_type(failure) }))
            }
            CheckResult::Success { .. } if has_changed && !check.is_failed() => ("add_healthy_event", json!({})),
            CheckResult::Success { .. } if self.logs_successes => ("successful_health_check_event", json!({})),
            CheckResult::Success { .. } => return,
        };
        self.write(endpoint, name, event);
    }

    fn write(&mut self, endpoint: &Endpoint, name: &str, event: Value) {
        let address = endpoint.address;
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        let line = json!({
            "health_checker_type": self.checker,
            "host": { "socket_address": {
                "protocol": "TCP",
                "address": address.ip().to_string(),
                "resolver_name": "",
                "ipv4_compat": false,
                "port_value": address.port(),
            } },
            "cluster_name": self.cluster,
            "timestamp": now.to_string(),
            name: event,
        });
        // A full disk must not stop the checks.
        let _ = writeln!(self.file, "{line}");
    }
}

fn failure_type(failure: CheckFailure) -> &'static str {
    match failure {
        CheckFailure::Answer | CheckFailure::Retriable => "ACTIVE",
        CheckFailure::Network => "NETWORK",
        CheckFailure::Timeout => "NETWORK_TIMEOUT",
    }
}
