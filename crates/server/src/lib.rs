//! The control plane's HTTP API and its metrics endpoint. What the objects mean is decided behind [`MeshApi`].
//!
//! Shape       `/api/v1/...`, `/apis/{group}/{version}/...`: objects; `/apply`: texts; `/status`, `/tokens`
//! Units       bodies up to 8 MiB; times of tokens in seconds
//! Invariants  everything but `/healthz` and `/readyz` wants the admin token, compared in constant time
//! Errors      JSON with `code`, `reason`, `message` and `details`, also for what the router refuses
//! Cost        a watch lists its kind again at each revision and sends what differs
//! Source      Kubernetes API conventions for paths, lists and watch events
#![forbid(unsafe_code)]

mod admin_token;
mod auth;
mod error;
mod mesh;
mod metrics;
mod objects;
mod serve;
mod tokens;
mod watch;

pub use admin_token::{AdminTokenError, load_or_create_admin_token};
pub use error::ApiError;
pub use mesh::{ApiProblem, ApplyResult, MeshApi, Outcome, TokenCreated, TokenRequest};
pub use metrics::serve_metrics;
pub use serve::serve;

#[cfg(test)]
mod tests;
