use serde::Serialize;

use crate::ProxyProtocolVersion;

/// A protocol that `Upgrade` may switch to, or `connect`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Upgrade {
    /// Lower case.
    pub protocol: String,
    /// Where no route says otherwise.
    pub is_enabled: bool,
}

impl Upgrade {
    pub fn new(protocol: impl Into<String>) -> Self {
        Self { protocol: protocol.into(), is_enabled: true }
    }
}

/// What a route says of an upgrade; it goes before the connection manager's word.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct RouteUpgrade {
    /// Lower case.
    pub protocol: String,
    pub is_enabled: bool,
    /// Of `connect`: the tunnel ends here and its bytes go to a TCP upstream. `None`: the upstream is asked to `CONNECT`.
    pub connect: Option<ConnectUpstream>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ConnectUpstream {
    /// Before the first byte of the tunnel.
    pub proxy_protocol: Option<ProxyProtocolVersion>,
    /// The body of a `POST` is treated so, too.
    pub allow_post: bool,
}

impl RouteUpgrade {
    /// Tunnels end at this proxy.
    pub fn connect() -> Self {
        let connect = Some(ConnectUpstream::default());
        Self { protocol: "connect".to_owned(), is_enabled: true, connect }
    }
}
