use std::time::Duration;

use serde::Serialize;

/// HTTP/2 as it is spoken on one side. The default is Envoy's; proxies of the mesh allow more ([`Http2Options::mesh`]).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Http2Options {
    /// Upgrades travel as extended `CONNECT` (RFC 8441).
    pub allow_connect: bool,
    /// Flow-control windows that the peer is granted, in bytes; `None`: our own choice.
    pub stream_window_bytes: Option<u32>,
    pub connection_window_bytes: Option<u32>,
    /// `None`: the peer is not asked whether it is still there.
    pub keepalive: Option<Http2Keepalive>,
}

/// Pings on a connection.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Http2Keepalive {
    pub interval: Duration,
    /// A connection whose peer has not answered for so long is closed.
    pub timeout: Duration,
}

impl Http2Options {
    pub fn mesh() -> Self {
        Self { allow_connect: true, ..Self::default() }
    }

    pub(crate) fn is_mesh(&self) -> bool {
        *self == Self::mesh()
    }
}
