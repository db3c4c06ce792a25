use std::io;
use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router, middleware};
use leno_runtime::DrainWatch;
use tokio::net::TcpListener;

use crate::{ApiError, MeshApi, auth, objects, tokens};

/// Far above any object, far below what would hurt. Chosen.
const BODY_LIMIT_BYTES: usize = 8 << 20;

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) api: Arc<dyn MeshApi>,
    pub(crate) admin_token: Arc<str>,
    pub(crate) drain: DrainWatch,
}

impl App {
    /// Runs `call` where waiting for the disk holds nobody up.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn MeshApi) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let api = self.api.clone();
        tokio::task::spawn_blocking(move || call(&*api)).await.map_err(|error| {
            tracing::error!(%error, "an API call panicked; this is a bug in Leno");
            ApiError::internal("the control plane failed on this request; its log says more")
        })
    }
}

/// Answers API requests until the drain; then finishes those under way and ends watches.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    api: Arc<dyn MeshApi>,
    admin_token: String,
    mut drain: DrainWatch,
) -> io::Result<()> {
    let app = App { api, admin_token: admin_token.into(), drain: drain.clone() };
    axum::serve(listener, router(app)).with_graceful_shutdown(async move { drain.draining().await }).await
}

fn router(app: App) -> Router {
    let object = || get(objects::read).put(objects::put).delete(objects::delete);
    Router::new()
        .route("/api/v1/{plural}", get(objects::list))
        .route("/api/v1/namespaces/{namespace}/{plural}", get(objects::list))
        .route("/api/v1/namespaces/{namespace}/{plural}/{name}", object())
        .route("/apis/{group}/{version}/{plural}", get(objects::list))
        .route("/apis/{group}/{version}/namespaces/{namespace}/{plural}", get(objects::list))
        .route("/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}", object())
        .route("/apply", post(objects::apply))
        .route("/status", get(status))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}", delete(tokens::revoke))
        .fallback(|| async {
            ApiError::not_found("no such path; the API is at /api/v1, /apis, /apply, /status and /tokens")
        })
        .method_not_allowed_fallback(|| async {
            ApiError::new(405, "MethodNotAllowed", "this path does not know that method")
        })
        .layer(middleware::from_fn(refuse_large))
        .layer(middleware::from_fn_with_state(app.clone(), auth::require_admin))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(app)
}

/// Before anything of the body is read; [`DefaultBodyLimit`] stops those that do not say their length.
async fn refuse_large(request: Request, next: Next) -> Response {
    let announced = request.body().size_hint().lower();
    if announced > BODY_LIMIT_BYTES as u64 {
        let message = format!("the body has {announced} bytes; {BODY_LIMIT_BYTES} are accepted");
        return ApiError::new(413, "TooLarge", message).into_response();
    }
    next.run(request).await
}

async fn ready(State(app): State<App>) -> Response {
    if app.drain.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        "ok\n".into_response()
    }
}

async fn status(State(app): State<App>) -> Result<Json<serde_json::Value>, ApiError> {
    Ok(Json(app.call(|api| api.status()).await?))
}
