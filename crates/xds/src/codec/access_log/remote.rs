//! Access logs that go to a service: Envoy's own, and OpenTelemetry's.

use leno_ir::{AccessLogSink, GrpcAccessLog, JsonFormat, LogService, OpenTelemetryAccessLog};
use leno_proto::envoy::config::core::v3::{ApiVersion, GrpcService, grpc_service};
use leno_proto::envoy::extensions::access_loggers::grpc::v3::{
    CommonGrpcAccessLogConfig, HttpGrpcAccessLogConfig, TcpGrpcAccessLogConfig,
};
use leno_proto::envoy::extensions::access_loggers::open_telemetry::v3::OpenTelemetryAccessLogConfig;
use leno_proto::envoy::r#type::tracing::v3::CustomTag;
use leno_proto::google::protobuf::{self, Any};
use leno_proto::opentelemetry::proto::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};

use super::tag;
use crate::codec::common::{any, duration, is_type, read_duration, u32_value, unpack};
use crate::codec::error::{At, DecodeError, Result, refuse};

const HTTP: &str = "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig";
const TCP: &str = "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig";
const OPEN_TELEMETRY: &str = "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig";

pub(super) fn encode_grpc(log: &GrpcAccessLog) -> Any {
    let LogService { cluster, log_name, flush_interval, buffer_bytes, custom_tags } = &log.service;
    let common_config = Some(CommonGrpcAccessLogConfig {
        log_name: log_name.clone(),
        grpc_service: grpc_service_of(cluster),
        transport_api_version: ApiVersion::V3.into(),
        buffer_flush_interval: duration(*flush_interval),
        buffer_size_bytes: u32_value(*buffer_bytes),
        custom_tags: custom_tags.iter().map(tag::encode).collect(),
        ..CommonGrpcAccessLogConfig::default()
    });
    match log.is_tcp {
        true => any(TCP, &TcpGrpcAccessLogConfig { common_config }),
        false => any(
            HTTP,
            &HttpGrpcAccessLogConfig {
                common_config,
                additional_request_headers_to_log: log.request_headers.clone(),
                additional_response_headers_to_log: log.response_headers.clone(),
                additional_response_trailers_to_log: log.response_trailers.clone(),
            },
        ),
    }
}

pub(super) fn encode_open_telemetry(log: &OpenTelemetryAccessLog) -> Any {
    let LogService { cluster, log_name, flush_interval, buffer_bytes, custom_tags } = &log.service;
    let list = |list: &[(String, JsonFormat)]| {
        let values = list.iter().map(|(key, value)| pair(key, value)).collect::<Vec<_>>();
        (!values.is_empty()).then_some(KeyValueList { values })
    };
    any(
        OPEN_TELEMETRY,
        &OpenTelemetryAccessLogConfig {
            grpc_service: grpc_service_of(cluster),
            log_name: log_name.clone(),
            buffer_flush_interval: duration(*flush_interval),
            buffer_size_bytes: u32_value(*buffer_bytes),
            custom_tags: custom_tags.iter().map(tag::encode).collect(),
            disable_builtin_labels: log.disable_builtin_labels,
            resource_attributes: list(&log.resource_attributes),
            body: log.body.as_ref().map(encode_value),
            attributes: list(&log.attributes),
            ..OpenTelemetryAccessLogConfig::default()
        },
    )
}

fn grpc_service_of(cluster: &str) -> Option<GrpcService> {
    let service = grpc_service::EnvoyGrpc { cluster_name: cluster.to_owned(), ..Default::default() };
    let target_specifier = Some(grpc_service::TargetSpecifier::EnvoyGrpc(service));
    Some(GrpcService { target_specifier, ..GrpcService::default() })
}

fn pair(key: &str, value: &JsonFormat) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(encode_value(value)), ..KeyValue::default() }
}

fn encode_value(value: &JsonFormat) -> AnyValue {
    let value = match value {
        JsonFormat::List(values) => {
            Some(any_value::Value::ArrayValue(ArrayValue { values: values.iter().map(encode_value).collect() }))
        }
        JsonFormat::Literal(text) => match text.as_str() {
            "null" => None,
            "true" | "false" => Some(any_value::Value::BoolValue(text == "true")),
            number => Some(match number.parse() {
                Ok(number) => any_value::Value::IntValue(number),
                Err(_) => any_value::Value::DoubleValue(number.parse().unwrap_or_default()),
            }),
        },
        JsonFormat::Object(fields) => {
            let values = fields.iter().map(|(key, value)| pair(key, value)).collect();
            Some(any_value::Value::KvlistValue(KeyValueList { values }))
        }
        JsonFormat::Text(text) => Some(any_value::Value::StringValue(text.clone())),
    };
    AnyValue { value }
}

/// `None`: it is no log of this kind.
pub(super) fn decode(config: Option<&Any>) -> Option<Result<AccessLogSink>> {
    if is_type(config, HTTP) {
        Some(unpack(config, HTTP).and_then(decode_http))
    } else if is_type(config, TCP) {
        Some(unpack(config, TCP).and_then(|config: TcpGrpcAccessLogConfig| {
            let service = read_service(config.common_config.as_ref()).at("common_config")?;
            Ok(AccessLogSink::Grpc(Box::new(GrpcAccessLog {
                service,
                is_tcp: true,
                request_headers: Vec::new(),
                response_headers: Vec::new(),
                response_trailers: Vec::new(),
            })))
        }))
    } else if is_type(config, OPEN_TELEMETRY) {
        Some(unpack(config, OPEN_TELEMETRY).and_then(|config| decode_open_telemetry(&config)))
    } else {
        None
    }
}

fn decode_http(config: HttpGrpcAccessLogConfig) -> Result<AccessLogSink> {
    let lower = |names: Vec<String>| names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
    Ok(AccessLogSink::Grpc(Box::new(GrpcAccessLog {
        service: read_service(config.common_config.as_ref()).at("common_config")?,
        is_tcp: false,
        request_headers: lower(config.additional_request_headers_to_log),
        response_headers: lower(config.additional_response_headers_to_log),
        response_trailers: lower(config.additional_response_trailers_to_log),
    })))
}

fn read_service(config: Option<&CommonGrpcAccessLogConfig>) -> Result<LogService> {
    let config = config.ok_or_else(|| DecodeError::new("", "is missing"))?;
    // No filter leaves a state, so there are none of `filter_state_objects_to_log`.
    refuse!(config, grpc_stream_retry_policy);
    if config.log_name.is_empty() {
        return Err(DecodeError::new("log_name", "is missing"));
    }
    Ok(LogService {
        cluster: read_cluster(config.grpc_service.as_ref()).at("grpc_service")?,
        log_name: config.log_name.clone(),
        flush_interval: read_interval(config.buffer_flush_interval.as_ref())?,
        buffer_bytes: config.buffer_size_bytes.map_or(LogService::BUFFER_BYTES, |bytes| bytes.value),
        custom_tags: read_tags(&config.custom_tags)?,
    })
}

fn read_tags(tags: &[CustomTag]) -> Result<Vec<leno_ir::CustomTag>> {
    let read = |(index, proto)| tag::decode(proto).at(&format!("custom_tags[{index}]"));
    tags.iter().enumerate().map(read).collect()
}

fn read_interval(interval: Option<&protobuf::Duration>) -> Result<std::time::Duration> {
    let interval = read_duration(interval).unwrap_or(LogService::FLUSH_INTERVAL);
    match interval.is_zero() {
        true => Err(DecodeError::new("buffer_flush_interval", "must be more than 0")),
        false => Ok(interval),
    }
}

fn read_cluster(service: Option<&GrpcService>) -> Result<String> {
    let service = service.ok_or_else(|| DecodeError::new("", "is missing"))?;
    refuse!(service, initial_metadata, retry_policy);
    match &service.target_specifier {
        Some(grpc_service::TargetSpecifier::EnvoyGrpc(envoy)) => {
            refuse!(envoy, authority, retry_policy, max_receive_message_length, skip_envoy_headers);
            Ok(envoy.cluster_name.clone())
        }
        _ => Err(DecodeError::new("", "only envoy_grpc is supported")),
    }
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
fn decode_open_telemetry(config: &OpenTelemetryAccessLogConfig) -> Result<AccessLogSink> {
    refuse!(config, http_service, resource_detectors, stat_prefix);
    super::check_formatters(&config.formatters)?;
    let service = match &config.common_config {
        Some(common) => read_service(Some(common)).at("common_config")?,
        None => LogService {
            cluster: read_cluster(config.grpc_service.as_ref()).at("grpc_service")?,
            log_name: config.log_name.clone(),
            flush_interval: read_interval(config.buffer_flush_interval.as_ref())?,
            buffer_bytes: config.buffer_size_bytes.map_or(LogService::BUFFER_BYTES, |bytes| bytes.value),
            custom_tags: Vec::new(),
        },
    };
    let service = LogService {
        custom_tags: service.custom_tags.into_iter().chain(read_tags(&config.custom_tags)?).collect(),
        ..service
    };
    Ok(AccessLogSink::OpenTelemetry(Box::new(OpenTelemetryAccessLog {
        service,
        body: config.body.as_ref().map(read_value).transpose().at("body")?,
        attributes: read_list(config.attributes.as_ref()).at("attributes")?,
        resource_attributes: read_list(config.resource_attributes.as_ref()).at("resource_attributes")?,
        disable_builtin_labels: config.disable_builtin_labels,
    })))
}

fn read_list(list: Option<&KeyValueList>) -> Result<Vec<(String, JsonFormat)>> {
    let pairs = list.map(|list| list.values.as_slice()).unwrap_or_default().iter();
    pairs.map(|pair| Ok((pair.key.clone(), read_pair_value(pair)?))).collect()
}

fn read_pair_value(pair: &KeyValue) -> Result<JsonFormat> {
    pair.value.as_ref().map_or_else(|| Ok(JsonFormat::Literal("null".to_owned())), read_value)
}

fn read_value(value: &AnyValue) -> Result<JsonFormat> {
    Ok(match &value.value {
        None => JsonFormat::Literal("null".to_owned()),
        Some(any_value::Value::ArrayValue(list)) => {
            JsonFormat::List(list.values.iter().map(read_value).collect::<Result<_>>()?)
        }
        Some(any_value::Value::BoolValue(value)) => JsonFormat::Literal(value.to_string()),
        // With a point, so that it is no integer.
        Some(any_value::Value::DoubleValue(value)) => JsonFormat::Literal(format!("{value:?}")),
        Some(any_value::Value::IntValue(value)) => JsonFormat::Literal(value.to_string()),
        Some(any_value::Value::KvlistValue(list)) => {
            let field = |pair: &KeyValue| Ok((pair.key.clone(), read_pair_value(pair)?));
            JsonFormat::Object(list.values.iter().map(field).collect::<Result<_>>()?)
        }
        Some(any_value::Value::StringValue(text)) => JsonFormat::Text(text.clone()),
        Some(_) => return Err(DecodeError::new("", "only texts, numbers, booleans, lists and objects are supported")),
    })
}
