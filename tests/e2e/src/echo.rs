//! Servers that answer with what they were asked: HTTP/1.1, HTTP/2 and gRPC on one port, with or without TLS; and lines of TCP.
//!
//! Shape       1 `Echo` -> n ports, each a listener on loopback
//! Source      the answers have what the servers of Gateway API's conformance suite say of themselves
mod answer;
mod socket;

pub(crate) use socket::Believing;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// What is spoken on a port, in TLS where the server has a certificate for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spoken {
    Http,
    /// A line is answered with a line of JSON.
    Lines,
}

/// A server's certificate.
#[derive(Clone, Debug)]
pub struct EchoTls {
    /// PEM.
    pub chain: String,
    pub private_key: String,
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Echo {
    runtime: Runtime,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    name: String,
    /// Requests by their path and query.
    seen: Mutex<BTreeMap<String, u64>>,
}

/// What a server knows of a connection.
#[derive(Clone, Debug, Default)]
struct Peer {
    is_tls: bool,
    server_name: Option<String>,
    /// PEM.
    certificate: Option<String>,
}

impl Echo {
    /// `name` is what it calls itself.
    ///
    /// # Errors
    /// When there are no threads for it.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shared = Arc::new(Shared { name: name.to_owned(), ..Shared::default() });
        Ok(Self { runtime, shared })
    }

    /// Serves one more port of 127.0.0.1.
    ///
    /// # Errors
    /// When the certificate is none, or the port is taken.
    #[allow(clippy::disallowed_methods, reason = "servers and clients of tests end with their runtime")]
    pub fn listen(&self, at: SocketAddr, spoken: Spoken, tls: Option<&EchoTls>) -> anyhow::Result<SocketAddr> {
        let tls = tls.map(|tls| acceptor(tls, spoken)).transpose()?;
        let listener = self.runtime.block_on(TcpListener::bind(at)).with_context(|| format!("listening on {at}"))?;
        let address = listener.local_addr()?;
        let shared = self.shared.clone();
        self.runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, spoken, tls.clone(), shared.clone()));
            }
        });
        Ok(address)
    }

    /// The same on any port.
    ///
    /// # Errors
    /// As [`Echo::listen`].
    pub fn anywhere(&self, spoken: Spoken, tls: Option<&EchoTls>) -> anyhow::Result<SocketAddr> {
        self.listen((Ipv4Addr::LOCALHOST, 0).into(), spoken, tls)
    }

    /// How many requests for a path and query have come.
    pub fn seen(&self, path: &str) -> u64 {
        self.shared.seen.lock().expect("no panic").get(path).copied().unwrap_or(0)
    }

    /// Serves until the process ends.
    pub fn serve_forever(self) {
        self.runtime.block_on(std::future::pending::<()>());
    }
}

/// Clients may show a certificate, which is believed.
fn acceptor(tls: &EchoTls, spoken: Spoken) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(tls.chain.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(tls.private_key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_client_cert_verifier(Arc::new(Believing::default())).with_single_cert(chain, key)?;
    if spoken == Spoken::Http {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(stream: TcpStream, spoken: Spoken, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let Some(tls) = tls else { return speak(stream, spoken, Peer::default(), shared).await };
    let Ok(stream) = tls.accept(stream).await else { return };
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first).map(|one| socket::pem(one));
    let peer = Peer { is_tls: true, server_name: session.server_name().map(str::to_owned), certificate };
    speak(stream, spoken, peer, shared).await;
}

async fn speak<S>(stream: S, spoken: Spoken, peer: Peer, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    if spoken == Spoken::Lines {
        // A peer that is gone wants no answer.
        let _ = lines(stream, &peer, &shared.name).await;
        return;
    }
    let service = service_fn(move |request| answer::to(request, peer.clone(), shared.clone()));
    let builder = auto::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn lines<S: AsyncRead + AsyncWrite + Unpin>(stream: S, peer: &Peer, name: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let mut answer = of_peer(name, peer);
        answer["line"] = json!(line.trim_end());
        stream.write_all(format!("{answer}\n").as_bytes()).await?;
        stream.flush().await?;
        line.clear();
    }
    Ok(())
}

fn of_peer(name: &str, peer: &Peer) -> Value {
    json!({ "app": name, "tls": peer.is_tls, "sni": peer.server_name, "certificate": peer.certificate })
}
