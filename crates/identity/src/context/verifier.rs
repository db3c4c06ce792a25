//! Checks of a peer as a validation context says: chain, then hashes, then names.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error};
use webpki::KeyUsage;
use x509_parser::extensions::GeneralName;

use super::material::{Roots, load_roots};
use super::{ContextError, ContextPart, PemSource};
use crate::tls::verifier::{signatures_of_provider, verify_chain};

/// How a peer is checked.
#[derive(Clone, Debug, Default)]
pub struct PeerRules {
    /// `None`: no chain is checked.
    pub roots: Option<PemSource>,
    /// One of the certificate's names must fit; `None`: any will do.
    pub names: Option<NameRule>,
    /// SHA-256 of the certificate, or of its public key: one must fit, where there is any.
    pub certificate_hashes: Vec<[u8; 32]>,
    pub key_hashes: Vec<[u8; 32]>,
    pub allow_expired: bool,
    pub accept_untrusted: bool,
}

/// A name in a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SubjectName<'a> {
    pub kind: SubjectNameKind,
    pub text: &'a str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubjectNameKind {
    Dns,
    Email,
    IpAddress,
    Uri,
}

/// Which names are welcome.
#[derive(Clone)]
pub struct NameRule(Arc<dyn Fn(SubjectName<'_>) -> bool + Send + Sync>);

impl NameRule {
    pub fn new(is_welcome: impl Fn(SubjectName<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_welcome))
    }
}

impl fmt::Debug for NameRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameRule")
    }
}

#[derive(Clone, Debug)]
pub(super) struct ContextVerifier {
    rules: PeerRules,
    roots: Option<Arc<Roots>>,
    hints: Vec<DistinguishedName>,
    /// Of clients.
    mandatory: bool,
    /// The server's certificate must have the name it was asked for by.
    checks_server_name: bool,
    /// Some name of the server's certificate must be this one.
    demanded: Option<String>,
    provider: Arc<CryptoProvider>,
}

impl ContextVerifier {
    /// # Errors
    /// When the roots cannot be read, or names would be checked that nobody vouches for.
    pub(super) fn new(
        rules: Option<&PeerRules>,
        mandatory: bool,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, ContextError> {
        let rules = rules.cloned().unwrap_or_default();
        let roots = rules.roots.as_ref().map(load_roots).transpose()?.map(Arc::new);
        if rules.names.is_some() && roots.is_none() {
            let reason = "names cannot be checked without trusted_ca: anybody may write them into a certificate";
            return Err(ContextError::new(ContextPart::SubjectAltNames, reason));
        }
        let hint = |anchor: &rustls::pki_types::TrustAnchor<'_>| DistinguishedName::in_sequence(&anchor.subject);
        let hints = roots.iter().flat_map(|roots| &roots.anchors).map(hint).collect();
        Ok(Self { rules, roots, hints, mandatory, checks_server_name: false, demanded: None, provider })
    }

    #[must_use]
    pub(super) fn checking_server_name(mut self, checks: bool) -> Self {
        self.checks_server_name = checks;
        self
    }

    #[must_use]
    pub(super) fn demanding(mut self, name: &str) -> Self {
        self.demanded = Some(name.to_owned());
        self
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        if let Some(roots) = &self.roots
            && let Err(error) = self.verify_chain(roots, leaf, intermediates, now, usage)
            && !self.rules.accept_untrusted
        {
            return Err(error);
        }
        self.verify_hashes(leaf)?;
        match &self.rules.names {
            Some(rule) if !any_name(leaf, |name| (rule.0)(name)) => Err(refused("none of its names is wanted")),
            _ => Ok(()),
        }
    }

    fn verify_chain(
        &self,
        roots: &Roots,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        // A certificate that is itself trusted needs nobody to vouch for it. It may be an authority, which webpki takes for no
        // peer.
        if roots.certificates.iter().any(|root| root == leaf) {
            return check_time(leaf, now, self.rules.allow_expired);
        }
        let verify = |now| verify_chain(&self.provider, leaf, intermediates, &roots.anchors, now, usage);
        match verify(now) {
            Err(Error::InvalidCertificate(CertificateError::Expired)) if self.rules.allow_expired => {
                let last = validity(leaf).map_or(now, |(_, until)| {
                    UnixTime::since_unix_epoch(std::time::Duration::from_secs(until.saturating_sub(1)))
                });
                verify(last)
            }
            result => result,
        }
    }

    fn verify_hashes(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        let PeerRules { certificate_hashes, key_hashes, .. } = &self.rules;
        if certificate_hashes.is_empty() && key_hashes.is_empty() {
            return Ok(());
        }
        let of_key =
            || x509_parser::parse_x509_certificate(leaf).ok().map(|(_, parsed)| sha256(parsed.public_key().raw));
        let fits = certificate_hashes.contains(&sha256(leaf))
            || (!key_hashes.is_empty() && of_key().is_some_and(|hash| key_hashes.contains(&hash)));
        if fits { Ok(()) } else { Err(refused("its hash is none of those that are wanted")) }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().unwrap_or([0; 32])
}

/// Seconds since 1970.
fn validity(certificate: &CertificateDer<'_>) -> Option<(u64, u64)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    Some((seconds(parsed.validity().not_before), seconds(parsed.validity().not_after)))
}

fn check_time(certificate: &CertificateDer<'_>, now: UnixTime, allow_expired: bool) -> Result<(), Error> {
    let (from, until) = validity(certificate).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    match now.as_secs() {
        now if now < from => Err(Error::InvalidCertificate(CertificateError::NotValidYet)),
        now if now > until && !allow_expired => Err(Error::InvalidCertificate(CertificateError::Expired)),
        _ => Ok(()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the certificate is refused: {0}")]
struct Refused(&'static str);

fn refused(reason: &'static str) -> Error {
    Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(Refused(reason)))))
}

/// Whether `wanted` says yes to a name of the certificate.
fn any_name(leaf: &CertificateDer<'_>, mut wanted: impl FnMut(SubjectName<'_>) -> bool) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf) else { return false };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|name| match name {
        GeneralName::DNSName(text) => wanted(SubjectName { kind: SubjectNameKind::Dns, text }),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            let v6 = || <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string());
            let text = v4.or_else(|_| v6());
            text.is_ok_and(|text| wanted(SubjectName { kind: SubjectNameKind::IpAddress, text: &text }))
        }
        GeneralName::RFC822Name(text) => wanted(SubjectName { kind: SubjectNameKind::Email, text }),
        GeneralName::URI(text) => wanted(SubjectName { kind: SubjectNameKind::Uri, text }),
        _ => false,
    })
}

/// The DNS names of a certificate; without any, its common name, as Envoy does for its own certificates.
pub(super) fn dns_names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let mut names = Vec::new();
    any_name(leaf, |name| {
        if name.kind == SubjectNameKind::Dns {
            names.push(name.text.to_ascii_lowercase());
        }
        false
    });
    if names.is_empty()
        && let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf)
    {
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(str::to_ascii_lowercase));
    }
    names
}

/// Whether a name of a certificate covers `name`. RFC 6125 §6.4.3: a wildcard is the whole first label and stands for one.
pub fn fits_dns_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => {
            name.split_once('.').is_some_and(|(first, of_name)| !first.is_empty() && rest.eq_ignore_ascii_case(of_name))
        }
        None => pattern.eq_ignore_ascii_case(name),
    }
}

impl ServerCertVerifier for ContextVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now, KeyUsage::server_auth())?;
        if self.checks_server_name
            && let ServerName::DnsName(wanted) = server_name
        {
            let fits =
                |name: SubjectName<'_>| name.kind == SubjectNameKind::Dns && fits_dns_name(name.text, wanted.as_ref());
            if !any_name(end_entity, fits) {
                return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
            }
        }
        if let Some(demanded) = &self.demanded {
            let fits = |name: SubjectName<'_>| match name.kind {
                SubjectNameKind::Dns => fits_dns_name(name.text, demanded),
                SubjectNameKind::Email | SubjectNameKind::IpAddress | SubjectNameKind::Uri => name.text == demanded,
            };
            if !any_name(end_entity, fits) {
                return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    signatures_of_provider!();
}

impl ClientCertVerifier for ContextVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    signatures_of_provider!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(fits_dns_name("*.a.test", "x.A.test") && fits_dns_name("A.test", "a.test"));
        assert!(!fits_dns_name("*.a.test", "a.test") && !fits_dns_name("*.a.test", "x.y.a.test"));
        assert!(!fits_dns_name("*.a.test", ".a.test"));
    }
}
