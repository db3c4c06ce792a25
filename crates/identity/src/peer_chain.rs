use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

/// What a peer showed of itself in a handshake, its own certificate first. Verified by whoever made it.
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
        let Some(certificate) = self.0.first() else { return String::new() };
        digest(&SHA256, certificate).as_ref().iter().fold(String::with_capacity(64), |mut digits, byte| {
            // Writing to a String cannot fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    }

    /// As RFC 2253 writes it: the most specific part first.
    pub fn subject(&self) -> String {
        self.read(subject).unwrap_or_default()
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

fn subject(certificate: &X509Certificate<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = certificate.subject().iter_rdn().collect();
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
        assert_eq!(chain.sha256().len(), 64);
    }

    #[test]
    fn pem_has_lines_of_sixty_four() {
        let pem = chain().certificate_pem();
        let lines: Vec<_> = pem.lines().collect();
        assert_eq!(lines.first(), Some(&"-----BEGIN CERTIFICATE-----"));
        assert!(lines.iter().all(|line| line.len() <= PEM_LINE) && pem.ends_with("-----END CERTIFICATE-----\n"));
    }
}
