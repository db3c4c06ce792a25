use std::fmt;

use serde::{Deserialize, Serialize};

use crate::schema::Opaque;
use crate::tree::Tree;
use crate::{
    DestinationRuleSpec, HttpRouteSpec, Kind, ObjectMeta, ParseProblem, ServiceSpec, VirtualServiceSpec,
    WorkloadEntrySpec, WorkloadGroupSpec, parse,
};

/// One object: head, wish and (ignored) state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Object<S: Default> {
    pub api_version: String,
    pub kind: String,
    pub metadata: ObjectMeta,
    pub spec: S,
    /// Accepted and ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Opaque,
}

pub type Service = Object<ServiceSpec>;
pub type WorkloadEntry = Object<WorkloadEntrySpec>;
pub type WorkloadGroup = Object<WorkloadGroupSpec>;
pub type GatewayHttpRoute = Object<HttpRouteSpec>;
pub type VirtualService = Object<VirtualServiceSpec>;
pub type DestinationRule = Object<DestinationRuleSpec>;

/// An object of any kind. Cheap to pass around only behind an `Arc`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Resource {
    DestinationRule(Box<DestinationRule>),
    HttpRoute(Box<GatewayHttpRoute>),
    Service(Box<Service>),
    VirtualService(Box<VirtualService>),
    WorkloadEntry(Box<WorkloadEntry>),
    WorkloadGroup(Box<WorkloadGroup>),
}

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
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Resource {
    pub fn key(&self) -> ResourceKey {
        ResourceKey::new(self.kind(), self.metadata().namespace(), &self.metadata().name)
    }

    pub const fn kind(&self) -> Kind {
        match self {
            Self::DestinationRule(_) => Kind::DestinationRule,
            Self::HttpRoute(_) => Kind::HttpRoute,
            Self::Service(_) => Kind::Service,
            Self::VirtualService(_) => Kind::VirtualService,
            Self::WorkloadEntry(_) => Kind::WorkloadEntry,
            Self::WorkloadGroup(_) => Kind::WorkloadGroup,
        }
    }

    pub const fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::DestinationRule(object) => &object.metadata,
            Self::HttpRoute(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::VirtualService(object) => &object.metadata,
            Self::WorkloadEntry(object) => &object.metadata,
            Self::WorkloadGroup(object) => &object.metadata,
        }
    }

    pub const fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::DestinationRule(object) => &mut object.metadata,
            Self::HttpRoute(object) => &mut object.metadata,
            Self::Service(object) => &mut object.metadata,
            Self::VirtualService(object) => &mut object.metadata,
            Self::WorkloadEntry(object) => &mut object.metadata,
            Self::WorkloadGroup(object) => &mut object.metadata,
        }
    }

    /// Forgets the state that somebody wrote with the wish.
    pub fn clear_status(&mut self) {
        match self {
            Self::DestinationRule(object) => object.status = None,
            Self::HttpRoute(object) => object.status = None,
            Self::Service(object) => object.status = None,
            Self::VirtualService(object) => object.status = None,
            Self::WorkloadEntry(object) => object.status = None,
            Self::WorkloadGroup(object) => object.status = None,
        }
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
    DestinationRule(DestinationRuleSpec),
    HttpRoute(HttpRouteSpec),
    Service(ServiceSpec),
    VirtualService(VirtualServiceSpec),
    WorkloadEntry(WorkloadEntrySpec),
    WorkloadGroup(WorkloadGroupSpec),
}
