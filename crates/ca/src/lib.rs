//! The certificate authority of a trust domain: root, intermediate, SVIDs, join tokens, and the CSR service.
//!
//! Shape       1 root (10 years) -> 1 intermediate (1 year) -> n SVIDs (24 h); n join tokens
//! Invariants  private keys are readable by their owner alone and never logged; a file that is damaged is reported, never
//!             replaced; a token's use is on disk before its certificate exists
//! Errors      `CaError` names the file; a caller's fault (`Refused`) is told apart from ours
//! Cost        one signature (about 50 us) and, with a token, one fsync per certificate
//! Source      SPIFFE X509-SVID §3 to §5; RFC 5280; Istio's CSR service
#![forbid(unsafe_code)]

mod authority;
mod files;
mod issue;
mod service;
mod tokens;

pub use authority::{Ca, CaConfig, CaError};
pub use service::{CsrService, csr_service};
pub use tokens::{TokenError, TokenInfo, TokenSpec};
