//! A node's end of the discovery protocol: one delta stream to the control plane over mutual TLS, kept up for ever.
//!
//! Gives the proxy whole configurations and takes back what it could not use; knows nothing about what they mean.
//!
//! Shape       1 client -> 1 stream -> 1 update at a time
//! Invariants  the proxy never waits for the control plane: what was accepted last stays, on disk too
//! Errors      none reach the proxy; all are logged and counted, and the stream is tried again with backoff
//! Source      Envoy xDS protocol (docs: xds_protocol, incremental); backoff: full jitter
#![forbid(unsafe_code)]

mod backoff;
mod client;
mod config;
mod connect;
mod driver;
mod metrics;
mod state_file;
mod update;

pub use client::XdsClient;
pub use config::XdsClientConfig;
pub use leno_xds::{Rejection, ResourceKind};
pub use update::{Origin, Update};
