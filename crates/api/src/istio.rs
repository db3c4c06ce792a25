//! Istio's traffic objects.
mod destination_rule;
mod envoy_filter;
mod gateway;
mod mesh_config;
mod service_entry;
mod sidecar;
mod virtual_service;
mod workload;

pub use destination_rule::{
    ConnectionPool, ConsistentHash, CookieAttribute, DestinationRuleSpec, H2UpgradePolicy, HashCookie, Http2KeepAlive,
    HttpPool, LoadBalancer, LocalityFailover, LocalityLb, LocalityShares, Maglev, MatchLabels, OutlierDetection,
    PortSelector, PortTrafficPolicy, ProxyProtocol, ProxyProtocolVersion, RetryBudget, RingHash, SimpleBalancer,
    Subset, TcpKeepalive, TcpPool, TlsMode, TlsSettings, TrafficPolicy, Tunnel, Warmup,
};
pub use envoy_filter::{
    ClusterMatch, EnvoyFilterSpec, EnvoyPart, EnvoyPatch, ListenerMatch, Patch, PatchContext, PatchMatch,
    PatchOperation, RouteTableMatch, VirtualHostMatch,
};
pub use gateway::{IstioGatewaySpec, Server, ServerCertificate, ServerPort, ServerTls, ServerTlsMode};
pub use mesh_config::{MeshConfig, PathNormalization};
pub use service_entry::{EntryLocation, EntryPort, EntryResolution, ServiceEntrySpec, WorkloadSelector};
pub use sidecar::{EgressListener, IngressListener, OutboundMode, OutboundTrafficPolicy, SidecarPort, SidecarSpec};
pub use virtual_service::{
    BodyText, CorsPolicy, Delegate, DerivePort, Destination, DirectResponse, FaultAbort, FaultDelay, HeaderOperations,
    Headers, HttpFault, HttpMatch, HttpMirror, HttpRedirect, HttpRetries, HttpRewrite, HttpRoute, Percent,
    RegexRewrite, RouteDestination, StringMatch, TcpMatch, TcpRoute, TlsMatch, TlsRoute, VirtualServiceSpec,
};
pub use workload::{WorkloadEntrySpec, WorkloadGroupMetadata, WorkloadGroupSpec};
