//! The identity of one process: its SVID and trust bundle, how they are obtained and renewed, and TLS settings made of them.
//!
//! Signs nothing; that is `leno-ca`.
//!
//! Shape       1 `Identity` -> 1 current `Svid` (swapped by rotation) -> TLS settings that always show and trust the current one
//!             `context`: TLS with other certificates, for those outside the mesh
//! Invariants  mutual TLS of the mesh is 1.3 only and never resumed; an expired SVID is neither shown nor accepted;
//!             the peer's certificate has exactly one URI name and it is a SPIFFE ID of the wanted set
//! Errors      a peer with another name is a `PeerRefused` inside the TLS error; ours otherwise
//! Cost        TLS settings are made per peer set, not per connection; a rotation swaps one pointer
//! Source      SPIFFE X509-SVID §2 to §5; RFC 8446; DEPENDENCIES: resumption would hide rotation
#![forbid(unsafe_code)]

mod certificate;
mod context;
mod identity;
mod join;
mod key_files;
mod peer;
mod peer_chain;
mod rotation;
mod svid;
mod tls;
mod token;

pub use certificate::CertificateSummary;
pub use context::{
    ClientContext, ClientSettings, ContextError, ContextParameters, ContextPart, ContextVersion, KeyPairSource,
    NameRule, PeerRules, PemSource, ServerContext, ServerNaming, ServerSettings, SubjectName, SubjectNameKind,
    UpstreamAlpn, fits_dns_name,
};
pub use identity::Identity;
pub use join::{CsrClient, JoinConfig, JoinError, join};
pub use peer::{NameMatch, PeerExpiry, PeerNames, PeerRefused, SpiffePeerError, peer_spiffe_id};
pub use peer_chain::PeerChain;
pub use rotation::spawn_rotation;
pub use svid::{Svid, SvidError};
pub use tls::{ClientAuth, ClientTls, ServerTls, TlsError};
pub use token::{JoinToken, JoinTokenError};

/// Namespace and service account of the control plane itself.
pub use leno_names::{CONTROL_NAMESPACE, CONTROL_SERVICE_ACCOUNT};
