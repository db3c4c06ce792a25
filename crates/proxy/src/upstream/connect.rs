use std::net::SocketAddr;
use std::rc::Rc;

use leno_identity::UpstreamAlpn;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::cluster::UpstreamCluster;
use super::limits::ConnectionPermit;
use super::{ConnectError, Overflow, Pick};
use crate::proxy_protocol::{ProxyAddresses, encode};
use crate::stats::{ConnectionGuard, HandshakeResult, TlsSide};
use crate::stream::Stream;
use crate::worker::Worker;

/// What will be spoken on a new connection; decides the ALPN names offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ApplicationProtocol {
    Http1,
    Http2,
    /// Bytes.
    Tcp,
}

impl ApplicationProtocol {
    /// Istio's names first, so that a sidecar on the other side knows that a sidecar called; then the public ones.
    pub(crate) const fn alpn(self) -> &'static [&'static str] {
        match self {
            Self::Http1 => &["istio-http/1.1", "http/1.1"],
            Self::Http2 => &["istio-h2", "h2"],
            Self::Tcp => &["istio"],
        }
    }

    /// What endpoints outside the mesh are offered, where the configuration says nothing.
    pub(crate) const fn public_alpn(self) -> UpstreamAlpn {
        match self {
            Self::Http1 => UpstreamAlpn::Http1,
            Self::Http2 => UpstreamAlpn::Http2,
            Self::Tcp => UpstreamAlpn::None,
        }
    }
}

/// An open connection in the cluster's limits and counts.
#[derive(Debug)]
#[must_use]
pub(crate) struct Occupancy {
    _permit: ConnectionPermit,
    _counted: ConnectionGuard,
}

impl UpstreamCluster {
    pub(super) fn occupy(&self, permit: ConnectionPermit) -> Occupancy {
        self.note_traffic();
        Occupancy { _permit: permit, _counted: self.stats().connection_opened() }
    }

    /// Counts a connection made with [`UpstreamCluster::tcp`].
    ///
    /// # Errors
    /// When `max_connections` are open.
    pub(crate) fn occupy_one(&self) -> Result<Occupancy, Overflow> {
        let permit = self.counted(self.limits().connection(&self.config.circuit_breakers))?;
        Ok(self.occupy(permit))
    }

    /// A connection of its own to the picked endpoint, for bytes of a client with these addresses.
    ///
    /// # Errors
    /// When the endpoint cannot be reached, or a limit is reached.
    pub(crate) async fn tcp(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        pick: &Pick,
        client: ProxyAddresses,
    ) -> Result<Stream, ConnectError> {
        connect(self, worker, pick.state().address, ApplicationProtocol::Tcp, self.announced(client)).await
    }

    /// What a connection says of the client: one that says something carries nobody else's requests.
    pub(super) fn announced(&self, client: ProxyAddresses) -> Option<ProxyAddresses> {
        self.config.proxy_protocol.map(|_| client)
    }
}

/// TCP and, where the cluster wants it, a PROXY header and TLS; all within the cluster's `connect_timeout`, as in Envoy.
pub(super) async fn connect(
    cluster: &UpstreamCluster,
    worker: &Rc<Worker>,
    endpoint: SocketAddr,
    protocol: ApplicationProtocol,
    client: Option<ProxyAddresses>,
) -> Result<Stream, ConnectError> {
    let after = cluster.config.connect_timeout;
    // Boxed, with what a handshake takes: every exchange has room for this future, and few dial.
    let connecting = Box::pin(async {
        let refused = |source| ConnectError::Refused { endpoint, source };
        let mut stream = TcpStream::connect(endpoint).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        if let Some(version) = cluster.config.proxy_protocol {
            stream.write_all(&encode(version, client)).await.map_err(refused)?;
        }
        match cluster.config.tls.as_ref().zip(cluster.tls.as_ref()) {
            None => Ok(Stream::Plain(stream)),
            Some((tls, settings)) => {
                let client = worker.tls().client(tls, protocol, settings);
                let client = client.map_err(|source| ConnectError::Identity { endpoint, source })?;
                client.connect(stream, endpoint).await.map_err(|source| ConnectError::Tls { endpoint, source })
            }
        }
    });
    let result =
        tokio::time::timeout(after, connecting).await.unwrap_or(Err(ConnectError::Timeout { endpoint, after }));
    match &result {
        Ok(Stream::Tls(_)) => worker.stats.tls_handshake(TlsSide::Upstream, HandshakeResult::Ok),
        Ok(Stream::Plain(_)) => {}
        Err(error) => {
            cluster.stats().connection_failed();
            if let ConnectError::Tls { .. } = error {
                worker.stats.tls_handshake(TlsSide::Upstream, HandshakeResult::Failed);
                worker.tls().report_upstream_failure(&cluster.config, error);
            }
            if error.refusal().is_some() {
                worker.stats.peer_refused();
            }
        }
    }
    result
}
