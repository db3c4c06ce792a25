//! One cluster as one worker sees it: which endpoint takes a request, and the connection that carries it.
//!
//! Shape       1 worker -> n `UpstreamCluster` -> n `Endpoint` (by address) -> idle HTTP/1 connections (LIFO), HTTP/2 connections
//! Invariants  an endpoint that stays keeps its pool and its measurements across configurations; limits hold for all workers together
//! Errors      `ConnectError`: the upstream's fault or ours; `retryable()` says whether another endpoint may be tried
//! Cost        a pooled HTTP/1 request: two hash look-ups, no allocation, no system call
//! Source      Envoy cluster.proto v1.31 (circuit breakers, connection pools); healthy panic threshold 50 % as its default

mod aggregate;
mod cluster;
mod connect;
mod endpoint;
mod error;
mod http1;
mod http2;
mod limits;
mod members;
mod negotiated;
mod original_dst;
mod pool_key;
mod sockets;
mod zone;

pub(crate) use cluster::{Dropped, Outcome, Pick, Shared, UpstreamCluster};
pub(crate) use connect::{ApplicationProtocol, Connected, Occupancy, keep_alive, open};
pub(crate) use endpoint::{EndpointCounts, EndpointId, EndpointSource};
pub(crate) use error::ConnectError;
pub(crate) use http1::Http1Lease;
pub(crate) use http2::Http2Lease;
pub(crate) use limits::{Limits, Overflow, RequestPermit, RetryPermit};
pub(crate) use negotiated::HttpLease;
pub(crate) use pool_key::Caller;
pub(crate) use zone::LocalZone;
