use leno_ir::{DownstreamTls, Flavor, PeerValidation, StringMatch, UpstreamTls};
use leno_proto::envoy::config::core::v3::{TransportSocket, transport_socket::ConfigType};
use leno_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateProviderPluginInstance, CertificateValidationContext, CommonTlsContext, DownstreamTlsContext,
    SdsSecretConfig, SubjectAltNameMatcher, TlsParameters, UpstreamTlsContext, common_tls_context,
    subject_alt_name_matcher, tls_parameters,
};
use leno_proto::google::protobuf::Any;

use super::common::{ads, any, bool_value, unpack};
use super::error::{At, DecodeError, Result, refuse};
use super::matching;

const NAME: &str = "envoy.transport_sockets.tls";
const DOWNSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
/// The certificate provider that `leno bootstrap grpc` defines.
const PROVIDER: &str = "default";

pub(super) fn downstream(tls: &DownstreamTls, flavor: Flavor) -> TransportSocket {
    let context = DownstreamTlsContext {
        common_tls_context: Some(common(Some(&tls.certificate), tls.validation.as_ref(), &tls.alpn, flavor)),
        require_client_certificate: bool_value(tls.require_client_certificate),
        disable_stateful_session_resumption: true,
        session_ticket_keys_type: Some(
            leno_proto::envoy::extensions::transport_sockets::tls::v3::downstream_tls_context::SessionTicketKeysType::DisableStatelessSessionResumption(true),
        ),
        ..DownstreamTlsContext::default()
    };
    socket(any(DOWNSTREAM, &context))
}

pub(super) fn upstream(tls: &UpstreamTls, flavor: Flavor) -> TransportSocket {
    let context = UpstreamTlsContext {
        common_tls_context: Some(common(tls.certificate.as_deref(), Some(&tls.validation), &tls.alpn, flavor)),
        sni: tls.sni.clone().unwrap_or_default(),
        // Resumption would hide a rotation.
        max_session_keys: super::common::u32_value(0),
        ..UpstreamTlsContext::default()
    };
    socket(any(UPSTREAM, &context))
}

fn socket(config: Any) -> TransportSocket {
    TransportSocket { name: NAME.to_owned(), config_type: Some(ConfigType::TypedConfig(config)) }
}

fn common(
    certificate: Option<&str>,
    validation: Option<&PeerValidation>,
    alpn: &[String],
    flavor: Flavor,
) -> CommonTlsContext {
    let mut context = CommonTlsContext { alpn_protocols: alpn.to_vec(), ..CommonTlsContext::default() };
    if flavor == Flavor::Grpc {
        context.alpn_protocols.clear();
        context.tls_certificate_provider_instance = certificate.map(|_| provider());
        context.validation_context_type = validation.map(grpc_validation);
        return context;
    }
    context.tls_params = Some(TlsParameters {
        tls_minimum_protocol_version: tls_parameters::TlsProtocol::TlSv13.into(),
        tls_maximum_protocol_version: tls_parameters::TlsProtocol::TlSv13.into(),
        ..TlsParameters::default()
    });
    context.tls_certificate_sds_secret_configs = certificate.into_iter().map(secret).collect();
    context.validation_context_type = validation.map(|validation| {
        let default = CertificateValidationContext {
            match_typed_subject_alt_names: validation.subject_alt_names.iter().map(uri).collect(),
            ..CertificateValidationContext::default()
        };
        combined(default, Some(secret(&validation.roots)))
    });
    context
}

#[allow(deprecated, reason = "gRPC reads the older field")]
fn grpc_validation(validation: &PeerValidation) -> common_tls_context::ValidationContextType {
    let default = CertificateValidationContext {
        ca_certificate_provider_instance: Some(provider()),
        match_subject_alt_names: validation.subject_alt_names.iter().map(matching::encode).collect(),
        ..CertificateValidationContext::default()
    };
    combined(default, None)
}

fn combined(
    default: CertificateValidationContext,
    secret: Option<SdsSecretConfig>,
) -> common_tls_context::ValidationContextType {
    common_tls_context::ValidationContextType::CombinedValidationContext(
        common_tls_context::CombinedCertificateValidationContext {
            default_validation_context: Some(default),
            validation_context_sds_secret_config: secret,
            ..Default::default()
        },
    )
}

fn provider() -> CertificateProviderPluginInstance {
    CertificateProviderPluginInstance { instance_name: PROVIDER.to_owned(), ..Default::default() }
}

fn secret(name: &str) -> SdsSecretConfig {
    SdsSecretConfig { name: name.to_owned(), sds_config: ads() }
}

fn uri(name: &StringMatch) -> SubjectAltNameMatcher {
    SubjectAltNameMatcher {
        san_type: subject_alt_name_matcher::SanType::Uri.into(),
        matcher: Some(matching::encode(name)),
        ..SubjectAltNameMatcher::default()
    }
}

pub(super) fn read_downstream(socket: &TransportSocket) -> Result<DownstreamTls> {
    let context: DownstreamTlsContext = unpack(config(socket), DOWNSTREAM)?;
    refuse!(context, require_sni, ocsp_staple_policy);
    let common = context.common_tls_context.unwrap_or_default();
    let certificate = read_certificate(&common).at("common_tls_context")?;
    Ok(DownstreamTls {
        certificate: certificate
            .ok_or_else(|| DecodeError::new("common_tls_context.tls_certificate_sds_secret_configs", "is missing"))?,
        validation: read_validation(&common).at("common_tls_context")?,
        require_client_certificate: context.require_client_certificate.is_some_and(|required| required.value),
        alpn: common.alpn_protocols,
    })
}

pub(super) fn read_upstream(socket: &TransportSocket) -> Result<UpstreamTls> {
    let context: UpstreamTlsContext = unpack(config(socket), UPSTREAM)?;
    refuse!(context, auto_host_sni, auto_sni_san_validation);
    let common = context.common_tls_context.unwrap_or_default();
    Ok(UpstreamTls {
        certificate: read_certificate(&common).at("common_tls_context")?,
        validation: read_validation(&common).at("common_tls_context")?.ok_or_else(|| {
            DecodeError::new("common_tls_context.validation_context", "is missing: an unverified peer is not supported")
        })?,
        sni: Some(context.sni).filter(|sni| !sni.is_empty()),
        alpn: common.alpn_protocols,
    })
}

fn config(socket: &TransportSocket) -> Option<&Any> {
    match &socket.config_type {
        Some(ConfigType::TypedConfig(config)) => Some(config),
        None => None,
    }
}

fn read_certificate(common: &CommonTlsContext) -> Result<Option<String>> {
    if !common.tls_certificates.is_empty() {
        return Err(DecodeError::new("tls_certificates", "only certificates by SDS are supported"));
    }
    Ok(common.tls_certificate_sds_secret_configs.first().map(|secret| secret.name.clone()))
}

fn read_validation(common: &CommonTlsContext) -> Result<Option<PeerValidation>> {
    use common_tls_context::ValidationContextType as Type;
    match &common.validation_context_type {
        None => Ok(None),
        Some(Type::ValidationContextSdsSecretConfig(secret)) => {
            Ok(Some(PeerValidation { roots: secret.name.clone(), subject_alt_names: Vec::new() }))
        }
        Some(Type::CombinedValidationContext(combined)) => {
            let field = "combined_validation_context";
            let roots = combined.validation_context_sds_secret_config.as_ref().map(|secret| secret.name.clone());
            let roots = roots.ok_or_else(|| {
                DecodeError::new(format!("{field}.validation_context_sds_secret_config"), "is missing")
            })?;
            let context = combined.default_validation_context.clone().unwrap_or_default();
            let subject_alt_names = read_names(&context).at("default_validation_context").at(field)?;
            Ok(Some(PeerValidation { roots, subject_alt_names }))
        }
        Some(_) => Err(DecodeError::new("validation_context", "only trust bundles by SDS are supported")),
    }
}

/// The names that are accepted. Whatever else a peer would be checked for is refused, or it would go unchecked.
#[allow(deprecated, reason = "other control planes still write the older field")]
fn read_names(context: &CertificateValidationContext) -> Result<Vec<StringMatch>> {
    refuse!(context, verify_certificate_spki, verify_certificate_hash, crl, custom_validator_config, max_verify_depth);
    let typed = context.match_typed_subject_alt_names.iter().map(|name| name.matcher.clone().unwrap_or_default());
    let names = typed.chain(context.match_subject_alt_names.iter().cloned());
    names.enumerate().map(|(index, name)| matching::decode(&name).at_index("match_subject_alt_names", index)).collect()
}
