use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::version::TLS13;

use crate::PeerNames;
use crate::identity::Shared;

mod resolver;
pub(crate) mod verifier;

use self::resolver::SvidResolver;
use self::verifier::SpiffeVerifier;

/// How connections are accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerTls {
    /// In order of preference; empty: no ALPN.
    pub alpn: Vec<Vec<u8>>,
    pub client: ClientAuth,
    /// Who may come, when a certificate is shown.
    pub peers: PeerNames,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientAuth {
    None,
    /// Verified when shown.
    Optional,
    Required,
}

/// How connections are opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientTls {
    pub alpn: Vec<Vec<u8>>,
    /// Who the server must be.
    pub peers: PeerNames,
    pub present_certificate: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("this process has no certificate")]
    NoIdentity,
    #[error("TLS settings cannot be made")]
    Settings(#[from] rustls::Error),
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub(crate) fn server_config(shared: Arc<Shared>, tls: &ServerTls) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let builder = rustls::ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let builder = match tls.client {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional | ClientAuth::Required => {
            let mandatory = tls.client == ClientAuth::Required;
            builder.with_client_cert_verifier(Arc::new(SpiffeVerifier::new(
                shared.clone(),
                tls.peers.clone(),
                mandatory,
            )))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SvidResolver::new(shared)));
    config.alpn_protocols.clone_from(&tls.alpn);
    // Resumption would let a peer keep an identity that was rotated away.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

pub(crate) fn client_config(shared: Arc<Shared>, tls: &ClientTls) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let verifier = SpiffeVerifier::new(shared.clone(), tls.peers.clone(), true);
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = if tls.present_certificate {
        builder.with_client_cert_resolver(Arc::new(SvidResolver::new(shared)))
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols.clone_from(&tls.alpn);
    config.resumption = rustls::client::Resumption::disabled();
    // Peers are verified by SPIFFE ID; a name in the clear would only tell observers who talks to whom.
    config.enable_sni = false;
    Ok(Arc::new(config))
}
