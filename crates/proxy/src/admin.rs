//! The admin interface of a proxy: what it runs and how it is, in the paths and formats of Envoy's.
//!
//! Shape       GET /ready /stats/prometheus /config_dump /clusters /listeners /certs /server_info /logging;
//!             POST /logging?level=… /drain_listeners /reopen_logs /quitquitquit
//! Invariants  bound to loopback only; never shows a private key, as none is in what it is given
//! Errors      404 for a path unknown or not provided, 405 for a wrong method, 503 while not ready
//! Cost        on the control runtime, never on a worker; at most 64 connections at once, the rest wait
//! Source      Envoy operations/admin v1.31

mod logging;
mod pages;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use leno_identity::CertificateSummary;
use leno_ir::{Config, EndpointHealth};
use leno_runtime::Readiness;
use leno_telemetry::Registry;
use tokio::net::TcpListener;

use crate::dynamics::CheckedHealth;

/// Connections served at once. Chosen: scrapers, a few people, and somebody who forgets to close.
const MAX_CONNECTIONS: usize = 256;
/// For the head of a request, also while the connection is idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The same once half of the places are taken, so that idle connections do not keep readiness checks out.
const HEADER_TIMEOUT_WHEN_BUSY: Duration = Duration::from_secs(1);

/// What runs now.
pub(crate) type ConfigSource = Box<dyn Fn() -> Arc<Config> + Send + Sync>;

/// Asks the workers, which takes a moment.
pub(crate) type Query<T> = Box<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>;

/// `Err` says why the filter is not taken.
pub(crate) type SetLogFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Serves the admin interface.
#[derive(Debug)]
pub(crate) struct Admin {
    registry: Registry,
    readiness: Readiness,
    config: Hidden<ConfigSource>,
    hooks: AdminHooks,
    started: Instant,
}

/// What the interface asks of the rest of the proxy; a path whose hook is missing answers 404.
#[derive(Default)]
pub(crate) struct AdminHooks {
    /// Endpoints as the workers see them.
    pub(crate) clusters: Option<Query<Vec<ClusterStatus>>>,
    /// Names and addresses in use; differ from the configuration where that says port 0.
    pub(crate) listeners: Option<Query<Vec<(String, SocketAddr)>>>,
    pub(crate) certificates: Option<Box<dyn Fn() -> CertificatesInUse + Send + Sync>>,
    /// The filter of the process log.
    pub(crate) log_filter: Option<Box<dyn Fn() -> String + Send + Sync>>,
    /// Changes it, or says why not.
    pub(crate) set_log_filter: Option<SetLogFilter>,
    /// Answered once the workload has left the mesh.
    pub(crate) drain: Option<Query<()>>,
    pub(crate) reopen_logs: Option<Box<dyn Fn() + Send + Sync>>,
    pub(crate) quit: Option<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for AdminHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminHooks").finish_non_exhaustive()
    }
}

/// One cluster, all workers together.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterStatus {
    pub(crate) name: String,
    pub(crate) endpoints: Vec<EndpointStatus>,
}

#[derive(Clone, Debug)]
pub(crate) struct EndpointStatus {
    pub(crate) address: SocketAddr,
    /// As discovery has it.
    pub(crate) health: EndpointHealth,
    /// As active checks have it; `None`: it is not asked.
    pub(crate) checked: Option<CheckedHealth>,
    pub(crate) is_ejected: bool,
    pub(crate) active_requests: u64,
    /// As the balancer expects it.
    pub(crate) latency: Duration,
    pub(crate) weight: u32,
}

/// The certificates of the workload, without keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct CertificatesInUse {
    /// Leaf first.
    pub(crate) chain: Vec<CertificateSummary>,
    pub(crate) roots: Vec<CertificateSummary>,
}

struct Hidden<T>(T);

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

type Answer = Response<Full<Bytes>>;

impl Admin {
    pub(crate) fn new(registry: Registry, readiness: Readiness, config: ConfigSource) -> Self {
        let hooks = AdminHooks::default();
        Self { registry, readiness, config: Hidden(config), hooks, started: Instant::now() }
    }

    pub(crate) fn with_hooks(self, hooks: AdminHooks) -> Self {
        Self { hooks, ..self }
    }

    /// Until cancelled.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        let is_busy = connections.len() >= MAX_CONNECTIONS / 2;
                        let patience = if is_busy { HEADER_TIMEOUT_WHEN_BUSY } else { HEADER_TIMEOUT };
                        connections.push(self.serve_connection(stream, patience));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "admin connection cannot be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(()) = connections.next() => {}
            }
        }
    }

    async fn serve_connection(&self, stream: tokio::net::TcpStream, patience: Duration) {
        let service = hyper::service::service_fn(async |request| Ok::<_, Infallible>(self.answer(&request).await));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "admin connection ended early");
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        self.page(request.method(), path, query).await
    }

    async fn page(&self, method: &Method, path: &str, query: &str) -> Answer {
        let is_change = matches!(path, "/drain_listeners" | "/quitquitquit" | "/reopen_logs")
            || (path == "/logging" && !query.is_empty());
        let wanted = if is_change { Method::POST } else { Method::GET };
        // Envoy shows the log levels to a POST without a query.
        let also = if path == "/logging" { Method::POST } else { Method::HEAD };
        if *method != wanted && (is_change || *method != also) {
            return text(StatusCode::METHOD_NOT_ALLOWED, format!("use {wanted} for {path}\n"));
        }
        let found = match path {
            "/" => Some(text(StatusCode::OK, pages::HELP)),
            "/ready" => Some(self.ready()),
            "/stats/prometheus" | "/metrics" => Some(self.metrics()),
            "/config_dump" => Some(json(&pages::config_dump(&(self.config.0)()))),
            "/server_info" => Some(json(&pages::server_info(self.started.elapsed(), self.readiness.is_ready()))),
            "/certs" => self.hooks.certificates.as_ref().map(|of| json(&pages::certificates(&of(), SystemTime::now()))),
            "/clusters" => self.clusters().await,
            "/listeners" => Some(text(StatusCode::OK, self.listeners().await)),
            "/logging" => self.logging(query),
            "/drain_listeners" => self.drain().await,
            "/reopen_logs" => run(self.hooks.reopen_logs.as_deref()),
            "/quitquitquit" => run(self.hooks.quit.as_deref()),
            _ => None,
        };
        found.unwrap_or_else(|| text(StatusCode::NOT_FOUND, format!("nothing at {path}; see /\n")))
    }

    fn ready(&self) -> Answer {
        let pending = self.readiness.pending();
        if pending.is_empty() {
            text(StatusCode::OK, "LIVE\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("PRE_INITIALIZING: waiting for {}\n", pending.join(", ")))
        }
    }

    fn metrics(&self) -> Answer {
        answer(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", self.registry.encode())
    }

    async fn drain(&self) -> Option<Answer> {
        self.hooks.drain.as_ref()?().await;
        Some(text(StatusCode::OK, "OK\n"))
    }

    async fn clusters(&self) -> Option<Answer> {
        let clusters = self.hooks.clusters.as_ref()?().await;
        Some(text(StatusCode::OK, pages::clusters(&clusters)))
    }

    async fn listeners(&self) -> String {
        match &self.hooks.listeners {
            Some(list) => pages::listeners(&list().await),
            None => {
                let config = (self.config.0)();
                let of = |(name, listener): (&String, &Arc<leno_ir::Listener>)| (name.clone(), listener.address);
                pages::listeners(&config.listeners.iter().map(of).collect::<Vec<_>>())
            }
        }
    }

    /// Shows the filter in force, after the change that the query asks for.
    fn logging(&self, query: &str) -> Option<Answer> {
        let set = self.hooks.set_log_filter.as_ref()?;
        if !query.is_empty() {
            let changed = logging::filter(query).and_then(|filter| set(&filter));
            if let Err(reason) = changed {
                return Some(text(StatusCode::BAD_REQUEST, format!("{reason}\n")));
            }
        }
        let filter = self.hooks.log_filter.as_ref().map(|filter| filter()).unwrap_or_default();
        Some(text(StatusCode::OK, logging::page(&filter)))
    }
}

fn run(hook: Option<&(dyn Fn() + Send + Sync)>) -> Option<Answer> {
    hook?();
    Some(text(StatusCode::OK, "OK\n"))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

fn json(value: &serde_json::Value) -> Answer {
    answer(StatusCode::OK, "application/json", format!("{value:#}\n"))
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    headers.insert(hyper::header::CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-cache, max-age=0"));
    response
}

#[cfg(test)]
mod tests;
