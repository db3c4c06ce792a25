//! Objects held against each other: what each alone cannot know. Everything that Istio's analyzer finds, under its codes, and what
//! is ours for Gateway API and SMI. Knows nothing of what the mesh makes of the objects.
//!
//! Shape       n documents of any kind -> 1 `Objects` -> n analyses -> n `Finding`
//! Invariants  objects are read leniently: a field that is missing or of another type is not there; the order of objects does
//!             not matter
//! Cost        each analysis is at most O(objects of its kinds × pods)
//! Source      Istio 1.30 `istioctl analyze` (codes, levels, what is found); Gateway API v1.6; SMI
#![forbid(unsafe_code)]

mod analyses;
mod codes;
mod finding;
mod gateway_api;
mod istio;
mod json;
mod kinds;
mod objects;
mod own;
mod routes;
mod selector;
mod smi;
mod suppression;
mod workloads;

pub use analyses::{analyses, analyze, run};
pub use codes::CODES;
pub use finding::{Code, Finding, Level};
pub use objects::{Object, Objects};
pub use suppression::Suppression;
