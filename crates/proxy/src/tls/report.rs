use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use leno_identity::PeerRefused;
use leno_ir::Cluster;
use leno_telemetry::Chain;

use super::{AcceptError, TlsSettings};
use crate::upstream::ConnectError;

/// At most one line in this time and worker, with the number of those left out. Chosen: a wrong certificate fails every
/// connection of a busy service, and one line says it.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Limits the rate of log lines about failed handshakes.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    last: Cell<Option<Instant>>,
    left_out: Cell<u64>,
}

impl FailureLog {
    /// The number of failures not logged since the last line, when it is time for another.
    fn turn(&self, now: Instant) -> Option<u64> {
        if self.last.get().is_some_and(|last| now.saturating_duration_since(last) < BETWEEN_LINES) {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.last.set(Some(now));
        Some(self.left_out.replace(0))
    }
}

impl TlsSettings {
    pub(crate) fn report_downstream_failure(&self, listener: &str, client: SocketAddr, error: &AcceptError) {
        let Some(left_out) = self.failures.turn(Instant::now()) else { return };
        match error.refusal() {
            Some(PeerRefused { expected, presented }) => {
                tracing::warn!(listener, %client, expected, presented, left_out, "refused a client that is not who it must be");
            }
            None => tracing::warn!(listener, %client, error = %Chain(error), left_out, "TLS with a client failed"),
        }
    }

    pub(crate) fn report_upstream_failure(&self, cluster: &Cluster, error: &ConnectError) {
        let Some(left_out) = self.failures.turn(Instant::now()) else { return };
        let cluster = cluster.name.as_str();
        match error.refusal() {
            Some((endpoint, PeerRefused { expected, presented })) => {
                tracing::warn!(cluster, %endpoint, expected, presented, left_out, "refused an endpoint that is not who it must be");
            }
            None => tracing::warn!(cluster, error = %Chain(error), left_out, "TLS with an endpoint failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_one_line_with_a_count() {
        let log = FailureLog::default();
        let start = Instant::now();
        assert_eq!(log.turn(start), Some(0));
        assert_eq!(log.turn(start + Duration::from_secs(1)), None);
        assert_eq!(log.turn(start + Duration::from_secs(6)), Some(1));
    }
}
