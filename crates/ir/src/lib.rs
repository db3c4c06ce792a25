//! The typed configuration of one node: what a proxy must do, and nothing about how it was written or how it travels.
//!
//! Shape       1 `Config` -> n `Listener` -> n `FilterChain` -> n `ConnectionFilter`, 1 `NetworkFilter` -> 1 `RouteTable` (by name)
//!             `RouteTable` -> n `VirtualHost` -> n `Route` -> n cluster names; `Cluster` -> 1 `EndpointSet` (by name)
//! Units       every span of time is a `Duration`; sizes are bytes and say so; shares are `Fraction`
//! Invariants  resources refer to each other by name only; a missing name is the reader's case to handle (NR, NC)
//! Source      Envoy v3 API (listener, route_components, cluster, endpoint); the names are Envoy's where it has one
#![forbid(unsafe_code)]

mod access_log;
mod cidr;
mod cluster;
mod config;
mod connection_filter;
mod data_source;
mod edge;
mod endpoint;
mod filter;
mod http1;
mod http2;
mod listener;
mod local_reply;
mod matching;
mod metadata;
mod node;
mod overload;
mod rbac;
mod route;
mod router;
mod scoped_routes;
mod tcp_proxy;
mod tls;
mod token_bucket;
mod upgrade;

pub use access_log::{
    AccessLog, AccessLogFilter, AccessLogFormat, AccessLogMoments, AccessLogSink, Comparison, ComparisonOp, CustomTag,
    GrpcAccessLog, JsonFormat, LogService, MetadataHolder, OpenTelemetryAccessLog, TagValue,
};
pub use cidr::CidrRange;
pub use cluster::{
    BalancerPolicy, Balancing, CircuitBreakers, Cluster, Consecutive, Discovery, Dns, DnsLookupFamily, DnsResolver,
    DynamicHosts, FailurePercentage, GrpcProbe, Hashing, HealthCheck, HealthProbe, HttpProbe, HttpProbeCodec, Labels,
    LeastRequest, LocalityBalancing, OriginalDestination, OutlierDetection, ResponseHeaders, RetryBudget, RingFunction,
    RoutingPriority, ServerNameOfRequest, SlowStart, SocketMatch, StatusRange, SubsetFallback, SubsetSelector,
    SubsetSettings, SuccessRate, TcpKeepalive, TcpProbe, Thresholds, UpstreamHttp, UpstreamProtocol, UpstreamSocket,
    ZoneAware,
};
pub use config::Config;
pub use connection_filter::{
    ConnectionFilter, ConnectionLimit, ConnectionRateLimit, ConnectionRbac, ListenerRateLimit, RbacEnforcement,
};
pub use data_source::{DataSource, Hidden};
pub use edge::{EscapedSlashes, ForwardedFor, HttpEdge, Scheme, ServerHeader, StripPort, UnderscoreHeaders};
pub use endpoint::{
    Endpoint, EndpointCheck, EndpointHealth, EndpointPolicy, EndpointSet, LocalityEndpoints, WorkloadLabels,
};
pub use filter::{
    Buffer, BufferOverride, CompressedDirection, Compressor, CompressorEncoding, CompressorLibrary, ContentTypes,
    CorsPolicy, DecompressedDirection, Decompressor, DecompressorEncoding, Fault, FaultAbort, FaultAbortKind,
    FaultDelay, FaultDelayKind, FaultRateLimit, FaultRateLimitKind, FilterOverride, FilterOverrides, FixedMetadata,
    HeaderMetadata, HeaderMetadataKind, HeaderMetadataValue, HeaderToMetadata, HeaderToMetadataRule, HttpFilter,
    HttpFilterConfig, HttpHealthCheck, HttpRbac, LimitedDescriptor, LocalRateLimit, MetadataSourceField, RateLimit,
    RateLimitedRequests, ResponseCompression, RouteCompressor, RouteFilterConfig, RouteRateLimit, RouteSession,
    SessionCookie, SessionState, SetMetadata, ShareUnit, StatefulSession, VirtualHostRules,
};
pub use http1::{HeaderNames, Http1Options};
pub use http2::{Http2Keepalive, Http2Options};
pub use listener::{
    ClientCertDetails, Direction, FilterChain, FilterChainMatch, ForwardClientCert, HttpCodec, HttpConnectionManager,
    HttpLimits, Listener, ListenerOptions, ListenerSocket, NetworkFilter, ProxyProtocol, ProxyProtocolVersion,
    RouteSource, SocketMoment, SocketOption, SocketOptionValue, SourceType, TransportProtocol,
};
pub use local_reply::{BodyFormat, BodyFormatKind, LocalReplies, LocalReplyMapper};
pub use matching::{Pattern, RegexError, StringMatch};
pub use metadata::{Metadata, MetadataMatch, MetadataValue, ValueMatch, metadata_value};
pub use node::{Flavor, GatewayRole, Node, WorkloadPort};
pub use overload::{Overload, OverloadAction, OverloadActionKind, OverloadTrigger};
pub use rbac::{MetadataSource, Permission, Principal, Rbac, RbacAction, RbacPolicy, SourcedMetadata};
pub use route::{
    AttemptCount, CookieMatch, DirectResponse, Forward, GrpcTimeout, HashCookie, HashPolicy, HashSource, HeaderAppend,
    HeaderMatch, HeaderMatchKind, HeaderOps, HeaderOrder, HeaderValue, HitsAddend, HostRewrite, InternalRedirects,
    LimitOverride, Mirror, PathMatch, QueryMatch, QueryMatchKind, RateLimitAction, RateLimitRule, RateLimitedBackOff,
    Redirect, RedirectPath, RedirectPredicate, RequireTls, ResetFormat, ResetHeader, RetryOn, RetryPolicy, Rewrite,
    Route, RouteAction, RouteMatch, RouteTable, StreamDuration, TlsMatch, VirtualHost, WeightedCluster,
};
pub use router::{RouterOptions, StrictHeader};
pub use scoped_routes::{Scope, ScopeElement, ScopeKeyPart, ScopeRoutes, ScopeSource, ScopedRoutes};
pub use tcp_proxy::{TcpProxy, Tunneling};
pub use tls::{
    CertificateSource, CipherSuite, Curve, DownstreamSessions, DownstreamTls, IDENTITY_SECRET, PeerChecks,
    PeerValidation, PemCertificate, PemRoots, ROOTS_SECRET, RootsSource, Secret, SecretFile, SubjectAltName,
    SubjectAltNameKind, TlsParameters, TlsVersion, UpstreamTls,
};
pub use token_bucket::TokenBucket;
pub use upgrade::{ConnectUpstream, RouteUpgrade, Upgrade, UpgradeFilters};
