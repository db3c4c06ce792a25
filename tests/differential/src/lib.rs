//! The same bootstrap and the same traffic for Leno's proxy and for stock Envoy; whatever differs is a finding.
//!
//! Shape       `cases/*.yaml` -> n `CaseFile` -> 2 `Side` (proxy + origins of its own) -> outcome per step, a JSON value each
//!             -> `compare` -> differences, accepted or not -> table, `docs/differential.md`
//! Invariants  the two sides share nothing; ports are 0; an accepted difference that is no longer seen is a failure
//! Errors      a file that cannot be read or served by a proxy fails as a whole, with what that proxy said
#![forbid(unsafe_code)]

mod certificates;
mod client;
mod compare;
mod file;
mod gather;
mod instrument;
mod normal;
mod origin;
mod refusal;
mod report;
mod run;
mod share;
mod side;
mod stream;

pub use run::main;
