//! The data plane: listeners, protocol detection, TLS, pools, HTTP forwarding, and what is recorded of it.
//!
//! Shape       1 `Proxy` -> n workers (thread, runtime, sockets, pools of their own) -> n connections
//! Invariants  no lock, no hop to another thread on the request path; configuration is an immutable `Arc`
//! Source      DESIGN.md D4
#![deny(unsafe_code)]

mod access_log;
mod admin;
mod authz;
mod check;
mod connection;
mod connection_filter;
mod cork;
mod detect;
mod discovery;
mod dns;
mod drain;
mod dynamics;
mod exchange;
mod filter;
mod flags;
#[cfg(fuzzing)]
pub mod fuzzing;
mod health;
mod http;
mod listener;
#[cfg(feature = "measuring")]
pub mod measuring;
mod overload;
mod proxy;
pub mod proxy_protocol;
mod shared;
mod spare;
mod stats;
mod stream;
mod supervisor;
mod tcp;
mod tls;
mod upstream;
mod worker;

pub use check::{FieldProblem, check_cluster, check_listener};
pub use dns::{Block, BlockHold, DNS_PORT, claim_block, claim_held_block};
pub use proxy::{
    ConfigDump, DnsConfig, Proxy, ProxyConfig, ProxyHandle, Rejection, ResourceType, StartError, available_cpus,
    default_threads,
};
pub use tls::ReadSecret;
