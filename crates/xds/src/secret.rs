use leno_ir::{IDENTITY_SECRET, ROOTS_SECRET};
use leno_proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use leno_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate, secret,
};
use prost::Message;
use xxhash_rust::xxh64::xxh64;

use crate::{Resource, ResourceKind};

/// The node's own certificate chain and key, PEM, as SDS serves them.
pub fn encode_identity_secret(chain_pem: &str, key_pem: &str) -> Resource {
    let certificate = TlsCertificate {
        certificate_chain: Some(inline(chain_pem)),
        private_key: Some(inline(key_pem)),
        ..TlsCertificate::default()
    };
    // The chain changes whenever the key does. Versions are logged and stored, so nothing of the key goes into them.
    encode(IDENTITY_SECRET, chain_pem, secret::Type::TlsCertificate(certificate))
}

/// The trust bundle, PEM, as SDS serves it.
pub fn encode_roots_secret(roots_pem: &str) -> Resource {
    let context =
        CertificateValidationContext { trusted_ca: Some(inline(roots_pem)), ..CertificateValidationContext::default() };
    encode(ROOTS_SECRET, roots_pem, secret::Type::ValidationContext(context))
}

fn encode(name: &str, public: &str, secret: secret::Type) -> Resource {
    Resource {
        name: name.to_owned(),
        type_url: ResourceKind::Secret.type_url(),
        version: format!("{:016x}", xxh64(public.as_bytes(), 0)),
        body: Secret { name: name.to_owned(), r#type: Some(secret) }.encode_to_vec(),
    }
}

fn inline(pem: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(pem.to_owned())), ..DataSource::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_carry_their_pem_and_versions_nothing_of_the_key() {
        let one = encode_identity_secret("chain", "key one");
        assert_eq!(one.version, encode_identity_secret("chain", "key two").version);
        let decoded = Secret::decode(one.body.as_slice()).expect("what was encoded");
        let Some(secret::Type::TlsCertificate(certificate)) = decoded.r#type else { panic!("no certificate") };
        assert_eq!((decoded.name.as_str(), certificate.certificate_chain), (IDENTITY_SECRET, Some(inline("chain"))));
        assert_eq!(encode_roots_secret("roots").name, ROOTS_SECRET);
    }
}
