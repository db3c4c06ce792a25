use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::serve::App;
use crate::{ApiError, TokenCreated, TokenRequest, body};

pub(crate) async fn list(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    Ok(Json(app.call(|app| app.api.tokens()).await?))
}

pub(crate) async fn create(
    State(app): State<App>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<TokenCreated>), ApiError> {
    let body = body::bytes(body)?;
    let request: TokenRequest = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("the body is no token request: {error}")))?;
    if request.service_accounts.is_empty() {
        return Err(ApiError::invalid("serviceAccounts: name at least one service account"));
    }
    if request.uses == 0 || request.ttl_seconds == 0 {
        return Err(ApiError::invalid("uses and ttlSeconds must be at least 1"));
    }
    let created = app.call(move |app| app.api.create_token(request)).await??;
    Ok((StatusCode::CREATED, Json(created)))
}

pub(crate) async fn revoke(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let name = id.clone();
    if app.call(move |app| app.api.revoke_token(&id)).await?? {
        Ok(Json(json!({ "revoked": name })))
    } else {
        Err(ApiError::not_found(format!("no token {name}")))
    }
}
