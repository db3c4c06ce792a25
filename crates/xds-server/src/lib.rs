//! The aggregated discovery service: the gRPC shell around the state machines of `leno-xds`, over mutual TLS.
//!
//! Decides nothing about configuration: a [`ConfigSource`] says what each node gets and hears what became of it.
//!
//! Shape       1 connection -> n streams; 1 stream -> 1 node -> 1 `Session`; 1 outstanding response per type and stream
//! Invariants  no stream without a verified SPIFFE ID; every session guard is closed or dropped with its stream
//! Cost        a resource is encoded once for all streams of one flavor that share its `Arc`
//! Source      Envoy xDS protocol (docs: xds_protocol); gRPC A27
#![forbid(unsafe_code)]

mod body;
mod cache;
mod feed;
mod limits;
mod metrics;
mod protocol;
mod serve;
mod service;
mod source;
mod stream;

pub use limits::{Counting, LimitSource, SharedLimit, SharedLimits, rate_limit_service};
pub use serve::{PeerAddr, XdsServer};
pub use source::{ConfigSource, Outcome, Refusal, SecretText, Secrets, Session, SessionGuard, StatusReport, StreamEnd};
