//! Who the peer is: its SPIFFE ID, and whether that is one we want to talk to.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_names::{SpiffeId, SpiffeIdError, TrustDomain};
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, OtherError};
use x509_parser::extensions::GeneralName;

/// Which peers are welcome. All must be of our trust domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PeerNames {
    AnyInTrustDomain,
    /// One of these must match; an empty list welcomes nobody.
    OneOf(Vec<NameMatch>),
}

/// On the text of the SPIFFE ID.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NameMatch {
    Exact(String),
    Prefix(String),
    Suffix(String),
}

impl PeerNames {
    pub fn exactly(id: &SpiffeId) -> Self {
        Self::OneOf(vec![NameMatch::Exact(id.to_string())])
    }

    pub fn contains(&self, id: &SpiffeId) -> bool {
        match self {
            Self::AnyInTrustDomain => true,
            Self::OneOf(names) => {
                let text = id.to_string();
                names.iter().any(|name| match name {
                    NameMatch::Exact(exact) => text == *exact,
                    NameMatch::Prefix(prefix) => text.starts_with(prefix),
                    NameMatch::Suffix(suffix) => text.ends_with(suffix),
                })
            }
        }
    }
}

impl fmt::Display for PeerNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyInTrustDomain => f.write_str("any workload of the trust domain"),
            Self::OneOf(names) => {
                for (number, name) in names.iter().enumerate() {
                    let separator = if number == 0 { "" } else { " or " };
                    match name {
                        NameMatch::Exact(name) => write!(f, "{separator}{name}")?,
                        NameMatch::Prefix(name) => write!(f, "{separator}{name}*")?,
                        NameMatch::Suffix(name) => write!(f, "{separator}*{name}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// A peer proved to be somebody, but not one we wanted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("peer is {presented}, expected {expected}")]
pub struct PeerRefused {
    pub expected: String,
    pub presented: String,
}

impl PeerRefused {
    pub(crate) fn into_tls(self) -> rustls::Error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(self))))
    }

    /// The refusal inside an error of a TLS handshake, if that is what it was.
    pub fn find(error: &io::Error) -> Option<&Self> {
        let inner: &(dyn Error + 'static) = error.get_ref()?;
        match inner.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref(),
            _ => None,
        }
    }
}

/// When the certificate a peer showed expires; travels with its requests beside its `SpiffeId`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerExpiry(pub SystemTime);

impl PeerExpiry {
    /// `None` when the chain is empty or its leaf does not parse.
    pub fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let (_, leaf) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
        let seconds = u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or(0);
        Some(Self(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
    }
}

/// The SPIFFE ID in a peer's chain, leaf first (X509-SVID §2: exactly one URI name).
///
/// # Errors
/// When the leaf does not parse or does not carry exactly one SPIFFE ID.
pub fn peer_spiffe_id(chain: &[CertificateDer<'_>]) -> Result<SpiffeId, SpiffePeerError> {
    let leaf = chain.first().ok_or(SpiffePeerError::NoCertificate)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).map_err(|_| SpiffePeerError::Certificate)?;
    let names = certificate.subject_alternative_name().map_err(|_| SpiffePeerError::Certificate)?;
    let mut uris = names.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => uri.parse().map_err(SpiffePeerError::Id),
        (None, _) => Err(SpiffePeerError::NoUri),
        (Some(_), Some(_)) => Err(SpiffePeerError::ManyUris),
    }
}

/// Checks that `id` is of `trust_domain` and among `wanted`.
pub(crate) fn check(id: &SpiffeId, trust_domain: &TrustDomain, wanted: &PeerNames) -> Result<(), PeerRefused> {
    if id.trust_domain != *trust_domain {
        let expected = format!("{wanted} in trust domain {trust_domain}");
        return Err(PeerRefused { expected, presented: id.to_string() });
    }
    if wanted.contains(id) {
        Ok(())
    } else {
        Err(PeerRefused { expected: wanted.to_string(), presented: id.to_string() })
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpiffePeerError {
    #[error("the certificate does not parse")]
    Certificate,
    #[error("the certificate's URI name is no SPIFFE ID of a workload")]
    Id(#[source] SpiffeIdError),
    #[error("the certificate has more than one URI name")]
    ManyUris,
    #[error("the peer showed no certificate")]
    NoCertificate,
    #[error("the certificate has no URI name")]
    NoUri,
}
