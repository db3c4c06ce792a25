//! Whether a request or a connection is allowed, and which policy says so. Answers nobody and counts nothing.
//!
//! Shape       1 `Rbac` -> n policies by name -> n permissions and n principals, each a tree
//! Invariants  the first matching policy in the order of names is the one named; deny beats allow where both are asked
//! Cost        per request: the policies in order until one matches; no allocation
//! Source      Envoy config/rbac/v3/rbac.proto 1.40 and its RBAC engine
#![forbid(unsafe_code)]

mod engine;
mod view;

pub use engine::{Decision, decide};
pub use view::View;

#[cfg(test)]
mod tests;
