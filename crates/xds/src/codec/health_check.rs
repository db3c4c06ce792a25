//! Active health checks of clusters, both ways.
//!
//! Errors      checks that Envoy itself would refuse: no timeout, interval, threshold or checker; statuses out of range
//! Source      Envoy health_check.proto v3, 1.40, and health_checker_impl.cc for what is refused

use leno_ir::{GrpcProbe, HealthCheck, HealthProbe, HttpProbe, HttpProbeCodec, StatusRange, TcpProbe};
use leno_proto::envoy::config::core::v3::health_check::payload::Payload as Bytes;
use leno_proto::envoy::config::core::v3::health_check::{
    GrpcHealthCheck, HealthChecker, HttpHealthCheck, Payload, TcpHealthCheck, TlsOptions,
};
use leno_proto::envoy::config::core::v3::{HealthCheck as Proto, RequestMethod, TypedExtensionConfig};
use leno_proto::envoy::extensions::health_check::event_sinks::file::v3::HealthCheckEventFileSink;
use leno_proto::envoy::r#type::v3::{CodecClientType, Int64Range};
use leno_proto::google::protobuf::UInt64Value;

use super::common::{
    any, bool_value, duration, headers_to_add, read_duration, read_header_ops, read_limit, u32_value, unpack,
};
use super::error::{At, DecodeError, Result, refuse};
use super::{matching, subset};

const FILE_SINK: &str = "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink";
/// Envoy's bounds of a status.
const STATUSES: std::ops::RangeInclusive<i64> = 100..=600;

pub(super) fn encode(check: &HealthCheck) -> Proto {
    let sink = || TypedExtensionConfig {
        name: "envoy.health_check.event_sinks.file".to_owned(),
        typed_config: Some(any(FILE_SINK, &HealthCheckEventFileSink { event_log_path: check.event_log_path.clone() })),
    };
    Proto {
        timeout: duration(check.timeout),
        interval: duration(check.interval),
        initial_jitter: check.initial_jitter.and_then(duration),
        interval_jitter: check.interval_jitter.and_then(duration),
        interval_jitter_percent: check.interval_jitter_percent,
        unhealthy_threshold: u32_value(check.unhealthy_threshold),
        healthy_threshold: u32_value(check.healthy_threshold),
        reuse_connection: bool_value(check.reuse_connection),
        no_traffic_interval: duration(check.no_traffic_interval),
        no_traffic_healthy_interval: check.no_traffic_healthy_interval.and_then(duration),
        unhealthy_interval: check.unhealthy_interval.and_then(duration),
        unhealthy_edge_interval: check.unhealthy_edge_interval.and_then(duration),
        healthy_edge_interval: check.healthy_edge_interval.and_then(duration),
        event_logger: if check.event_log_path.is_empty() { Vec::new() } else { vec![sink()] },
        always_log_health_check_failures: check.always_log_failures,
        always_log_health_check_success: check.always_log_successes,
        tls_options: (!check.alpn.is_empty()).then(|| TlsOptions { alpn_protocols: check.alpn.clone() }),
        transport_socket_match_criteria: check.socket_labels.as_ref().map(subset::encode_fields),
        health_checker: Some(match &check.probe {
            HealthProbe::Grpc(probe) => HealthChecker::GrpcHealthCheck(GrpcHealthCheck {
                service_name: probe.service_name.clone(),
                authority: probe.authority.clone(),
                initial_metadata: headers_to_add(&probe.metadata),
            }),
            HealthProbe::Http(probe) => HealthChecker::HttpHealthCheck(encode_http(probe)),
            HealthProbe::Tcp(probe) => HealthChecker::TcpHealthCheck(TcpHealthCheck {
                send: payload(&probe.send),
                receive: probe.receive.iter().filter_map(|bytes| payload(bytes)).collect(),
                ..TcpHealthCheck::default()
            }),
        }),
        ..Proto::default()
    }
}

fn encode_http(probe: &HttpProbe) -> HttpHealthCheck {
    let range = |range: &StatusRange| Int64Range { start: range.start.into(), end: range.end.into() };
    HttpHealthCheck {
        host: probe.host.clone(),
        path: probe.path.clone(),
        send: payload(&probe.send),
        receive: probe.receive.iter().filter_map(|bytes| payload(bytes)).collect(),
        response_buffer_size: Some(UInt64Value { value: probe.response_buffer_bytes }),
        request_headers_to_add: headers_to_add(&probe.request_headers),
        request_headers_to_remove: probe.request_headers.remove.clone(),
        expected_statuses: probe.expected_statuses.iter().map(range).collect(),
        retriable_statuses: probe.retriable_statuses.iter().map(range).collect(),
        codec_client_type: match probe.codec {
            HttpProbeCodec::Http1 => CodecClientType::Http1,
            HttpProbeCodec::Http2 => CodecClientType::Http2,
        }
        .into(),
        service_name_matcher: probe.service_name.as_ref().map(matching::encode),
        method: RequestMethod::from_str_name(&probe.method).unwrap_or(RequestMethod::Get).into(),
    }
}

fn payload(bytes: &[u8]) -> Option<Payload> {
    (!bytes.is_empty()).then(|| Payload { payload: Some(Bytes::Binary(bytes.to_vec())) })
}

/// Envoy takes one at most, too.
pub(super) fn decode_one(checks: &[Proto]) -> Result<Option<Box<HealthCheck>>> {
    match checks {
        [] => Ok(None),
        [check] => decode(check).at("health_checks[0]").map(|check| Some(Box::new(check))),
        _ => Err(DecodeError::new("health_checks", "more than one is not supported")),
    }
}

fn decode(proto: &Proto) -> Result<HealthCheck> {
    refuse!(proto, alt_port, event_service);
    let required = |value, field: &str| {
        let value = read_duration(value).filter(|value| !value.is_zero());
        value.ok_or_else(|| DecodeError::new(field, "is missing"))
    };
    let threshold = |value: Option<&leno_proto::google::protobuf::UInt32Value>, field: &str| {
        value.map(|value| value.value).ok_or_else(|| DecodeError::new(field, "is missing"))
    };
    let timeout = required(proto.timeout.as_ref(), "timeout")?;
    let interval = required(proto.interval.as_ref(), "interval")?;
    let probe = decode_probe(proto.health_checker.as_ref())?;
    Ok(HealthCheck {
        initial_jitter: read_limit(proto.initial_jitter.as_ref(), None),
        interval_jitter: read_limit(proto.interval_jitter.as_ref(), None),
        interval_jitter_percent: proto.interval_jitter_percent,
        unhealthy_threshold: threshold(proto.unhealthy_threshold.as_ref(), "unhealthy_threshold")?,
        healthy_threshold: threshold(proto.healthy_threshold.as_ref(), "healthy_threshold")?,
        no_traffic_interval: read_limit(proto.no_traffic_interval.as_ref(), None)
            .unwrap_or(HealthCheck::NO_TRAFFIC_INTERVAL),
        no_traffic_healthy_interval: read_limit(proto.no_traffic_healthy_interval.as_ref(), None),
        unhealthy_interval: read_limit(proto.unhealthy_interval.as_ref(), None),
        unhealthy_edge_interval: read_limit(proto.unhealthy_edge_interval.as_ref(), None),
        healthy_edge_interval: read_limit(proto.healthy_edge_interval.as_ref(), None),
        reuse_connection: proto.reuse_connection.is_none_or(|reuse| reuse.value),
        alpn: proto.tls_options.as_ref().map(|options| options.alpn_protocols.clone()).unwrap_or_default(),
        socket_labels: proto.transport_socket_match_criteria.as_ref().map(subset::decode_fields),
        event_log_path: event_log_path(proto)?,
        always_log_failures: proto.always_log_health_check_failures,
        always_log_successes: proto.always_log_health_check_success,
        ..HealthCheck::new(probe, timeout, interval)
    })
}

#[allow(deprecated, reason = "other control planes still write the older field")]
fn event_log_path(proto: &Proto) -> Result<String> {
    let mut path = proto.event_log_path.clone();
    for (index, sink) in proto.event_logger.iter().enumerate() {
        let sink: HealthCheckEventFileSink =
            unpack(sink.typed_config.as_ref(), FILE_SINK).at_index("event_logger", index)?;
        if !path.is_empty() {
            return Err(DecodeError::new("event_logger", "only one file is supported"));
        }
        path = sink.event_log_path;
    }
    Ok(path)
}

fn decode_probe(checker: Option<&HealthChecker>) -> Result<HealthProbe> {
    match checker {
        Some(HealthChecker::CustomHealthCheck(custom)) => {
            Err(DecodeError::new("custom_health_check", format!("{} is not supported", custom.name)))
        }
        Some(HealthChecker::GrpcHealthCheck(probe)) => Ok(HealthProbe::Grpc(GrpcProbe {
            service_name: probe.service_name.clone(),
            authority: probe.authority.clone(),
            metadata: read_header_ops(&probe.initial_metadata, &[]).at("grpc_health_check.initial_metadata")?,
        })),
        Some(HealthChecker::HttpHealthCheck(probe)) => {
            decode_http(probe).at("http_health_check").map(|probe| HealthProbe::Http(Box::new(probe)))
        }
        Some(HealthChecker::TcpHealthCheck(probe)) => decode_tcp(probe).at("tcp_health_check").map(HealthProbe::Tcp),
        None => Err(DecodeError::new("health_checker", "is missing")),
    }
}

fn decode_tcp(probe: &TcpHealthCheck) -> Result<TcpProbe> {
    refuse!(probe, proxy_protocol_config);
    Ok(TcpProbe { send: read_payload(probe.send.as_ref()).at("send")?, receive: read_payloads(&probe.receive)? })
}

fn decode_http(probe: &HttpHealthCheck) -> Result<HttpProbe> {
    if probe.path.is_empty() {
        return Err(DecodeError::new("path", "is missing"));
    }
    let headers = read_header_ops(&probe.request_headers_to_add, &probe.request_headers_to_remove);
    let method = match probe.method() {
        RequestMethod::Connect => return Err(DecodeError::new("method", "CONNECT is no health check")),
        RequestMethod::MethodUnspecified => RequestMethod::Get,
        method => method,
    };
    let send = read_payload(probe.send.as_ref()).at("send")?;
    let takes_body =
        matches!(method, RequestMethod::Post | RequestMethod::Put | RequestMethod::Patch | RequestMethod::Options);
    if !send.is_empty() && !takes_body {
        return Err(DecodeError::new("send", format!("{} has no body", method.as_str_name())));
    }
    Ok(HttpProbe {
        host: probe.host.clone(),
        method: method.as_str_name().to_owned(),
        codec: match probe.codec_client_type() {
            CodecClientType::Http1 => HttpProbeCodec::Http1,
            CodecClientType::Http2 => HttpProbeCodec::Http2,
            CodecClientType::Http3 => return Err(DecodeError::new("codec_client_type", "HTTP3 is not supported")),
        },
        request_headers: headers.at("request_headers_to_add")?,
        send,
        receive: read_payloads(&probe.receive)?,
        response_buffer_bytes: probe
            .response_buffer_size
            .as_ref()
            .map_or(HttpProbe::RESPONSE_BUFFER_BYTES, |size| size.value),
        expected_statuses: statuses(&probe.expected_statuses, "expected_statuses")?,
        retriable_statuses: statuses(&probe.retriable_statuses, "retriable_statuses")?,
        service_name: probe
            .service_name_matcher
            .as_ref()
            .map(matching::decode)
            .transpose()
            .at("service_name_matcher")?,
        ..HttpProbe::new(probe.path.clone())
    })
}

fn statuses(ranges: &[Int64Range], field: &str) -> Result<Vec<StatusRange>> {
    let read = |(index, range): (usize, &Int64Range)| {
        let bound = |bound: i64| u16::try_from(bound).ok().filter(|_| STATUSES.contains(&bound));
        let read = bound(range.start).zip(bound(range.end)).filter(|(start, end)| start < end);
        let (start, end) = read
            .ok_or_else(|| DecodeError::new("", format!("{}..{} is no range of statuses", range.start, range.end)))
            .at_index(field, index)?;
        Ok(StatusRange { start, end })
    };
    ranges.iter().enumerate().map(read).collect()
}

fn read_payloads(payloads: &[Payload]) -> Result<Vec<Vec<u8>>> {
    payloads.iter().enumerate().map(|(index, item)| read_payload(Some(item)).at_index("receive", index)).collect()
}

fn read_payload(payload: Option<&Payload>) -> Result<Vec<u8>> {
    match payload.map(|payload| &payload.payload) {
        None => Ok(Vec::new()),
        Some(Some(Bytes::Binary(bytes))) => Ok(bytes.clone()),
        Some(Some(Bytes::Text(text))) => {
            hex(text).ok_or_else(|| DecodeError::new("text", format!("\"{text}\" is not hexadecimal")))
        }
        Some(None) => Err(DecodeError::new("payload", "is missing")),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn payloads_are_hexadecimal() {
        assert_eq!(super::hex("00ffA0"), Some(vec![0, 255, 160]));
        assert_eq!(super::hex("0"), None);
        assert_eq!(super::hex("0g"), None);
    }
}
