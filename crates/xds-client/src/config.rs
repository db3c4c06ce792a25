use std::path::PathBuf;
use std::time::Duration;

use leno_ir::Node;
use leno_names::{SpiffeId, TrustDomain};

/// Where the configuration comes from, and how patient the client is.
#[derive(Clone, Debug)]
pub struct XdsClientConfig {
    /// `host:port` of the control plane; several are tried in turn.
    pub control: Vec<String>,
    /// Who the control plane must prove to be.
    pub control_id: SpiffeId,
    pub node: Node,
    /// Where the last accepted configuration is kept; `None`: nowhere.
    pub persist: Option<PathBuf>,
    /// Start from `persist` when the control plane has not answered in this time. Default 300 ms.
    pub disk_after: Duration,
    /// Wait so long for route tables and endpoints that are referred to. Default 1 s.
    pub complete_within: Duration,
    /// For each of TCP, TLS and opening the stream. Default 3 s.
    pub connect_timeout: Duration,
    /// Before try n a random wait below `min(backoff_base * 2^n, backoff_max)`. Defaults 100 ms and 15 s.
    pub backoff_base: Duration,
    pub backoff_max: Duration,
}

impl XdsClientConfig {
    /// With the defaults, to a control plane with its usual identity in `trust_domain`.
    pub fn new(control: Vec<String>, trust_domain: TrustDomain, node: Node) -> Self {
        Self {
            control,
            control_id: SpiffeId::new(trust_domain, "leno-system", "leno-control"),
            node,
            persist: None,
            disk_after: Duration::from_millis(300),
            complete_within: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(3),
            backoff_base: Duration::from_millis(100),
            backoff_max: Duration::from_secs(15),
        }
    }
}
