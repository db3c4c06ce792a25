//! How connections to endpoints are made, both ways. Envoy counts the times of keepalive in whole seconds.

use std::time::Duration;

use leno_ir::{TcpKeepalive, UpstreamSocket};
use leno_proto::envoy::config::cluster::v3::{Cluster as Proto, UpstreamConnectionOptions};
use leno_proto::envoy::config::core::v3::{
    Address, BindConfig, TcpKeepalive as ProtoKeepalive, address::Address as Kind,
};

use super::common::{address, read_address, u32_value};
use super::error::{At, Result, refuse};

pub(super) fn encode(proto: &mut Proto, socket: &UpstreamSocket) {
    let source = socket.source_address.and_then(address).and_then(|address| address.address);
    proto.upstream_bind_config = source.and_then(|source| match source {
        Kind::SocketAddress(source) => Some(BindConfig { source_address: Some(source), ..BindConfig::default() }),
        _ => None,
    });
    proto.upstream_connection_options = socket.keepalive.map(|of| UpstreamConnectionOptions {
        tcp_keepalive: Some(encode_keepalive(&of)),
        ..UpstreamConnectionOptions::default()
    });
}

pub(super) fn decode(proto: &Proto) -> Result<UpstreamSocket> {
    let bind = proto.upstream_bind_config.as_ref().map(decode_bind).transpose().at("upstream_bind_config")?.flatten();
    let keepalive = match &proto.upstream_connection_options {
        None => None,
        Some(options) => decode_options(options).at("upstream_connection_options")?,
    };
    Ok(UpstreamSocket { source_address: bind, keepalive })
}

#[allow(deprecated, reason = "a field that is refused has to be looked at")]
fn decode_bind(bind: &BindConfig) -> Result<Option<std::net::SocketAddr>> {
    refuse!(bind, socket_options, extra_source_addresses, additional_source_addresses, local_address_selector);
    if bind.freebind.is_some_and(|freebind| freebind.value) {
        return Err(super::error::DecodeError::unsupported("freebind"));
    }
    let Some(source) = &bind.source_address else { return Ok(None) };
    let source = Address { address: Some(Kind::SocketAddress(source.clone())) };
    read_address(Some(&source)).map(Some).at("source_address")
}

fn decode_options(options: &UpstreamConnectionOptions) -> Result<Option<TcpKeepalive>> {
    refuse!(options, set_local_interface_name_on_upstream_connections);
    Ok(options.tcp_keepalive.as_ref().map(decode_keepalive))
}

pub(super) fn encode_keepalive(keepalive: &TcpKeepalive) -> ProtoKeepalive {
    let seconds =
        |time: Option<Duration>| time.and_then(|time| u32_value(u32::try_from(time.as_secs()).unwrap_or(u32::MAX)));
    ProtoKeepalive {
        keepalive_probes: keepalive.probes.and_then(u32_value),
        keepalive_time: seconds(keepalive.time),
        keepalive_interval: seconds(keepalive.interval),
    }
}

pub(super) fn decode_keepalive(keepalive: &ProtoKeepalive) -> TcpKeepalive {
    let seconds = |value: u32| Duration::from_secs(value.into());
    TcpKeepalive {
        probes: keepalive.keepalive_probes.map(|count| count.value),
        time: keepalive.keepalive_time.map(|time| seconds(time.value)),
        interval: keepalive.keepalive_interval.map(|time| seconds(time.value)),
    }
}
