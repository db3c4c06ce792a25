use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

/// How connections to endpoints are made.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct UpstreamSocket {
    /// Where they come from; port 0: any. `None`: as the system thinks best.
    pub source_address: Option<SocketAddr>,
    /// `None`: nobody asks whether the other end is still there.
    pub keepalive: Option<TcpKeepalive>,
}

impl UpstreamSocket {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `None`: what the system has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct TcpKeepalive {
    /// Unanswered ones that end a connection.
    pub probes: Option<u32>,
    /// Of silence before the first.
    pub time: Option<Duration>,
    /// Between two.
    pub interval: Option<Duration>,
}
