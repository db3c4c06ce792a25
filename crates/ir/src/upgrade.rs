use serde::Serialize;

use crate::{HttpFilter, ProxyProtocolVersion, RouterOptions};

/// A protocol that `Upgrade` may switch to, or `connect`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Upgrade {
    /// Lower case.
    pub protocol: String,
    /// Where no route says otherwise.
    pub is_enabled: bool,
    /// `None`: those of every other request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<UpgradeFilters>,
}

/// What such requests pass in the place of the connection manager's filters, whoever allowed the upgrade.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UpgradeFilters {
    /// Without the router, which comes last.
    pub filters: Vec<HttpFilter>,
    pub router: RouterOptions,
}

impl Upgrade {
    pub fn new(protocol: impl Into<String>) -> Self {
        Self { protocol: protocol.into(), is_enabled: true, filters: None }
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
