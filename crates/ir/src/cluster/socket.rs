use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use crate::{Labels, ProxyProtocolVersion, UpstreamTls};

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

/// How endpoints with certain labels are connected to, instead of the way of their cluster (Envoy `TransportSocketMatch`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SocketMatch {
    /// For statistics.
    pub name: String,
    /// An endpoint has all of them, or its locality has. None: every endpoint has.
    pub labels: Labels,
    pub tls: Option<UpstreamTls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolVersion>,
}

impl SocketMatch {
    /// The place of the first of `all` that is for an endpoint with such labels in such a locality. `None`: the cluster's way.
    pub fn find(all: &[Self], endpoint: &Labels, locality: &Labels) -> Option<usize> {
        let of = |labels: &Labels| {
            let has = |(key, value)| labels.get(key) == Some(value);
            all.iter().position(|one| one.labels.iter().all(has))
        };
        of(endpoint).or_else(|| of(locality))
    }
}
