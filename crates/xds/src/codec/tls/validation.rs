//! How peers are checked. What a peer would be checked for and is not known here is refused, or it would go unchecked.

use base64::Engine;
use leno_ir::{PeerChecks, PeerValidation, PemRoots, RootsSource, StringMatch, SubjectAltName, SubjectAltNameKind};
use leno_proto::envoy::config::core::v3::WatchedDirectory;
use leno_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
    certificate_validation_context::TrustChainVerification, common_tls_context, subject_alt_name_matcher::SanType,
};

use super::provider;
use super::secret_config::{SecretPlace, encode_file, encode_named, read_secret};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::{data_source, matching};

type Type = common_tls_context::ValidationContextType;

pub(super) fn encode(validation: &PeerValidation) -> Type {
    match &validation.roots {
        RootsSource::File(file) => combined(encode_context(validation), Some(encode_file(file))),
        RootsSource::Secret(name) => combined(encode_context(validation), Some(encode_named(name))),
        RootsSource::None | RootsSource::Pem(_) => Type::ValidationContext(encode_context(validation)),
    }
}

fn encode_context(validation: &PeerValidation) -> CertificateValidationContext {
    let (roots, watched) = match &validation.roots {
        RootsSource::Pem(roots) => (Some(data_source::encode(&roots.certificates)), roots.watched_directory.as_ref()),
        RootsSource::File(_) | RootsSource::None | RootsSource::Secret(_) => (None, None),
    };
    let checks = &validation.checks;
    let base64 = |hash: &[u8; 32]| base64::engine::general_purpose::STANDARD.encode(hash);
    let hex = |hash: &[u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut context = CertificateValidationContext {
        trusted_ca: roots,
        watched_directory: watched
            .map(|path| WatchedDirectory { path: path.to_string_lossy().into_owned(), ..WatchedDirectory::default() }),
        verify_certificate_spki: checks.key_hashes.iter().map(base64).collect(),
        verify_certificate_hash: checks.certificate_hashes.iter().map(hex).collect(),
        allow_expired_certificate: checks.allow_expired,
        ..CertificateValidationContext::default()
    };
    if checks.accept_untrusted {
        context.trust_chain_verification = TrustChainVerification::AcceptUntrusted.into();
    }
    put_names(&validation.subject_alt_names, &mut context);
    context
}

#[allow(deprecated, reason = "there is no other field for names of any kind")]
fn put_names(names: &[SubjectAltName], context: &mut CertificateValidationContext) {
    for SubjectAltName { kind, name } in names {
        let matcher = matching::encode(name);
        let san_type = match kind {
            SubjectAltNameKind::Any => {
                context.match_subject_alt_names.push(matcher);
                continue;
            }
            SubjectAltNameKind::Dns => SanType::Dns,
            SubjectAltNameKind::Email => SanType::Email,
            SubjectAltNameKind::IpAddress => SanType::IpAddress,
            SubjectAltNameKind::Uri => SanType::Uri,
        };
        context.match_typed_subject_alt_names.push(SubjectAltNameMatcher {
            san_type: san_type.into(),
            matcher: Some(matcher),
            ..SubjectAltNameMatcher::default()
        });
    }
}

#[allow(deprecated, reason = "gRPC reads the older field")]
pub(super) fn encode_grpc(validation: &PeerValidation) -> Type {
    let names = validation.subject_alt_names.iter().map(|name| matching::encode(&name.name));
    let default = CertificateValidationContext {
        ca_certificate_provider_instance: Some(provider()),
        match_subject_alt_names: names.collect(),
        ..CertificateValidationContext::default()
    };
    combined(default, None)
}

fn combined(default: CertificateValidationContext, secret: Option<SdsSecretConfig>) -> Type {
    Type::CombinedValidationContext(common_tls_context::CombinedCertificateValidationContext {
        default_validation_context: Some(default),
        validation_context_sds_secret_config: secret,
        ..Default::default()
    })
}

pub(super) fn read(common: &CommonTlsContext) -> Result<Option<PeerValidation>> {
    match &common.validation_context_type {
        None => Ok(None),
        Some(Type::ValidationContext(context)) => read_context(context).at("validation_context").map(Some),
        Some(Type::ValidationContextSdsSecretConfig(secret)) => Ok(Some(PeerValidation {
            roots: read_roots(secret).at("validation_context_sds_secret_config")?,
            subject_alt_names: Vec::new(),
            checks: PeerChecks::default(),
        })),
        Some(Type::CombinedValidationContext(combined)) => {
            let field = "combined_validation_context";
            let secret = combined.validation_context_sds_secret_config.as_ref().ok_or_else(|| {
                DecodeError::new(format!("{field}.validation_context_sds_secret_config"), "is missing")
            })?;
            let roots = read_roots(secret).at("validation_context_sds_secret_config").at(field)?;
            let context = combined.default_validation_context.clone().unwrap_or_default();
            let validation = read_context(&context).at("default_validation_context").at(field)?;
            if validation.roots != RootsSource::None {
                let reason = "cannot be together with the secret";
                return Err(DecodeError::new(format!("{field}.default_validation_context.trusted_ca"), reason));
            }
            Ok(Some(PeerValidation { roots, ..validation }))
        }
        Some(_) => Err(DecodeError::new("validation_context_type", "certificate providers are not supported")),
    }
}

fn read_roots(secret: &SdsSecretConfig) -> Result<RootsSource> {
    Ok(match read_secret(secret)? {
        SecretPlace::File(file) => RootsSource::File(file),
        SecretPlace::Named(name) => RootsSource::Secret(name),
    })
}

#[allow(deprecated, reason = "other control planes still write the older field")]
pub(super) fn read_context(context: &CertificateValidationContext) -> Result<PeerValidation> {
    refuse!(context, ca_certificate_provider_instance, system_root_certs, require_signed_certificate_timestamp, crl);
    refuse!(context, custom_validator_config, only_verify_leaf_cert_crl, max_verify_depth);
    let roots = match &context.trusted_ca {
        None => RootsSource::None,
        Some(source) => RootsSource::Pem(PemRoots {
            certificates: data_source::decode(source).at("trusted_ca")?,
            watched_directory: context.watched_directory.as_ref().map(|watched| watched.path.clone().into()),
        }),
    };
    let typed = context.match_typed_subject_alt_names.iter().enumerate();
    let typed = typed.map(|(index, name)| read_name(name).at_index("match_typed_subject_alt_names", index));
    let older = context.match_subject_alt_names.iter().enumerate().map(|(index, name)| {
        let name: StringMatch = matching::decode(name).at_index("match_subject_alt_names", index)?;
        Ok(SubjectAltName { kind: SubjectAltNameKind::Any, name })
    });
    let key_hashes = context.verify_certificate_spki.iter().enumerate();
    let certificate_hashes = context.verify_certificate_hash.iter().enumerate();
    Ok(PeerValidation {
        roots,
        subject_alt_names: typed.chain(older).collect::<Result<_>>()?,
        checks: PeerChecks {
            certificate_hashes: certificate_hashes
                .map(|(index, hash)| read_hex(hash).at_index("verify_certificate_hash", index))
                .collect::<Result<_>>()?,
            key_hashes: key_hashes
                .map(|(index, hash)| read_base64(hash).at_index("verify_certificate_spki", index))
                .collect::<Result<_>>()?,
            allow_expired: context.allow_expired_certificate,
            accept_untrusted: context.trust_chain_verification() == TrustChainVerification::AcceptUntrusted,
        },
    })
}

fn read_name(name: &SubjectAltNameMatcher) -> Result<SubjectAltName> {
    let kind = match name.san_type() {
        SanType::Dns => SubjectAltNameKind::Dns,
        SanType::Email => SubjectAltNameKind::Email,
        SanType::IpAddress => SubjectAltNameKind::IpAddress,
        SanType::Uri => SubjectAltNameKind::Uri,
        SanType::OtherName => return Err(DecodeError::new("san_type", "OTHER_NAME is not supported")),
        SanType::Unspecified => return Err(DecodeError::new("san_type", "is missing")),
    };
    let name = matching::decode(&name.matcher.clone().unwrap_or_default()).at("matcher")?;
    Ok(SubjectAltName { kind, name })
}

fn read_base64(text: &str) -> Result<[u8; 32]> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| DecodeError::new("", "is no SHA-256 in base64"))
}

/// With colons between the bytes or without, as Envoy takes it.
fn read_hex(text: &str) -> Result<[u8; 32]> {
    let wrong = || DecodeError::new("", "is no SHA-256 in hexadecimal");
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let (pairs, []) = digits.as_chunks::<2>() else { return Err(wrong()) };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}
