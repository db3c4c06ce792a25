//! The server's half of one ADS stream: requests and resources in, responses and reports out. No I/O, no clock.
//!
//! Shape       1 stream -> 5 kinds -> at most 1 outstanding response each; resources change underneath and coalesce
//!
//! ```text
//!  set/remove --> dirty names --poll_response--> Outstanding(nonce) --ACK/NACK--> idle --> next dirty names
//! ```
//!
//! Invariants  a resource is sent only when its version differs from what the client has, or when it asks again;
//!             what is referred to is sent before what refers to it, and removed after it (make before break);
//!             a request with any nonce but the newest accepts and rejects nothing
//! Cost        per change: the changed names, not the set; full state additionally collects the set for LDS and CDS
//! Source      Envoy docs `xds_protocol`: "ACK/NACK and resource type instance version", "Incremental xDS",
//!             "Eventual consistency considerations"

mod delta;
mod full;
mod order;
mod report;
#[cfg(test)]
mod tests;

pub use delta::DeltaServer;
pub use full::FullServer;
pub use order::Pacing;
pub use report::{Report, Verdict};
