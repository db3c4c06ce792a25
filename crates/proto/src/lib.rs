//! Generated protobuf only: no logic, no conversion.
//!
//! Source      Envoy v3 API and the well-known types, as generated in `envoy-types`
#![forbid(unsafe_code)]

pub use envoy_types::pb::{envoy, google, opentelemetry};

pub mod istio;
pub mod leno;

/// What a static bootstrap may name, as a `FileDescriptorSet`; `cargo xtask descriptors` cuts it out of `envoy-types`.
pub const BOOTSTRAP_DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

/// What Envoy's API asks of the values in it: message, field and rules, separated by tabs; from the same source.
pub const BOOTSTRAP_RULES: &str = include_str!("rules.txt");
