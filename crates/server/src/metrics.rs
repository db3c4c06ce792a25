use std::io;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use leno_runtime::DrainWatch;
use leno_telemetry::Registry;
use tokio::net::TcpListener;

/// What `prometheus-client` writes (OpenMetrics 1.0).
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `/metrics` and `/healthz` without authentication until the drain.
///
/// # Errors
/// The listener fails.
pub async fn serve_metrics(listener: TcpListener, registry: Registry, mut drain: DrainWatch) -> io::Result<()> {
    let scrape = move || {
        let text = registry.encode();
        async move { ([(header::CONTENT_TYPE, CONTENT_TYPE)], text) }
    };
    let router = Router::new().route("/metrics", get(scrape)).route("/healthz", get(|| async { "ok\n" }));
    axum::serve(listener, router).with_graceful_shutdown(async move { drain.draining().await }).await
}
