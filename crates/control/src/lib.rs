//! The control plane's middle: resources and open streams in, a configuration per node out, and what became of it.
//!
//! Shape       store + directory + registrations -> 1 `Snapshot` -> per session 1 `ir::Config`; reports -> status
//! Invariants  one task publishes; a bad object stops no other; a workload is registered exactly while its stream lives,
//!             plus a grace for those that were cut off
//! Errors      refusals name both identities; problems name object and field
//! Cost        a change: one pass over the resources, then work for what differs; sessions share what they have in common
#![forbid(unsafe_code)]

mod control;
mod envoy_filters;
mod indices;
mod limits;
mod metrics;
mod publish;
mod registration;
mod session;
mod stamp;
mod status;

pub use control::{Control, ControlConfig, IssueSecrets};
pub use status::{NodeStatus, ObjectProxy, RejectedResource, Status};
