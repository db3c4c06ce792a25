use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::SignatureAlgorithm;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;

use super::material::load_key_pair;
use super::verifier::{ContextVerifier, dns_names, fits_dns_name};
use super::{ContextError, ContextParameters, ContextPart, KeyPairSource, PeerRules};
use crate::peer_chain::PeerChain;

/// How a listener speaks TLS with certificates of its own.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// At least one.
    pub certificates: Vec<KeyPairSource>,
    pub alpn: Vec<Vec<u8>>,
    /// `None` asks for no certificate, even where one is required: so does Envoy.
    pub peers: Option<PeerRules>,
    pub require_client_certificate: bool,
    pub parameters: ContextParameters,
    pub stateless_resumption: bool,
    pub stateful_resumption: bool,
}

/// Made of [`ServerSettings`]; shared by all that serve them.
#[derive(Debug)]
pub struct ServerContext {
    settings: ServerSettings,
    current: ArcSwap<Configs>,
}

#[derive(Debug)]
struct Configs {
    full: Arc<ServerConfig>,
    /// For clients that offer other protocols than ours: Envoy goes on without one, rustls would refuse them.
    without_alpn: Arc<ServerConfig>,
    /// Each certificate, by its DNS names.
    shown: Vec<(Vec<String>, PeerChain)>,
}

/// Sessions kept for TLS 1.2 clients without tickets. Chosen: BoringSSL's default is 20,000, of which few are met again.
const KEPT_SESSIONS: usize = 4096;

impl ServerContext {
    /// # Errors
    /// Everything that cannot be read or does not fit together.
    pub fn new(settings: ServerSettings) -> Result<Self, Vec<ContextError>> {
        let current = ArcSwap::from_pointee(load(&settings)?);
        Ok(Self { settings, current })
    }

    /// Reads its files again. Connections that exist keep what they have.
    ///
    /// # Errors
    /// As [`ServerContext::new`]; what was loaded before stays.
    pub fn reload(&self) -> Result<(), Vec<ContextError>> {
        self.reload_from(&self.settings)
    }

    /// The same with certificates that are elsewhere now; all else is to be as it was.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub fn reload_from(&self, settings: &ServerSettings) -> Result<(), Vec<ContextError>> {
        self.current.store(Arc::new(load(settings)?));
        Ok(())
    }

    /// The certificate that a client who asked for that name was shown.
    pub fn shown_to(&self, server_name: Option<&str>) -> PeerChain {
        let configs = self.current.load();
        let wanted = server_name.unwrap_or_default();
        let with =
            |fits: &dyn Fn(&str) -> bool| configs.shown.iter().find(|(names, _)| names.iter().any(|name| fits(name)));
        let found = with(&|name| name == wanted).or_else(|| with(&|name| fits_dns_name(name, wanted)));
        found.or(configs.shown.first()).map(|(_, shown)| shown.clone()).unwrap_or_default()
    }

    /// The settings for a client.
    pub fn config_for(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let configs = self.current.load();
        let has_common = match hello.alpn() {
            None => true,
            Some(mut offered) => offered.any(|name| self.settings.alpn.iter().any(|ours| ours == name)),
        };
        if has_common { configs.full.clone() } else { configs.without_alpn.clone() }
    }
}

fn load(settings: &ServerSettings) -> Result<Configs, Vec<ContextError>> {
    let mut errors = Vec::new();
    let mut certificates = Vec::new();
    for (index, source) in settings.certificates.iter().enumerate() {
        match load_key_pair(index, source) {
            Ok(certified) => certificates.push(certified),
            Err(error) => errors.push(error),
        }
    }
    let provider = settings.parameters.provider().map_err(|error| errors.push(error)).ok();
    let verifier = provider.as_ref().and_then(|provider| {
        let mandatory = settings.require_client_certificate;
        ContextVerifier::new(settings.peers.as_ref(), mandatory, provider.clone())
            .map_err(|error| errors.push(error))
            .ok()
    });
    let (Some(provider), Some(verifier), true) = (provider, verifier, errors.is_empty()) else { return Err(errors) };
    let wrong = |error: rustls::Error| vec![ContextError::new(ContextPart::Parameters, error.to_string())];
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&settings.parameters.versions())
        .map_err(wrong)?;
    let builder = if settings.peers.is_some() {
        builder.with_client_cert_verifier(Arc::new(verifier))
    } else {
        builder.with_no_client_auth()
    };
    let names = |certified: &Arc<CertifiedKey>| {
        let of = certified.cert.get(..1).map(PeerChain::new).unwrap_or_default();
        (of.dns_names(), of)
    };
    let shown = certificates.iter().map(names).collect();
    let mut config = builder.with_cert_resolver(Arc::new(ByServerName::new(certificates)));
    config.alpn_protocols.clone_from(&settings.alpn);
    config.session_storage = match settings.stateful_resumption {
        true => ServerSessionMemoryCache::new(KEPT_SESSIONS),
        false => Arc::new(NoServerSessionStorage {}),
    };
    if settings.stateless_resumption {
        config.ticketer = Ticketer::new().map_err(wrong)?;
    } else if !settings.stateful_resumption {
        config.send_tls13_tickets = 0;
    }
    let mut without_alpn = config.clone();
    without_alpn.alpn_protocols.clear();
    Ok(Configs { full: Arc::new(config), without_alpn: Arc::new(without_alpn), shown })
}

/// The first certificate with the name the client asks for, in full or by a wildcard, which the client can check; without a
/// fit the first of all. Of several for one name, ECDSA goes before RSA where the client can do both, as in Envoy.
#[derive(Debug)]
struct ByServerName {
    certificates: Vec<(Vec<String>, Arc<CertifiedKey>)>,
}

impl ByServerName {
    fn new(certificates: Vec<Arc<CertifiedKey>>) -> Self {
        let named =
            |certified: Arc<CertifiedKey>| (certified.cert.first().map(dns_names).unwrap_or_default(), certified);
        Self { certificates: certificates.into_iter().map(named).collect() }
    }
}

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello.server_name().unwrap_or_default();
        let with_name = |fits: &dyn Fn(&str) -> bool| {
            let named = self.certificates.iter().filter(|(names, _)| names.iter().any(|name| fits(name)));
            named.map(|(_, certified)| certified).collect::<Vec<_>>()
        };
        let mut candidates = with_name(&|name| name == wanted);
        if candidates.is_empty() {
            candidates = with_name(&|name| fits_dns_name(name, wanted));
        }
        if candidates.is_empty() {
            candidates = self.certificates.iter().map(|(_, certified)| certified).collect();
        }
        let can_check =
            |certified: &&&Arc<CertifiedKey>| certified.key.choose_scheme(hello.signature_schemes()).is_some();
        let is_ecdsa = |certified: &&&Arc<CertifiedKey>| certified.key.algorithm() == SignatureAlgorithm::ECDSA;
        let usable = || candidates.iter().filter(can_check);
        usable().find(is_ecdsa).or_else(|| usable().next()).or(candidates.first()).map(|certified| (*certified).clone())
    }
}
