//! Generated protobuf only: no logic, no conversion.
//!
//! Source      Envoy v3 API and the well-known types, as generated in `envoy-types`
#![forbid(unsafe_code)]

pub use envoy_types::pb::{envoy, google};

pub mod istio;
pub mod leno;
