use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// One log of finished exchanges.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct AccessLog {
    pub sink: AccessLogSink,
    pub format: AccessLogFormat,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogSink {
    File(PathBuf),
    Stdout,
}

/// Lines are written with Envoy's command operators (`%REQ(:METHOD)%` …).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogFormat {
    /// Key to operator string; one JSON object a line.
    Json(BTreeMap<String, String>),
    /// Istio's default text format.
    Standard,
    Text(String),
}
