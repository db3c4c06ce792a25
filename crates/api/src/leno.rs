//! Leno's own kinds (`leno.dev/v1`), for what no standard has a word.
//!
//! Shape       1 policy -> n targets in its own namespace; none: the namespace, or in the root namespace the mesh
//! Source      Gateway API GEP-713 (policy attachment), GEP-2257 (durations)

mod definition;
mod fault;
mod mesh;
mod rate_limit;
mod requests;
mod status;
mod target;
mod traffic;

pub(crate) use definition::schema;
pub use definition::{definition, json_schema};
pub use fault::{AbortFault, DelayFault, FaultPolicySpec};
pub use mesh::{LogEncoding, MeshAccessLog, MeshConfigSpec, PathSpelling};
pub use rate_limit::{FailureMode, LimitBy, LimitKey, LimitScope, RateLimitPolicySpec, RequestLimit};
pub use requests::{
    DeadlinePolicySpec, GrpcDeadline, HedgePolicySpec, RetryBackoff, RetryMethods, RetryPolicySpec, RetryWhen,
};
pub use status::{AncestorStatus, ObjectStatus, PolicyStatus, StatusCondition, TargetStatus};
pub use target::TargetRef;
pub use traffic::{
    Balancer, CircuitBreakers, LoadBalancing, Outliers, SlowStart, TrafficPolicySpec, TrafficRetryBudget,
};
