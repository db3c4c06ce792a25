use super::{BackendRef, Filter, ParentRef, SessionPersistence, ValueMatch, ValueMatchKind};
use crate::schema::{Opaque, schema};

schema! {
    pub struct GrpcRouteSpec {
        pub hostnames: Vec<String>,
        pub parent_refs: Vec<ParentRef>,
        pub rules: Vec<GrpcRouteRule>,
        pub use_default_gateways: Opaque,
    }
    pub struct GrpcRouteRule {
        pub backend_refs: Vec<BackendRef>,
        pub filters: Vec<Filter>,
        pub matches: Vec<GrpcRouteMatch>,
        pub name: Option<String>,
        pub session_persistence: Option<SessionPersistence>,
    }
    pub struct GrpcRouteMatch {
        pub headers: Vec<ValueMatch>,
        pub method: Option<GrpcMethodMatch>,
    }
    pub struct GrpcMethodMatch {
        pub method: Option<String>,
        pub service: Option<String>,
        pub r#type: Option<ValueMatchKind>,
    }
}
