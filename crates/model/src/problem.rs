use std::fmt;

use leno_api::ResourceKey;
use serde::Serialize;

/// Something about an object that its author should know.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Problem {
    pub object: ResourceKey,
    /// `spec.http[0].route[0].destination.host`; empty for the whole object.
    pub field: String,
    pub severity: Severity,
    /// Stable, for programs: `not_supported_yet`, `unknown_host` …
    pub code: &'static str,
    pub message: String,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Part of the object has no effect.
    Error,
    /// It works, though perhaps not as meant.
    Warning,
}

impl Problem {
    pub fn error(
        object: &ResourceKey,
        field: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { object: object.clone(), field: field.into(), severity: Severity::Error, code, message: message.into() }
    }

    pub fn warning(
        object: &ResourceKey,
        field: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(object, field, code, message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}
