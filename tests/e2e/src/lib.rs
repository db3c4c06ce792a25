//! The built binary as users run it: a mesh of real processes on loopback, made and ended by each test.
//!
//! Shape       `Mesh` (one control plane, one directory) -> n `Workload` (`leno run` -> sidecar + application)
//! Invariants  nothing outlives its test; ports are 0 or lie on the workload's own loopback block; no test sleeps, all wait
//!             for a condition with a deadline
//! Errors      a tool that is missing is reported by `need`; with CI=true that is a failure
#![forbid(unsafe_code)]

mod bootstrap;
mod client;
mod echo;
mod gateway;
mod guest;
mod http;
pub mod http2;
mod load;
mod mesh;
mod notify;
mod openssl;
mod program;
mod scene;
mod tools;
mod workload;

pub use bootstrap::{Sandbox, StaticProxy};
pub use client::{Caller, GrpcAnswer};
pub use echo::{Echo, EchoTls, Spoken};
pub use gateway::{GatewayProxy, free_address};
pub use guest::{EnvoyGuest, EnvoyOptions, GrpcClient, script};
pub use http::{Response, Session, request};
pub use load::{Load, LoadReport};
pub use mesh::Mesh;
pub use notify::Ready;
pub use openssl::{Pem, over_tls};
pub use scene::{CALC, ECHO, REVIEWS, REVIEWS_ROUTE, both_answer, one_echo, subsets, two_echoes};
pub use tools::{LIMIT, app, echo_server, eventually, leno, need, need_program, prometheus_sum, said};
pub use workload::{Workload, WorkloadOptions};
