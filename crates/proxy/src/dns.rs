//! Answers the names of mesh services with the loopback addresses of their outbound listeners, so that an application
//! reaches the mesh by name without knowing of it.
//!
//! Shape       1 claimed block 127.x -> 1 server (UDP and TCP) on 127.x.0.1 -> `NameTable`, replaced with each configuration
//! Invariants  a name the mesh has is never forwarded; a packet that does not parse never gets more than an error
//! Cost        one task; a query costs one look-up and one packet; TCP: at most 64 clients at a time
//! Source      RFC 1035, RFC 7766 (TCP), RFC 2308 (no data); Kubernetes DNS names of services

mod block;
pub(crate) mod forward;
mod names;
mod server;

pub use block::{Block, BlockHold, DNS_PORT, claim_block, claim_held_block};
pub(crate) use names::NameTable;
#[cfg(fuzzing)]
pub(crate) use server::fuzz;
pub(crate) use server::serve;
