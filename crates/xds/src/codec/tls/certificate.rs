use leno_ir::{CertificateSource, PemCertificate, Secret};
use leno_proto::envoy::config::core::v3::WatchedDirectory;
use leno_proto::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, Secret as ProtoSecret, TlsCertificate, secret,
};

use super::secret_config::{SecretPlace, read_secret};
use super::validation;
use crate::codec::data_source;
use crate::codec::error::{At, DecodeError, Result, refuse};

pub(super) fn encode(certificate: &PemCertificate) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: Some(data_source::encode(&certificate.chain)),
        private_key: Some(data_source::encode(&certificate.private_key)),
        watched_directory: certificate
            .watched_directory
            .as_ref()
            .map(|path| WatchedDirectory { path: path.to_string_lossy().into_owned(), ..WatchedDirectory::default() }),
        ..TlsCertificate::default()
    }
}

pub(super) fn read(common: &CommonTlsContext) -> Result<Option<CertificateSource>> {
    match (common.tls_certificates.as_slice(), common.tls_certificate_sds_secret_configs.as_slice()) {
        ([], []) => Ok(None),
        (certificates, []) => {
            let read = |(index, certificate)| decode(certificate).at_index("tls_certificates", index);
            certificates.iter().enumerate().map(read).collect::<Result<_>>().map(CertificateSource::Pem).map(Some)
        }
        ([], [secret]) => Ok(Some(match read_secret(secret)? {
            SecretPlace::File(file) => CertificateSource::File(file),
            SecretPlace::Named(name) => CertificateSource::Secret(name),
        })),
        ([], _) => Err(DecodeError::new("tls_certificate_sds_secret_configs", "only one secret is supported")),
        _ => Err(DecodeError::new("tls_certificates", "cannot be together with tls_certificate_sds_secret_configs")),
    }
}

fn decode(certificate: &TlsCertificate) -> Result<PemCertificate> {
    refuse!(certificate, pkcs12, private_key_provider, password, ocsp_staple, signed_certificate_timestamp, tls_params);
    let source = |field: &str, source: &Option<_>| {
        let source = source.as_ref().ok_or_else(|| DecodeError::new(field, "is missing"))?;
        data_source::decode(source).at(field)
    };
    Ok(PemCertificate {
        chain: source("certificate_chain", &certificate.certificate_chain)?,
        private_key: source("private_key", &certificate.private_key)?,
        watched_directory: certificate.watched_directory.as_ref().map(|watched| watched.path.clone().into()),
    })
}

/// A secret that a bootstrap has itself.
pub(crate) fn decode_secret(secret: &ProtoSecret) -> Result<(String, Secret)> {
    let value = match &secret.r#type {
        Some(secret::Type::TlsCertificate(certificate)) => {
            Secret::Certificate(decode(certificate).at("tls_certificate")?)
        }
        Some(secret::Type::ValidationContext(context)) => {
            Secret::Validation(validation::read_context(context).at("validation_context")?)
        }
        Some(secret::Type::SessionTicketKeys(_)) => return Err(DecodeError::unsupported("session_ticket_keys")),
        Some(secret::Type::GenericSecret(_)) => return Err(DecodeError::unsupported("generic_secret")),
        None => return Err(DecodeError::new("type", "is missing")),
    };
    Ok((secret.name.clone(), value))
}
