use serde::Serialize;

use crate::StringMatch;

/// The secret that names the node's own SVID and key, in SDS and inside Leno's proxy.
pub const IDENTITY_SECRET: &str = "default";
/// The secret that names the trust bundle.
pub const ROOTS_SECRET: &str = "ROOTCA";

/// What a listener presents and demands. TLS 1.2 is the floor for strangers, 1.3 between proxies.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct DownstreamTls {
    /// Name of the secret with certificate and key.
    pub certificate: String,
    /// How client certificates are checked; `None` accepts clients without looking.
    pub validation: Option<PeerValidation>,
    pub require_client_certificate: bool,
    /// Offered by us, in order of preference; empty means no ALPN.
    pub alpn: Vec<String>,
}

/// What a cluster presents and demands.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct UpstreamTls {
    /// Name of the secret with our client certificate; `None` sends none.
    pub certificate: Option<String>,
    pub validation: PeerValidation,
    pub sni: Option<String>,
    pub alpn: Vec<String>,
}

/// The peer's chain must end in the bundle and one of its names must match.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PeerValidation {
    /// Name of the secret with the trust bundle.
    pub roots: String,
    /// Any one must match a URI or DNS name of the certificate; empty means that any name in the bundle's trust will do.
    pub subject_alt_names: Vec<StringMatch>,
}
