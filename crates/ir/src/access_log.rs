mod remote;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use leno_names::Fraction;
use serde::Serialize;

pub use self::remote::{CustomTag, GrpcAccessLog, LogService, MetadataHolder, OpenTelemetryAccessLog, TagValue};
use crate::{HeaderMatch, MetadataMatch};

/// One log of finished exchanges.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccessLog {
    pub sink: AccessLogSink,
    pub format: AccessLogFormat,
    /// What has no value is left out: nothing instead of `-` in a text, no member instead of `null` in JSON.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub omit_empty: bool,
    /// Which exchanges are logged; all unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<AccessLogFilter>,
}

impl AccessLog {
    /// Of every exchange.
    pub fn new(sink: AccessLogSink, format: AccessLogFormat) -> Self {
        Self { sink, format, omit_empty: false, filter: None }
    }
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogSink {
    File(PathBuf),
    /// Has a format of its own.
    Grpc(Box<GrpcAccessLog>),
    /// So has this.
    OpenTelemetry(Box<OpenTelemetryAccessLog>),
    Stderr,
    Stdout,
}

/// When access logs are written beside the end (Envoy `access_log_options`).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct AccessLogMoments {
    /// When the head of a request has come, or a connection was accepted.
    pub at_start: bool,
    /// When a tunnel, or the connection to an upstream, stands.
    pub when_connected: bool,
    /// Again and again.
    pub interval: Option<Duration>,
}

impl AccessLogMoments {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl AccessLogSink {
    /// Who is told; `None`: it is written here.
    pub fn service(&self) -> Option<&LogService> {
        match self {
            Self::Grpc(log) => Some(&log.service),
            Self::OpenTelemetry(log) => Some(&log.service),
            Self::File(_) | Self::Stderr | Self::Stdout => None,
        }
    }
}

/// Lines are written with Envoy's command operators (`%REQ(:METHOD)%` …).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json(BTreeMap<String, JsonFormat>),
    /// Istio's default text format.
    Standard,
    Text(String),
}

/// A member of a JSON log line.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonFormat {
    /// Numbers and booleans are written as they are, spelled as JSON.
    Literal(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
    /// With command operators.
    Text(String),
}

impl From<&str> for JsonFormat {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Envoy's `config.accesslog.v3.AccessLogFilter`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogFilter {
    All(Vec<Self>),
    Any(Vec<Self>),
    /// In milliseconds.
    Duration(Comparison),
    /// `exclude` turns it round. Codes of `google.rpc.Code`.
    GrpcStatus {
        codes: Vec<u32>,
        exclude: bool,
    },
    /// Of the request.
    Header(HeaderMatch),
    /// On what filters have said. Without a matcher, or where nothing is said, `default` counts.
    Metadata {
        matcher: Option<MetadataMatch>,
        default: bool,
    },
    /// Not a health check that this proxy answered.
    NotHealthCheck,
    /// One of these short forms; any flag at all when there is none.
    ResponseFlag(Vec<String>),
    /// A share of the exchanges.
    Share(Fraction),
    StatusCode(Comparison),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Comparison {
    pub op: ComparisonOp,
    pub value: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparisonOp {
    AtLeast,
    AtMost,
    Equal,
    NotEqual,
}

impl Comparison {
    pub fn holds(self, number: u64) -> bool {
        let value = u64::from(self.value);
        match self.op {
            ComparisonOp::AtLeast => number >= value,
            ComparisonOp::AtMost => number <= value,
            ComparisonOp::Equal => number == value,
            ComparisonOp::NotEqual => number != value,
        }
    }
}
