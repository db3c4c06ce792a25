use super::TargetRef;
use crate::GatewayDuration;
use crate::described::{described, words};

described! {
    /// Which requests are sent again, and how often. What a route says of retries itself comes first.
    pub struct RetryPolicySpec {
        /// Default: all of the namespace, or of the mesh in the root namespace.
        pub target_refs: Vec<TargetRef> = { "maxItems": 16, "x-kubernetes-list-type": "atomic" },
        /// Tries after the first; 0: none. Default 2.
        pub attempts: Option<u32> = { "maximum": 10 },
        /// Default: what surely was not processed.
        pub on: Vec<RetryWhen> = { "maxItems": 16, "x-kubernetes-list-type": "set" },
        /// Statuses of answers after which a request is sent again.
        pub codes: Vec<u16> = {
            "maxItems": 32, "x-kubernetes-list-type": "set",
            "items": { "type": "integer", "format": "int32", "minimum": 400, "maximum": 599 },
        },
        /// Of each try. Default: none.
        pub per_try_timeout: Option<GatewayDuration>,
        pub backoff: Option<RetryBackoff>,
        /// Default `Idempotent`.
        pub methods: Option<RetryMethods>,
        /// Prefer endpoints that were not tried yet. Default true.
        pub avoid_previous_hosts: Option<bool>,
    }
    /// Random waits that double from try to try.
    pub struct RetryBackoff where {
        "!has(self.max) || duration(self.max) >= duration(self.base)": "max is not less than base",
        "duration(self.base) > duration('0s')": "base is more than 0s",
    } {
        pub base: GatewayDuration = { "required": true },
        /// Default: ten times `base`.
        pub max: Option<GatewayDuration>,
    }
    /// Sends a request a second time when the answer is late, and takes the first good answer.
    pub struct HedgePolicySpec {
        /// Default: all of the namespace, or of the mesh in the root namespace.
        pub target_refs: Vec<TargetRef> = { "maxItems": 16, "x-kubernetes-list-type": "atomic" },
        /// How long the answer may take before the next one is sent.
        pub after: GatewayDuration = { "required": true },
        /// At once, the first one counted. Default 2.
        pub max_requests: Option<u32> = { "minimum": 2, "maximum": 5 },
        /// Default `Idempotent`.
        pub methods: Option<RetryMethods>,
    }
    /// How long requests may take. What a route says of timeouts itself comes first.
    pub struct DeadlinePolicySpec where {
        "has(self.request) || has(self.backendRequest) || has(self.idle) || has(self.grpc)":
            "one of request, backendRequest, idle and grpc is required",
        "!has(self.request) || !has(self.backendRequest) || duration(self.request) == duration('0s') || duration(self.request) >= duration(self.backendRequest)":
            "backendRequest is not more than request",
    } {
        /// Default: all of the namespace, or of the mesh in the root namespace.
        pub target_refs: Vec<TargetRef> = { "maxItems": 16, "x-kubernetes-list-type": "atomic" },
        /// All tries together, to the end of the answer; the next proxy and gRPC servers are told what is left. 0s: no limit.
        pub request: Option<GatewayDuration>,
        /// Each try.
        pub backend_request: Option<GatewayDuration>,
        /// Without a byte in either direction. 0s: no limit.
        pub idle: Option<GatewayDuration>,
        /// Deadlines that gRPC clients bring along (`grpc-timeout`).
        pub grpc: Option<GrpcDeadline>,
    }
    pub struct GrpcDeadline {
        /// The most that a client may ask for. Default: no limit.
        pub max: Option<GatewayDuration>,
        /// Taken off what the client says, so that it hears of it from us.
        pub offset: Option<GatewayDuration>,
    }
}

words! {
    /// Envoy's words.
    pub enum RetryWhen {
        Cancelled = "cancelled",
        ConnectFailure = "connect-failure",
        DeadlineExceeded = "deadline-exceeded",
        FiveXx = "5xx",
        GatewayError = "gateway-error",
        Internal = "internal",
        RefusedStream = "refused-stream",
        Reset = "reset",
        ResetBeforeRequest = "reset-before-request",
        ResourceExhausted = "resource-exhausted",
        RetriableStatusCodes = "retriable-status-codes",
        Retriable4xx = "retriable-4xx",
        Unavailable = "unavailable",
    }
    pub enum RetryMethods {
        Any = "Any",
        /// RFC 9110 §9.2.2; others only where the request surely was not processed.
        Idempotent = "Idempotent",
    }
}
