use std::time::Duration;

use serde::Serialize;

use super::JsonFormat;

/// Who is told of finished exchanges over gRPC, and how soon.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LogService {
    pub cluster: String,
    /// What the service knows this log by.
    pub log_name: String,
    /// The longest that an entry waits for others. Default 1 s.
    pub flush_interval: Duration,
    /// Entries are sent when they have that many bytes together; 0: each by itself. Default 16 KiB.
    pub buffer_bytes: u32,
    /// What entries say beside the rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub custom_tags: Vec<CustomTag>,
}

/// A name and where its value is from; without a value the tag is left out (Envoy `CustomTag`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CustomTag {
    pub tag: String,
    pub value: TagValue,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TagValue {
    /// Of the process.
    Environment {
        name: String,
        default: String,
    },
    Literal(String),
    Metadata {
        of: MetadataHolder,
        namespace: String,
        path: Vec<String>,
        default: String,
    },
    RequestHeader {
        name: String,
        default: String,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MetadataHolder {
    Cluster,
    /// What filters have said.
    Request,
    Route,
    UpstreamHost,
}

impl LogService {
    pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
    pub const BUFFER_BYTES: u32 = 16 * 1024;
}

/// Entries of Envoy's access log service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct GrpcAccessLog {
    pub service: LogService,
    /// Of connections, not of requests.
    pub is_tcp: bool,
    /// Names of headers that entries have too, in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_trailers: Vec<String>,
}

/// Log records of OpenTelemetry. Texts in them have command operators.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct OpenTelemetryAccessLog {
    pub service: LogService,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<JsonFormat>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, JsonFormat)>,
    /// Of this proxy, in every message, as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_attributes: Vec<(String, JsonFormat)>,
    /// Whether those of the log's and the node's names are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disable_builtin_labels: bool,
}
