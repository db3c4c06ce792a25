use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use leno_identity::UpstreamAlpn;
use leno_ir::{RoutingPriority, TcpKeepalive, UpstreamSocket};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::cluster::UpstreamCluster;
use super::endpoint::{EndpointCounts, EndpointState};
use super::limits::ConnectionPermit;
use super::pool_key::PoolKey;
use super::{Caller, ConnectError, Overflow, Pick};
use crate::proxy_protocol::{ProxyAddresses, encode};
use crate::stats::{ClusterCounter, ClusterHistogram, ConnectionGuard, HandshakeResult, TlsSide};
use crate::stream::Stream;
use crate::worker::Worker;

/// What will be spoken on a new connection; decides the ALPN names offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ApplicationProtocol {
    Http1,
    Http2,
    /// HTTP/2 or HTTP/1.1, whichever the other side chooses.
    Negotiated,
    /// Bytes.
    Tcp,
}

impl ApplicationProtocol {
    /// Istio's names first, so that a sidecar on the other side knows that a sidecar called; then the public ones.
    pub(crate) const fn alpn(self) -> &'static [&'static str] {
        match self {
            Self::Http1 => &["istio-http/1.1", "http/1.1"],
            Self::Http2 => &["istio-h2", "h2"],
            Self::Negotiated => &["istio-h2", "istio-http/1.1", "h2", "http/1.1"],
            Self::Tcp => &["istio"],
        }
    }

    /// What endpoints outside the mesh are offered, where the configuration says nothing.
    pub(crate) const fn public_alpn(self) -> UpstreamAlpn {
        match self {
            Self::Http1 => UpstreamAlpn::Http1,
            Self::Http2 => UpstreamAlpn::Http2,
            Self::Negotiated => UpstreamAlpn::Negotiated,
            Self::Tcp => UpstreamAlpn::None,
        }
    }
}

/// An open connection in the cluster's limits and counts.
#[derive(Debug)]
#[must_use]
pub(crate) struct Occupancy {
    _permit: ConnectionPermit,
}

/// A connection that was made, with its count.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) stream: Stream,
    pub(crate) counted: ConnectionGuard,
    pub(super) _active: ActiveConnection,
}

/// Counts as open at its endpoint until dropped.
#[derive(Debug)]
pub(super) struct ActiveConnection(Rc<Cell<EndpointCounts>>);

impl ActiveConnection {
    fn new(counts: &Rc<Cell<EndpointCounts>>) -> Self {
        let EndpointCounts { cx_active, .. } = counts.get();
        counts.set(EndpointCounts { cx_active: cx_active + 1, ..counts.get() });
        Self(counts.clone())
    }
}

impl Drop for ActiveConnection {
    fn drop(&mut self) {
        let counts = self.0.get();
        self.0.set(EndpointCounts { cx_active: counts.cx_active.saturating_sub(1), ..counts });
    }
}

impl UpstreamCluster {
    pub(super) fn occupy(&self, permit: ConnectionPermit) -> Occupancy {
        self.note_traffic();
        Occupancy { _permit: permit }
    }

    /// Counts a connection that will be made with [`UpstreamCluster::tcp`].
    ///
    /// # Errors
    /// When `max_connections` are open.
    pub(crate) fn occupy_one(&self, pick: &Pick) -> Result<Occupancy, Overflow> {
        let (usage, most) = self.usage(RoutingPriority::Default);
        let permit = self.counted(usage.connection(most, pick.state().connections.as_ref()))?;
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
    ) -> Result<Connected, ConnectError> {
        let caller = Caller { client: Some(client), ..Caller::default() };
        let key = self.pool_key(&caller, pick.state());
        connect(self, worker, pick.state(), ApplicationProtocol::Tcp, &key).await
    }
}

/// The kernel asks now and then whether the other end is still there.
pub(crate) fn keep_alive(socket: &socket2::Socket, wanted: &TcpKeepalive) -> io::Result<()> {
    let mut keepalive = socket2::TcpKeepalive::new();
    if let Some(time) = wanted.time {
        keepalive = keepalive.with_time(time);
    }
    if let Some(interval) = wanted.interval {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(probes) = wanted.probes {
        keepalive = keepalive.with_retries(probes);
    }
    socket.set_tcp_keepalive(&keepalive)
}

/// A connection as the cluster wants its sockets.
pub(crate) async fn open(options: &UpstreamSocket, endpoint: SocketAddr) -> io::Result<TcpStream> {
    let stream = match options.source_address {
        None => TcpStream::connect(endpoint).await?,
        Some(source) => {
            let socket = if endpoint.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.bind(source)?;
            socket.connect(endpoint).await?
        }
    };
    if let Some(wanted) = &options.keepalive {
        keep_alive(&SockRef::from(&stream), wanted)?;
    }
    Ok(stream)
}

/// TCP and, where the cluster wants it, a PROXY header and TLS; all within the cluster's `connect_timeout`, as in Envoy.
pub(super) async fn connect(
    cluster: &UpstreamCluster,
    worker: &Rc<Worker>,
    state: &EndpointState,
    protocol: ApplicationProtocol,
    key: &PoolKey,
) -> Result<Connected, ConnectError> {
    let after = cluster.config.connect_timeout;
    let (stats, started, endpoint) = (cluster.stats(), worker.now(), state.address);
    let counted = stats.connection_started(started);
    state.count(|counts| counts.cx_total += 1);
    match protocol {
        ApplicationProtocol::Http1 => stats.count(ClusterCounter::CxHttp1Total),
        ApplicationProtocol::Http2 => stats.count(ClusterCounter::CxHttp2Total),
        ApplicationProtocol::Negotiated | ApplicationProtocol::Tcp => {}
    }
    let socket = cluster.socket_of(state);
    // Boxed, with what a handshake takes: every exchange has room for this future, and few dial.
    let connecting = Box::pin(async {
        let refused = |source| ConnectError::Refused { endpoint, source };
        let mut stream = open(&cluster.config.socket, endpoint).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        if let Some(version) = cluster.config.proxy_protocol_of(socket) {
            stream.write_all(&encode(version, key.client)).await.map_err(refused)?;
        }
        match cluster.config.tls_of(socket).zip(cluster.sockets.of(socket)) {
            None => Ok(Stream::Plain(stream)),
            Some((tls, settings)) => {
                let named = cluster.config.http.server_name.as_ref().zip(key.server_name.as_deref());
                let client = worker.tls().client(tls, protocol, settings, named);
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
            stats.count(ClusterCounter::CxConnectFail);
            state.count(|counts| counts.cx_connect_fail += 1);
            match error {
                ConnectError::Timeout { .. } => stats.count(ClusterCounter::CxConnectTimeout),
                _ => counted.closed_by_remote(),
            }
            if let ConnectError::Tls { .. } = error {
                worker.stats.tls_handshake(TlsSide::Upstream, HandshakeResult::Failed);
                worker.tls().report_upstream_failure(&cluster.config, error);
            }
            if error.refusal().is_some() {
                worker.stats.peer_refused();
            }
        }
    }
    let stream = result?;
    let active = ActiveConnection::new(&state.counts);
    stats.observe(ClusterHistogram::CxConnect, worker.now().saturating_duration_since(started));
    Ok(Connected { stream, counted, _active: active })
}
