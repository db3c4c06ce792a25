mod filter;
mod remote;
mod tag;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use leno_ir::{AccessLog, AccessLogFormat, AccessLogSink, JsonFormat};
use leno_proto::envoy::config::accesslog::v3::{AccessLog as ProtoAccessLog, access_log::ConfigType};
use leno_proto::envoy::config::core::v3::{
    DataSource, SubstitutionFormatString, TypedExtensionConfig, data_source, substitution_format_string::Format,
};
use leno_proto::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log};
use leno_proto::envoy::extensions::access_loggers::stream::v3::{
    StderrAccessLog, StdoutAccessLog, stderr_access_log, stdout_access_log,
};
use leno_proto::google::protobuf::{Any, ListValue, Struct, Value, value::Kind};

pub(super) use self::filter::{decode_filter, encode_filter};
use super::common::{any, is_type, read_duration, string, unpack};
use super::error::{At, DecodeError, Result};

const FILE: &str = "envoy.extensions.access_loggers.file.v3.FileAccessLog";
const STDERR: &str = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog";
const STDOUT: &str = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";

const FORMATTERS: [&str; 2] = [
    "envoy.extensions.formatter.metadata.v3.Metadata",
    "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery",
];

/// Istio's default text format.
const STANDARD: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" \
%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \
\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% \
%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%";

/// Envoy's default text format.
const DEFAULT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \
\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"";

/// Of messages with such options: their interval, and what else they say.
pub(super) fn read_interval(interval: Option<&leno_proto::google::protobuf::Duration>) -> Result<Option<Duration>> {
    match read_duration(interval) {
        Some(interval) if interval < Duration::from_millis(1) => {
            Err(DecodeError::new("access_log_flush_interval", "must be at least 1 ms"))
        }
        interval => Ok(interval),
    }
}

pub(super) fn encode(log: &AccessLog) -> ProtoAccessLog {
    let format = SubstitutionFormatString {
        format: Some(format(&log.format)),
        omit_empty_values: log.omit_empty,
        ..SubstitutionFormatString::default()
    };
    let config = match &log.sink {
        AccessLogSink::File(path) => any(
            FILE,
            &FileAccessLog {
                path: path.to_string_lossy().into_owned(),
                access_log_format: Some(file_access_log::AccessLogFormat::LogFormat(format)),
            },
        ),
        AccessLogSink::Grpc(log) => remote::encode_grpc(log),
        AccessLogSink::OpenTelemetry(log) => remote::encode_open_telemetry(log),
        AccessLogSink::Stderr => any(
            STDERR,
            &StderrAccessLog { access_log_format: Some(stderr_access_log::AccessLogFormat::LogFormat(format)) },
        ),
        AccessLogSink::Stdout => any(
            STDOUT,
            &StdoutAccessLog { access_log_format: Some(stdout_access_log::AccessLogFormat::LogFormat(format)) },
        ),
    };
    ProtoAccessLog {
        name: "access_log".to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        filter: log.filter.as_ref().map(encode_filter),
    }
}

/// Envoy writes a text format as it is, so the end of the line is part of it.
fn format(format: &AccessLogFormat) -> Format {
    let text = |text: &str| {
        Format::TextFormatSource(DataSource {
            specifier: Some(data_source::Specifier::InlineString(format!("{text}\n"))),
            ..DataSource::default()
        })
    };
    match format {
        AccessLogFormat::Json(fields) => Format::JsonFormat(encode_object(fields)),
        AccessLogFormat::Standard => text(STANDARD),
        AccessLogFormat::Text(format) => text(format),
    }
}

pub(super) fn encode_object(fields: &BTreeMap<String, JsonFormat>) -> Struct {
    Struct { fields: fields.iter().map(|(key, value)| (key.clone(), encode_member(value))).collect() }
}

fn encode_member(member: &JsonFormat) -> Value {
    let kind = match member {
        JsonFormat::List(members) => Kind::ListValue(ListValue { values: members.iter().map(encode_member).collect() }),
        JsonFormat::Literal(text) => match text.as_str() {
            "null" => Kind::NullValue(0),
            "true" | "false" => Kind::BoolValue(text == "true"),
            number => Kind::NumberValue(number.parse().unwrap_or_default()),
        },
        JsonFormat::Object(fields) => Kind::StructValue(encode_object(fields)),
        JsonFormat::Text(text) => return string(text.as_str()),
    };
    Value { kind: Some(kind) }
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
pub(super) fn decode(log: &ProtoAccessLog) -> Result<AccessLog> {
    let filter = log.filter.as_ref().map(decode_filter).transpose().at("filter")?;
    let config: Option<&Any> = match &log.config_type {
        Some(ConfigType::TypedConfig(config)) => Some(config),
        None => None,
    };
    if let Some(sink) = remote::decode(config) {
        return Ok(AccessLog { filter, ..AccessLog::new(sink?, AccessLogFormat::Standard) });
    }
    let (sink, (format, omit_empty)) = if is_type(config, STDOUT) {
        let stdout: StdoutAccessLog = unpack(config, STDOUT)?;
        let stdout_access_log::AccessLogFormat::LogFormat(format) = stdout
            .access_log_format
            .unwrap_or(stdout_access_log::AccessLogFormat::LogFormat(SubstitutionFormatString::default()));
        (AccessLogSink::Stdout, read_format(&format).at("log_format")?)
    } else if is_type(config, STDERR) {
        let stderr: StderrAccessLog = unpack(config, STDERR)?;
        let stderr_access_log::AccessLogFormat::LogFormat(format) = stderr
            .access_log_format
            .unwrap_or(stderr_access_log::AccessLogFormat::LogFormat(SubstitutionFormatString::default()));
        (AccessLogSink::Stderr, read_format(&format).at("log_format")?)
    } else {
        let file: FileAccessLog = unpack(config, FILE)?;
        let format = match &file.access_log_format {
            Some(file_access_log::AccessLogFormat::LogFormat(format)) => read_format(format).at("log_format")?,
            Some(file_access_log::AccessLogFormat::Format(text)) => (text_format(text), false),
            Some(
                file_access_log::AccessLogFormat::JsonFormat(fields)
                | file_access_log::AccessLogFormat::TypedJsonFormat(fields),
            ) => (AccessLogFormat::Json(decode_object(fields)), false),
            None => (text_format(DEFAULT), false),
        };
        (AccessLogSink::File(PathBuf::from(file.path)), format)
    };
    Ok(AccessLog { sink, format, omit_empty, filter })
}

fn check_formatters(formatters: &[TypedExtensionConfig]) -> Result<()> {
    for (index, formatter) in formatters.iter().enumerate() {
        let config = formatter.typed_config.as_ref();
        // Their operators are there in any case.
        if !FORMATTERS.iter().any(|known| is_type(config, known)) {
            let name = config.map(|config| config.type_url.as_str()).unwrap_or_default();
            return Err(DecodeError::new(format!("formatters[{index}]"), format!("{name} is not supported")));
        }
    }
    Ok(())
}

/// The format, and whether what is empty is left out.
#[allow(deprecated, reason = "other control planes still write the older fields")]
fn read_format(format: &SubstitutionFormatString) -> Result<(AccessLogFormat, bool)> {
    check_formatters(&format.formatters)?;
    let read = match &format.format {
        Some(Format::JsonFormat(fields)) => AccessLogFormat::Json(decode_object(fields)),
        Some(Format::TextFormat(text)) => text_format(text),
        Some(Format::TextFormatSource(source)) => match &source.specifier {
            Some(data_source::Specifier::InlineString(text)) => text_format(text),
            _ => return Err(DecodeError::new("text_format_source", "only an inline string is supported")),
        },
        None => text_format(DEFAULT),
    };
    Ok((read, format.omit_empty_values))
}

pub(super) fn decode_object(fields: &Struct) -> BTreeMap<String, JsonFormat> {
    fields.fields.iter().map(|(key, value)| (key.clone(), decode_member(value))).collect()
}

fn decode_member(value: &Value) -> JsonFormat {
    match &value.kind {
        Some(Kind::BoolValue(value)) => JsonFormat::Literal(value.to_string()),
        Some(Kind::ListValue(list)) => JsonFormat::List(list.values.iter().map(decode_member).collect()),
        Some(Kind::NumberValue(number)) => JsonFormat::Literal(number.to_string()),
        Some(Kind::StringValue(text)) => JsonFormat::Text(text.clone()),
        Some(Kind::StructValue(fields)) => JsonFormat::Object(decode_object(fields)),
        Some(Kind::NullValue(_)) | None => JsonFormat::Literal("null".to_owned()),
    }
}

fn text_format(text: &str) -> AccessLogFormat {
    match text.strip_suffix('\n').unwrap_or(text) {
        STANDARD => AccessLogFormat::Standard,
        text => AccessLogFormat::Text(text.to_owned()),
    }
}
