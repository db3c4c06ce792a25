use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::sign::SingleCertAndKey;

use super::material::load_key_pair;
use super::verifier::ContextVerifier;
use super::{ContextError, ContextParameters, ContextPart, KeyPairSource, PeerRules};
use crate::peer_chain::PeerChain;

/// How a cluster is spoken to in TLS that is not the mesh's.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// `None` shows none.
    pub certificate: Option<KeyPairSource>,
    /// Empty: what fits the connection's protocol.
    pub alpn: Vec<Vec<u8>>,
    /// `None` trusts whoever answers.
    pub peers: Option<PeerRules>,
    /// The name sent as SNI must be in the certificate.
    pub checks_server_name: bool,
    pub sends_server_name: bool,
    pub parameters: ContextParameters,
    /// Sessions kept for resumption.
    pub max_sessions: usize,
}

/// What will be spoken, for contexts that do not say what to offer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UpstreamAlpn {
    Http1,
    Http2,
    None,
    /// HTTP/2 or HTTP/1.1, as the server likes.
    Negotiated,
}

/// What a connection says of its server itself.
#[derive(Clone, Copy, Debug)]
pub struct ServerNaming<'n> {
    /// The name it was opened with is sent as SNI.
    pub is_sent: bool,
    /// The server's certificate must have this one as well.
    pub must_be: Option<&'n str>,
}

/// Made of [`ClientSettings`]; shared by all that use them.
#[derive(Debug)]
pub struct ClientContext {
    settings: ClientSettings,
    current: ArcSwap<Configs>,
}

#[derive(Debug)]
struct Configs {
    plain: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    shown: PeerChain,
    negotiated: Arc<ClientConfig>,
    verifier: Arc<ContextVerifier>,
}

impl ClientContext {
    /// # Errors
    /// Everything that cannot be read or does not fit together.
    pub fn new(settings: ClientSettings) -> Result<Self, Vec<ContextError>> {
        let current = ArcSwap::from_pointee(load(&settings)?);
        Ok(Self { settings, current })
    }

    /// Reads its files again. Connections that exist keep what they have.
    ///
    /// # Errors
    /// As [`ClientContext::new`]; what was loaded before stays.
    pub fn reload(&self) -> Result<(), Vec<ContextError>> {
        self.reload_from(&self.settings)
    }

    /// The same with certificates that are elsewhere now; all else is to be as it was.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub fn reload_from(&self, settings: &ClientSettings) -> Result<(), Vec<ContextError>> {
        self.current.store(Arc::new(load(settings)?));
        Ok(())
    }

    /// Our certificate.
    pub fn shown(&self) -> PeerChain {
        self.current.load().shown.clone()
    }

    pub fn config(&self, alpn: UpstreamAlpn) -> Arc<ClientConfig> {
        let configs = self.current.load();
        match alpn {
            UpstreamAlpn::Http1 => configs.http1.clone(),
            UpstreamAlpn::Http2 => configs.http2.clone(),
            UpstreamAlpn::None => configs.plain.clone(),
            UpstreamAlpn::Negotiated => configs.negotiated.clone(),
        }
    }

    /// The same for one connection. A copy of some pointers; sessions are resumed only where that skips no check.
    pub fn config_naming(&self, alpn: UpstreamAlpn, naming: ServerNaming<'_>) -> Arc<ClientConfig> {
        let config = self.config(alpn);
        if naming.must_be.is_none() && config.enable_sni == naming.is_sent {
            return config;
        }
        let mut config = ClientConfig::clone(&config);
        config.enable_sni = naming.is_sent;
        if let Some(name) = naming.must_be {
            let verifier = ContextVerifier::clone(&self.current.load().verifier).demanding(name);
            config.dangerous().set_certificate_verifier(Arc::new(verifier));
            config.resumption = Resumption::disabled();
        }
        Arc::new(config)
    }
}

fn load(settings: &ClientSettings) -> Result<Configs, Vec<ContextError>> {
    let one = |error| vec![error];
    let certified = settings.certificate.as_ref().map(|source| load_key_pair(0, source)).transpose().map_err(one)?;
    let shown =
        certified.as_ref().and_then(|certified| certified.cert.get(..1)).map(PeerChain::new).unwrap_or_default();
    let provider = settings.parameters.provider().map_err(one)?;
    let verifier = ContextVerifier::new(settings.peers.as_ref(), true, provider.clone()).map_err(one)?;
    let verifier = Arc::new(verifier.checking_server_name(settings.checks_server_name));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&settings.parameters.versions())
        .map_err(|error| vec![ContextError::new(ContextPart::Parameters, error.to_string())])?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone());
    let mut config = match certified {
        Some(certified) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols.clone_from(&settings.alpn);
    config.enable_sni = settings.sends_server_name;
    config.resumption = match settings.max_sessions {
        0 => Resumption::disabled(),
        count => Resumption::in_memory_sessions(count),
    };
    let offering = |names: &[&[u8]]| {
        let mut config = config.clone();
        if config.alpn_protocols.is_empty() {
            config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
        }
        Arc::new(config)
    };
    let (http1, http2) = (offering(&[b"http/1.1"]), offering(&[b"h2"]));
    Ok(Configs { http1, http2, negotiated: offering(&[b"h2", b"http/1.1"]), plain: Arc::new(config), verifier, shown })
}
