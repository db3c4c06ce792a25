//! TLS contexts: those of the mesh, whose certificates are secrets of SDS, and those that bring their own.

mod certificate;
mod parameters;
mod secret_config;
mod validation;

use leno_ir::{CertificateSource, DownstreamSessions, DownstreamTls, Flavor, PeerValidation, TlsVersion, UpstreamTls};
use leno_proto::envoy::config::core::v3::{TransportSocket, transport_socket::ConfigType};
use leno_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateProviderPluginInstance, CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext,
    downstream_tls_context::SessionTicketKeysType,
};
use leno_proto::google::protobuf::Any;

pub(crate) use self::certificate::decode_secret;
use self::secret_config::{encode_file, encode_named};
use super::common::{any, bool_value, is_type, u32_value, unpack};
use super::error::{At, DecodeError, Result, refuse};

const NAME: &str = "envoy.transport_sockets.tls";
pub(super) const DOWNSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
pub(super) const UPSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
pub(super) const RAW_BUFFER: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
/// The certificate provider that `leno bootstrap grpc` defines.
const PROVIDER: &str = "default";

pub(super) fn downstream(tls: &DownstreamTls, flavor: Flavor) -> TransportSocket {
    let mut common = common(Some(&tls.certificate), tls.validation.as_ref(), &tls.alpn, flavor);
    if flavor != Flavor::Grpc {
        common.tls_params = Some(parameters::encode(&tls.parameters));
    }
    let context = DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: bool_value(tls.require_client_certificate),
        disable_stateful_session_resumption: !tls.sessions.stateful,
        session_ticket_keys_type: Some(SessionTicketKeysType::DisableStatelessSessionResumption(
            !tls.sessions.stateless,
        )),
        ..DownstreamTlsContext::default()
    };
    socket(any(DOWNSTREAM, &context))
}

pub(super) fn upstream(tls: &UpstreamTls, flavor: Flavor) -> TransportSocket {
    let mut common = common(tls.certificate.as_ref(), tls.validation.as_ref(), &tls.alpn, flavor);
    if flavor != Flavor::Grpc {
        common.tls_params = Some(parameters::encode(&tls.parameters));
    }
    let context = UpstreamTlsContext {
        common_tls_context: Some(common),
        sni: tls.sni.clone().unwrap_or_default(),
        // Between proxies of the mesh none: resumption would hide a rotation.
        max_session_keys: u32_value(tls.max_session_keys),
        auto_sni_san_validation: tls.auto_sni_san_validation,
        ..UpstreamTlsContext::default()
    };
    socket(any(UPSTREAM, &context))
}

fn socket(config: Any) -> TransportSocket {
    TransportSocket { name: NAME.to_owned(), config_type: Some(ConfigType::TypedConfig(config)) }
}

fn common(
    certificate: Option<&CertificateSource>,
    validation: Option<&PeerValidation>,
    alpn: &[String],
    flavor: Flavor,
) -> CommonTlsContext {
    let mut context = CommonTlsContext { alpn_protocols: alpn.to_vec(), ..CommonTlsContext::default() };
    if flavor == Flavor::Grpc {
        context.alpn_protocols.clear();
        context.tls_certificate_provider_instance = certificate.map(|_| provider());
        context.validation_context_type = validation.map(validation::encode_grpc);
        return context;
    }
    match certificate {
        None => {}
        Some(CertificateSource::Pem(certificates)) => {
            context.tls_certificates = certificates.iter().map(certificate::encode).collect();
        }
        Some(CertificateSource::File(file)) => context.tls_certificate_sds_secret_configs = vec![encode_file(file)],
        Some(CertificateSource::Secret(name)) => context.tls_certificate_sds_secret_configs = vec![encode_named(name)],
    }
    context.validation_context_type = validation.map(validation::encode);
    context
}

fn provider() -> CertificateProviderPluginInstance {
    CertificateProviderPluginInstance { instance_name: PROVIDER.to_owned(), ..Default::default() }
}

/// `None`: the bytes as they are.
pub(super) fn read_downstream(socket: &TransportSocket) -> Result<Option<DownstreamTls>> {
    if is_type(config(socket), RAW_BUFFER) {
        return Ok(None);
    }
    let context: DownstreamTlsContext = unpack(config(socket), DOWNSTREAM)?;
    read_downstream_context(&context).at("typed_config").map(Some)
}

fn read_downstream_context(context: &DownstreamTlsContext) -> Result<DownstreamTls> {
    refuse!(context, session_timeout, prefer_client_ciphers);
    if context.ocsp_staple_policy != 0 {
        return Err(DecodeError::new("ocsp_staple_policy", "only LENIENT_STAPLING is supported"));
    }
    if context.require_sni.as_ref().is_some_and(|required| required.value) {
        return Err(DecodeError::new("require_sni", "is not supported, and has no effect in Envoy"));
    }
    if context.full_scan_certs_on_sni_mismatch.as_ref().is_some_and(|scan| scan.value) {
        return Err(DecodeError::unsupported("full_scan_certs_on_sni_mismatch"));
    }
    let stateless = match &context.session_ticket_keys_type {
        None => true,
        Some(SessionTicketKeysType::DisableStatelessSessionResumption(disabled)) => !disabled,
        Some(_) => return Err(DecodeError::unsupported("session_ticket_keys")),
    };
    let common = context.common_tls_context.clone().unwrap_or_default();
    check(&common).at("common_tls_context")?;
    let certificate = certificate::read(&common).at("common_tls_context")?;
    Ok(DownstreamTls {
        certificate: certificate
            .ok_or_else(|| DecodeError::new("common_tls_context.tls_certificates", "is missing"))?,
        validation: validation::read(&common).at("common_tls_context")?,
        require_client_certificate: context.require_client_certificate.is_some_and(|required| required.value),
        parameters: parameters::read(common.tls_params.as_ref(), TlsVersion::Tls13)
            .at("tls_params")
            .at("common_tls_context")?,
        sessions: DownstreamSessions { stateless, stateful: !context.disable_stateful_session_resumption },
        alpn: common.alpn_protocols,
    })
}

/// `None`: the bytes as they are.
pub(super) fn read_upstream(socket: &TransportSocket) -> Result<Option<UpstreamTls>> {
    if is_type(config(socket), RAW_BUFFER) {
        return Ok(None);
    }
    let context: UpstreamTlsContext = unpack(config(socket), UPSTREAM)?;
    read_upstream_context(&context).at("typed_config").map(Some)
}

fn read_upstream_context(context: &UpstreamTlsContext) -> Result<UpstreamTls> {
    refuse!(context, auto_host_sni, allow_renegotiation);
    let common = context.common_tls_context.clone().unwrap_or_default();
    check(&common).at("common_tls_context")?;
    let parameters = parameters::read(common.tls_params.as_ref(), TlsVersion::Tls12);
    let certificate = certificate::read(&common).at("common_tls_context")?;
    if let Some(CertificateSource::Pem(certificates)) = &certificate
        && certificates.len() > 1
    {
        return Err(DecodeError::new("common_tls_context.tls_certificates", "a client can only have one certificate"));
    }
    Ok(UpstreamTls {
        certificate,
        validation: validation::read(&common).at("common_tls_context")?,
        sni: Some(context.sni.clone()).filter(|sni| !sni.is_empty()),
        parameters: parameters.at("tls_params").at("common_tls_context")?,
        max_session_keys: context.max_session_keys.as_ref().map_or(1, |keys| keys.value),
        auto_sni_san_validation: context.auto_sni_san_validation,
        alpn: common.alpn_protocols,
    })
}

#[allow(deprecated, reason = "what is deprecated is refused as well")]
fn check(common: &CommonTlsContext) -> Result<()> {
    refuse!(common, tls_certificate_provider_instance, custom_tls_certificate_selector, custom_handshaker, key_log);
    refuse!(common, tls_certificate_certificate_provider, tls_certificate_certificate_provider_instance);
    Ok(())
}

pub(super) fn config(socket: &TransportSocket) -> Option<&Any> {
    match &socket.config_type {
        Some(ConfigType::TypedConfig(config)) => Some(config),
        None => None,
    }
}
