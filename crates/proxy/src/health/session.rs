use std::net::SocketAddr;
use std::sync::Arc;

use leno_balance::{CheckFailure, CheckResult};
use leno_identity::Identity;
use leno_ir::{Cluster, Endpoint, HealthCheck, HealthProbe, Labels};
use leno_runtime::Tasks;

use super::http::HttpConnection;
use super::tcp::TcpConnection;
use super::{grpc, http, tcp};
use crate::tls::TlsContexts;

/// What every check of a cluster needs.
pub(super) struct Probe {
    pub(super) cluster: Arc<Cluster>,
    pub(super) config: HealthCheck,
    pub(super) identity: Option<Identity>,
    pub(super) contexts: TlsContexts,
    pub(super) tasks: Tasks,
}

/// The checks of one endpoint, and the connection that serves several of them.
pub(super) struct Session {
    endpoint: Endpoint,
    /// Of the endpoint's locality.
    socket_labels: Labels,
    pub(super) http: Option<HttpConnection>,
    pub(super) tcp: Option<TcpConnection>,
}

impl Session {
    pub(super) fn new(endpoint: Endpoint, socket_labels: Labels) -> Self {
        Self { endpoint, socket_labels, http: None, tcp: None }
    }

    /// The way it is connected to for checks.
    pub(super) fn socket(&self, probe: &Probe) -> Option<usize> {
        match &probe.config.socket_labels {
            Some(labels) => probe.cluster.socket_of(labels, &self.socket_labels),
            None => probe.cluster.socket_of(&self.endpoint.socket_labels, &self.socket_labels),
        }
    }

    /// Of the requests of checks.
    pub(super) fn scheme(&self, probe: &Probe) -> &'static str {
        if probe.cluster.tls_of(self.socket(probe)).is_some() { "https" } else { "http" }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where checks go.
    pub(super) fn address(&self) -> SocketAddr {
        let check = &self.endpoint.check;
        let address = self.endpoint.address;
        SocketAddr::new(check.address.unwrap_or(address.ip()), check.port.unwrap_or(address.port()))
    }

    /// The host to ask for: the endpoint's own, the check's, or the cluster's name.
    pub(super) fn host<'a>(&'a self, configured: &'a str, probe: &'a Probe) -> &'a str {
        let own = self.endpoint.check.hostname.as_str();
        [own, configured].into_iter().find(|name| !name.is_empty()).unwrap_or(&probe.cluster.name)
    }

    /// One check, within its time-out.
    pub(super) async fn ask(&mut self, probe: &Probe) -> CheckResult {
        let asking = async {
            match &probe.config.probe {
                HealthProbe::Grpc(config) => grpc::ask(self, probe, config).await,
                HealthProbe::Http(config) => http::ask(self, probe, config).await,
                HealthProbe::Tcp(config) => tcp::ask(self, probe, config).await,
            }
        };
        let result = tokio::time::timeout(probe.config.timeout, asking).await;
        let result = result.unwrap_or(CheckResult::Failure(CheckFailure::Timeout));
        // After a broken network a new connection is tried.
        let is_broken = matches!(result, CheckResult::Failure(CheckFailure::Network | CheckFailure::Timeout));
        if is_broken || !probe.config.reuse_connection {
            (self.http, self.tcp) = (None, None);
        }
        result
    }
}
