use std::collections::HashMap;

use leno_ir::{Cluster, Flavor, ResponseHeaders, ServerNameOfRequest, SocketMatch, UpstreamHttp, UpstreamProtocol};
use leno_names::ServiceKey;
use leno_proto::envoy::config::cluster::v3::{Cluster as Proto, cluster::TransportSocketMatch};
use leno_proto::envoy::config::core::v3::{
    Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions as CommonOptions, Metadata,
    UpstreamHttpProtocolOptions,
};
use leno_proto::envoy::extensions::upstreams::http::v3::{
    HttpProtocolOptions,
    http_protocol_options::{
        AutoHttpConfig, ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
        explicit_http_config::ProtocolConfig,
    },
};
use leno_proto::google::protobuf::UInt32Value;

use super::common::{
    any, as_list, as_struct, as_text, duration, duration_or_off, list, object, read_duration, read_limit, string,
    structure, u32_value, unpack,
};
use super::error::{At, DecodeError, Result, refuse};
use super::http::options;
use super::metadata::{decode_beside, encode_beside};
use super::{balancer, discovery, health_check, outlier, policy, proxy_protocol, socket, subset};

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const FILTER: &str = "istio";
const SERVICES: &str = "services";
/// The most that Envoy takes.
const MAX_HEADERS_KB: u32 = 8192;
/// "No limit" for streams of one HTTP/2 connection (RFC 9113 §6.5.2).
const MAX_STREAMS: u32 = 0x7fff_ffff;

pub(super) fn encode(cluster: &Cluster, flavor: Flavor) -> Proto {
    let mut proto = Proto {
        name: cluster.name.clone(),
        connect_timeout: duration(cluster.connect_timeout),
        circuit_breakers: Some(policy::encode_breakers(&cluster.circuit_breakers)),
        transport_socket: proxy_protocol::encode(cluster.proxy_protocol, cluster.tls.as_ref(), flavor),
        metadata: encode_beside(&cluster.metadata, cluster.service.as_ref().map(metadata)),
        ..Proto::default()
    };
    discovery::encode(&mut proto, &cluster.discovery);
    if flavor != Flavor::Grpc {
        socket::encode(&mut proto, &cluster.socket);
    }
    balancer::encode(&mut proto, cluster, flavor);
    if flavor == Flavor::Grpc {
        return proto;
    }
    proto.transport_socket_matches =
        cluster.socket_matches.iter().map(|one| encode_socket_match(one, flavor)).collect();
    let detection = cluster.outlier_detection.as_ref();
    proto.outlier_detection = detection.map(outlier::encode);
    proto.health_checks = cluster.health_check.iter().map(|check| health_check::encode(check)).collect();
    proto.typed_extension_protocol_options =
        HashMap::from([(OPTIONS.to_owned(), any(OPTIONS, &encode_http(&cluster.http)))]);
    proto
}

fn encode_socket_match(one: &SocketMatch, flavor: Flavor) -> TransportSocketMatch {
    let socket = proxy_protocol::encode(one.proxy_protocol, one.tls.as_ref(), flavor);
    TransportSocketMatch {
        name: one.name.clone(),
        r#match: Some(subset::encode_fields(&one.labels)),
        transport_socket: Some(socket.unwrap_or_else(proxy_protocol::raw)),
    }
}

fn decode_socket_match(proto: &TransportSocketMatch) -> Result<SocketMatch> {
    if proto.name.is_empty() {
        return Err(DecodeError::new("name", "is missing"));
    }
    // As in Envoy, none is the bytes as they are.
    let socket = proto.transport_socket.as_ref().map(proxy_protocol::decode).transpose().at("transport_socket")?;
    let (proxy_protocol, tls) = socket.unwrap_or_default();
    let labels = proto.r#match.as_ref().map(subset::decode_fields).unwrap_or_default();
    Ok(SocketMatch { name: proto.name.clone(), labels, tls, proxy_protocol })
}

fn encode_http(http: &UpstreamHttp) -> HttpProtocolOptions {
    let http1 = || options::encode_http1(&http.http1);
    let http2 = || Http2ProtocolOptions {
        max_concurrent_streams: u32_value(http.max_concurrent_streams.clamp(1, MAX_STREAMS)),
        ..options::encode_http2(&http.http2)
    };
    let explicit =
        |config| UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(config) });
    HttpProtocolOptions {
        common_http_protocol_options: Some(CommonOptions {
            idle_timeout: duration_or_off(Some(http.idle_timeout)),
            max_requests_per_connection: http.max_requests_per_connection.and_then(u32_value),
            max_connection_duration: http.max_connection_duration.and_then(duration),
            max_response_headers_kb: said(http.response_headers.most_bytes.div_ceil(1024).clamp(1, MAX_HEADERS_KB), 60),
            max_headers_count: said(http.response_headers.most_count, 100),
            ..CommonOptions::default()
        }),
        upstream_http_protocol_options: http.server_name.as_ref().map(|name| UpstreamHttpProtocolOptions {
            auto_sni: name.is_sent,
            auto_san_validation: name.is_checked,
            override_auto_sni_header: name.header.clone().unwrap_or_default(),
        }),
        upstream_protocol_options: Some(match http.protocol {
            UpstreamProtocol::Http1 => explicit(ProtocolConfig::HttpProtocolOptions(http1())),
            UpstreamProtocol::Http2 => explicit(ProtocolConfig::Http2ProtocolOptions(http2())),
            UpstreamProtocol::Negotiated => UpstreamProtocolOptions::AutoConfig(AutoHttpConfig {
                http_protocol_options: Some(http1()),
                http2_protocol_options: Some(http2()),
                ..AutoHttpConfig::default()
            }),
            UpstreamProtocol::SameAsDownstream => {
                UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                    http_protocol_options: Some(http1()),
                    http2_protocol_options: Some(http2()),
                    ..UseDownstreamHttpConfig::default()
                })
            }
        }),
        ..HttpProtocolOptions::default()
    }
}

/// Nothing of what is the default anyway.
fn said(value: u32, default: u32) -> Option<UInt32Value> {
    if value == default { None } else { u32_value(value) }
}

/// As Istio names the services behind a cluster.
fn metadata(service: &ServiceKey) -> Metadata {
    let entry = object([("name", string(service.name.as_str())), ("namespace", string(service.namespace.as_str()))]);
    let fields = structure([(SERVICES, list(vec![entry]))]);
    Metadata { filter_metadata: HashMap::from([(FILTER.to_owned(), fields)]), ..Metadata::default() }
}

fn read_service(metadata: Option<&Metadata>) -> Option<ServiceKey> {
    let fields = metadata?.filter_metadata.get(FILTER)?;
    let entry = as_struct(as_list(fields.fields.get(SERVICES)).first()?)?;
    let text = |name: &str| as_text(entry.fields.get(name));
    Some(ServiceKey::new(text("namespace")?, text("name")?))
}

#[allow(deprecated, reason = "refused where other control planes still write them")]
pub(super) fn decode(proto: &Proto) -> Result<Cluster> {
    let discovery = discovery::decode(proto)?;
    refuse!(proto, transport_socket_matcher, filters, queuing_policies);
    refuse!(proto, upstream_config, connection_pool_per_downstream_connection);
    refuse!(proto, protocol_selection, upstream_http_protocol_options, http_protocol_options, preconnect_policy);
    refuse!(proto, alt_stat_name, track_timeout_budgets, lrs_server, lrs_report_endpoint_metrics, track_cluster_stats);
    let socket = proto.transport_socket.as_ref().map(proxy_protocol::decode).transpose().at("transport_socket")?;
    let (proxy_protocol, tls) = socket.unwrap_or_default();
    let health_check = health_check::decode_one(&proto.health_checks)?;
    let mut socket_matches = Vec::with_capacity(proto.transport_socket_matches.len());
    for (index, one) in proto.transport_socket_matches.iter().enumerate() {
        socket_matches.push(decode_socket_match(one).at_index("transport_socket_matches", index)?);
    }
    if tls.is_some() && health_check.as_ref().is_some_and(|check| !check.alpn.is_empty()) {
        // Without TLS it means nothing.
        return Err(DecodeError::unsupported("health_checks[0].tls_options.alpn_protocols"));
    }
    let http = decode_http(proto)?;
    if http.protocol == UpstreamProtocol::Negotiated
        && (tls.is_none() || socket_matches.iter().any(|one| one.tls.is_none()))
    {
        return Err(DecodeError::new("auto_config", "needs TLS, in whose handshake the protocol is chosen"));
    }
    let (balancer, balancing) = balancer::decode(proto, &discovery)?;
    Ok(Cluster {
        name: proto.name.clone(),
        discovery,
        connect_timeout: read_duration(proto.connect_timeout.as_ref()).unwrap_or(policy::CONNECT_TIMEOUT),
        balancer,
        balancing,
        health_check,
        circuit_breakers: policy::decode_breakers(proto.circuit_breakers.as_ref()).at("circuit_breakers")?,
        outlier_detection: proto.outlier_detection.as_ref().map(outlier::decode).transpose().at("outlier_detection")?,
        tls,
        proxy_protocol,
        socket: socket::decode(proto)?,
        socket_matches,
        http,
        service: read_service(proto.metadata.as_ref()),
        metadata: decode_beside(proto.metadata.as_ref(), FILTER, SERVICES),
    })
}

/// What goes before the options of the protocol says nothing where those are given, as in Envoy.
#[allow(deprecated, reason = "other control planes still say it on the cluster itself")]
fn decode_http(proto: &Proto) -> Result<UpstreamHttp> {
    if let Some(other) = proto.typed_extension_protocol_options.keys().find(|name| *name != OPTIONS) {
        return Err(DecodeError::unsupported(format!("typed_extension_protocol_options[{other}]")));
    }
    let Some(config) = proto.typed_extension_protocol_options.get(OPTIONS) else {
        let protocol =
            if proto.http2_protocol_options.is_some() { UpstreamProtocol::Http2 } else { UpstreamProtocol::Http1 };
        let common = proto.common_http_protocol_options.unwrap_or_default();
        let http = decode_common(&common, protocol, None, proto.http2_protocol_options.as_ref())?;
        let requests = proto.max_requests_per_connection.map(|count| count.value).filter(|count| *count > 0);
        return Ok(UpstreamHttp { max_requests_per_connection: http.max_requests_per_connection.or(requests), ..http });
    };
    let options: HttpProtocolOptions =
        unpack(Some(config), OPTIONS).at(&format!("typed_extension_protocol_options[{OPTIONS}]"))?;
    let common = options.common_http_protocol_options.unwrap_or_default();
    let (protocol, http1, http2) = match options.upstream_protocol_options {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => match explicit.protocol_config {
            Some(ProtocolConfig::Http2ProtocolOptions(http2)) => (UpstreamProtocol::Http2, None, Some(http2)),
            Some(ProtocolConfig::HttpProtocolOptions(http1)) => (UpstreamProtocol::Http1, Some(http1), None),
            None => (UpstreamProtocol::Http1, None, None),
            Some(_) => return Err(DecodeError::new("explicit_http_config", "only HTTP/1.1 and HTTP/2 are supported")),
        },
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(same)) => {
            (UpstreamProtocol::SameAsDownstream, same.http_protocol_options, same.http2_protocol_options)
        }
        Some(UpstreamProtocolOptions::AutoConfig(auto)) => {
            refuse!(auto, http3_protocol_options, alternate_protocols_cache_options);
            (UpstreamProtocol::Negotiated, auto.http_protocol_options, auto.http2_protocol_options)
        }
        None => (UpstreamProtocol::Http1, None, None),
    };
    let http = decode_common(&common, protocol, http1.as_ref(), http2.as_ref())?;
    let server_name = options.upstream_http_protocol_options.as_ref();
    Ok(UpstreamHttp { server_name: server_name.and_then(decode_server_name), ..http })
}

/// `None`: requests do not say.
fn decode_server_name(options: &UpstreamHttpProtocolOptions) -> Option<ServerNameOfRequest> {
    let header = options.override_auto_sni_header.to_ascii_lowercase();
    (options.auto_sni || options.auto_san_validation).then(|| ServerNameOfRequest {
        is_sent: options.auto_sni,
        is_checked: options.auto_san_validation,
        header: (!header.is_empty()).then_some(header),
    })
}

fn decode_common(
    common: &CommonOptions,
    protocol: UpstreamProtocol,
    http1: Option<&Http1ProtocolOptions>,
    http2: Option<&Http2ProtocolOptions>,
) -> Result<UpstreamHttp> {
    refuse!(common, max_stream_duration);
    let of_head = ResponseHeaders::default();
    let kilobytes = common.max_response_headers_kb.map(|kilobytes| kilobytes.value);
    if kilobytes.is_some_and(|kilobytes| kilobytes == 0 || kilobytes > MAX_HEADERS_KB) {
        return Err(DecodeError::new(
            "common_http_protocol_options.max_response_headers_kb",
            "is not between 1 and 8192",
        ));
    }
    let default = UpstreamHttp::default();
    let streams = http2.and_then(|http2| http2.max_concurrent_streams).map(|streams| streams.value);
    let requests = common.max_requests_per_connection.map(|count| count.value);
    Ok(UpstreamHttp {
        protocol,
        max_requests_per_connection: requests.filter(|count| *count > 0),
        idle_timeout: read_duration(common.idle_timeout.as_ref()).unwrap_or(default.idle_timeout),
        max_connection_duration: read_limit(common.max_connection_duration.as_ref(), None),
        max_concurrent_streams: streams.unwrap_or(default.max_concurrent_streams),
        response_headers: ResponseHeaders {
            most_bytes: kilobytes.map_or(of_head.most_bytes, |kilobytes| kilobytes * 1024),
            most_count: common.max_headers_count.map_or(of_head.most_count, |count| count.value),
        },
        http1: options::decode_http1(http1).at("http_protocol_options")?,
        http2: options::decode_http2(http2).at("http2_protocol_options")?,
        server_name: None,
    })
}
