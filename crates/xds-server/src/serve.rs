use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use leno_proto::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
use leno_runtime::{DrainWatch, Tasks};
use leno_telemetry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::ConfigSource;
use crate::body::WatchedBody;
use crate::cache::EncodingCache;
use crate::metrics::Metrics;
use crate::service::Ads;
use crate::stream::Context;

/// A peer that does not finish the TLS handshake in this time is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Ping period and the wait for its answer: a peer that vanished is noticed within their sum.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(4);
/// Streams of one connection: a proxy needs one, some for certificates, and one for each request that is being counted.
const MAX_STREAMS: u32 = 256;
/// After a failed accept (out of descriptors, mostly) so long nothing is accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// After the drain has begun, streams have been told and have this long to end.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves the discovery service, and others beside it, to peers over TLS.
pub struct XdsServer {
    source: Arc<dyn ConfigSource>,
    cache: Arc<EncodingCache>,
    metrics: Metrics,
}

impl fmt::Debug for XdsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XdsServer").finish_non_exhaustive()
    }
}

impl XdsServer {
    /// Create one per process: it registers its metrics.
    pub fn new(source: Arc<dyn ConfigSource>, registry: &Registry) -> Self {
        Self { source, cache: Arc::default(), metrics: Metrics::register(registry) }
    }

    /// Accepts connections until the drain begins, then says goodbye to those that are open.
    ///
    /// `tls` must ask for client certificates and verify those it is shown; it need not require them, so that a workload
    /// without one can ask for one. `others` are gRPC services for the same port; a request to them carries the peer's
    /// verified `leno_names::SpiffeId`, when it has one, and its [`PeerAddr`] as extensions.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        others: Routes,
        tasks: Tasks,
        mut drain: DrainWatch,
    ) {
        let context = Context {
            source: self.source.clone(),
            cache: self.cache.clone(),
            metrics: self.metrics.clone(),
            drain: drain.clone(),
        };
        let ads = AggregatedDiscoveryServiceServer::new(Ads { context, tasks: tasks.clone() });
        let acceptor = Acceptor {
            tls: TlsAcceptor::from(with_h2(tls)),
            routes: others.add_service(ads).prepare(),
            tasks: tasks.clone(),
            drain: drain.clone(),
            metrics: self.metrics.clone(),
        };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = drain.draining() => return,
            };
            match accepted {
                Ok((stream, addr)) => tasks.spawn("xds-connection", acceptor.clone().run(stream, addr)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept xDS connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// gRPC is HTTP/2, which over TLS is agreed upon by ALPN (RFC 9113 §3.2).
fn with_h2(tls: Arc<rustls::ServerConfig>) -> Arc<rustls::ServerConfig> {
    if tls.alpn_protocols.iter().any(|protocol| protocol == b"h2") {
        return tls;
    }
    let mut config = (*tls).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// Where the peer of a request connects from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerAddr(pub SocketAddr);

/// Where the peer of a request has reached us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalAddr(pub(crate) SocketAddr);

#[derive(Clone)]
struct Acceptor {
    tls: TlsAcceptor,
    routes: Routes,
    tasks: Tasks,
    drain: DrainWatch,
    metrics: Metrics,
}

impl Acceptor {
    async fn run(self, stream: TcpStream, addr: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%addr, %error, "cannot set TCP_NODELAY");
        }
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream, addr).await,
            Ok(Err(error)) => self.handshake_failed(addr, &error),
            Err(elapsed) => self.handshake_failed(addr, &elapsed),
        }
    }

    fn handshake_failed(&self, addr: SocketAddr, error: &dyn std::error::Error) {
        self.metrics.handshake_failures.inc();
        tracing::info!(%addr, %error, "TLS handshake with a discovery client failed");
    }

    async fn serve(mut self, stream: TlsStream<TcpStream>, addr: SocketAddr) {
        let local = stream.get_ref().0.local_addr().ok().map(LocalAddr);
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = (!certificates.is_empty()).then(|| leno_identity::peer_spiffe_id(certificates));
        let peer = match peer.transpose() {
            Ok(peer) => peer,
            Err(error) => {
                tracing::info!(%addr, %error, "discovery client has no usable identity");
                None
            }
        };
        let expiry = leno_identity::PeerExpiry::of(certificates);
        let routes = self.routes.clone();
        let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let (mut parts, body) = request.into_parts();
            let (body, end) = WatchedBody::new(body);
            parts.extensions.insert(end);
            parts.extensions.insert(PeerAddr(addr));
            if let Some(local) = local {
                parts.extensions.insert(local);
            }
            if let Some(peer) = peer.clone() {
                parts.extensions.insert(peer);
            }
            if let Some(expiry) = expiry {
                parts.extensions.insert(expiry);
            }
            let request = http::Request::from_parts(parts, tonic::body::Body::new(body));
            let routes = routes.clone();
            async move { Ok::<_, Infallible>(answer(routes, request).await) }
        });
        let mut builder = http2::Builder::new(TaskExecutor { tasks: self.tasks.clone() });
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(MAX_STREAMS);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.drain.draining() => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(GOODBYE_TIMEOUT, connection).await {
                    Ok(ended) => ended,
                    Err(_elapsed) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%addr, %error, "discovery connection ended");
        }
    }
}

async fn answer(routes: Routes, request: http::Request<tonic::body::Body>) -> http::Response<tonic::body::Body> {
    let response = match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    response.map(tonic::body::Body::new)
}

/// Lets hyper's request tasks belong to the server's.
#[derive(Clone)]
struct TaskExecutor {
    tasks: Tasks,
}

impl<F> hyper::rt::Executor<F> for TaskExecutor
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        self.tasks.spawn("xds-request", async move {
            future.await;
        });
    }
}
