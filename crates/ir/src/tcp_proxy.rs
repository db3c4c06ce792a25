use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use crate::{AccessLog, AccessLogMoments, HeaderOps, WeightedCluster};

/// Bytes both ways to one cluster, chosen once per connection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TcpProxy {
    pub stat_prefix: String,
    /// At least one; weights as in a route.
    pub clusters: Vec<WeightedCluster>,
    /// Clusters that balance by hash take the client's address without port; otherwise a random endpoint.
    pub hash_source_ip: bool,
    /// No byte either way for this long closes the connection. Default 1 h, as Envoy.
    pub idle_timeout: Option<Duration>,
    /// Endpoints tried before the client's connection is given up.
    pub max_connect_attempts: NonZeroU32,
    /// The connection is closed when it is as old as this. `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connection_duration: Option<Duration>,
    pub access_log: Vec<AccessLog>,
    #[serde(skip_serializing_if = "AccessLogMoments::is_default")]
    pub access_log_moments: AccessLogMoments,
    /// The bytes travel inside a request. `None`: as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunneling: Option<Box<Tunneling>>,
}

impl TcpProxy {
    /// Envoy's defaults.
    pub fn new(stat_prefix: impl Into<String>, clusters: Vec<WeightedCluster>) -> Self {
        Self {
            stat_prefix: stat_prefix.into(),
            clusters,
            hash_source_ip: false,
            idle_timeout: Some(Duration::from_secs(3600)),
            max_connect_attempts: NonZeroU32::MIN,
            max_connection_duration: None,
            access_log: Vec::new(),
            access_log_moments: AccessLogMoments::default(),
            tunneling: None,
        }
    }
}

/// The request that carries a connection to an upstream that speaks HTTP.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Tunneling {
    /// Its authority, with Envoy's command operators.
    pub hostname: String,
    /// A `POST` to this path. `None`: a `CONNECT`.
    pub post_path: Option<String>,
    /// Only additions.
    pub headers: HeaderOps,
}
