//! What one node must run: the mesh as that node sees it, as [`leno_ir::Config`]. A pure function with a memory of its
//! last answers, so that what did not change keeps its identity (`Arc`).
//!
//! Shape       1 service port -> 1 outbound listener, 1 route table, 1 + subsets clusters, as many endpoint sets
//!             1 workload port -> 1 inbound listener, 1 static cluster
//! Invariants  an unchanged piece is the same `Arc` as before; input order never matters
//! Errors      `Problem`s; what cannot be compiled is left out, or answers 500 where a spec says so
//! Cost        `update`: one comparison per service, work for the changed; `node`: one listener per service port
//! Source      Istio's names of listeners, routes and clusters; Gateway API HTTPRoute precedence and filters
#![forbid(unsafe_code)]

mod access;
mod cluster;
mod compiler;
mod endpoints;
mod forward;
mod gateway;
mod hash;
mod headers;
mod inbound;
mod listener;
mod locality;
mod mesh;
mod pieces;
mod policy;
mod rate_limit;
mod requests;
mod route_filters;
mod route_rules;
mod routes;
mod session;
mod tcp;
mod tls;
mod traffic;
mod virtual_service;

pub use compiler::{Compiled, Compiler, Finisher, compile};
pub use rate_limit::domain as limit_domain;
