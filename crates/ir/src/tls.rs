//! TLS as listeners offer it and clusters demand it.
//!
//! Invariants  between proxies of the mesh certificate and roots are the secrets of the node's own identity, TLS is 1.3 and
//!             never resumed: what [`TlsParameters::default`] and the other defaults say. Contexts with certificates of their
//!             own say all of it
//! Source      Envoy tls.proto, common.proto v3

use std::path::PathBuf;

use serde::Serialize;

use crate::{DataSource, StringMatch};

/// The secret that names the node's own SVID and key, in SDS and inside Leno's proxy.
pub const IDENTITY_SECRET: &str = "default";
/// The secret that names the trust bundle.
pub const ROOTS_SECRET: &str = "ROOTCA";

/// What a listener presents and demands.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct DownstreamTls {
    pub certificate: CertificateSource,
    /// How client certificates are checked; `None` accepts clients without looking.
    pub validation: Option<PeerValidation>,
    /// Without `validation` nobody is asked for one, as in Envoy.
    pub require_client_certificate: bool,
    /// Offered by us, in order of preference; empty means no ALPN.
    pub alpn: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub parameters: TlsParameters,
    #[serde(skip_serializing_if = "is_default")]
    pub sessions: DownstreamSessions,
}

impl DownstreamTls {
    /// As proxies of the mesh do it: the node's own identity shown, the client's checked against the bundle.
    pub fn of_mesh(validation: Option<PeerValidation>, alpn: Vec<String>) -> Self {
        Self {
            certificate: CertificateSource::Secret(IDENTITY_SECRET.to_owned()),
            require_client_certificate: validation.is_some(),
            validation,
            alpn,
            parameters: TlsParameters::default(),
            sessions: DownstreamSessions::default(),
        }
    }
}

/// What a cluster presents and demands.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct UpstreamTls {
    /// `None` sends none.
    pub certificate: Option<CertificateSource>,
    /// `None` trusts whoever answers, which is Envoy's default; the mesh always has one.
    pub validation: Option<PeerValidation>,
    pub sni: Option<String>,
    pub alpn: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub parameters: TlsParameters,
    /// Sessions remembered for resumption; 0 resumes none. Envoy's default is 1.
    #[serde(skip_serializing_if = "is_default")]
    pub max_session_keys: u32,
    /// The name sent as SNI must be a DNS name of the server's certificate.
    #[serde(skip_serializing_if = "is_default")]
    pub auto_sni_san_validation: bool,
}

impl UpstreamTls {
    /// As proxies of the mesh do it: the node's own identity shown.
    pub fn of_mesh(validation: PeerValidation) -> Self {
        Self {
            certificate: Some(CertificateSource::Secret(IDENTITY_SECRET.to_owned())),
            validation: Some(validation),
            sni: None,
            alpn: Vec::new(),
            parameters: TlsParameters::default(),
            max_session_keys: 0,
            auto_sni_san_validation: false,
        }
    }
}

/// What proves who we are.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CertificateSource {
    /// In a file of its own.
    File(SecretFile),
    /// At least one. A listener shows the first whose DNS names fit the server name of the client, or the first of all.
    Pem(Vec<PemCertificate>),
    /// Name of the secret with certificate and key.
    Secret(String),
}

/// A secret that a file has, as SDS would serve it; the file is read again when it is replaced.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct SecretFile {
    pub path: PathBuf,
    /// Of the secret.
    pub name: String,
    /// What to watch instead of the directory that the file is in.
    pub watched_directory: Option<PathBuf>,
}

/// What a secret holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Secret {
    Certificate(PemCertificate),
    Validation(PeerValidation),
}

/// A chain, leaf first, and the key of the leaf.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct PemCertificate {
    pub chain: DataSource,
    pub private_key: DataSource,
    /// Files are read again when something in this directory changes.
    pub watched_directory: Option<PathBuf>,
}

/// The peer's chain must end in the roots and one of its names must match.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct PeerValidation {
    pub roots: RootsSource,
    /// Any one must match a name of the certificate; empty means that any name in the roots' trust will do.
    pub subject_alt_names: Vec<SubjectAltName>,
    #[serde(skip_serializing_if = "is_default")]
    pub checks: PeerChecks,
}

impl PeerValidation {
    /// The same with a secret laid over it: list by list, and what is set there wins (Envoy).
    #[must_use]
    pub fn with_secret(mut self, secret: &Self) -> Self {
        self.roots = secret.roots.clone();
        self.subject_alt_names.extend(secret.subject_alt_names.iter().cloned());
        let PeerChecks { certificate_hashes, key_hashes, allow_expired, accept_untrusted } = &mut self.checks;
        certificate_hashes.extend(&secret.checks.certificate_hashes);
        key_hashes.extend(&secret.checks.key_hashes);
        *allow_expired |= secret.checks.allow_expired;
        *accept_untrusted |= secret.checks.accept_untrusted;
        self
    }

    /// Peers vouched for by the mesh's own bundle, with one of these SPIFFE IDs, or any.
    pub fn of_mesh(ids: impl IntoIterator<Item = StringMatch>) -> Self {
        let of_uri = |name| SubjectAltName { kind: SubjectAltNameKind::Uri, name };
        Self {
            roots: RootsSource::Secret(ROOTS_SECRET.to_owned()),
            subject_alt_names: ids.into_iter().map(of_uri).collect(),
            checks: PeerChecks::default(),
        }
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RootsSource {
    /// In a secret with a file of its own.
    File(SecretFile),
    /// No chain is checked: only names, hashes, or nothing.
    None,
    Pem(PemRoots),
    /// Name of the secret with the trust bundle.
    Secret(String),
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct PemRoots {
    pub certificates: DataSource,
    /// As [`PemCertificate::watched_directory`].
    pub watched_directory: Option<PathBuf>,
}

/// What else is checked, or is not.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq, Serialize)]
pub struct PeerChecks {
    /// SHA-256 of the certificate; any one must match unless both lists are empty.
    pub certificate_hashes: Vec<[u8; 32]>,
    /// SHA-256 of the certificate's public key (SubjectPublicKeyInfo).
    pub key_hashes: Vec<[u8; 32]>,
    /// Certificates outside their time are accepted.
    pub allow_expired: bool,
    /// A chain that does not lead to the roots is accepted; the connection then does not count as verified.
    pub accept_untrusted: bool,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct SubjectAltName {
    #[serde(skip_serializing_if = "SubjectAltNameKind::is_uri")]
    pub kind: SubjectAltNameKind,
    #[serde(flatten)]
    pub name: StringMatch,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectAltNameKind {
    /// Of whatever kind: Envoy's older field.
    Any,
    Dns,
    Email,
    IpAddress,
    Uri,
}

impl SubjectAltNameKind {
    fn is_uri(&self) -> bool {
        *self == Self::Uri
    }
}

/// What is offered in handshakes.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct TlsParameters {
    pub minimum: TlsVersion,
    pub maximum: TlsVersion,
    /// Of TLS 1.2, by BoringSSL's names; empty: all that are safe.
    pub cipher_suites: Vec<CipherSuite>,
    /// For the key agreement; empty: all.
    pub curves: Vec<Curve>,
}

impl Default for TlsParameters {
    /// TLS 1.3 and nothing else, as between proxies of the mesh.
    fn default() -> Self {
        Self::between(TlsVersion::Tls13, TlsVersion::Tls13)
    }
}

impl TlsParameters {
    pub const fn between(minimum: TlsVersion, maximum: TlsVersion) -> Self {
        Self { minimum, maximum, cipher_suites: Vec::new(), curves: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
        pub enum $type {
            $(#[serde(rename = $name)] $variant),+
        }

        impl $type {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As BoringSSL and Envoy call it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

named! {
    /// Those of TLS 1.2 that have forward secrecy and authenticated encryption.
    CipherSuite {
        EcdheEcdsaAes128GcmSha256 = "ECDHE-ECDSA-AES128-GCM-SHA256",
        EcdheEcdsaAes256GcmSha384 = "ECDHE-ECDSA-AES256-GCM-SHA384",
        EcdheEcdsaChacha20Poly1305 = "ECDHE-ECDSA-CHACHA20-POLY1305",
        EcdheRsaAes128GcmSha256 = "ECDHE-RSA-AES128-GCM-SHA256",
        EcdheRsaAes256GcmSha384 = "ECDHE-RSA-AES256-GCM-SHA384",
        EcdheRsaChacha20Poly1305 = "ECDHE-RSA-CHACHA20-POLY1305",
    }
}

named! {
    Curve {
        P256 = "P-256",
        P384 = "P-384",
        X25519 = "X25519",
        X25519MlKem768 = "X25519MLKEM768",
    }
}

/// Which ways of resuming a session are offered to clients.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize)]
pub struct DownstreamSessions {
    /// By tickets that the client keeps.
    pub stateless: bool,
    /// By state that we keep; TLS 1.2.
    pub stateful: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
