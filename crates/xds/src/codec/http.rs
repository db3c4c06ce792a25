//! The HTTP connection manager.

mod edge;
mod local_reply;
pub(super) mod options;
pub(super) mod upgrade;

use std::num::NonZeroU32;
use std::sync::Arc;

use leno_ir::{AccessLogMoments, Flavor, HttpCodec, HttpConnectionManager, HttpLimits, RouteSource};
use leno_proto::envoy::config::core::v3::{Http2ProtocolOptions, HttpProtocolOptions};
use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager as Proto, Rds,
    http_connection_manager::{CodecType, HcmAccessLogOptions, RouteSpecifier},
};

use super::common::{ads, bool_value, duration, duration_or_off, read_duration, read_limit, u32_value};
use super::error::{At, DecodeError, Result, refuse};
use super::{access_log, filter, route, router, scoped_routes};

pub(super) const TYPE: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// The most that Envoy takes.
const MAX_HEADERS_KB: u32 = 8192;

pub(super) fn encode(manager: &HttpConnectionManager, flavor: Flavor) -> Proto {
    let mut proto = Proto {
        stat_prefix: manager.stat_prefix.clone(),
        route_specifier: Some(match &manager.routes {
            RouteSource::Inline(table) => RouteSpecifier::RouteConfig(route::encode(table, flavor)),
            RouteSource::Rds(name) => {
                RouteSpecifier::Rds(Rds { route_config_name: name.clone(), config_source: ads() })
            }
            RouteSource::Scoped(scoped) => RouteSpecifier::ScopedRoutes(scoped_routes::encode(scoped, flavor)),
        }),
        http_filters: filter::encode(&manager.filters, &manager.router, flavor),
        ..Proto::default()
    };
    if flavor == Flavor::Grpc {
        return proto;
    }
    proto.codec_type = match manager.codec {
        HttpCodec::Auto => CodecType::Auto,
        HttpCodec::Http1 => CodecType::Http1,
        HttpCodec::Http2 => CodecType::Http2,
    }
    .into();
    proto.access_log = manager.access_log.iter().map(access_log::encode).collect();
    proto.access_log_options = encode_moments(&manager.access_log_moments);
    edge::encode_client_cert(manager.forward_client_cert, manager.client_cert_details, &mut proto);
    proto.generate_request_id = bool_value(manager.generate_request_id);
    proto.upgrade_configs = upgrade::encode(&manager.upgrades, flavor);
    proto.proxy_100_continue = manager.forwards_informational;
    proto.http_protocol_options = Some(options::encode_http1(&manager.http1));
    proto.http2_protocol_options = Some(Http2ProtocolOptions {
        max_concurrent_streams: manager.limits.max_concurrent_streams.and_then(|most| u32_value(most.get())),
        ..options::encode_http2(&manager.http2)
    });
    proto.max_request_headers_kb = u32_value(manager.max_request_headers_bytes.div_ceil(1024).clamp(1, MAX_HEADERS_KB));
    proto.request_headers_timeout = duration_or_off(manager.request_headers_timeout);
    proto.stream_idle_timeout = duration_or_off(manager.stream_idle_timeout);
    proto.common_http_protocol_options = Some(HttpProtocolOptions {
        idle_timeout: duration_or_off(manager.idle_timeout),
        max_headers_count: u32_value(manager.max_request_headers_count),
        max_connection_duration: manager.limits.max_connection_duration.and_then(duration),
        max_requests_per_connection: manager.limits.max_requests_per_connection.and_then(|most| u32_value(most.get())),
        max_stream_duration: manager.limits.max_stream_duration.and_then(duration),
        ..HttpProtocolOptions::default()
    });
    proto.request_timeout = manager.limits.request_timeout.and_then(duration);
    proto.drain_timeout = duration(manager.limits.drain_timeout);
    proto.delayed_close_timeout = duration(manager.limits.delayed_close_timeout);
    edge::encode(&manager.edge, &mut proto);
    proto.local_reply_config = local_reply::encode(&manager.local_replies);
    proto
}

pub(super) fn decode(proto: &Proto) -> Result<HttpConnectionManager> {
    let filters = filter::decode("http_filters", &proto.http_filters)?;
    let router = router::decode("http_filters", &proto.http_filters)?;
    refuse!(proto, early_header_mutation_extensions);
    let routes = match &proto.route_specifier {
        Some(RouteSpecifier::RouteConfig(table)) => {
            RouteSource::Inline(Arc::new(route::decode(table).at("route_config")?))
        }
        Some(RouteSpecifier::Rds(rds)) => RouteSource::Rds(rds.route_config_name.clone()),
        Some(RouteSpecifier::ScopedRoutes(scoped)) => {
            RouteSource::Scoped(Box::new(scoped_routes::decode(scoped).at("scoped_routes")?))
        }
        None => return Err(DecodeError::new("route_specifier", "is missing")),
    };
    let mut access_logs = Vec::with_capacity(proto.access_log.len());
    for (index, log) in proto.access_log.iter().enumerate() {
        access_logs.push(access_log::decode(log).at_index("access_log", index)?);
    }
    let moments = decode_moments(proto).at("access_log_options")?;
    let codec = match proto.codec_type() {
        CodecType::Auto => HttpCodec::Auto,
        CodecType::Http1 => HttpCodec::Http1,
        CodecType::Http2 => HttpCodec::Http2,
        CodecType::Http3 => return Err(DecodeError::new("codec_type", "HTTP3 is not supported")),
    };
    let edge = edge::decode(proto)?;
    let replies = proto.local_reply_config.as_ref().map(local_reply::decode).transpose();
    let (forward_client_cert, client_cert_details) =
        edge::decode_client_cert(proto).at("set_current_client_cert_details")?;
    let default = HttpConnectionManager::new(proto.stat_prefix.clone(), routes);
    let common = proto.common_http_protocol_options.unwrap_or_default();
    let http2 = proto.http2_protocol_options.as_ref();
    let mut http1 = options::decode_http1(proto.http_protocol_options.as_ref()).at("http_protocol_options")?;
    let said = proto.http_protocol_options.as_ref();
    if said.and_then(|said| said.override_stream_error_on_invalid_http_message).is_none() {
        http1.stream_errors = proto.stream_error_on_invalid_http_message.is_some_and(|errors| errors.value);
    }
    Ok(HttpConnectionManager {
        codec,
        filters,
        access_log: access_logs,
        access_log_moments: moments,
        local_replies: replies.at("local_reply_config")?.unwrap_or_default(),
        forward_client_cert,
        client_cert_details,
        generate_request_id: proto.generate_request_id.as_ref().is_none_or(|generate| generate.value),
        upgrades: upgrade::decode(&proto.upgrade_configs)?,
        forwards_informational: proto.proxy_100_continue,
        http1,
        http2: options::decode_http2(http2).at("http2_protocol_options")?,
        max_request_headers_bytes: proto
            .max_request_headers_kb
            .as_ref()
            .map_or(default.max_request_headers_bytes, |kilobytes| kilobytes.value.saturating_mul(1024)),
        max_request_headers_count: common
            .max_headers_count
            .as_ref()
            .map_or(default.max_request_headers_count, |count| count.value),
        request_headers_timeout: read_limit(proto.request_headers_timeout.as_ref(), None),
        stream_idle_timeout: read_limit(proto.stream_idle_timeout.as_ref(), default.stream_idle_timeout),
        idle_timeout: read_limit(common.idle_timeout.as_ref(), default.idle_timeout),
        router,
        edge,
        limits: HttpLimits {
            max_connection_duration: read_limit(common.max_connection_duration.as_ref(), None),
            max_requests_per_connection: common
                .max_requests_per_connection
                .as_ref()
                .and_then(|most| NonZeroU32::new(most.value)),
            max_stream_duration: read_limit(common.max_stream_duration.as_ref(), None),
            request_timeout: read_limit(proto.request_timeout.as_ref(), None),
            drain_timeout: read_duration(proto.drain_timeout.as_ref()).unwrap_or(default.limits.drain_timeout),
            delayed_close_timeout: read_duration(proto.delayed_close_timeout.as_ref())
                .unwrap_or(default.limits.delayed_close_timeout),
            max_concurrent_streams: http2
                .and_then(|http2| http2.max_concurrent_streams)
                .and_then(|most| NonZeroU32::new(most.value)),
        },
        ..default
    })
}

fn encode_moments(moments: &AccessLogMoments) -> Option<HcmAccessLogOptions> {
    (*moments != AccessLogMoments::default()).then(|| HcmAccessLogOptions {
        access_log_flush_interval: moments.interval.and_then(duration),
        flush_access_log_on_new_request: moments.at_start,
        flush_log_on_tunnel_successfully_established: moments.when_connected,
    })
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
fn decode_moments(proto: &Proto) -> Result<AccessLogMoments> {
    let older = HcmAccessLogOptions {
        access_log_flush_interval: proto.access_log_flush_interval,
        flush_access_log_on_new_request: proto.flush_access_log_on_new_request,
        flush_log_on_tunnel_successfully_established: false,
    };
    let options = proto.access_log_options.as_ref().unwrap_or(&older);
    Ok(AccessLogMoments {
        at_start: options.flush_access_log_on_new_request,
        when_connected: options.flush_log_on_tunnel_successfully_established,
        interval: access_log::read_interval(options.access_log_flush_interval.as_ref())?,
    })
}
