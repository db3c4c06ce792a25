use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;

use leno_balance::RateLimiter;
use leno_identity::PeerChain;
use leno_ir::{ClientCertDetails, Direction, Metadata};
use leno_names::SpiffeId;

use crate::drain::DrainSignal;
use crate::proxy_protocol::ProxyAddresses;
use crate::tls::TlsSession;

/// What is known of a downstream connection; shared by its exchanges.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Counts up from 1 in this process.
    pub(crate) id: u64,
    /// The address the client connected to.
    pub(crate) local: SocketAddr,
    /// That address is not the listener's: the connection was redirected, or a PROXY header says so.
    pub(crate) is_restored: bool,
    /// Where the client is: as a PROXY header says, or where the connection comes from.
    pub(crate) remote: SocketAddr,
    /// Where the connection itself comes from.
    pub(crate) direct_remote: SocketAddr,
    pub(crate) direction: Direction,
    /// Name of the listener.
    pub(crate) listener: Rc<str>,
    /// The client's identity, verified against the bundle.
    pub(crate) peer: Option<SpiffeId>,
    /// Our own identity as presented to the client; `None` without TLS.
    pub(crate) local_identity: Option<SpiffeId>,
    /// SNI.
    pub(crate) server_name: Option<String>,
    /// What ALPN agreed on; `None` without TLS or without ALPN.
    pub(crate) alpn: Option<Alpn>,
    /// We terminated TLS.
    pub(crate) is_tls: bool,
    /// TLS with a verified client certificate.
    pub(crate) mtls: bool,
    /// What both sides showed in the handshake, until `client_cert` is made of it.
    pub(crate) shown: Option<Box<Shown>>,
    /// What access logs and headers show of TLS, where any does.
    pub(crate) session: Option<Rc<TlsSession>>,
    /// The address that the socket has, whatever is said of it.
    pub(crate) direct_local: SocketAddr,
    pub(crate) chain: Rc<ChainNames>,
    /// `x-forwarded-client-cert`, where the filter chain says it.
    pub(crate) client_cert: String,
    /// Started when the worker drains or the listener is removed or replaced: finish the exchanges under way, then close.
    pub(crate) drain: Rc<DrainSignal>,
    /// It was the client who ended it.
    pub(crate) closed_by_client: Cell<bool>,
    /// Of the filter `local_ratelimit` that counts by connection.
    pub(crate) rate_limiter: OnceCell<Box<RateLimiter>>,
}

/// What a filter chain and its listener are called, and what is said of that.
#[derive(Debug, Default)]
pub(crate) struct ChainNames {
    pub(crate) chain: String,
    pub(crate) listener_metadata: Metadata,
}

/// What TLS knows of the two certificates.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) client: PeerChain,
    /// Of our own certificate where it is no SPIFFE ID of the mesh.
    pub(crate) local_uri: Option<String>,
}

impl Connection {
    /// The wishes are those of the chain that serves the connection; `None`: nobody is told.
    pub(crate) fn describe_client(&mut self, details: Option<ClientCertDetails>) {
        let shown = self.shown.take().filter(|_| self.mtls);
        if let (Some(details), Some(shown)) = (details, shown) {
            let ours = self.local_identity.as_ref().map(ToString::to_string).or(shown.local_uri);
            self.client_cert = describe(ours, &shown.client, details);
        }
    }

    pub(crate) const fn ends(&self) -> Ends {
        Ends { addresses: self.addresses(), original_destination: self.original_destination() }
    }

    /// Where the client wanted to go, when that is known to be elsewhere than here.
    pub(crate) const fn original_destination(&self) -> Option<SocketAddr> {
        if self.is_restored { Some(self.local) } else { None }
    }

    pub(crate) const fn addresses(&self) -> ProxyAddresses {
        ProxyAddresses { source: self.remote, destination: self.local }
    }
}

#[cfg(test)]
impl Connection {
    /// One without TLS, to a listener on this machine.
    pub(crate) fn for_tests(remote: impl Into<SocketAddr>) -> Self {
        let (local, remote) = (([127, 0, 0, 1], 8080).into(), remote.into());
        Self {
            id: 1,
            local,
            is_restored: false,
            remote,
            direct_remote: remote,
            direction: Direction::Inbound,
            listener: "in".into(),
            peer: None,
            local_identity: None,
            server_name: None,
            alpn: None,
            is_tls: false,
            mtls: false,
            shown: None,
            session: None,
            direct_local: local,
            chain: Rc::default(),
            client_cert: String::new(),
            drain: Rc::default(),
            closed_by_client: Cell::default(),
            rate_limiter: OnceCell::default(),
        }
    }
}

/// As Envoy writes it.
fn describe(ours: Option<String>, client: &PeerChain, details: ClientCertDetails) -> String {
    let mut parts = Vec::new();
    parts.extend(ours.map(|uri| format!("By={uri}")));
    parts.push(format!("Hash={}", client.sha256()));
    if details.cert {
        parts.push(format!("Cert=\"{}\"", escape_pem(&client.certificate_pem())));
    }
    if details.chain {
        parts.push(format!("Chain=\"{}\"", escape_pem(&client.chain_pem())));
    }
    if details.subject {
        parts.push(format!("Subject=\"{}\"", client.subject()));
    }
    if details.uri {
        let uris = client.uris();
        // The key stands there also where there is none.
        let none = uris.is_empty().then(String::new);
        parts.extend(uris.into_iter().chain(none).map(|uri| format!("URI={uri}")));
    }
    if details.dns {
        parts.extend(client.dns_names().into_iter().map(|name| format!("DNS={name}")));
    }
    parts.join(";")
}

pub(crate) fn escape_pem(pem: &str) -> String {
    let mut escaped = String::with_capacity(pem.len() + pem.len() / 8);
    for character in pem.chars() {
        match character {
            '\n' => escaped.push_str("%0A"),
            ' ' => escaped.push_str("%20"),
            '+' => escaped.push_str("%2B"),
            '/' => escaped.push_str("%2F"),
            '=' => escaped.push_str("%3D"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// What an upstream connection may depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) addresses: ProxyAddresses,
    /// Where the client wanted to go, when that is known to be elsewhere than here.
    pub(crate) original_destination: Option<SocketAddr>,
}

/// The protocols that Leno, Istio and the public agree on by ALPN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Alpn {
    /// `http/1.1`, `http/1.0`, `istio-http/1.1`, `istio-http/1.0`.
    Http1,
    /// `h2`, `istio-h2`.
    Http2,
    /// `istio`: bytes between two proxies, of whatever protocol.
    Istio,
    /// Anything else.
    Other,
}

impl Alpn {
    pub(crate) fn parse(name: &[u8]) -> Self {
        match name {
            b"http/1.1" | b"http/1.0" | b"istio-http/1.1" | b"istio-http/1.0" => Self::Http1,
            b"h2" | b"istio-h2" => Self::Http2,
            b"istio" | b"istio-peer-exchange" => Self::Istio,
            _ => Self::Other,
        }
    }
}
