//! The transport socket of a cluster, which may put a PROXY header before everything else.

use leno_ir::{Flavor, ProxyProtocolVersion, UpstreamTls};
use leno_proto::envoy::config::core::v3::proxy_protocol_config::Version;
use leno_proto::envoy::config::core::v3::{ProxyProtocolConfig, TransportSocket, transport_socket::ConfigType};
use leno_proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use leno_proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;

use super::common::{any, is_type, unpack};
use super::error::{At, DecodeError, Result, refuse};
use super::tls;

const UPSTREAM: &str = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";

/// How an endpoint is connected to; `None`: as it is.
pub(super) fn encode(
    version: Option<ProxyProtocolVersion>,
    tls: Option<&UpstreamTls>,
    flavor: Flavor,
) -> Option<TransportSocket> {
    let inner = tls.map(|settings| tls::upstream(settings, flavor));
    let Some(version) = version else { return inner };
    let outer = ProxyProtocolUpstreamTransport {
        config: Some(encode_config(version)),
        transport_socket: Some(inner.unwrap_or_else(raw)),
        ..ProxyProtocolUpstreamTransport::default()
    };
    Some(socket("envoy.transport_sockets.upstream_proxy_protocol", any(UPSTREAM, &outer)))
}

pub(super) fn encode_config(version: ProxyProtocolVersion) -> ProxyProtocolConfig {
    let version = match version {
        ProxyProtocolVersion::V1 => Version::V1,
        ProxyProtocolVersion::V2 => Version::V2,
    };
    ProxyProtocolConfig { version: version.into(), ..ProxyProtocolConfig::default() }
}

/// The bytes as they are.
pub(super) fn raw() -> TransportSocket {
    socket("envoy.transport_sockets.raw_buffer", any(tls::RAW_BUFFER, &RawBuffer::default()))
}

fn socket(name: &str, config: leno_proto::google::protobuf::Any) -> TransportSocket {
    TransportSocket { name: name.to_owned(), config_type: Some(ConfigType::TypedConfig(config)) }
}

pub(super) fn decode(socket: &TransportSocket) -> Result<(Option<ProxyProtocolVersion>, Option<UpstreamTls>)> {
    if !is_type(tls::config(socket), UPSTREAM) {
        return Ok((None, tls::read_upstream(socket)?));
    }
    let outer: ProxyProtocolUpstreamTransport = unpack(tls::config(socket), UPSTREAM)?;
    let (version, tls) = decode_outer(&outer).at("typed_config")?;
    Ok((Some(version), tls))
}

fn decode_outer(outer: &ProxyProtocolUpstreamTransport) -> Result<(ProxyProtocolVersion, Option<UpstreamTls>)> {
    refuse!(outer, allow_unspecified_address, tlv_as_pool_key);
    let none = ProxyProtocolConfig::default();
    let version = decode_version(outer.config.as_ref().unwrap_or(&none)).at("config")?;
    let inner = outer.transport_socket.as_ref().ok_or_else(|| DecodeError::new("transport_socket", "is missing"))?;
    Ok((version, tls::read_upstream(inner).at("transport_socket")?))
}

pub(super) fn decode_version(config: &ProxyProtocolConfig) -> Result<ProxyProtocolVersion> {
    refuse!(config, pass_through_tlvs, added_tlvs);
    match Version::try_from(config.version) {
        Ok(Version::V1) => Ok(ProxyProtocolVersion::V1),
        Ok(Version::V2) => Ok(ProxyProtocolVersion::V2),
        Err(_) => Err(DecodeError::new("version", "is neither V1 nor V2")),
    }
}
