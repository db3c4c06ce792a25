//! Tasks, drain, readiness and signals: how the parts of a process start, tell that they are well, and stop.
//!
//! Knows nothing about what the parts do.
//!
//! Invariants  every task has a name and an owner that joins it; a readiness guard that is dropped unreleased stays unready
#![deny(unsafe_code)]

mod drain;
pub mod memory;
mod readiness;
mod signal;
pub mod sys;
mod tasks;

pub use drain::{Drain, DrainWatch};
pub use readiness::{Readiness, ReadyGuard};
pub use signal::{Shutdown, shutdown_signal};
pub use tasks::Tasks;
