use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, header};
use serde_json::Value;

use crate::{ApiError, protobuf};

pub(crate) fn bytes(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| {
        let code = rejection.status().as_u16();
        let reason = if code == 413 { "RequestEntityTooLarge" } else { "BadRequest" };
        ApiError::new(code, reason, format!("the body cannot be read: {}", rejection.body_text()))
    })
}

pub(crate) fn text(bytes: &Bytes) -> Result<&str, ApiError> {
    std::str::from_utf8(bytes)
        .map_err(|error| ApiError::bad_request(format!("the body is not UTF-8: byte {}", error.valid_up_to())))
}

/// Without parameters; JSON for those who do not say.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    value.split(';').next().unwrap_or_default().trim()
}

/// # Errors
/// Neither JSON nor YAML nor what of Kubernetes' protobuf is read; broken.
pub(crate) fn value(headers: &HeaderMap, bytes: &Bytes) -> Result<Value, ApiError> {
    match media_type(headers) {
        "application/json" | "*/*" | "" => json(bytes),
        "application/yaml" | "text/yaml" => yaml(bytes),
        protobuf::MEDIA_TYPE => protobuf::read(bytes),
        other => Err(ApiError::unsupported_media_type(format!(
            "the body is {other}; application/json and application/yaml are understood"
        ))),
    }
}

pub(crate) fn json(bytes: &Bytes) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::bad_request(format!("the body is no JSON: {error}")))
}

pub(crate) fn yaml(bytes: &Bytes) -> Result<Value, ApiError> {
    serde_saphyr::from_str(text(bytes)?).map_err(|error| {
        let message = error.without_snippet().to_string();
        ApiError::bad_request(format!("the body is no YAML: {}", message.lines().next().unwrap_or_default()))
    })
}
