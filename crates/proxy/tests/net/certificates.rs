use std::net::Ipv4Addr;

use leno_identity::{Identity, Svid};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

/// A root that issues SVIDs of `spiffe://cluster.local/ns/default/sa/…`.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a root").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn identity(&self, account: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        let id = format!("spiffe://cluster.local/ns/default/sa/{account}");
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().expect("ascii"))];
        params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        let chain = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Identity::from_svid(Svid::from_pem(&chain, &key.serialize_pem(), &self.pem).expect("an SVID"))
    }
}
