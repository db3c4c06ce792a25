//! Resources merged into one mesh: which services there are, who stands behind them, and which rules apply to each.
//! It does not know what a proxy is.
//!
//! Shape       n resources -> 1 `Snapshot` -> n `Service` -> n `ServicePort`, n `Workload`, 1 `Rules`
//! Invariants  the order of the resources never matters; one bad object stops no other
//! Errors      `Problem`s name object and field; the user's fault, all of them
//! Cost        O(services × workloads of their namespace) per build; objects are shared, not copied
//! Source      Istio networking v1; Gateway API GEP-1426 (GAMMA) for routes of services
#![forbid(unsafe_code)]

mod access;
mod attached;
mod backend_tls;
mod backend_traffic;
mod build;
mod client;
mod gateway;
mod grants;
mod hosts;
mod istio_gateway;
mod policies;
mod problem;
mod protocol;
mod rulebook;
mod service;
mod sidecar;
mod snapshot;
pub mod status;
mod view;
mod virtual_routes;
mod visibility;
mod workload;

pub use access::{AccessRule, Allowed};
pub use attached::{Attached, Held, HeldPolicies, RoutePolicies, ServicePolicies};
pub use backend_tls::{BackendName, BackendRoots, BackendTls};
pub use backend_traffic::{BackendTraffic, RetryShare};
pub use build::{BackendError, service_keys};
pub use client::{Client, Scope};
pub use gateway::{
    AttachedRoute, Certificate, ClientValidation, Gateway, GatewayListener, ListenerProtocol, MeshRoute, RouteObject,
};
pub use grants::{Grants, Referent, Referrer};
pub use hosts::covers;
pub use istio_gateway::{
    BoundRoutes, ClientChecks, GatewayProxy, IstioGateway, IstioServer, ServerHost, gateway_named, istio_label,
};
/// The objects as written, for those who interpret their rules.
pub use leno_api as api;
pub use policies::{Credential, Policies, PolicyPart, PolicySubset};
pub use problem::{Problem, Severity};
pub use protocol::Protocol;
pub use service::{Location, Resolution, Rules, Service, ServicePort, Strangers};
pub use sidecar::Ingress;
pub use snapshot::{MeshSettings, Snapshot};
pub use virtual_routes::{HttpRule, VirtualRoutes};
pub use visibility::Visibility;
pub use workload::{Address, Health, Workload};
