//! Listener filters: what is done with a connection before a chain is chosen.

use std::time::Duration;

use leno_ir::{Listener, ListenerOptions, ListenerRateLimit, ProxyProtocol, ProxyProtocolVersion};
use leno_proto::envoy::config::core::v3::proxy_protocol_config::Version;
use leno_proto::envoy::config::listener::v3::{Listener as Proto, ListenerFilter, listener_filter};
use leno_proto::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use leno_proto::envoy::extensions::filters::listener::local_ratelimit::v3::LocalRateLimit;
use leno_proto::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use leno_proto::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol as ProtoProxyProtocol;
use leno_proto::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use leno_proto::google::protobuf::Any;
use prost::Message;

use crate::codec::common::{any, duration, is_type, unpack, with_type};
use crate::codec::connection_filter::{decode_bucket, encode_bucket, is_enabled, stat_prefix};
use crate::codec::error::{At, DecodeError, Result, refuse};

const HTTP_INSPECTOR: &str = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";
const LOCAL_RATE_LIMIT: &str = "envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit";
const ORIGINAL_DST: &str = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
const PROXY_PROTOCOL: &str = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
const TLS_INSPECTOR: &str = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";

/// What the filters of a listener are.
#[derive(Debug, Default)]
pub(super) struct Filters {
    pub(super) original_dst: bool,
    pub(super) proxy_protocol: Option<ProxyProtocol>,
    pub(super) inspect_tls: bool,
    pub(super) inspect_http: bool,
    pub(super) rate_limits: Vec<ListenerRateLimit>,
}

pub(super) fn encode(listener: &Listener, proto: &mut Proto) {
    let ListenerOptions { original_dst, proxy_protocol, rate_limits, .. } = &listener.options;
    let filters = &mut proto.listener_filters;
    for limit in rate_limits {
        let config = LocalRateLimit {
            stat_prefix: limit.stat_prefix.clone(),
            token_bucket: Some(encode_bucket(&limit.token_bucket)),
            ..LocalRateLimit::default()
        };
        filters.push(filter("envoy.filters.listener.local_ratelimit", LOCAL_RATE_LIMIT, &config));
    }
    if *original_dst {
        filters.push(filter("envoy.filters.listener.original_dst", ORIGINAL_DST, &OriginalDst {}));
    }
    if let Some(settings) = proxy_protocol {
        filters.push(filter("envoy.filters.listener.proxy_protocol", PROXY_PROTOCOL, &encode_proxy_protocol(settings)));
    }
    if listener.inspect_tls {
        filters.push(filter("envoy.filters.listener.tls_inspector", TLS_INSPECTOR, &TlsInspector::default()));
    }
    if listener.inspect_http {
        filters.push(filter("envoy.filters.listener.http_inspector", HTTP_INSPECTOR, &HttpInspector {}));
        // For servers that speak first: Envoy can only wait a while for the client and then go on.
        proto.listener_filters_timeout = duration(Duration::from_millis(100));
        proto.continue_on_listener_filters_timeout = true;
    }
}

fn filter(name: &str, type_name: &str, config: &impl Message) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(any(type_name, config))),
        ..ListenerFilter::default()
    }
}

fn encode_proxy_protocol(settings: &ProxyProtocol) -> ProtoProxyProtocol {
    let version = |version: &ProxyProtocolVersion| match version {
        ProxyProtocolVersion::V1 => Version::V1.into(),
        ProxyProtocolVersion::V2 => Version::V2.into(),
    };
    ProtoProxyProtocol {
        allow_requests_without_proxy_protocol: settings.allow_requests_without_proxy_protocol,
        disallowed_versions: settings.disallowed_versions.iter().map(version).collect(),
        ..ProtoProxyProtocol::default()
    }
}

pub(super) fn decode(proto: &Proto) -> Result<Filters> {
    let mut filters = Filters::default();
    for (index, filter) in proto.listener_filters.iter().enumerate() {
        decode_one(filter, &mut filters).at_index("listener_filters", index)?;
    }
    Ok(filters)
}

fn decode_one(filter: &ListenerFilter, filters: &mut Filters) -> Result<()> {
    refuse!(filter, filter_disabled);
    let config: Option<&Any> = match &filter.config_type {
        Some(listener_filter::ConfigType::TypedConfig(config)) => Some(config),
        _ => None,
    };
    let has_inspected = filters.inspect_tls || filters.inspect_http;
    if is_type(config, TLS_INSPECTOR) {
        filters.inspect_tls = true;
    } else if is_type(config, HTTP_INSPECTOR) {
        filters.inspect_http = true;
    } else if is_type(config, LOCAL_RATE_LIMIT) {
        filters.rate_limits.extend(decode_rate_limit(&unpack(config, LOCAL_RATE_LIMIT)?).at("typed_config")?);
    } else if is_type(config, ORIGINAL_DST) {
        filters.original_dst = true;
    } else if is_type(config, PROXY_PROTOCOL) {
        if has_inspected {
            return Err(DecodeError::new("", "must stand before the inspectors, which would look at its header"));
        }
        filters.proxy_protocol = Some(decode_proxy_protocol(&unpack(config, PROXY_PROTOCOL)?).at("typed_config")?);
    } else {
        let reason = format!("no such listener filter here: {}", with_type(&filter.name, config));
        return Err(DecodeError::new("", reason));
    }
    Ok(())
}

/// `None`: switched off.
fn decode_rate_limit(proto: &LocalRateLimit) -> Result<Option<ListenerRateLimit>> {
    let limit = ListenerRateLimit {
        stat_prefix: stat_prefix(&proto.stat_prefix)?,
        token_bucket: decode_bucket(proto.token_bucket.as_ref()).at("token_bucket")?,
    };
    Ok(is_enabled(proto.runtime_enabled.as_ref()).then_some(limit))
}

fn decode_proxy_protocol(proto: &ProtoProxyProtocol) -> Result<ProxyProtocol> {
    refuse!(proto, rules, pass_through_tlvs);
    let disallowed = proto.disallowed_versions().map(|version| match version {
        Version::V1 => ProxyProtocolVersion::V1,
        Version::V2 => ProxyProtocolVersion::V2,
    });
    Ok(ProxyProtocol {
        allow_requests_without_proxy_protocol: proto.allow_requests_without_proxy_protocol,
        disallowed_versions: disallowed.collect(),
    })
}
