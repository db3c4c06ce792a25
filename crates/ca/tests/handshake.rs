//! Mutual TLS over loopback and joining over the real CSR service.
#![allow(clippy::unwrap_used, reason = "what a test made is as it made it")]

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use leno_ca::{Ca, CaConfig, TokenSpec, csr_service};
use leno_identity::{
    ClientAuth, ClientTls, CsrClient, Identity, JoinConfig, JoinError, NameMatch, PeerExpiry, PeerNames, PeerRefused,
    ServerTls, join, peer_spiffe_id,
};
use leno_names::SpiffeId;
use leno_runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::codegen::Service;

fn ca_of(dir: &std::path::Path, domain: &str, ttl: Duration) -> Arc<Ca> {
    let mut config = CaConfig::new(domain.parse().unwrap());
    config.svid_ttl = ttl;
    Arc::new(Ca::open(dir, config, SystemTime::now()).unwrap())
}
const DAY: Duration = Duration::from_secs(86400);
fn id(ca: &Ca, account: &str) -> SpiffeId {
    SpiffeId::new(ca.trust_domain().clone(), "shop", account)
}
fn one(id: &SpiffeId) -> PeerNames {
    PeerNames::OneOf(vec![NameMatch::Exact(id.to_string())])
}

/// Both ends of a handshake and one byte each way: what the server said, what the client said.
async fn shake(
    server: &Identity,
    client: &Identity,
    at_server: PeerNames,
    at_client: PeerNames,
) -> (io::Result<()>, io::Result<()>) {
    let tls = server
        .server_config(&ServerTls { alpn: vec![b"h2".to_vec()], client: ClientAuth::Required, peers: at_server })
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await?;
        let mut stream = TlsAcceptor::from(tls).accept(stream).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.flush().await
    };
    let tls = client
        .client_config(&ClientTls { alpn: vec![b"h2".to_vec()], peers: at_client, present_certificate: true })
        .unwrap();
    let call = async {
        let stream = TcpStream::connect(addr).await?;
        let mut stream = TlsConnector::from(tls).connect("127.0.0.1".try_into().unwrap(), stream).await?;
        stream.write_u8(7).await?;
        stream.flush().await?;
        stream.read_u8().await.map(|_| ())
    };
    tokio::join!(serve, call)
}

#[tokio::test]
async fn both_sides_check_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let ca = ca_of(dir.path(), "cluster.local", DAY);
    let make = |a: &str| Identity::from_svid(ca.issue(&id(&ca, a), SystemTime::now()).unwrap());
    let (web, db) = (make("web"), make("db"));
    let (s, c) = shake(&web, &db, one(&id(&ca, "db")), one(&id(&ca, "web"))).await;
    s.unwrap();
    c.unwrap();
    let (_, c) = shake(&web, &db, PeerNames::AnyInTrustDomain, one(&id(&ca, "other"))).await;
    let c = c.unwrap_err();
    let refused = PeerRefused::find(&c).unwrap();
    assert!(refused.expected.contains("sa/other") && refused.presented.contains("sa/web"));
    let (s, c) = shake(&web, &db, one(&id(&ca, "other")), PeerNames::AnyInTrustDomain).await;
    assert!(PeerRefused::find(&s.unwrap_err()).unwrap().presented.contains("sa/db"));
    assert!(c.is_err());
    let (s, _) = shake(&web, &db, PeerNames::OneOf(vec![]), PeerNames::AnyInTrustDomain).await;
    assert!(s.is_err());
}

#[tokio::test]
async fn a_stranger_is_refused_with_both_names() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ours, theirs) = (ca_of(a.path(), "cluster.local", DAY), ca_of(b.path(), "other.example", DAY));
    let web = Identity::from_svid(ours.issue(&id(&ours, "web"), SystemTime::now()).unwrap());
    let evil = Identity::from_svid(theirs.issue(&id(&theirs, "web"), SystemTime::now()).unwrap());
    let (_, c) = shake(&evil, &web, PeerNames::AnyInTrustDomain, PeerNames::AnyInTrustDomain).await;
    let c = c.unwrap_err();
    let refused = PeerRefused::find(&c).unwrap();
    assert!(refused.presented.contains("other.example") && refused.expected.contains("cluster.local"), "{refused}");
}

#[tokio::test]
async fn an_expired_svid_is_neither_shown_nor_accepted_and_rotation_needs_no_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let ca = ca_of(dir.path(), "cluster.local", DAY);
    let now = SystemTime::now();
    let old = now - Duration::from_secs(3600);
    let expired = || {
        let svid = ca.issue(&id(&ca, "web"), now).unwrap();
        let pem = ca.sign_csr(&csr(), &id(&ca, "web"), Some(Duration::from_secs(1)), old).unwrap();
        assert!(!pem.is_empty());
        svid
    };
    let _ = expired();
    let mut config = CaConfig::new("cluster.local".parse().unwrap());
    config.svid_ttl = Duration::from_secs(60);
    let short = Ca::open(dir.path(), config, now).unwrap();
    let stale = Identity::from_svid(short.issue(&id(&ca, "web"), old).unwrap());
    let db = Identity::from_svid(ca.issue(&id(&ca, "db"), now).unwrap());
    for (s, c) in [(&stale, &db), (&db, &stale)] {
        let (s, c) = shake(s, c, PeerNames::AnyInTrustDomain, PeerNames::AnyInTrustDomain).await;
        assert!(s.is_err() && c.is_err());
    }
    let before = stale.generation();
    stale.update(ca.issue(&id(&ca, "web"), now).unwrap());
    assert!(stale.generation() > before);
    let (s, c) = shake(&stale, &db, PeerNames::AnyInTrustDomain, PeerNames::AnyInTrustDomain).await;
    s.unwrap();
    c.unwrap();
}

fn csr() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

/// The CSR service as control serves it; counts requests.
async fn serve(ca: Arc<Ca>, tasks: &Tasks) -> (String, Arc<AtomicU32>) {
    let control = SpiffeId::new(ca.trust_domain().clone(), "leno-system", "leno-control");
    let own = Identity::from_svid(ca.issue(&control, SystemTime::now()).unwrap().with_roots_shown());
    let tls = own
        .server_config(&ServerTls {
            alpn: vec![b"h2".to_vec()],
            client: ClientAuth::Optional,
            peers: PeerNames::AnyInTrustDomain,
        })
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    let inner = tasks.clone();
    tasks.spawn("serve", async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (ca, counter, acceptor) = (ca.clone(), counter.clone(), TlsAcceptor::from(tls.clone()));
            inner.spawn("connection", async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let (peer, expiry) = (peer_spiffe_id(chain).ok(), PeerExpiry::of(chain));
                let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    counter.fetch_add(1, Ordering::SeqCst);
                    let (mut parts, body) = request.into_parts();
                    if let Some(peer) = peer.clone() {
                        parts.extensions.insert(peer);
                    }
                    if let Some(expiry) = expiry {
                        parts.extensions.insert(expiry);
                    }
                    let request = http::Request::from_parts(parts, tonic::body::Body::new(body));
                    let mut service = csr_service(ca.clone());
                    async move { Ok::<_, Infallible>(service.call(request).await.unwrap()) }
                });
                let _ = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (addr, count)
}

fn config(addr: &str, token: Option<leno_identity::JoinToken>, dir: Option<std::path::PathBuf>) -> JoinConfig {
    JoinConfig {
        control: vec![addr.to_owned()],
        token,
        namespace: "shop".into(),
        service_account: "web".into(),
        state_dir: dir,
        timeout: Duration::from_secs(5),
    }
}
fn spec() -> TokenSpec {
    TokenSpec { namespace: "shop".into(), service_accounts: vec!["web".into()], uses: 1, ttl: Duration::from_secs(60) }
}

#[tokio::test]
async fn joining_uses_the_token_once_and_the_saved_svid_needs_no_control() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ca = ca_of(dir.path(), "cluster.local", DAY);
    let tasks = Tasks::new();
    let (addr, _) = serve(ca.clone(), &tasks).await;
    let token = ca.create_token(&spec(), SystemTime::now()).unwrap();
    let saved = Some(state.path().to_owned());
    let identity = join(&config(&addr, Some(token.clone()), saved.clone())).await.unwrap();
    assert_eq!(identity.current().id, id(&ca, "web"));
    assert!(matches!(join(&config(&addr, Some(token.clone()), None)).await, Err(JoinError::Refused { .. })));
    join(&config("127.0.0.1:1", None, saved)).await.unwrap();
    let mut forged = ca.create_token(&spec(), SystemTime::now()).unwrap();
    forged.root_sha256 = [0; 32];
    assert!(matches!(join(&config(&addr, Some(forged), None)).await, Err(JoinError::Tls { .. })));
}

#[tokio::test]
async fn a_refused_csr_does_not_cost_the_token() {
    // Seen at the authority: redeem comes before the CSR is checked, so an unacceptable CSR burns the use.
    let dir = tempfile::tempdir().unwrap();
    let ca = ca_of(dir.path(), "cluster.local", DAY);
    let now = SystemTime::now();
    let token = ca.create_token(&spec(), now).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![
        rcgen::SanType::URI(id(&ca, "web").to_string().try_into().unwrap()),
        rcgen::SanType::DnsName("web".try_into().unwrap()),
    ];
    let csr = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let mut service = csr_service(ca.clone());
    let message = leno_proto::istio::IstioCertificateRequest { csr, validity_duration: 0 };
    let mut client = tonic::client::Grpc::new(tower_once(&mut service));
    client.ready().await.unwrap();
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let codec = tonic_prost::ProstCodec::<_, leno_proto::istio::IstioCertificateResponse>::default();
    let answer = client
        .unary(request, http::uri::PathAndQuery::from_static(leno_proto::istio::CREATE_CERTIFICATE_PATH), codec)
        .await;
    assert!(answer.is_err());
    assert_eq!(ca.list_tokens()[0].uses_left, 1);
}
fn tower_once(service: &mut leno_ca::CsrService) -> leno_ca::CsrService {
    service.clone()
}

#[tokio::test]
async fn debug_of_the_csr_client_hides_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    let ca = ca_of(dir.path(), "cluster.local", DAY);
    let token = ca.create_token(&spec(), SystemTime::now()).unwrap();
    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let client = CsrClient::with_token(channel, &token);
    assert!(!format!("{client:?}").contains(&token.secret));
}
