//! Resources as users write them, read strictly: what is not understood is an error with a line and the nearest name.
//!
//! Shape       text -> n documents -> 1 `Tree` (values with positions) -> 1 `Resource` | n `ParseProblem`
//! Invariants  every field of the upstream schemas is known; fields that do nothing yet are listed by
//!             [`not_supported_yet`], never dropped silently; `Resource::from_json(resource.to_json())` is the identity
//! Errors      all problems of a document are reported; a broken document stops no other
//! Cost        one pass over the text and one over the tree, and one more pass for each field of a wrong type
//! Source      Kubernetes core/v1; Istio networking CRDs 1.27; Gateway API v1.6
#![forbid(unsafe_code)]

mod check;
mod core;
mod crd;
mod described;
mod document;
mod gateway;
mod istio;
mod kind;
mod kinds;
pub mod leno;
mod metadata;
mod parse;
mod resource;
mod schema;
mod smi;
mod tree;
mod unsupported;
mod values;

pub use check::grpc_status;
pub use core::{
    ConfigMap, EndpointConditions, EndpointPort, EndpointSlice, IntOrString, Secret, ServicePort, ServiceSpec,
    SliceEndpoint,
};
pub use crd::schema;
pub use document::{Document, documents};
pub use gateway::{
    AllowedListeners, AllowedRoutes, BackendRef, BackendTlsPolicySpec, BackendTlsValidation, Filter, FilterKind,
    FromNamespaces, FrontendTls, FrontendTlsPort, FrontendValidation, FrontendValidationMode, GatewayAddress,
    GatewayBackendTls, GatewayClassSpec, GatewayListener, GatewaySpec, GatewayTls, GrantFrom, GrantTo, GrpcMethodMatch,
    GrpcRouteMatch, GrpcRouteRule, GrpcRouteSpec, HeaderModifier, HeaderPair, HttpCors, HttpHeader, HttpQueryParam,
    HttpRetry, HttpRouteMatch, HttpRouteRule, HttpRouteSpec, HttpTimeouts, Infrastructure, L4RouteSpec, L4Rule,
    LabelRequirement, LabelSelector, ListenerNamespaces, ListenerSetSpec, ListenerTls, ListenerTlsMode, MirrorFraction,
    ObjectRef, ParentRef, PathKind, PathMatch, PathModifier, PathModifierKind, PolicyTargetRef, ReferenceGrantSpec,
    RequestMirror, RequestRate, RequestRedirect, RetryConstraint, RetryConstraintBudget, RouteGroupKind,
    RouteNamespaces, SecretRef, SessionCookie, SessionHeader, SessionPersistence, SubjectAltName, TlsFrontend,
    TlsRouteSpec, TypedRef, UrlRewrite, ValueMatch, ValueMatchKind, XBackendTrafficPolicySpec, XMeshSpec,
};
pub use istio::{
    BodyText, ClusterMatch, ConnectionPool, ConsistentHash, CookieAttribute, CorsPolicy, Delegate, DerivePort,
    Destination, DestinationRuleSpec, DirectResponse, EgressListener, EntryLocation, EntryPort, EntryResolution,
    EnvoyFilterSpec, EnvoyPart, EnvoyPatch, FaultAbort, FaultDelay, H2UpgradePolicy, HashCookie, HeaderOperations,
    Headers, Http2KeepAlive, HttpFault, HttpMatch, HttpMirror, HttpPool, HttpRedirect, HttpRetries, HttpRewrite,
    HttpRoute, IngressListener, IstioGatewaySpec, ListenerMatch, LoadBalancer, LocalityFailover, LocalityLb,
    LocalityShares, Maglev, MatchLabels, MeshConfig, OutboundMode, OutboundTrafficPolicy, OutlierDetection, Patch,
    PatchContext, PatchMatch, PatchOperation, PathNormalization, Percent, PortSelector, PortTrafficPolicy,
    ProxyProtocol, ProxyProtocolVersion, RegexRewrite, RetryBudget, RingHash, RouteDestination, RouteTableMatch,
    Server, ServerCertificate, ServerPort, ServerTls, ServerTlsMode, ServiceEntrySpec, SidecarPort, SidecarSpec,
    SimpleBalancer, StringMatch, Subset, TcpKeepalive, TcpMatch, TcpPool, TcpRoute, TlsMatch, TlsMode, TlsRoute,
    TlsSettings, TrafficPolicy, Tunnel, VirtualHostMatch, VirtualServiceSpec, Warmup, WorkloadEntrySpec,
    WorkloadGroupMetadata, WorkloadGroupSpec, WorkloadSelector,
};
pub use kind::{Kind, Scope};
pub use metadata::{DEFAULT_NAMESPACE, ObjectMeta};
pub use parse::{Located, ParseProblem, Parsed, Skipped, is_foreign, parse, read};
pub use resource::{
    BackendTlsPolicy, DeadlinePolicy, DestinationRule, EnvoyFilter, FaultPolicy, Gateway, GatewayClass,
    GatewayHttpRoute, GatewayTcpRoute, GatewayTlsRoute, GatewayUdpRoute, GrpcRoute, HedgePolicy, HttpRouteGroup,
    IstioGateway, LenoMeshConfig, LenoTrafficPolicy, ListenerSet, Object, RateLimitPolicy, ReferenceGrant, Resource,
    ResourceKey, RetryPolicy, Service, ServiceEntry, Sidecar, SmiPortsRoute, TrafficSplit, TrafficTarget, Unread,
    VirtualService, WorkloadEntry, WorkloadGroup, XBackendTrafficPolicy, XMesh,
};
pub use smi::{
    HttpRouteGroupSpec, SmiAccount, SmiMatch, SmiPorts, SmiPortsSpec, SmiRef, SplitBackend, TargetRule,
    TrafficSplitSpec, TrafficTargetSpec,
};
pub use tree::Place;
pub use unsupported::not_supported_yet;
pub use values::{GatewayDuration, GoDuration};

/// Annotations with which Leno's own facts travel on standard objects.
pub mod annotation {
    /// On a WorkloadEntry: `draining` or `unhealthy`; callers stop choosing it.
    pub const HEALTH: &str = "leno.dev/health";
    /// On a FaultPolicy: `true` when its end has come, as whoever has a clock says.
    pub const OVER: &str = "leno.dev/over";
    /// On a WorkloadEntry: application protocols by port, `9080=http,9090=tcp`.
    pub const PROTOCOLS: &str = "leno.dev/protocols";
    /// On a WorkloadEntry: `true` when control wrote it for an open stream.
    pub const REGISTERED: &str = "leno.dev/registered";
    /// On a WorkloadEntry: the service it is an instance of.
    pub const SERVICE: &str = "leno.dev/service";
    /// On a Service: service accounts that may stand behind it, separated by commas. Default: the service's name.
    pub const SERVICE_ACCOUNTS: &str = "leno.dev/service-accounts";
}
