use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leno_identity::Identity;
use leno_ir::{
    Cluster, Config, Direction, Discovery, DownstreamTls, Endpoint, EndpointHealth, EndpointSet, FilterChain,
    FilterChainMatch, Forward, HttpCodec, HttpConnectionManager, Listener, ListenerOptions, LocalityEndpoints,
    NetworkFilter, PeerValidation, Route, RouteAction, RouteMatch, RouteSource, RouteTable, StringMatch, TcpProxy,
    TransportProtocol, UpstreamTls, VirtualHost, WeightedCluster, WorkloadLabels,
};
use leno_proxy::{Block, DnsConfig, Proxy, ProxyConfig, ProxyHandle};
use leno_runtime::{Readiness, Tasks};
use leno_telemetry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::certificates::Authority;

/// A running proxy.
pub(crate) struct Harness {
    pub(crate) proxy: ProxyHandle,
}

impl Harness {
    pub(crate) fn start() -> Self {
        Self::with_identity(Authority::new().identity("test"))
    }

    pub(crate) fn with_identity(identity: Identity) -> Self {
        Self::with(ProxyConfig { workers: NonZeroUsize::new(2), ..ProxyConfig::default() }, identity)
    }

    /// With one worker, so that every connection meets the same pools.
    pub(crate) fn single() -> Self {
        let config = ProxyConfig { workers: NonZeroUsize::new(1), ..ProxyConfig::default() };
        Self::with(config, Authority::new().identity("test"))
    }

    /// Answering names in a block, for a workload in namespace `shop`.
    pub(crate) fn with_dns(block: Block) -> Self {
        let dns = Some(DnsConfig { block, namespace: "shop".to_owned(), upstream: None });
        Self::with(ProxyConfig { dns, ..ProxyConfig::default() }, Authority::new().identity("test"))
    }

    fn with(config: ProxyConfig, identity: Identity) -> Self {
        let proxy = Proxy::start(config, Some(identity), Registry::new(), Readiness::default()).expect("starts");
        Self { proxy }
    }

    /// All of `config` must be accepted.
    pub(crate) async fn apply(&self, config: Config) {
        assert_eq!(timely(self.proxy.apply(Arc::new(config))).await, []);
    }

    pub(crate) async fn address(&self, listener: &str) -> SocketAddr {
        self.proxy.listener_address(listener).await.expect("the listener runs")
    }

    pub(crate) async fn connect(&self, listener: &str) -> TcpStream {
        TcpStream::connect(self.address(listener).await).await.expect("the listener accepts")
    }

    pub(crate) async fn shutdown(self) {
        timely(self.proxy.shutdown(Duration::from_millis(200))).await;
    }
}

/// A server behind the proxy.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _tasks: Tasks,
}

impl Upstream {
    pub(crate) async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (tasks, connections) = (Tasks::new(), Arc::new(AtomicUsize::new(0)));
        let (of_loop, counter) = (tasks.clone(), connections.clone());
        tasks.spawn("upstream", async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                of_loop.spawn("upstream-connection", serve(stream));
            }
        });
        Self { address, connections, _tasks: tasks }
    }

    pub(crate) async fn echo() -> Self {
        Self::start(|mut stream| async move {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        })
        .await
    }

    /// Answers every request with `body`.
    pub(crate) async fn http(body: &'static str) -> Self {
        Self::start(move |mut stream| async move {
            let mut bytes = Vec::new();
            while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                if bytes.ends_with(b"\r\n\r\n") {
                    bytes.clear();
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(answer.as_bytes()).await.expect("proxy reads");
                }
            }
        })
        .await
    }

    /// Answers every request with `body` once all of it has come, in HTTP/1.1.
    pub(crate) async fn patient(body: &'static str) -> Self {
        Self::start(move |mut stream| async move {
            let mut bytes = Vec::new();
            while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&bytes);
                let Some((head, sent)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                let is_complete = match length {
                    Some(length) => sent.len() >= length,
                    None if head.contains("transfer-encoding: chunked") => {
                        sent.contains("0\r\n") && sent.ends_with("\r\n\r\n")
                    }
                    None => true,
                };
                if is_complete {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                    bytes.clear();
                }
            }
        })
        .await
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Every wait of a test ends.
pub(crate) async fn timely<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("within 10 s")
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timely(stream.read_to_end(&mut bytes)).await.expect("closed in order");
    bytes
}

pub(crate) fn config(
    listeners: impl IntoIterator<Item = Listener>,
    clusters: impl IntoIterator<Item = Cluster>,
) -> Config {
    let listeners = listeners.into_iter().map(|listener| (listener.name.clone(), Arc::new(listener)));
    let clusters = clusters.into_iter().map(|cluster| (cluster.name.clone(), Arc::new(cluster)));
    Config { listeners: listeners.collect(), clusters: clusters.collect(), ..Config::default() }
}

pub(crate) fn cluster<const N: usize>(name: &str, addresses: [SocketAddr; N]) -> Cluster {
    let endpoints = addresses.into_iter().map(|address| Endpoint {
        weight: 1,
        health: EndpointHealth::Healthy,
        workload: WorkloadLabels::default(),
        ..Endpoint::new(address)
    });
    let locality = LocalityEndpoints { weight: 1, endpoints: endpoints.collect(), ..LocalityEndpoints::default() };
    let set = EndpointSet { name: name.to_owned(), localities: vec![locality], ..EndpointSet::default() };
    Cluster::new(name, Discovery::Static(Arc::new(set)))
}

pub(crate) fn mtls_cluster<const N: usize>(name: &str, peers: [SocketAddr; N], names: Vec<StringMatch>) -> Cluster {
    let tls = UpstreamTls::of_mesh(PeerValidation::of_mesh(names));
    Cluster { tls: Some(tls), ..cluster(name, peers) }
}

pub(crate) fn tcp_listener(name: &str, cluster: &str) -> Listener {
    Listener {
        name: name.to_owned(),
        address: ([127, 0, 0, 1], 0).into(),
        direction: Direction::Outbound,
        inspect_tls: false,
        inspect_http: false,
        filter_chains: vec![tcp_chain(cluster)],
        default_filter_chain: None,
        options: ListenerOptions::default(),
        api: false,
    }
}

/// Everything to one cluster.
pub(crate) fn http_listener(name: &str, cluster: &str) -> Listener {
    Listener { filter_chains: vec![http_chain(cluster)], ..tcp_listener(name, cluster) }
}

/// HTTP or TCP, by what the client says first.
pub(crate) fn detecting_listener(name: &str, http: &str, tcp: &str) -> Listener {
    let mut chain = http_chain(http);
    chain.matches.application_protocols = ["http/1.0", "http/1.1", "h2c"].map(str::to_owned).to_vec();
    Listener {
        inspect_http: true,
        filter_chains: vec![chain],
        default_filter_chain: Some(tcp_chain(tcp)),
        ..tcp_listener(name, tcp)
    }
}

/// With one version of HTTP, whatever the client's first bytes.
pub(crate) fn of_codec(mut listener: Listener, codec: HttpCodec) -> Listener {
    for chain in &mut listener.filter_chains {
        if let NetworkFilter::Http(manager) = &mut chain.filter {
            manager.codec = codec;
        }
    }
    listener
}

fn http_chain(cluster: &str) -> FilterChain {
    let route = Route::new("all", RouteMatch::any(), RouteAction::Forward(Box::new(Forward::to(cluster))));
    let host = VirtualHost {
        name: "any".to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        ..VirtualHost::default()
    };
    let table = RouteTable::new(cluster, vec![host]);
    let manager = HttpConnectionManager::new(cluster, RouteSource::Inline(Arc::new(table)));
    FilterChain {
        name: "http".to_owned(),
        matches: FilterChainMatch::default(),
        tls: None,
        connection_filters: Vec::new(),
        filter: NetworkFilter::Http(Box::new(manager)),
    }
}

/// Strict mutual TLS in front of what the listener does.
pub(crate) fn with_server_tls(mut listener: Listener) -> Listener {
    let validation = PeerValidation::of_mesh([]);
    for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
        chain.matches.transport_protocol = Some(TransportProtocol::Tls);
        let alpn = ["h2", "http/1.1", "istio"].map(str::to_owned).to_vec();
        chain.tls = Some(DownstreamTls::of_mesh(Some(validation.clone()), alpn));
    }
    listener.inspect_tls = true;
    listener
}

fn tcp_chain(cluster: &str) -> FilterChain {
    FilterChain {
        name: "tcp".to_owned(),
        matches: FilterChainMatch::default(),
        tls: None,
        connection_filters: Vec::new(),
        filter: NetworkFilter::Tcp(TcpProxy {
            idle_timeout: None,
            max_connect_attempts: std::num::NonZeroU32::MIN.saturating_add(2),
            ..TcpProxy::new(cluster, vec![WeightedCluster::new(cluster, 1)])
        }),
    }
}
