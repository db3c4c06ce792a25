use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::X509Name;

/// What a peer showed of itself in a handshake, or we did, the own certificate first. Verified by whoever made it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PeerChain(Vec<CertificateDer<'static>>);

/// Characters of a line of PEM (RFC 7468 §2).
const PEM_LINE: usize = 64;

impl PeerChain {
    pub fn new(certificates: &[CertificateDer<'_>]) -> Self {
        Self(certificates.iter().map(|certificate| certificate.clone().into_owned()).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hexadecimal digits in lower case, of the peer's own certificate.
    pub fn sha256(&self) -> String {
        self.0.first().map(|certificate| fingerprint(&SHA256, certificate)).unwrap_or_default()
    }

    /// As [`PeerChain::sha256`], by an older function.
    pub fn sha1(&self) -> String {
        self.0.first().map(|certificate| fingerprint(&SHA1_FOR_LEGACY_USE_ONLY, certificate)).unwrap_or_default()
    }

    /// Of every certificate.
    pub fn all_sha256(&self) -> Vec<String> {
        self.0.iter().map(|certificate| fingerprint(&SHA256, certificate)).collect()
    }

    /// Of every certificate.
    pub fn all_sha1(&self) -> Vec<String> {
        self.0.iter().map(|certificate| fingerprint(&SHA1_FOR_LEGACY_USE_ONLY, certificate)).collect()
    }

    /// As RFC 2253 writes it: the most specific part first.
    pub fn subject(&self) -> String {
        self.read(|certificate| text_of(certificate.subject())).unwrap_or_default()
    }

    /// As [`PeerChain::subject`].
    pub fn issuer(&self) -> String {
        self.read(|certificate| text_of(certificate.issuer())).unwrap_or_default()
    }

    /// Hexadecimal digits in lower case.
    pub fn serial(&self) -> String {
        self.read(serial).unwrap_or_default()
    }

    /// Of every certificate.
    pub fn all_serials(&self) -> Vec<String> {
        let read = |der: &CertificateDer<'_>| Some(serial(&x509_parser::parse_x509_certificate(der).ok()?.1));
        self.0.iter().filter_map(read).collect()
    }

    /// Since 1970: from when and until when the certificate holds.
    pub fn validity(&self) -> Option<(Duration, Duration)> {
        let seconds = |timestamp: i64| Duration::from_secs(u64::try_from(timestamp).unwrap_or(0));
        self.read(|certificate| {
            let validity = certificate.validity();
            (seconds(validity.not_before.timestamp()), seconds(validity.not_after.timestamp()))
        })
    }

    /// Who issued the certificate, where that one is shown, too.
    #[must_use]
    pub fn issuers(&self) -> Self {
        Self(self.0.get(1..).unwrap_or_default().to_vec())
    }

    pub fn emails(&self) -> Vec<String> {
        self.names(|name| match name {
            GeneralName::RFC822Name(email) => Some((*email).to_owned()),
            _ => None,
        })
    }

    pub fn ips(&self) -> Vec<String> {
        self.names(|name| match name {
            GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
                Ok(bytes) => Some(Ipv4Addr::from(bytes).to_string()),
                Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
            },
            _ => None,
        })
    }

    pub fn uris(&self) -> Vec<String> {
        self.names(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
    }

    pub fn dns_names(&self) -> Vec<String> {
        self.names(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
    }

    /// The peer's own certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        self.0.first().map(pem).unwrap_or_default()
    }

    /// All of it as PEM.
    pub fn chain_pem(&self) -> String {
        self.0.iter().map(pem).collect()
    }

    fn names(&self, wanted: impl Fn(&GeneralName<'_>) -> Option<String>) -> Vec<String> {
        self.read(|certificate| {
            let names = certificate.subject_alternative_name().ok().flatten();
            names.iter().flat_map(|names| &names.value.general_names).filter_map(&wanted).collect()
        })
        .unwrap_or_default()
    }

    fn read<T>(&self, read: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
        let (_, certificate) = x509_parser::parse_x509_certificate(self.0.first()?).ok()?;
        Some(read(&certificate))
    }
}

fn fingerprint(by: &'static Algorithm, certificate: &CertificateDer<'_>) -> String {
    hexadecimal(digest(by, certificate).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut digits, byte| {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Without the zero that keeps a number from being negative.
fn serial(certificate: &X509Certificate<'_>) -> String {
    let bytes = certificate.raw_serial();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    hexadecimal(bytes.get(first..).unwrap_or_default())
}

fn text_of(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (at, part) in parts.into_iter().rev().enumerate() {
        for (within, attribute) in part.iter().enumerate() {
            match (at, within) {
                (0, 0) => {}
                (_, 0) => text.push(','),
                _ => text.push('+'),
            }
            let oid = attribute.attr_type();
            match x509_parser::objects::oid2abbrev(oid, x509_parser::objects::oid_registry()) {
                Ok(name) => text.push_str(name),
                Err(_) => text.push_str(&oid.to_id_string()),
            }
            text.push('=');
            escape(attribute.as_str().unwrap_or_default(), &mut text);
        }
    }
    text
}

/// RFC 2253 §2.4.
fn escape(value: &str, out: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        let is_special = matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (character == ' ' && (at == 0 || at == last))
            || (character == '#' && at == 0);
        if is_special {
            out.push('\\');
        }
        out.push(character);
    }
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(PEM_LINE) {
        pem.push_str(std::str::from_utf8(line).unwrap_or_default());
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn chain() -> PeerChain {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
        params.distinguished_name.push(DnType::CommonName, "client");
        params.subject_alt_names = vec![
            SanType::URI("spiffe://a/b".try_into().expect("ascii")),
            SanType::DnsName("a.test".try_into().expect("ascii")),
        ];
        let key = KeyPair::generate().expect("a key");
        PeerChain::new(&[params.self_signed(&key).expect("a certificate").der().clone()])
    }

    #[test]
    fn a_subject_begins_with_its_most_specific_part() {
        let chain = chain();
        assert_eq!(chain.subject(), "CN=client,O=Acme\\, Inc.");
        assert_eq!((chain.uris(), chain.dns_names()), (vec!["spiffe://a/b".to_owned()], vec!["a.test".to_owned()]));
        assert_eq!((chain.sha256().len(), chain.sha1().len()), (64, 40));
        assert_eq!((chain.issuer(), chain.all_sha256()), (chain.subject(), vec![chain.sha256()]));
        assert!(chain.validity().is_some_and(|(from, until)| from < until));
        assert!(chain.issuers().is_empty() && chain.ips().is_empty() && !chain.serial().is_empty());
    }

    #[test]
    fn pem_has_lines_of_sixty_four() {
        let pem = chain().certificate_pem();
        let lines: Vec<_> = pem.lines().collect();
        assert_eq!(lines.first(), Some(&"-----BEGIN CERTIFICATE-----"));
        assert!(lines.iter().all(|line| line.len() <= PEM_LINE) && pem.ends_with("-----END CERTIFICATE-----\n"));
    }
}
