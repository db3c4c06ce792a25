//! Which route takes a request, which of its clusters, and how path and location are rewritten. Sends nothing.
//!
//! Shape       1 `CompiledRoutes` -> n virtual hosts (found by `:authority`) -> n routes (first match wins)
//! Invariants  the same request and random number give the same answer; the index answers as a scan in order would
//! Cost        finding the host: one hash look-up per kind and length of domain in the table; then a binary search
//!             over what the paths of that host's routes begin with. No allocation unless the authority has capitals, or a path is
//!             rewritten
//! Source      Envoy route_components.proto v1.31; like Envoy, the authority is compared as sent, with its port
#![forbid(unsafe_code)]

mod compiled;
mod domains;
mod location;
mod matcher;
mod paths;
mod request;
mod rewrite;
mod weighted;

pub use compiled::{CompiledRoutes, Matched, RoutePosition};
pub use matcher::{absent_header_matches, cookie, header_matches, is_grpc_type, query_parameter, query_value_matches};
pub use request::{HeaderView, RequestView, path_without_query};
pub use rewrite::Substitution;
pub use weighted::pick_cluster;

#[cfg(test)]
mod tests;
