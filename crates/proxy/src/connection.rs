use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;

use leno_balance::RateLimiter;
use leno_ir::Direction;
use leno_names::SpiffeId;

use crate::drain::DrainSignal;
use crate::proxy_protocol::ProxyAddresses;

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
    /// Started when the worker drains or the listener is removed or replaced: finish the exchanges under way, then close.
    pub(crate) drain: Rc<DrainSignal>,
    /// It was the client who ended it.
    pub(crate) closed_by_client: Cell<bool>,
    /// Of the filter `local_ratelimit` that counts by connection.
    pub(crate) rate_limiter: OnceCell<Box<RateLimiter>>,
}

impl Connection {
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
