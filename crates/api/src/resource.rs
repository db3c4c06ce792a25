use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kinds::with_kinds;
use crate::leno::{
    DeadlinePolicySpec, FaultPolicySpec, HedgePolicySpec, MeshConfigSpec, RateLimitPolicySpec, RetryPolicySpec,
    TrafficPolicySpec,
};
use crate::schema::{Opaque, is_default};
use crate::tree::{Finding, Tree, read};
use crate::{
    BackendTlsPolicySpec, DestinationRuleSpec, EnvoyFilterSpec, GatewayClassSpec, GatewaySpec, GrpcRouteSpec,
    HttpRouteGroupSpec, HttpRouteSpec, IstioGatewaySpec, Kind, L4RouteSpec, ListenerSetSpec, ObjectMeta, ParseProblem,
    ReferenceGrantSpec, ServiceEntrySpec, ServiceSpec, SidecarSpec, SmiPortsSpec, TlsRouteSpec, TrafficSplitSpec,
    TrafficTargetSpec, VirtualServiceSpec, WorkloadEntrySpec, WorkloadGroupSpec, XBackendTrafficPolicySpec, XMeshSpec,
    parse,
};

/// One object: head, wish and (ignored) state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Object<S: Default + PartialEq> {
    pub api_version: String,
    pub kind: String,
    pub metadata: ObjectMeta,
    #[serde(skip_serializing_if = "is_default")]
    pub spec: S,
    /// Accepted and ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Opaque,
}

pub type Service = Object<ServiceSpec>;
pub type ServiceEntry = Object<ServiceEntrySpec>;
pub type Sidecar = Object<SidecarSpec>;
pub type WorkloadEntry = Object<WorkloadEntrySpec>;
pub type WorkloadGroup = Object<WorkloadGroupSpec>;
pub type GatewayHttpRoute = Object<HttpRouteSpec>;
pub type VirtualService = Object<VirtualServiceSpec>;
pub type DestinationRule = Object<DestinationRuleSpec>;
pub type BackendTlsPolicy = Object<BackendTlsPolicySpec>;
pub type Gateway = Object<GatewaySpec>;
pub type GatewayClass = Object<GatewayClassSpec>;
pub type GatewayTcpRoute = Object<L4RouteSpec>;
pub type GatewayTlsRoute = Object<TlsRouteSpec>;
pub type GatewayUdpRoute = Object<L4RouteSpec>;
pub type GrpcRoute = Object<GrpcRouteSpec>;
pub type IstioGateway = Object<IstioGatewaySpec>;
pub type EnvoyFilter = Object<EnvoyFilterSpec>;
pub type ListenerSet = Object<ListenerSetSpec>;
pub type ReferenceGrant = Object<ReferenceGrantSpec>;
pub type XBackendTrafficPolicy = Object<XBackendTrafficPolicySpec>;
pub type XMesh = Object<XMeshSpec>;
pub type HttpRouteGroup = Object<HttpRouteGroupSpec>;
/// TCPRoute and UDPRoute of SMI.
pub type SmiPortsRoute = Object<SmiPortsSpec>;
pub type TrafficSplit = Object<TrafficSplitSpec>;
pub type TrafficTarget = Object<TrafficTargetSpec>;
pub type DeadlinePolicy = Object<DeadlinePolicySpec>;
pub type FaultPolicy = Object<FaultPolicySpec>;
pub type HedgePolicy = Object<HedgePolicySpec>;
pub type LenoMeshConfig = Object<MeshConfigSpec>;
pub type LenoTrafficPolicy = Object<TrafficPolicySpec>;
pub type RateLimitPolicy = Object<RateLimitPolicySpec>;
pub type RetryPolicy = Object<RetryPolicySpec>;
/// An object whose wish is held against its schema and otherwise kept as written.
pub type Unread = Object<Option<serde_json::Value>>;

macro_rules! resource {
    ($($variant:ident $word:literal $group:literal $plural:literal [$($short:literal),*] $scope:ident [$($version:literal),*] $object:ty;)*) => {
        /// An object of any kind. Cheap to pass around only behind an `Arc`.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Resource {
            $($variant(Box<$object>),)*
        }

        impl Resource {
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$variant(_) => Kind::$variant,)*
                }
            }

            pub const fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$variant(object) => &object.metadata,)*
                }
            }

            pub const fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$variant(object) => &mut object.metadata,)*
                }
            }

            /// What somebody wrote with the wish.
            pub const fn status(&self) -> Option<&serde_json::Value> {
                match self {
                    $(Self::$variant(object) => object.status.as_ref(),)*
                }
            }

            pub fn set_status(&mut self, status: Option<serde_json::Value>) {
                match self {
                    $(Self::$variant(object) => object.status = status,)*
                }
            }

            /// Which of the kind's versions it was written in.
            pub const fn api_version(&self) -> &str {
                match self {
                    $(Self::$variant(object) => object.api_version.as_str(),)*
                }
            }

            /// Of a document whose kind is known, and what is wrong with it.
            pub(crate) fn read(kind: Kind, tree: &Tree) -> (Self, Vec<Finding>) {
                match kind {
                    $(Kind::$variant => {
                        let (object, findings) = read::<$object>(tree, "");
                        (Self::$variant(Box::new(object)), findings)
                    })*
                }
            }
        }
    };
}
with_kinds!(resource);

/// What an object is called, unique in the mesh.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct ResourceKey {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

impl ResourceKey {
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(f, "{} {}", self.kind, self.name);
        }
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Resource {
    pub fn key(&self) -> ResourceKey {
        let namespace = if self.kind().is_namespaced() { self.metadata().namespace() } else { "" };
        ResourceKey::new(self.kind(), namespace, &self.metadata().name)
    }

    /// Reads one object with the same checks as [`parse`](crate::parse()).
    ///
    /// # Errors
    /// Everything that is wrong with it; lines and columns are 0.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, Vec<ParseProblem>> {
        parse::read_one("", &Tree::from_json(value))
    }

    /// With `apiVersion` and `kind`, without fields that hold their default.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_default()
    }
}

macro_rules! into_resource {
    ($($kind:ident($spec:ty),)*) => {$(
        impl From<Object<$spec>> for Resource {
            fn from(mut object: Object<$spec>) -> Self {
                if object.kind.is_empty() {
                    object.kind = Kind::$kind.as_str().to_owned();
                }
                if object.api_version.is_empty() {
                    object.api_version = Kind::$kind.api_versions().swap_remove(0);
                }
                Self::$kind(Box::new(object))
            }
        }
    )*};
}
into_resource! {
    BackendTlsPolicy(BackendTlsPolicySpec),
    DestinationRule(DestinationRuleSpec),
    Gateway(GatewaySpec),
    GatewayClass(GatewayClassSpec),
    GrpcRoute(GrpcRouteSpec),
    HttpRoute(HttpRouteSpec),
    ListenerSet(ListenerSetSpec),
    ReferenceGrant(ReferenceGrantSpec),
    Service(ServiceSpec),
    ServiceEntry(ServiceEntrySpec),
    Sidecar(SidecarSpec),
    TlsRoute(TlsRouteSpec),
    VirtualService(VirtualServiceSpec),
    WorkloadEntry(WorkloadEntrySpec),
    WorkloadGroup(WorkloadGroupSpec),
}
