//! Gateway API v1.6, the experimental channel's fields included.
mod gateways;
mod grpc_route;
mod http_route;
mod l4_route;
mod listener_set;
mod policy;
mod reference;

pub use gateways::{
    AllowedListeners, AllowedRoutes, FromNamespaces, FrontendTls, FrontendTlsPort, FrontendValidation,
    FrontendValidationMode, GatewayAddress, GatewayBackendTls, GatewayClassSpec, GatewayListener, GatewaySpec,
    GatewayTls, Infrastructure, ListenerNamespaces, ListenerTls, ListenerTlsMode, RouteGroupKind, RouteNamespaces,
    TlsFrontend,
};
pub use grpc_route::{GrpcMethodMatch, GrpcRouteMatch, GrpcRouteRule, GrpcRouteSpec};
pub use http_route::{
    BackendRef, Filter, FilterKind, HeaderModifier, HeaderPair, HttpCors, HttpHeader, HttpQueryParam, HttpRetry,
    HttpRouteMatch, HttpRouteRule, HttpRouteSpec, HttpTimeouts, MirrorFraction, ParentRef, PathKind, PathMatch,
    PathModifier, PathModifierKind, RequestMirror, RequestRedirect, SessionCookie, SessionHeader, SessionPersistence,
    UrlRewrite, ValueMatch, ValueMatchKind,
};
pub use l4_route::{L4RouteSpec, L4Rule, TlsRouteSpec};
pub use listener_set::ListenerSetSpec;
pub use policy::{
    BackendTlsPolicySpec, BackendTlsValidation, PolicyTargetRef, RequestRate, RetryConstraint, RetryConstraintBudget,
    SubjectAltName, XBackendTrafficPolicySpec, XMeshSpec,
};
pub use reference::{
    GrantFrom, GrantTo, LabelRequirement, LabelSelector, ObjectRef, ReferenceGrantSpec, SecretRef, TypedRef,
};
