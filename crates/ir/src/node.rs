use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use leno_names::Locality;
use serde::Serialize;

/// The program that asks for configuration, as it introduces itself in `DiscoveryRequest.node`.
///
/// Everything but `id`, `flavor` and `locality` travels in `node.metadata`; the keys stand beside the fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Unique in the mesh and stable across restarts of one workload: `<workload>.<namespace>`.
    pub id: String,
    pub flavor: Flavor,
    pub locality: Locality,
    /// `NAMESPACE`.
    pub namespace: String,
    /// `SERVICE_ACCOUNT`; must equal the one in the SVID the stream was opened with.
    pub service_account: String,
    /// `WORKLOAD_NAME`: name of the WorkloadEntry that the stream registers, e.g. `reviews-v2-7f3a`.
    pub workload: String,
    /// `SERVICE`: the service this workload is an instance of; `None` for a client only.
    pub service: Option<String>,
    /// `LABELS`: `app` and `version` among them.
    pub labels: BTreeMap<String, String>,
    /// `ADDRESS`: where peers reach the inbound listeners; `None` registers nothing.
    pub address: Option<IpAddr>,
    /// `PORTS`.
    pub ports: Vec<WorkloadPort>,
    /// `OUTBOUND_PREFIX`: the first two bytes (`127.x`) of the loopback block in which outbound listeners may be bound;
    /// service number n of the mesh is at `127.x.(n / 256).(n % 256)`. `None`: the node gets no outbound listeners.
    pub outbound_prefix: Option<[u8; 2]>,
    /// `HTTP_PROXY_ADDRESS`: bind an HTTP forward proxy for mesh services here; `None`: none.
    pub http_proxy: Option<SocketAddr>,
    /// `GATEWAY` and `GATEWAY_BIND`: it is no sidecar, but serves a Gateway; `None`: a sidecar.
    pub gateway: Option<GatewayRole>,
    /// `ACCESS_LOG`: path of the log, `-` for standard output; `None`: no log.
    pub access_log: Option<String>,
    /// `ACCESS_LOG_FORMAT`: `json`, or the text format with operators; `None`: Istio's text format.
    pub access_log_format: Option<String>,
    /// Where it reaches the control plane, as that sees it: not part of the introduction.
    pub control: Option<SocketAddr>,
}

/// The Gateway that a node serves.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct GatewayRole {
    pub namespace: String,
    pub name: String,
    /// Where its listeners are bound, each on its own port.
    pub bind: IpAddr,
}

/// A port on which the application listens, and the one on which its proxy does.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct WorkloadPort {
    /// `port`: the service port's target.
    pub app: u16,
    /// `appAddress`: where the proxy reaches the application.
    pub app_address: SocketAddr,
    /// `inbound`: the proxy's mutual-TLS port on `Node::address`.
    pub inbound: u16,
    /// `protocol`: `http`, `http2`, `grpc`, `tcp`; empty: found out per connection.
    pub protocol: String,
}

/// What the program understands.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavor {
    /// Stock Envoy: secrets by SDS, no Leno extensions.
    #[default]
    Envoy,
    /// Proxyless gRPC: API listeners, certificate providers of its bootstrap.
    Grpc,
    /// Leno's proxy (`user_agent_name` "leno").
    Leno,
}
