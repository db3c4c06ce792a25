//! An exchange as a log record of OpenTelemetry.
//!
//! Source      OTLP logs.proto v1; Envoy open_telemetry access logger, 1.40

use std::time::SystemTime;

use leno_ir::{CustomTag, JsonFormat, OpenTelemetryAccessLog};
use leno_telemetry::access_log::{FormatError, Program};
use prost::encoding::message;

use super::message::{Any, AnyValue, Fields, KeyValue, LogRecord, Node, Resource, Values};
use crate::access_log::values::LineValues;
use crate::tls::noted;

/// What each record says, its formats parsed.
#[derive(Clone, Debug)]
pub(in crate::access_log) struct Template {
    body: Option<Part>,
    attributes: Vec<(String, Part)>,
    tags: Vec<CustomTag>,
}

#[derive(Clone, Debug)]
enum Part {
    Constant(AnyValue),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    Text(Program),
}

impl Template {
    /// # Errors
    /// Names the operator that is not understood.
    pub(in crate::access_log) fn new(log: &OpenTelemetryAccessLog) -> Result<Self, FormatError> {
        let pair = |(key, value): &(String, JsonFormat)| Ok((key.clone(), Part::new(value)?));
        Ok(Self {
            body: log.body.as_ref().map(Part::new).transpose()?,
            attributes: log.attributes.iter().map(pair).collect::<Result<_, _>>()?,
            tags: log.service.custom_tags.clone(),
        })
    }

    /// Appends a record as another one of the list that messages have.
    pub(super) fn write(&self, values: &LineValues<'_>, out: &mut Vec<u8>) {
        let since = values.exchange.started_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let pair = |(key, part): &(String, Part)| KeyValue { key: key.clone(), value: Some(part.value(values)) };
        let tag = |tag: &CustomTag| {
            let value = Some(AnyValue { value: Some(Any::Text(super::tag::value(tag, values)?)) });
            Some(KeyValue { key: tag.tag.clone(), value })
        };
        let record = LogRecord {
            time_nanos: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            body: self.body.as_ref().map(|body| body.value(values)),
            attributes: self.attributes.iter().map(pair).chain(self.tags.iter().filter_map(tag)).collect(),
        };
        message::encode(2, &record, out);
    }
}

impl Part {
    fn new(format: &JsonFormat) -> Result<Self, FormatError> {
        Ok(match format {
            JsonFormat::List(values) => Self::List(values.iter().map(Self::new).collect::<Result<_, _>>()?),
            JsonFormat::Literal(_) => Self::Constant(constant(format)),
            JsonFormat::Object(fields) => {
                let field = |(key, value): (&String, &JsonFormat)| Ok((key.clone(), Self::new(value)?));
                Self::Object(fields.iter().map(field).collect::<Result<_, _>>()?)
            }
            JsonFormat::Text(text) => Self::Text(noted(Program::text(text)?)),
        })
    }

    fn value(&self, values: &LineValues<'_>) -> AnyValue {
        let value = match self {
            Self::Constant(value) => return value.clone(),
            Self::List(parts) => Any::List(Values { values: parts.iter().map(|part| part.value(values)).collect() }),
            Self::Object(parts) => {
                let pair =
                    |(key, part): &(String, Self)| KeyValue { key: key.clone(), value: Some(part.value(values)) };
                Any::Object(Fields { values: parts.iter().map(pair).collect() })
            }
            Self::Text(program) => {
                let mut text = Vec::new();
                program.write_text(values, &mut text);
                Any::Text(String::from_utf8_lossy(&text).into_owned())
            }
        };
        AnyValue { value: Some(value) }
    }
}

/// A value without operators.
fn constant(value: &JsonFormat) -> AnyValue {
    let value = match value {
        JsonFormat::List(values) => Some(Any::List(Values { values: values.iter().map(constant).collect() })),
        JsonFormat::Literal(text) => match text.as_str() {
            "null" => None,
            "true" | "false" => Some(Any::Bool(text == "true")),
            number => Some(match number.parse() {
                Ok(number) => Any::Int(number),
                Err(_) => Any::Double(number.parse().unwrap_or_default()),
            }),
        },
        JsonFormat::Object(fields) => {
            let pair =
                |(key, value): (&String, &JsonFormat)| KeyValue { key: key.clone(), value: Some(constant(value)) };
            Some(Any::Object(Fields { values: fields.iter().map(pair).collect() }))
        }
        JsonFormat::Text(text) => Some(Any::Text(text.clone())),
    };
    AnyValue { value }
}

/// An `ExportLogsServiceRequest` with these records.
pub(super) fn export(log: &OpenTelemetryAccessLog, node: &Node, records: &[u8]) -> Vec<u8> {
    let text = |key: &str, text: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Any::Text(text.to_owned())) }),
    };
    let mut attributes = Vec::new();
    if !log.disable_builtin_labels {
        attributes.push(text("log_name", &log.service.log_name));
        attributes.push(text("zone_name", ""));
        attributes.push(text("cluster_name", &node.cluster));
        attributes.push(text("node_name", &node.id));
    }
    let own = log.resource_attributes.iter();
    attributes.extend(own.map(|(key, value)| KeyValue { key: key.clone(), value: Some(constant(value)) }));
    let mut resource_logs = Vec::new();
    message::encode(1, &Resource { attributes }, &mut resource_logs);
    prost::encoding::bytes::encode(2, &records.to_vec(), &mut resource_logs);
    let mut request = Vec::new();
    prost::encoding::bytes::encode(1, &resource_logs, &mut request);
    request
}
