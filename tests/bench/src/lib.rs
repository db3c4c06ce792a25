//! A proxy under changing configuration: how long changes take, and whether every answer is right meanwhile.
//!
//! The binary of this package has the ends of the benchmark beside it.
#![forbid(unsafe_code)]

pub mod configuration;
pub mod mesh;
pub mod soak;
mod yaml;
