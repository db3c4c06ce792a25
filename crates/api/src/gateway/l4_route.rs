use super::{BackendRef, ParentRef};
use crate::schema::{Opaque, schema};

schema! {
    /// TCPRoute and UDPRoute.
    pub struct L4RouteSpec {
        pub parent_refs: Vec<ParentRef>,
        pub rules: Vec<L4Rule>,
        pub use_default_gateways: Opaque,
    }
    pub struct TlsRouteSpec {
        /// Names that clients ask for (SNI).
        pub hostnames: Vec<String>,
        pub parent_refs: Vec<ParentRef>,
        pub rules: Vec<L4Rule>,
        pub use_default_gateways: Opaque,
    }
    pub struct L4Rule {
        pub backend_refs: Vec<BackendRef>,
        pub name: Option<String>,
    }
}
