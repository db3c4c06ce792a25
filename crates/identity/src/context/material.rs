use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use rustls::sign::CertifiedKey;

/// Where PEM is.
#[derive(Clone, Eq, Hash, PartialEq)]
pub enum PemSource {
    /// In a variable of this process.
    Environment(String),
    File(PathBuf),
    Inline(Vec<u8>),
}

impl fmt::Display for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Inline(_) => f.write_str("the inline value"),
        }
    }
}

impl fmt::Debug for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct KeyPairSource {
    /// Leaf first.
    pub chain: PemSource,
    pub key: PemSource,
}

/// The part of a context that something is wrong with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ContextPart {
    CertificateChain {
        index: usize,
    },
    /// Chain and key do not belong together.
    KeyPair {
        index: usize,
    },
    Parameters,
    PrivateKey {
        index: usize,
    },
    SubjectAltNames,
    TrustedCa,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct ContextError {
    pub part: ContextPart,
    pub reason: String,
}

impl ContextError {
    pub(super) fn new(part: ContextPart, reason: impl Into<String>) -> Self {
        Self { part, reason: reason.into() }
    }
}

/// # Errors
/// What is wrong, naming the source.
pub(super) fn load_key_pair(index: usize, source: &KeyPairSource) -> Result<Arc<CertifiedKey>, ContextError> {
    let of_chain = |reason| ContextError::new(ContextPart::CertificateChain { index }, reason);
    let of_key = |reason| ContextError::new(ContextPart::PrivateKey { index }, reason);
    let chain = certificates(&source.chain).map_err(of_chain)?;
    let pem = read(&source.key).map_err(of_key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| of_key(format!("{} has no private key in PEM that can be read", source.key)))?;
    let signer = any_supported_type(&key)
        .map_err(|_| of_key(format!("the key in {} is of a kind that is not supported", source.key)))?;
    let certified = CertifiedKey::new(chain, signer);
    if !belongs(&certified) {
        let reason = format!("the key in {} does not belong to the certificate in {}", source.key, source.chain);
        return Err(ContextError::new(ContextPart::KeyPair { index }, reason));
    }
    Ok(Arc::new(certified))
}

/// Not rustls's own comparison: that takes a certificate of X.509 version 1 for the wrong one, and clients that pin or do not
/// check certificates are content with those.
fn belongs(certified: &CertifiedKey) -> bool {
    let Some(of_key) = certified.key.public_key() else { return true };
    let of_certificate = certified.cert.first().and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok());
    of_certificate.is_some_and(|(_, leaf)| leaf.public_key().raw == of_key.as_ref())
}

/// Trusted certificates, and the anchors made of them.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) anchors: Vec<TrustAnchor<'static>>,
}

/// # Errors
/// As [`load_key_pair`].
pub(super) fn load_roots(source: &PemSource) -> Result<Roots, ContextError> {
    let of_roots = |reason| ContextError::new(ContextPart::TrustedCa, reason);
    let certificates = certificates(source).map_err(of_roots)?;
    let anchor = |certificate: &CertificateDer<'static>| {
        webpki::anchor_from_trusted_cert(certificate)
            .map(|anchor| anchor.to_owned())
            .map_err(|_| of_roots(format!("{source} has a certificate that does not parse")))
    };
    let anchors = certificates.iter().map(anchor).collect::<Result<_, _>>()?;
    Ok(Roots { certificates, anchors })
}

fn certificates(source: &PemSource) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(source)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("{source} is not readable as PEM"))?;
    if certificates.is_empty() {
        return Err(format!("{source} has no certificate in PEM"));
    }
    let parses = |certificate: &CertificateDer<'_>| x509_parser::parse_x509_certificate(certificate).is_ok();
    if !certificates.iter().all(parses) {
        return Err(format!("{source} has a certificate that does not parse"));
    }
    Ok(certificates)
}

fn read(source: &PemSource) -> Result<Vec<u8>, String> {
    match source {
        PemSource::Environment(name) => {
            std::env::var(name).map(String::into_bytes).map_err(|_| format!("the variable {name} is not set"))
        }
        PemSource::File(path) => {
            std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
        }
        PemSource::Inline(bytes) => Ok(bytes.clone()),
    }
}
