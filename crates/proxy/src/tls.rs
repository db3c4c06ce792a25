//! TLS settings of one worker, made from its identity or with the certificates of a context; and what is told of failed
//! handshakes.
//!
//! Invariants  a handshake after a rotation uses the new certificate and bundle; keys never leave `identity`
//! Errors      the peer's fault (bad certificate, wrong service, no TLS) or ours (no identity yet)
//! Cost        one configuration for each TLS chain, and for each cluster and protocol spoken with it
//! Source      no session resumption between proxies, because it would hide a rotation

mod contexts;
mod material;
mod report;
mod session;

use std::cell::OnceCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leno_identity::{
    ClientAuth, ClientContext, ClientTls, Identity, NameMatch, PeerChain, PeerNames, PeerRefused, ServerContext,
    ServerNaming, ServerTls, TlsError,
};
use leno_ir::{DownstreamTls, ServerNameOfRequest, StringMatch, SubjectAltName, SubjectAltNameKind, UpstreamTls};
use leno_names::SpiffeId;
use leno_telemetry::access_log::Side;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, TlsConnector, TlsStream, server};

pub use self::contexts::ReadSecret;
pub(crate) use self::contexts::TlsContexts;
use self::report::FailureLog;
pub(crate) use self::session::{TlsSession, note, noted};
use crate::connection::{Alpn, Shown};
use crate::stream::Stream;
use crate::upstream::ApplicationProtocol;

/// Settings, made when they are first needed. A rotation needs no new ones: `identity` looks its current SVID and bundle
/// up in each handshake.
#[derive(Debug)]
pub(crate) struct ConfigCache<T> {
    made: OnceCell<Arc<T>>,
}

impl<T> Default for ConfigCache<T> {
    fn default() -> Self {
        Self { made: OnceCell::new() }
    }
}

impl<T> ConfigCache<T> {
    fn get(&self, make: impl FnOnce() -> Result<Arc<T>, TlsError>) -> Result<Arc<T>, TlsError> {
        if let Some(made) = self.made.get() {
            return Ok(made.clone());
        }
        let made = make()?;
        Ok(self.made.get_or_init(|| made).clone())
    }
}

/// What a handshake with a client established.
#[derive(Debug, Default)]
pub(crate) struct PeerFacts {
    pub(crate) peer: Option<SpiffeId>,
    pub(crate) local_identity: Option<SpiffeId>,
    pub(crate) server_name: Option<String>,
    pub(crate) alpn: Option<Alpn>,
    pub(crate) mtls: bool,
    pub(crate) shown: Option<Box<Shown>>,
    pub(crate) session: Option<Rc<TlsSession>>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptError {
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    #[error("this proxy cannot serve TLS")]
    Identity(#[from] TlsError),
    #[error("the client did not complete the handshake within {0:?}")]
    Timeout(Duration),
}

impl AcceptError {
    /// Set when the client proved to be somebody else than it must be.
    pub(crate) fn refusal(&self) -> Option<&PeerRefused> {
        match self {
            Self::Handshake(error) => PeerRefused::find(error),
            _ => None,
        }
    }
}

/// One per worker.
#[derive(Debug)]
pub(crate) struct TlsSettings {
    identity: Option<Identity>,
    contexts: TlsContexts,
    handshake_timeout: Duration,
    failures: FailureLog,
}

/// TLS of one filter chain on one worker.
#[derive(Debug)]
pub(crate) struct ChainTls {
    config: DownstreamTls,
    /// `None`: the mesh's own.
    context: Option<Arc<ServerContext>>,
    cache: ConfigCache<rustls::ServerConfig>,
}

/// TLS of one cluster on one worker.
#[derive(Debug)]
pub(crate) struct ClusterTls {
    /// `None`: the mesh's own.
    context: Option<Arc<ClientContext>>,
    caches: ClientCaches,
}

impl ClusterTls {
    /// Whether the endpoints are proxies of the mesh, which agree on protocols by ALPN.
    pub(crate) fn is_of_mesh(&self) -> bool {
        self.context.is_none()
    }
}

impl TlsSettings {
    pub(crate) fn new(identity: Option<Identity>, contexts: TlsContexts, handshake_timeout: Duration) -> Self {
        Self { identity, contexts, handshake_timeout, failures: FailureLog::default() }
    }

    /// What is wrong with a context was found, and its listener rejected, before it gets here.
    pub(crate) fn of_chain(&self, tls: &DownstreamTls) -> ChainTls {
        let context = self.contexts.server(tls).unwrap_or_default();
        ChainTls { config: tls.clone(), context, cache: ConfigCache::default() }
    }

    /// As [`TlsSettings::of_chain`].
    pub(crate) fn of_cluster(&self, tls: &UpstreamTls) -> ClusterTls {
        ClusterTls { context: self.contexts.client(tls).unwrap_or_default(), caches: ClientCaches::default() }
    }

    fn identity(&self) -> Result<&Identity, TlsError> {
        self.identity.as_ref().ok_or(TlsError::NoIdentity)
    }

    /// Takes a client through the handshake.
    pub(crate) async fn accept(&self, socket: TcpStream, tls: &ChainTls) -> Result<(Stream, PeerFacts), AcceptError> {
        let after = self.handshake_timeout;
        // Boxed: the connection's task keeps room for it otherwise, long after.
        let handshake = Box::pin(async {
            match &tls.context {
                None => {
                    let config = self.mesh_server(tls)?;
                    TlsAcceptor::from(config).accept(socket).await.map_err(AcceptError::Handshake)
                }
                Some(context) => accept_with(context, socket).await,
            }
        });
        let stream = tokio::time::timeout(after, handshake).await.map_err(|_| AcceptError::Timeout(after))??;
        let facts = self.facts(stream.get_ref().1, tls);
        Ok((Stream::Tls(Box::new(TlsStream::Server(stream))), facts))
    }

    fn mesh_server(&self, tls: &ChainTls) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        tls.cache.get(|| {
            let (client, peers) = match &tls.config.validation {
                None => (ClientAuth::None, PeerNames::AnyInTrustDomain),
                Some(validation) if tls.config.require_client_certificate => {
                    (ClientAuth::Required, names(&validation.subject_alt_names))
                }
                Some(validation) => (ClientAuth::Optional, names(&validation.subject_alt_names)),
            };
            let alpn = tls.config.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
            self.identity()?.server_config(&ServerTls { alpn, client, peers })
        })
    }

    fn facts(&self, session: &rustls::ServerConnection, tls: &ChainTls) -> PeerFacts {
        // A certificate that nobody looked at proves nothing.
        let is_checked = tls.config.validation.is_some();
        let certificates = session.peer_certificates().filter(|_| is_checked).unwrap_or_default();
        let identity = self.identity.as_ref().filter(|_| tls.context.is_none());
        let shown = || Shown {
            client: PeerChain::new(certificates),
            local_uri: tls
                .context
                .as_ref()
                .and_then(|context| context.shown_to(session.server_name()).uris().into_iter().next()),
        };
        let own = || match (&tls.context, identity) {
            (Some(context), _) => context.shown_to(session.server_name()),
            (None, Some(identity)) => own_certificate(identity),
            (None, None) => PeerChain::default(),
        };
        PeerFacts {
            session: TlsSession::of(Side::Downstream, session, || {
                (session.server_name().map(str::to_owned), PeerChain::new(certificates), own())
            }),
            mtls: !certificates.is_empty(),
            shown: (!certificates.is_empty()).then(|| Box::new(shown())),
            peer: leno_identity::peer_spiffe_id(certificates).ok(),
            local_identity: identity.map(|identity| identity.current().id.clone()),
            server_name: session.server_name().map(str::to_owned),
            alpn: session.alpn_protocol().map(Alpn::parse),
        }
    }

    /// Settings for a connection to an upstream that will carry `protocol`.
    pub(crate) fn client(
        &self,
        tls: &UpstreamTls,
        protocol: ApplicationProtocol,
        of_cluster: &ClusterTls,
        named: Option<(&ServerNameOfRequest, &str)>,
    ) -> Result<TlsClient, TlsError> {
        let of_request = named.filter(|(rule, _)| rule.is_sent).map(|(_, name)| name);
        let of_request = of_request.filter(|name| name.parse::<IpAddr>().is_err());
        let server_name = of_request.or(tls.sni.as_deref());
        let config = match &of_cluster.context {
            Some(context) if named.is_some() => {
                let must_be = named.filter(|(rule, _)| rule.is_checked).map(|(_, name)| name);
                let naming = ServerNaming { is_sent: server_name.is_some(), must_be };
                context.config_naming(protocol.public_alpn(), naming)
            }
            Some(context) => context.config(protocol.public_alpn()),
            None => of_cluster.caches.of(protocol).get(|| {
                let names = tls.validation.as_ref().map(|validation| names(&validation.subject_alt_names));
                self.identity()?.client_config(&ClientTls {
                    alpn: protocol.alpn().iter().map(|name| name.as_bytes().to_vec()).collect(),
                    peers: names.unwrap_or(PeerNames::OneOf(Vec::new())),
                    present_certificate: tls.certificate.is_some(),
                })
            })?,
        };
        let server_name = server_name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        Ok(TlsClient { connector: TlsConnector::from(config), server_name })
    }

    /// What is shown of the TLS of a connection to an upstream.
    pub(crate) fn upstream_session(
        &self,
        stream: &Stream,
        tls: &UpstreamTls,
        of_cluster: &ClusterTls,
        of_request: Option<&str>,
    ) -> Option<Rc<TlsSession>> {
        let Stream::Tls(stream) = stream else { return None };
        let state = stream.get_ref().1;
        TlsSession::of(Side::Upstream, state, || {
            let own = match (&of_cluster.context, &self.identity) {
                (Some(context), _) => context.shown(),
                (None, Some(identity)) if tls.certificate.is_some() => own_certificate(identity),
                (None, _) => PeerChain::default(),
            };
            (
                of_request.map(str::to_owned).or_else(|| tls.sni.clone()),
                PeerChain::new(state.peer_certificates().unwrap_or_default()),
                own,
            )
        })
    }
}

fn own_certificate(identity: &Identity) -> PeerChain {
    PeerChain::new(identity.current().chain.get(..1).unwrap_or_default())
}

async fn accept_with(context: &ServerContext, socket: TcpStream) -> Result<server::TlsStream<TcpStream>, AcceptError> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await;
    let start = start.map_err(AcceptError::Handshake)?;
    let config = context.config_for(&start.client_hello());
    start.into_stream(config).await.map_err(AcceptError::Handshake)
}

/// A cluster's settings for each protocol it is spoken to in.
#[derive(Debug, Default)]
pub(crate) struct ClientCaches {
    http1: ConfigCache<rustls::ClientConfig>,
    http2: ConfigCache<rustls::ClientConfig>,
    negotiated: ConfigCache<rustls::ClientConfig>,
    tcp: ConfigCache<rustls::ClientConfig>,
}

impl ClientCaches {
    fn of(&self, protocol: ApplicationProtocol) -> &ConfigCache<rustls::ClientConfig> {
        match protocol {
            ApplicationProtocol::Http1 => &self.http1,
            ApplicationProtocol::Http2 => &self.http2,
            ApplicationProtocol::Negotiated => &self.negotiated,
            ApplicationProtocol::Tcp => &self.tcp,
        }
    }
}

pub(crate) struct TlsClient {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl TlsClient {
    pub(crate) async fn connect(self, socket: TcpStream, endpoint: SocketAddr) -> io::Result<Stream> {
        // An address sends no SNI; who the peer must be is decided by its SPIFFE ID, not by this name.
        let name = self.server_name.unwrap_or_else(|| ServerName::from(endpoint.ip()));
        let stream = self.connector.connect(name, socket).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    }
}

/// No names at all means anybody the bundle vouches for. A kind of match that `identity` does not know welcomes nobody.
fn names(matches: &[SubjectAltName]) -> PeerNames {
    if matches.is_empty() {
        return PeerNames::AnyInTrustDomain;
    }
    let of_uri = matches.iter().filter(|name| matches!(name.kind, SubjectAltNameKind::Any | SubjectAltNameKind::Uri));
    let known = of_uri.filter_map(|name| match &name.name {
        StringMatch::Exact { text, ignore_case: false } => Some(NameMatch::Exact(text.clone())),
        StringMatch::Prefix { text, ignore_case: false } => Some(NameMatch::Prefix(text.clone())),
        StringMatch::Suffix { text, ignore_case: false } => Some(NameMatch::Suffix(text.clone())),
        _ => None,
    });
    PeerNames::OneOf(known.collect())
}
