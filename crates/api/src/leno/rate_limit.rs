use std::collections::BTreeMap;

use super::TargetRef;
use crate::GatewayDuration;
use crate::described::{described, words};

described! {
    /// How often requests may come. Those over a limit get 429. A Service's limits are kept by the proxies of its instances,
    /// those of gateways and routes where these are served.
    pub struct RateLimitPolicySpec {
        /// Default: all services of the namespace, or of the mesh in the root namespace.
        pub target_refs: Vec<TargetRef> = { "maxItems": 16, "x-kubernetes-list-type": "atomic" },
        /// Who counts. Default `Local`.
        pub scope: Option<LimitScope>,
        /// A request must be within all that it is counted by.
        pub limits: Vec<RequestLimit> = {
            "required": true, "minItems": 1, "maxItems": 16, "x-kubernetes-list-type": "atomic",
        },
        /// What happens to requests while nobody counts (`scope: Mesh`). Default `Open`.
        pub failure_mode: Option<FailureMode>,
    }
    pub struct RequestLimit where {
        "!has(self.per) || duration(self.per) >= duration('50ms')": "per is at least 50ms",
        "!has(self.headers) || self.headers.all(name, name != '')": "names of headers are not empty",
    } {
        /// So many in `per`.
        pub requests: u32 = { "required": true, "minimum": 0 },
        /// Default 1s.
        pub per: Option<GatewayDuration>,
        /// At once, after a pause. Default: as many as `requests`.
        pub burst: Option<u32> = { "minimum": 1 },
        /// Requests that differ in any of these are counted apart. Default: all together.
        pub by: Vec<LimitBy> = { "maxItems": 4, "x-kubernetes-list-type": "atomic" },
        /// Only requests with all of these headers, and just these values; `:method` and `:path` are headers here.
        pub headers: BTreeMap<String, String> = { "maxProperties": 16 },
    }
    pub struct LimitBy where {
        "(self.type in ['Header', 'QueryParameter', 'Claim']) == has(self.name)":
            "name is for Header, QueryParameter and Claim, which need it",
    } {
        pub r#type: LimitKey = { "required": true },
        /// Of the header, parameter or claim.
        pub name: Option<String> = { "minLength": 1, "maxLength": 256 },
    }
}

words! {
    pub enum LimitScope {
        /// Each proxy for itself.
        Local = "Local",
        /// The control plane, for all proxies together.
        Mesh = "Mesh",
    }
    pub enum FailureMode {
        /// Requests get 500.
        Closed = "Closed",
        /// Requests go on.
        Open = "Open",
    }
    pub enum LimitKey {
        /// Of a token that somebody has verified.
        Claim = "Claim",
        /// The address that the request came from.
        ClientAddress = "ClientAddress",
        /// A request without the header is not counted.
        Header = "Header",
        /// Who calls, by the SPIFFE ID.
        Identity = "Identity",
        /// A request without the parameter is not counted.
        QueryParameter = "QueryParameter",
    }
}

/// Every part of an object has a default, also those that must be written.
impl Default for LimitKey {
    fn default() -> Self {
        Self::Identity
    }
}
