use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::future::BoxFuture;
use leno_ir::{Config, WorkloadLabels};
use leno_names::Locality;

use crate::dns::Block;
use crate::tls::ReadSecret;

/// How a proxy runs; what it serves comes later, as `ir::Config`.
pub struct ProxyConfig {
    /// Threads that carry traffic. `None`: [`super::default_threads`].
    pub workers: Option<NonZeroUsize>,
    /// Where `/ready`, `/stats/prometheus` and `/config_dump` are served. `None`: nowhere.
    pub admin: Option<SocketAddr>,
    pub dns: Option<DnsConfig>,
    /// TLS from the first byte to the end of the handshake, and the time a client may take to show its protocol where no
    /// upstream can be waiting to speak first. Envoy: 15 s.
    pub handshake_timeout: Duration,
    /// Who this proxy stands before, for metric labels.
    pub workload: WorkloadLabels,
    pub mesh_domain: String,
    /// The cluster whose endpoints are this proxy and its like, and where this one is; for clusters that keep traffic in its
    /// zone. `None`: zones do not matter.
    pub local_zone: Option<(String, Locality)>,
    /// Most connections of listeners, by name. A listener that is not here may have any number.
    pub connection_limits: BTreeMap<String, u64>,
    /// Label sets a worker keeps per kind of traffic; what exceeds them is counted under `other`.
    pub max_series: usize,
    /// What is shed under pressure. `None`: nothing.
    pub overload: Option<leno_ir::Overload>,
    /// The configuration as Envoy's API has it, part by part, for the admin interface: of what runs, since when, and whether
    /// endpoints are wanted. `None`: it has no such page.
    pub config_dump: Option<ConfigDump>,
    /// Runtime values as the admin interface lists them. `None`: there are none.
    pub runtime: Option<serde_json::Value>,
    /// Reads secrets that are in files of their own. `None`: there are none.
    pub read_secret: Option<ReadSecret>,
    /// Called when the admin interface is asked to drain: the workload should leave the mesh, so that callers stop coming.
    /// Resolves when it has. Existing connections go on. `None`: the admin interface closes listeners instead.
    pub on_leave: Option<Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>>,
}

/// See [`ProxyConfig::config_dump`].
pub type ConfigDump = Box<dyn Fn(&Config, &str, bool) -> Vec<serde_json::Value> + Send + Sync>;

impl fmt::Debug for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyConfig")
            .field("workers", &self.workers)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            workers: None,
            admin: None,
            dns: None,
            handshake_timeout: Duration::from_secs(15),
            workload: WorkloadLabels::default(),
            mesh_domain: "cluster.local".to_owned(),
            local_zone: None,
            connection_limits: BTreeMap::new(),
            max_series: 10_000,
            overload: None,
            config_dump: None,
            runtime: None,
            read_secret: None,
            on_leave: None,
        }
    }
}

/// The DNS server for the application.
#[derive(Debug)]
pub struct DnsConfig {
    pub block: Block,
    /// Services of this namespace are known by their short names too.
    pub namespace: String,
    /// Who answers names that the mesh does not have. `None`: they are refused.
    pub upstream: Option<SocketAddr>,
}
