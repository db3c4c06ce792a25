//! The commands that talk to a running mesh, and `validate`, which needs none.
//!
//! Shape       arguments -> 0..n calls of the API -> table, YAML or JSON on standard output
//! Errors      on standard error, naming file, line and field; exit 0 fine, 1 a problem was found, 2 misused
#![forbid(unsafe_code)]
// Commands print: that is what they are for.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is what commands talk to")]

mod analyze;
mod apply;
mod client;
mod command;
mod config;
mod connection;
mod data_directory;
mod delete;
mod describe;
mod diff;
mod explain;
mod files;
mod get;
mod kinds;
mod kubeconfig;
mod live;
mod loaded;
mod mesh;
mod misuse;
mod output;
mod problem;
mod report;
mod rows;
mod schema;
mod status;
mod table;
mod token;
mod validate;

pub use client::ApiClient;
pub use command::{Command, run};
pub use data_directory::data_directory;

#[cfg(test)]
mod mesh_tests;
#[cfg(test)]
mod tests;
