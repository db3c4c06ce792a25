//! Both ends of the discovery protocol as state machines without I/O, and the codec between `ir` and Envoy's protobuf.
//!
//! Nothing else in Leno sees Envoy's protobuf but the gRPC shells, which carry its requests and responses unopened.
//!
//! Shape       `ir` -> codec -> `Resource` -> [`DeltaServer`] | [`FullServer`] == wire ==> `DeltaClient` -> codec -> `ir`
//! Source      Envoy v3 API; Envoy docs `xds_protocol`; gRPC A27
#![forbid(unsafe_code)]

mod bootstrap;
mod client;
pub mod codec;
mod dump;
mod kind;
mod patch;
mod rejection;
mod resource;
mod secret;
mod server;
mod tables;
mod wire_rules;

pub use bootstrap::{
    Bootstrap, BootstrapPart, BootstrapProblem, SecretFileError, read_bootstrap, read_bootstrap_checked,
    read_secret_file,
};
pub use client::{DeltaClient, PersistError};
pub use codec::DecodeError;
pub use dump::{Dump, config_dump};
pub use kind::ResourceKind;
pub use patch::{Patch, PatchOperation, PatchPart, PatchProblem, Patcher};
pub use rejection::Rejection;
pub use resource::Resource;
pub use secret::{encode_identity_secret, encode_roots_secret};
pub use server::{DeltaServer, FullServer, Pacing, Report, Verdict};
pub use wire_rules::check_rules;
