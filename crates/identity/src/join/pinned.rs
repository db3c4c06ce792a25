//! A TLS connection to a control plane that is known only by the hash of its root.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use leno_names::TrustDomain;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use webpki::KeyUsage;

use super::JoinError;
use crate::peer::{PeerRefused, peer_spiffe_id};
use crate::tls::verifier::{signatures_of_provider, verify_chain};
use crate::{JoinToken, PeerNames};

pub(super) fn sha256(der: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// Connects to a control plane whose root has the hash in `token`; the value is a channel and the trust domain.
pub(super) async fn connect(
    address: &str,
    token: &JoinToken,
    timeout: Duration,
) -> Result<(Channel, TrustDomain), JoinError> {
    let provider = crate::tls::provider();
    let verifier = PinnedRoot { root_sha256: token.root_sha256, provider: provider.clone() };
    let settings = |source: Error| JoinError::Settings { source: source.into() };
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(settings)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    tls.enable_sni = false;
    tls.resumption = rustls::client::Resumption::disabled();
    let (channel, chain) = connect_tls(address, Arc::new(tls), timeout).await?;
    // The verifier has seen that there is one.
    let id = peer_spiffe_id(&chain)
        .map_err(|error| JoinError::Tls { address: address.to_owned(), source: io::Error::other(error) })?;
    Ok((channel, id.trust_domain))
}

/// A gRPC channel over one TLS connection, and the chain the server showed.
pub(super) async fn connect_tls(
    address: &str,
    tls: Arc<rustls::ClientConfig>,
    timeout: Duration,
) -> Result<(Channel, Vec<CertificateDer<'static>>), JoinError> {
    let stream = open(address, tls, timeout).await?;
    let chain =
        stream.get_ref().1.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect();
    let stream = Mutex::new(Some(TokioIo::new(stream)));
    // Hands out the one connection; a second call means that it broke, and then the caller starts over.
    let connector = tower::service_fn(move |_uri| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let channel = Endpoint::from_static("http://leno-control")
        .connect_with_connector(connector)
        .await
        .map_err(|source| JoinError::Transport { address: address.to_owned(), source })?;
    Ok((channel, chain))
}

async fn open(
    address: &str,
    tls: Arc<rustls::ClientConfig>,
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, JoinError> {
    let host = address.rsplit_once(':').map(|(host, _)| host.trim_matches(['[', ']']).to_owned());
    // Not sent (no SNI) and not compared: peers are known by SPIFFE ID.
    let name = host.and_then(|host| ServerName::try_from(host).ok());
    let name = name.ok_or_else(|| JoinError::Address { address: address.to_owned() })?;
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {timeout:?}"));
    let connect = tokio::time::timeout(timeout, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(late()));
    let stream = connect.map_err(|source| JoinError::Connect { address: address.to_owned(), source })?;
    let handshake = TlsConnector::from(tls).connect(name, stream);
    let done = tokio::time::timeout(timeout, handshake).await.unwrap_or_else(|_| Err(late()));
    done.map_err(|source| JoinError::Tls { address: address.to_owned(), source })
}

/// Accepts a server whose chain holds the root of the given hash, leads to it, and names the control plane.
#[derive(Debug)]
struct PinnedRoot {
    root_sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedRoot {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let root = intermediates.iter().find(|certificate| sha256(certificate) == self.root_sha256).ok_or(unknown)?;
        let anchor = webpki::anchor_from_trusted_cert(root)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        verify_chain(&self.provider, end_entity, intermediates, &[anchor], now, KeyUsage::server_auth())?;
        let id = peer_spiffe_id(std::slice::from_ref(end_entity))
            .map_err(|_| Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))?;
        let control = super::control_id(&id.trust_domain);
        if id == control {
            return Ok(ServerCertVerified::assertion());
        }
        let expected = PeerNames::exactly(&control).to_string();
        Err(PeerRefused { expected, presented: id.to_string() }.into_tls())
    }

    signatures_of_provider!();
}
