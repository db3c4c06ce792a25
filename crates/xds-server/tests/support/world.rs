#![allow(dead_code, reason = "shared by tests that use different parts")]
//! A root, certificates, a configuration source whose every call can be watched, and raw clients.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use leno_identity::{ClientAuth, ClientTls, Identity, PeerNames, ServerTls, Svid};
use leno_ir::{Config, Node};
use leno_names::SpiffeId;
use leno_proto::envoy::config::core::v3::Node as WireNode;
use leno_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use leno_runtime::{Drain, Tasks};
use leno_telemetry::Registry;
use leno_xds_server::{ConfigSource, Refusal, Secrets, Session, SessionGuard, StatusReport, StreamEnd, XdsServer};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tonic::transport::{Channel, Endpoint};

/// No wait in these tests is longer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} in time"))
}

/// A root that signs everything itself.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root").der().clone();
        Self { issuer: Issuer::new(params, key), root }
    }

    pub(crate) fn identity(&self, id: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::URI(id.try_into().expect("a URI")));
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let svid = Svid::new(vec![certificate.der().clone()], key, vec![self.root.clone()]);
        Identity::from_svid(svid.expect("an SVID"))
    }
}

/// What the server asked of its source.
#[derive(Debug)]
pub(crate) enum Call {
    Connect(Box<Node>, SpiffeId),
    Report(StatusReport),
    End(StreamEnd),
}

/// Serves one configuration to every node but those named `stranger`.
pub(crate) struct Source {
    config: watch::Receiver<Arc<Config>>,
    secrets: Option<watch::Receiver<Arc<Secrets>>>,
    calls: mpsc::UnboundedSender<Call>,
}

struct Guard {
    end: Option<StreamEnd>,
    calls: mpsc::UnboundedSender<Call>,
}

impl SessionGuard for Guard {
    fn close(mut self: Box<Self>, end: StreamEnd) {
        self.end = Some(end);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.calls.send(Call::End(self.end.unwrap_or(StreamEnd::Broken)));
    }
}

impl ConfigSource for Source {
    fn connect(&self, node: Node, peer: SpiffeId) -> Result<Session, Refusal> {
        if node.id.starts_with("stranger") {
            return Err(Refusal::new("who are you?"));
        }
        let _ = self.calls.send(Call::Connect(Box::new(node), peer));
        let guard = Box::new(Guard { end: None, calls: self.calls.clone() });
        Ok(Session { config: self.config.clone(), secrets: self.secrets.clone(), guard })
    }

    fn report(&self, report: StatusReport) {
        let _ = self.calls.send(Call::Report(report));
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) authority: Authority,
    pub(crate) addr: SocketAddr,
    pub(crate) config: watch::Sender<Arc<Config>>,
    pub(crate) registry: Registry,
    pub(crate) tasks: Tasks,
    pub(crate) drain: Drain,
    calls: mpsc::UnboundedReceiver<Call>,
}

impl Server {
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_with(config, None).await
    }

    pub(crate) async fn start_with(config: Config, secrets: Option<watch::Receiver<Arc<Secrets>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::start_on(listener, Authority::new(), CONTROL, config, secrets)
    }

    /// On a socket, with an authority and under a name of one's own.
    pub(crate) fn start_on(
        listener: TcpListener,
        authority: Authority,
        control_id: &str,
        config: Config,
        secrets: Option<watch::Receiver<Arc<Secrets>>>,
    ) -> Self {
        let (config, receiver) = watch::channel(Arc::new(config));
        let (sender, calls) = mpsc::unbounded_channel();
        let (registry, tasks) = (Registry::new(), Tasks::new());
        let source = Arc::new(Source { config: receiver, secrets, calls: sender });
        let addr = listener.local_addr().expect("an address");
        let (drain, watch) = Drain::new();
        let server = XdsServer::new(source, &registry);
        let tls =
            ServerTls { alpn: vec![b"h2".to_vec()], client: ClientAuth::Optional, peers: PeerNames::AnyInTrustDomain };
        let tls = authority.identity(control_id).server_config(&tls).expect("TLS settings");
        let serving = tasks.clone();
        tasks.spawn("xds-server", async move {
            server.serve(listener, tls, tonic::service::Routes::default(), serving, watch).await;
        });
        Self { authority, addr, config, registry, tasks, drain, calls }
    }

    /// The next call that `wanted` picks; the others are passed over.
    pub(crate) async fn call<T>(&mut self, what: &str, mut wanted: impl FnMut(Call) -> Option<T>) -> T {
        soon(what, async {
            loop {
                let call = self.calls.recv().await.expect("the source lives");
                if let Some(found) = wanted(call) {
                    return found;
                }
            }
        })
        .await
    }

    pub(crate) fn was_called(&mut self) -> bool {
        self.calls.try_recv().is_ok()
    }

    pub(crate) async fn report(&mut self, wanted: impl Fn(&StatusReport) -> bool) -> StatusReport {
        self.call("report", |call| match call {
            Call::Report(report) if wanted(&report) => Some(report),
            _ => None,
        })
        .await
    }

    pub(crate) async fn end(&mut self) -> StreamEnd {
        self.call("end", |call| match call {
            Call::End(end) => Some(end),
            _ => None,
        })
        .await
    }

    pub(crate) fn dialer(&self, id: Option<&str>) -> Dialer {
        let identity = self.authority.identity(id.unwrap_or(REVIEWS));
        let tls = ClientTls {
            alpn: vec![b"h2".to_vec()],
            peers: PeerNames::AnyInTrustDomain,
            present_certificate: id.is_some(),
        };
        Dialer { config: identity.client_config(&tls).expect("TLS settings"), addr: self.addr }
    }
}

/// Connects one client.
pub(crate) struct Dialer {
    config: Arc<rustls::ClientConfig>,
    addr: SocketAddr,
}

impl Dialer {
    pub(crate) async fn client(self) -> AggregatedDiscoveryServiceClient<Channel> {
        let connector = tokio_rustls::TlsConnector::from(self.config);
        let addr = self.addr;
        let connect = tower::service_fn(move |_uri| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(addr).await?;
                let name = ServerName::try_from("localhost").expect("a name");
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        });
        let channel = Endpoint::from_static("http://control").connect_with_connector(connect).await.expect("connected");
        AggregatedDiscoveryServiceClient::new(channel)
    }
}

pub(crate) const CONTROL: &str = "spiffe://cluster.local/ns/leno-system/sa/leno-control";
pub(crate) const REVIEWS: &str = "spiffe://cluster.local/ns/default/sa/reviews";

pub(crate) fn node(id: &str) -> Node {
    Node {
        id: id.to_owned(),
        flavor: leno_ir::Flavor::Leno,
        locality: leno_names::Locality::default(),
        namespace: "default".to_owned(),
        service_account: "reviews".to_owned(),
        workload: "reviews-1".to_owned(),
        service: Some("reviews".to_owned()),
        labels: std::collections::BTreeMap::new(),
        address: None,
        ports: Vec::new(),
        outbound_prefix: None,
        http_proxy: None,
        access_log: None,
        gateway: None,
        access_log_format: None,
        control: None,
    }
}

pub(crate) fn wire_node(id: &str) -> WireNode {
    leno_xds::codec::encode_node(&node(id))
}
