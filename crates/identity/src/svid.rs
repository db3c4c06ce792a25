use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_names::SpiffeId;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::KeyUsage;

use crate::CertificateSummary;
use crate::peer::peer_spiffe_id;
use crate::tls::verifier::verify_chain;

/// A certificate that proves a SPIFFE ID, its key, and the roots to trust. Parsed and consistent.
pub struct Svid {
    pub id: SpiffeId,
    /// Leaf first, without roots.
    pub chain: Vec<CertificateDer<'static>>,
    pub roots: Vec<CertificateDer<'static>>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
}

impl Svid {
    /// From PEM: `chain` leaf first (roots at its end are taken off), `key` PKCS #8, `roots` one or more certificates.
    ///
    /// # Errors
    /// When something does not parse, does not belong together, or is no SVID.
    pub fn from_pem(chain: &str, key: &str, roots: &str) -> Result<Self, SvidError> {
        let roots = certificates(roots, "trust bundle")?;
        let mut chain = certificates(chain, "certificate chain")?;
        chain.retain(|certificate| !roots.contains(certificate));
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| SvidError::Key)?;
        Self::new(chain, key, roots)
    }

    /// # Errors
    /// As [`Svid::from_pem`].
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, SvidError> {
        if roots.is_empty() {
            return Err(SvidError::Empty { what: "trust bundle" });
        }
        let leaf = chain.first().ok_or(SvidError::Empty { what: "certificate chain" })?;
        let id = peer_spiffe_id(&chain).map_err(SvidError::Name)?;
        let (not_before, not_after) = validity(leaf)?;
        let signer = any_supported_type(&key).map_err(|_| SvidError::Key)?;
        let certified = CertifiedKey::new(chain.clone(), signer);
        certified.keys_match().map_err(|_| SvidError::Mismatch)?;
        let anchors = roots
            .iter()
            .map(|root| webpki::anchor_from_trusted_cert(root).map(|anchor| anchor.to_owned()))
            .collect::<Result<_, _>>()
            .map_err(|_| SvidError::Parse { what: "trust bundle" })?;
        Ok(Self { id, chain, roots, not_before, not_after, key, certified: Arc::new(certified), anchors })
    }

    /// Checks that the chain leads to the roots now, as a peer would.
    ///
    /// # Errors
    /// When it does not.
    pub fn verify(&self, now: SystemTime) -> Result<(), SvidError> {
        let (leaf, intermediates) = self.chain.split_first().ok_or(SvidError::Empty { what: "certificate chain" })?;
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        let provider = crate::tls::provider();
        verify_chain(&provider, leaf, intermediates, &self.anchors, now, KeyUsage::server_auth())
            .map_err(SvidError::Chain)
    }

    /// Sends the roots along with the chain in handshakes, for clients that know a root only by its hash: what the control
    /// plane does for workloads that join.
    #[must_use]
    pub fn with_roots_shown(mut self) -> Self {
        let chain = self.chain.iter().chain(&self.roots).cloned().collect();
        self.certified = Arc::new(CertifiedKey::new(chain, self.certified.key.clone()));
        self
    }

    /// Of the chain, leaf first.
    pub fn chain_summary(&self) -> Vec<CertificateSummary> {
        self.chain.iter().filter_map(CertificateSummary::read).collect()
    }

    /// Of the trust bundle.
    pub fn roots_summary(&self) -> Vec<CertificateSummary> {
        self.roots.iter().filter_map(CertificateSummary::read).collect()
    }

    pub fn is_expired(&self, now: SystemTime) -> bool {
        now >= self.not_after
    }

    /// How long it is still good for; zero once it has expired.
    pub fn left(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }

    /// From `not_before` to `not_after`.
    pub fn lifetime(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or_default()
    }

    /// The chain as PEM, leaf first, without roots.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| to_pem("CERTIFICATE", certificate)).collect()
    }

    /// The trust bundle as PEM.
    pub fn roots_pem(&self) -> String {
        self.roots.iter().map(|certificate| to_pem("CERTIFICATE", certificate)).collect()
    }

    /// The private key as PKCS #8 PEM: for files that only the owner may read.
    pub fn key_pem(&self) -> String {
        to_pem("PRIVATE KEY", self.key.secret_der())
    }
}

impl fmt::Debug for Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Svid").field("id", &self.id).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// RFC 7468 text of a DER value.
pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, SvidError> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|_| SvidError::Parse { what })
}

fn validity(certificate: &CertificateDer<'_>) -> Result<(SystemTime, SystemTime), SvidError> {
    let parse = |_| SvidError::Parse { what: "certificate" };
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(parse)?;
    let time = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let validity = parsed.validity();
    Ok((time(validity.not_before.timestamp()), time(validity.not_after.timestamp())))
}

#[derive(Debug, thiserror::Error)]
pub enum SvidError {
    #[error("the certificate chain does not lead to the trust bundle")]
    Chain(#[source] rustls::Error),
    #[error("the {what} is empty")]
    Empty { what: &'static str },
    #[error("the private key is not a usable PKCS #8 key")]
    Key,
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    #[error("the certificate names no workload")]
    Name(#[source] crate::SpiffePeerError),
    #[error("the {what} does not parse")]
    Parse { what: &'static str },
}
