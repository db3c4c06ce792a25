use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use axum::{Json, Router, middleware};
use leno_runtime::DrainWatch;
use tokio::net::TcpListener;

use crate::listener::ApiListener;
use crate::parameters::Parameters;
use crate::place::Target;
use crate::view::View;
use crate::{ApiError, MeshApi, apply, auth, body, discovery, openapi, read, review, tokens, write};

/// Far above any object, far below what would hurt. Chosen.
const BODY_LIMIT_BYTES: usize = 8 << 20;

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) api: Arc<dyn MeshApi>,
    pub(crate) view: Arc<View>,
    pub(crate) admin_token: Arc<str>,
    pub(crate) drain: DrainWatch,
}

impl App {
    /// Runs `call` where waiting for the disk holds nobody up.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let app = self.clone();
        tokio::task::spawn_blocking(move || call(&app)).await.map_err(|error| {
            tracing::error!(%error, "an API call panicked; this is a bug in Leno");
            ApiError::internal("the control plane failed on this request; its log says more")
        })
    }
}

/// Answers API requests until the drain; then finishes those under way and ends watches. With `tls`, who speaks TLS is
/// answered in it.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    api: Arc<dyn MeshApi>,
    admin_token: String,
    mut drain: DrainWatch,
) -> io::Result<()> {
    let view = Arc::new(View::new(api.clone()));
    let app = App { api, view, admin_token: admin_token.into(), drain: drain.clone() };
    let listener = ApiListener::new(listener, tls);
    axum::serve(listener, router(app)).with_graceful_shutdown(async move { drain.draining().await }).await
}

fn router(app: App) -> Router {
    Router::new()
        .route("/api", any(objects))
        .route("/api/{*rest}", any(objects))
        .route("/apis", any(objects))
        .route("/apis/{*rest}", any(objects))
        .route("/apply", post(apply::apply))
        .route("/openapi/v2", get(|headers: HeaderMap| async move { openapi::old_document(&headers) }))
        .route("/openapi/v3", get(|| async { Json(openapi::index()) }))
        .route("/openapi/v3/{*path}", get(|Path(path): Path<String>| async move { openapi::document(&path).map(Json) }))
        .route("/status", get(status))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}", delete(tokens::revoke))
        .route("/version", get(|| async { Json(discovery::version()) }))
        .fallback(|| async {
            ApiError::not_found(
                "no such path; the API is at /api, /apis, /apply, /openapi, /status, /tokens and /version",
            )
        })
        .method_not_allowed_fallback(|| async { write::not_allowed() })
        .layer(middleware::from_fn(refuse_large))
        .layer(middleware::from_fn_with_state(app.clone(), auth::require_admin))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(app)
}

/// Everything below `/api` and `/apis`.
async fn objects(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let target = Target::parse(parts.uri.path())?;
    let is_get = parts.method == Method::GET;
    let place = match target {
        Target::Objects(place) => place,
        Target::Review(kind) if parts.method == Method::POST => {
            let review = body::value(&parts.headers, &read_body(body).await?)?;
            return Ok((StatusCode::CREATED, Json(review::answer(&kind, review)?)).into_response());
        }
        Target::CoreVersions if is_get => return Ok(discovery::core_versions(&parts.headers)),
        Target::Groups if is_get => return Ok(discovery::group_list(&parts.headers)),
        Target::Group(name) if is_get => return Ok(Json(discovery::group(&name)?).into_response()),
        Target::Version { group, version } if is_get => {
            return Ok(Json(discovery::resources(&group, &version)?).into_response());
        }
        _ => return Err(write::not_allowed()),
    };
    let parameters = Parameters::of(&parts.uri)?;
    if is_get {
        return read::get(app, place, parameters, parts.headers).await;
    }
    let request = write::Request { place, parameters, headers: parts.headers, body: read_body(body).await? };
    match parts.method {
        Method::POST => write::create(app, request).await,
        Method::PUT => write::replace(app, request).await,
        Method::PATCH => write::patch(app, request).await,
        Method::DELETE => crate::delete::delete(app, request).await,
        _ => Err(write::not_allowed()),
    }
}

async fn read_body(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, BODY_LIMIT_BYTES).await.map_err(|_| too_large(BODY_LIMIT_BYTES as u64 + 1))
}

fn too_large(bytes: u64) -> ApiError {
    let message = format!("the body has {bytes} bytes or more; {BODY_LIMIT_BYTES} are accepted");
    ApiError::new(413, "RequestEntityTooLarge", message)
}

/// Before anything of the body is read; others stop those that do not say their length.
async fn refuse_large(request: Request, next: Next) -> Response {
    let announced = request.body().size_hint().lower();
    if announced > BODY_LIMIT_BYTES as u64 {
        return too_large(announced).into_response();
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
    Ok(Json(app.call(|app| app.api.status()).await?))
}
