//! The control plane's HTTP API and its metrics endpoint. What the objects mean is decided behind [`MeshApi`].
//!
//! Shape       `/api/v1/...`, `/apis/{group}/{version}/...`: objects; `/openapi`: their fields; `/apply`: texts; `/status`,
//!             `/tokens`
//! Units       bodies up to 8 MiB; times of tokens in seconds
//! Invariants  everything but `/healthz`, `/livez` and `/readyz` wants the admin token, compared in constant time
//! Errors      a Kubernetes `Status`, also for what the router refuses
//! Cost        a watch looks at its kind again after each change, and sends what differs
//! Source      Kubernetes API conventions and "API Concepts": `kubectl` and those that speak like it work
#![forbid(unsafe_code)]

mod accept;
mod admin_token;
mod apply;
mod auth;
mod body;
mod delete;
mod discovery;
mod error;
mod fields;
mod listener;
mod mesh;
mod metrics;
mod openapi;
mod parameters;
mod patch;
mod place;
mod protobuf;
mod read;
mod review;
mod schemas;
mod selector;
mod serve;
mod table;
mod tokens;
mod view;
mod watch;
mod write;

pub use admin_token::{AdminTokenError, load_or_create_admin_token};
pub use error::ApiError;
pub use mesh::{
    ApiObject, ApiProblem, ApplyResult, ChangeObject, Content, MeshApi, ObjectProblem, Outcome, TokenCreated,
    TokenRequest,
};
pub use metrics::serve_metrics;
pub use serve::serve;
pub use write::invalid_object;

#[cfg(test)]
mod tests;
