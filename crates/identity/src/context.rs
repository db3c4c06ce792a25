//! TLS with certificates that the configuration brings: listeners for strangers, clusters outside the mesh.
//!
//! Shape       settings (where PEM is) -> [`ServerContext`] | [`ClientContext`] -> rustls settings, swapped by `reload`
//! Invariants  keys are read here and stay here; a reload that fails leaves what was; a connection keeps the settings it met
//! Errors      [`ContextError`]: which part, of which source, and why; all of them at once
//! Cost        a context is made once per configuration and shared by the workers; per handshake one atomic load
//! Source      Envoy's TLS transport socket: choice by server name, ALPN without overlap, checks of peers; RFC 8446, RFC 5246

mod client;
mod material;
mod parameters;
mod server;
#[cfg(test)]
mod tests;
mod verifier;

pub use self::client::{ClientContext, ClientSettings, ServerNaming, UpstreamAlpn};
pub use self::material::{ContextError, ContextPart, KeyPairSource, PemSource};
pub use self::parameters::{ContextParameters, ContextVersion};
pub use self::server::{ServerContext, ServerSettings};
pub use self::verifier::{NameRule, PeerRules, SubjectName, SubjectNameKind, fits_dns_name};
