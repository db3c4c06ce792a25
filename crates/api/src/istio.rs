//! Istio's traffic objects.
mod destination_rule;
mod service_entry;
mod virtual_service;
mod workload;

pub use destination_rule::{
    ConnectionPool, ConsistentHash, DestinationRuleSpec, H2UpgradePolicy, HashCookie, HttpPool, LoadBalancer, Maglev,
    MatchLabels, OutlierDetection, PortSelector, PortTrafficPolicy, RingHash, SimpleBalancer, Subset, TcpPool, TlsMode,
    TlsSettings, TrafficPolicy,
};
pub use service_entry::{EntryLocation, EntryPort, EntryResolution, ServiceEntrySpec, WorkloadSelector};
pub use virtual_service::{
    BodyText, CorsPolicy, Destination, DirectResponse, FaultAbort, FaultDelay, HeaderOperations, Headers, HttpFault,
    HttpMatch, HttpMirror, HttpRedirect, HttpRetries, HttpRewrite, HttpRoute, Percent, RegexRewrite, RouteDestination,
    StringMatch, TcpMatch, TcpRoute, VirtualServiceSpec,
};
pub use workload::{WorkloadEntrySpec, WorkloadGroupMetadata, WorkloadGroupSpec};
