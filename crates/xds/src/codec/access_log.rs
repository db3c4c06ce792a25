use std::path::PathBuf;

use leno_ir::{AccessLog, AccessLogFormat, AccessLogSink};
use leno_proto::envoy::config::accesslog::v3::{AccessLog as ProtoAccessLog, access_log::ConfigType};
use leno_proto::envoy::config::core::v3::{
    DataSource, SubstitutionFormatString, data_source, substitution_format_string::Format,
};
use leno_proto::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log};
use leno_proto::envoy::extensions::access_loggers::stream::v3::{StdoutAccessLog, stdout_access_log};
use leno_proto::google::protobuf::{Any, Struct};

use super::common::{any, as_text_map, is_type, string, unpack};
use super::error::{At, DecodeError, Result};

const FILE: &str = "envoy.extensions.access_loggers.file.v3.FileAccessLog";
const STDOUT: &str = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";

/// Istio's default text format.
const STANDARD: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" \
%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \
\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% \
%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%";

pub(super) fn encode(log: &AccessLog) -> ProtoAccessLog {
    let format = SubstitutionFormatString { format: Some(format(&log.format)), ..SubstitutionFormatString::default() };
    let config = match &log.sink {
        AccessLogSink::File(path) => any(
            FILE,
            &FileAccessLog {
                path: path.to_string_lossy().into_owned(),
                access_log_format: Some(file_access_log::AccessLogFormat::LogFormat(format)),
            },
        ),
        AccessLogSink::Stdout => any(
            STDOUT,
            &StdoutAccessLog { access_log_format: Some(stdout_access_log::AccessLogFormat::LogFormat(format)) },
        ),
    };
    ProtoAccessLog {
        name: "access_log".to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..Default::default()
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
        AccessLogFormat::Json(fields) => Format::JsonFormat(Struct {
            fields: fields.iter().map(|(key, value)| (key.clone(), string(value.as_str()))).collect(),
        }),
        AccessLogFormat::Standard => text(STANDARD),
        AccessLogFormat::Text(format) => text(format),
    }
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
pub(super) fn decode(log: &ProtoAccessLog) -> Result<AccessLog> {
    if log.filter.is_some() {
        return Err(DecodeError::unsupported("filter"));
    }
    let config: Option<&Any> = match &log.config_type {
        Some(ConfigType::TypedConfig(config)) => Some(config),
        None => None,
    };
    if is_type(config, STDOUT) {
        let stdout: StdoutAccessLog = unpack(config, STDOUT)?;
        let format = match stdout.access_log_format {
            Some(stdout_access_log::AccessLogFormat::LogFormat(format)) => read_format(&format).at("log_format")?,
            None => AccessLogFormat::Standard,
        };
        return Ok(AccessLog { sink: AccessLogSink::Stdout, format });
    }
    let file: FileAccessLog = unpack(config, FILE)?;
    let format = match &file.access_log_format {
        Some(file_access_log::AccessLogFormat::LogFormat(format)) => read_format(format).at("log_format")?,
        Some(file_access_log::AccessLogFormat::Format(text)) => text_format(text),
        Some(file_access_log::AccessLogFormat::JsonFormat(fields)) => AccessLogFormat::Json(as_text_map(fields)),
        Some(file_access_log::AccessLogFormat::TypedJsonFormat(fields)) => AccessLogFormat::Json(as_text_map(fields)),
        None => AccessLogFormat::Standard,
    };
    Ok(AccessLog { sink: AccessLogSink::File(PathBuf::from(file.path)), format })
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
fn read_format(format: &SubstitutionFormatString) -> Result<AccessLogFormat> {
    match &format.format {
        Some(Format::JsonFormat(fields)) => Ok(AccessLogFormat::Json(as_text_map(fields))),
        Some(Format::TextFormat(text)) => Ok(text_format(text)),
        Some(Format::TextFormatSource(source)) => match &source.specifier {
            Some(data_source::Specifier::InlineString(text)) => Ok(text_format(text)),
            _ => Err(DecodeError::new("text_format_source", "only an inline string is supported")),
        },
        None => Ok(AccessLogFormat::Standard),
    }
}

fn text_format(text: &str) -> AccessLogFormat {
    match text.strip_suffix('\n').unwrap_or(text) {
        STANDARD => AccessLogFormat::Standard,
        text => AccessLogFormat::Text(text.to_owned()),
    }
}
