use serde::Serialize;

/// Requests go on when their whole body is here (Envoy `Buffer`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Buffer {
    /// At least 1; longer bodies are answered with 413.
    pub max_request_bytes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BufferOverride {
    Buffer(Buffer),
    Disabled,
}
