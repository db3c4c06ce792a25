//! SVIDs: from a CSR whose key stays with the workload, or whole for those that cannot make their own.

use std::time::{Duration, SystemTime};

use leno_identity::Svid;
use leno_names::SpiffeId;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};

use crate::authority::{BACKDATE, Ca, CaError, Intermediate};

impl Ca {
    /// Signs a CSR for `id`. The CSR's signature must be good, and its only name, if it has one, must be `id`; nothing else
    /// of it is taken over but the key.
    ///
    /// The chain is PEM: leaf, intermediate, root.
    ///
    /// # Errors
    /// `Refused` when the CSR is not acceptable.
    pub fn sign_csr(
        &self,
        csr_pem: &str,
        id: &SpiffeId,
        ttl: Option<Duration>,
        now: SystemTime,
    ) -> Result<Vec<String>, CaError> {
        let csr = check_csr(csr_pem, id)?;
        let intermediate = self.lock_intermediate();
        let leaf = self.sign(&csr.public_key, id, &[], ttl, now, &intermediate)?;
        Ok(vec![leaf, intermediate.pem.clone(), self.bundle_pem().to_owned()])
    }

    /// Makes a key and an SVID: for the control plane itself and for guests that get their keys over SDS.
    ///
    /// # Errors
    /// When the intermediate has expired.
    pub fn issue(&self, id: &SpiffeId, now: SystemTime) -> Result<Svid, CaError> {
        self.issue_server(id, &[], now)
    }

    /// The same with host names and IP addresses beside the SPIFFE ID (X509-SVID §2 allows them), for a server whose clients
    /// check those, as gRPC does with its control plane. Never for a workload: it could pass for that server.
    ///
    /// # Errors
    /// As [`Ca::issue`], and when a name is not one that a certificate can hold.
    pub fn issue_server(&self, id: &SpiffeId, names: &[String], now: SystemTime) -> Result<Svid, CaError> {
        let sign = |source| CaError::Sign { what: "workload", source };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(sign)?;
        let intermediate = self.lock_intermediate();
        let chain = self.sign(&key, id, names, None, now, &intermediate)? + &intermediate.pem;
        drop(intermediate);
        Svid::from_pem(&chain, &key.serialize_pem(), self.bundle_pem())
            .map_err(|error| refused(format!("the new certificate is not usable: {error}")))
    }

    fn sign(
        &self,
        key: &impl PublicKeyData,
        id: &SpiffeId,
        hosts: &[String],
        ttl: Option<Duration>,
        now: SystemTime,
        intermediate: &Intermediate,
    ) -> Result<String, CaError> {
        let sign = |source| CaError::Sign { what: "workload", source };
        if id.trust_domain != self.config.trust_domain {
            return Err(refused(format!("{id} is not of trust domain {}", self.config.trust_domain)));
        }
        if now >= intermediate.not_after {
            return Err(refused("the intermediate certificate has expired; renew it with the root key".to_owned()));
        }
        let ttl = ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(self.config.svid_ttl).min(self.config.svid_ttl);
        // Each is read as an IP address or else as a DNS name.
        let mut params = CertificateParams::new(hosts).map_err(sign)?;
        // Without a subject the SAN is critical, and the URI is the only SPIFFE ID (X509-SVID §2, RFC 5280 §4.2.1.6).
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names.push(SanType::URI(id.to_string().try_into().map_err(sign)?));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - BACKDATE).into();
        // Never longer than what vouches for it.
        params.not_after = (now + ttl).min(intermediate.not_after).into();
        params.serial_number = Some(SerialNumber::from_slice(&random_serial()));
        let certificate = params.signed_by(key, &intermediate.issuer).map_err(sign)?;
        self.metrics.issued.inc();
        Ok(certificate.pem())
    }
}

/// A CSR for `id`, or without a name: its signature is good, and it asks for nothing else.
///
/// # Errors
/// `Refused`, with what is wrong.
pub(crate) fn check_csr(csr_pem: &str, id: &SpiffeId) -> Result<CertificateSigningRequestParams, CaError> {
    let csr = CertificateSigningRequestParams::from_pem(csr_pem)
        .map_err(|error| refused(format!("the CSR is not acceptable: {error}")))?;
    for name in &csr.params.subject_alt_names {
        match name {
            SanType::URI(uri) if uri.as_str() == id.to_string() => {}
            SanType::URI(uri) => {
                return Err(refused(format!("the CSR asks for {uri}, but {id} is what the caller may have")));
            }
            _ => return Err(refused("the CSR asks for a name that is no SPIFFE ID".to_owned())),
        }
    }
    Ok(csr)
}

/// Positive, 20 bytes at most, far more than 64 random bits (RFC 5280 §4.1.2.2, CA/B BR §7.1).
fn random_serial() -> [u8; 16] {
    let mut serial: [u8; 16] = rand::random();
    serial[0] = (serial[0] & 0x7f) | 0x01;
    serial
}

fn refused(reason: String) -> CaError {
    CaError::Refused { reason }
}
