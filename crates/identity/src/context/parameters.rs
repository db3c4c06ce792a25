use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::{ContextError, ContextPart};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ContextVersion {
    Tls12,
    Tls13,
}

/// What is offered in handshakes. Names are BoringSSL's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContextParameters {
    pub minimum: ContextVersion,
    pub maximum: ContextVersion,
    /// Of TLS 1.2; empty: all.
    pub cipher_suites: Vec<&'static str>,
    /// Empty: all.
    pub curves: Vec<&'static str>,
}

impl ContextParameters {
    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let all = [(ContextVersion::Tls12, &TLS12), (ContextVersion::Tls13, &TLS13)];
        let wanted = all.into_iter().filter(|(version, _)| (self.minimum..=self.maximum).contains(version));
        wanted.map(|(_, version)| version).collect()
    }

    /// # Errors
    /// When a name is not known.
    pub(super) fn provider(&self) -> Result<Arc<CryptoProvider>, ContextError> {
        let unknown = |name: &str| ContextError::new(ContextPart::Parameters, format!("{name} is not supported"));
        let mut provider = aws_lc_rs::default_provider();
        if !self.cipher_suites.is_empty() {
            let of_tls13 = |suite: &SupportedCipherSuite| matches!(suite, SupportedCipherSuite::Tls13(_));
            let mut suites: Vec<_> = provider.cipher_suites.iter().copied().filter(of_tls13).collect();
            for name in &self.cipher_suites {
                suites.push(cipher_suite(name).ok_or_else(|| unknown(name))?);
            }
            provider.cipher_suites = suites;
        }
        if !self.curves.is_empty() {
            let mut groups = Vec::with_capacity(self.curves.len());
            for name in &self.curves {
                groups.push(match *name {
                    "P-256" => aws_lc_rs::kx_group::SECP256R1,
                    "P-384" => aws_lc_rs::kx_group::SECP384R1,
                    "X25519" => aws_lc_rs::kx_group::X25519,
                    "X25519MLKEM768" => aws_lc_rs::kx_group::X25519MLKEM768,
                    other => return Err(unknown(other)),
                });
            }
            provider.kx_groups = groups;
        }
        Ok(Arc::new(provider))
    }
}

fn cipher_suite(name: &str) -> Option<SupportedCipherSuite> {
    use aws_lc_rs::cipher_suite as suite;
    Some(match name {
        "ECDHE-ECDSA-AES128-GCM-SHA256" => suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES256-GCM-SHA384" => suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-CHACHA20-POLY1305" => suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256" => suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES256-GCM-SHA384" => suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-CHACHA20-POLY1305" => suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        _ => return None,
    })
}
