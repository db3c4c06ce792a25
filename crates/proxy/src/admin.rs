//! The admin interface of a proxy: what it runs and how it is, in the paths and formats of Envoy's.
//!
//! Shape       a path -> `Command` (does it change something?) -> a page (`pages`, `clusters`, `stats`) or a hook of the proxy
//! Invariants  bound to loopback only; never shows a private key, as none is in what it is given
//! Errors      404 for a path unknown or not provided, 405 for a wrong method, 503 while not ready
//! Cost        on the control runtime, never on a worker; at most 64 connections at once, the rest wait
//! Source      Envoy operations/admin v1.40

mod clusters;
mod commands;
mod dump;
mod levels;
mod logging;
mod pages;
mod query;
mod stats;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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

use self::query::Query;
use self::stats::{Format, Wanted};
use crate::dynamics::CheckedHealth;
use crate::stats::Snapshot;
use crate::upstream::EndpointCounts;

/// Connections served at once. Chosen: scrapers, a few people, and somebody who forgets to close.
const MAX_CONNECTIONS: usize = 256;
/// For the head of a request, also while the connection is idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The same once half of the places are taken, so that idle connections do not keep readiness checks out.
const HEADER_TIMEOUT_WHEN_BUSY: Duration = Duration::from_secs(1);

/// What runs now.
pub(crate) type ConfigSource = Box<dyn Fn() -> Arc<Config> + Send + Sync>;

/// Asks the workers, which takes a moment.
pub(crate) type Ask<T> = Box<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>;

/// `Err` says why the filter is not taken.
pub(crate) type SetLogFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

pub(crate) use levels::Server;

use crate::worker::Which;

/// Serves the admin interface.
#[derive(Debug)]
pub(crate) struct Admin {
    registry: Registry,
    readiness: Readiness,
    config: Hidden<ConfigSource>,
    hooks: AdminHooks,
    started: Instant,
    /// `/healthcheck/fail`.
    is_unwell: AtomicBool,
    /// What had been counted at the last `/reset_counters`.
    baseline: Mutex<Option<Snapshot>>,
}

/// What the interface asks of the rest of the proxy; a path whose hook is missing answers 404.
#[derive(Default)]
pub(crate) struct AdminHooks {
    /// Endpoints as the workers see them.
    pub(crate) clusters: Option<Ask<Vec<ClusterStatus>>>,
    /// The configuration as Envoy's API has it; `true` with endpoints.
    pub(crate) config_dump: Option<Box<dyn Fn(bool) -> Vec<serde_json::Value> + Send + Sync>>,
    /// What was counted under Envoy's names.
    pub(crate) stats: Option<Box<dyn Fn() -> Snapshot + Send + Sync>>,
    /// What the process is; the interface knows its state.
    pub(crate) server: Option<Box<dyn Fn() -> Server + Send + Sync>>,
    /// Lets health checks of this proxy fail, or pass.
    pub(crate) set_unwell: Option<Box<dyn Fn(bool) + Send + Sync>>,
    /// Names and addresses in use; differ from the configuration where that says port 0.
    pub(crate) listeners: Option<Ask<Vec<(String, SocketAddr)>>>,
    pub(crate) certificates: Option<Box<dyn Fn() -> CertificatesInUse + Send + Sync>>,
    /// The filter of the process log.
    pub(crate) log_filter: Option<Box<dyn Fn() -> String + Send + Sync>>,
    /// Changes it, or says why not.
    pub(crate) set_log_filter: Option<SetLogFilter>,
    /// Answered once the workload has left the mesh.
    pub(crate) drain: Option<Ask<()>>,
    /// What it does where there is no mesh to leave; answered once it has begun.
    pub(crate) stop_listeners: Option<Box<dyn Fn(StopListeners) -> BoxFuture<'static, ()> + Send + Sync>>,
    /// Values of static layers, as Envoy lists them.
    pub(crate) runtime: Option<serde_json::Value>,
    pub(crate) reopen_logs: Option<Box<dyn Fn() + Send + Sync>>,
    pub(crate) quit: Option<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for AdminHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminHooks").finish_non_exhaustive()
    }
}

/// What `/drain_listeners` asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StopListeners {
    pub(crate) which: Which,
    pub(crate) how: Stop,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    /// No new connections, at once.
    AtOnce,
    /// Connections are asked to end first.
    Gracefully,
    /// Connections are asked to end, and no more than that.
    NotAtAll,
}

/// One cluster, all workers together.
#[derive(Clone, Debug)]
pub(crate) struct ClusterStatus {
    pub(crate) config: Arc<leno_ir::Cluster>,
    /// Which limits are reached, by priority: connections, pending requests, requests, retries.
    pub(crate) breakers: [[bool; 4]; 2],
    /// It came from a control plane.
    pub(crate) is_dynamic: bool,
    pub(crate) endpoints: Vec<EndpointStatus>,
}

#[derive(Clone, Debug)]
pub(crate) struct EndpointStatus {
    pub(crate) address: SocketAddr,
    pub(crate) hostname: String,
    pub(crate) locality: leno_names::Locality,
    pub(crate) priority: u32,
    pub(crate) counts: EndpointCounts,
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
        Self {
            registry,
            readiness,
            config: Hidden(config),
            hooks,
            started: Instant::now(),
            is_unwell: AtomicBool::new(false),
            baseline: Mutex::default(),
        }
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
        let query = Query::new(query);
        let Some(command) = commands::find(path) else {
            return text(StatusCode::NOT_FOUND, format!("invalid path. {}", commands::list()));
        };
        if command.changes && *method != Method::POST {
            let message = format!("Method {method} not allowed, POST required.");
            return text(StatusCode::METHOD_NOT_ALLOWED, message);
        }
        let found = match path {
            "/" => Ok(Some(answer(StatusCode::OK, "text/html; charset=UTF-8", commands::home()))),
            "/certs" => Ok(Some(json(&self.certificates()))),
            "/clusters" => self.clusters(&query).await,
            "/config" => Ok(Some(json(&pages::config(&(self.config.0)())))),
            "/config_dump" => Ok(self.config_dump(&query)),
            "/contention" => Ok(Some(text(StatusCode::OK, "Mutex contention tracing is not available."))),
            "/drain_listeners" => Ok(self.drain(&query).await),
            "/healthcheck/fail" => Ok(self.set_unwell(true)),
            "/healthcheck/ok" => Ok(self.set_unwell(false)),
            "/help" => Ok(Some(text(StatusCode::OK, commands::list()))),
            "/hot_restart_version" => Ok(Some(text(StatusCode::OK, "disabled"))),
            "/init_dump" => Ok(Some(json(&pages::init_dump(&self.readiness.pending())))),
            "/listeners" => self.listeners(&query).await,
            "/logging" => self.logging(&query),
            "/memory" => Ok(Some(json(&pages::memory()))),
            "/metrics" => Ok(Some(self.metrics())),
            "/quitquitquit" => Ok(run(self.hooks.quit.as_deref())),
            "/ready" => Ok(Some(self.ready())),
            "/reopen_logs" => Ok(run(self.hooks.reopen_logs.as_deref())),
            "/reset_counters" => Ok(self.reset_counters()),
            "/runtime" => Ok(Some(json(&self.runtime()))),
            "/runtime_modify" => self.modify_runtime(&query),
            "/server_info" => Ok(Some(json(&self.server_info()))),
            "/stats" => self.stats(&query, Format::Text).await,
            "/stats/prometheus" => self.stats(&query, Format::Prometheus).await,
            _ => Ok(None),
        };
        match found {
            Ok(Some(answer)) => answer,
            Ok(None) => text(StatusCode::NOT_FOUND, format!("{path} is not available here\n")),
            Err(reason) => text(StatusCode::BAD_REQUEST, reason),
        }
    }

    /// Envoy's words for it.
    fn state(&self) -> &'static str {
        if self.is_unwell.load(Ordering::Relaxed) || self.readiness.pending().contains(&"draining") {
            "DRAINING"
        } else if self.readiness.is_ready() {
            "LIVE"
        } else {
            "PRE_INITIALIZING"
        }
    }

    fn ready(&self) -> Answer {
        let pending = self.readiness.pending();
        match self.state() {
            "LIVE" => text(StatusCode::OK, "LIVE\n"),
            state if pending.is_empty() => text(StatusCode::SERVICE_UNAVAILABLE, format!("{state}\n")),
            state => text(StatusCode::SERVICE_UNAVAILABLE, format!("{state}: waiting for {}\n", pending.join(", "))),
        }
    }

    fn set_unwell(&self, is_unwell: bool) -> Option<Answer> {
        self.hooks.set_unwell.as_ref()?(is_unwell);
        self.is_unwell.store(is_unwell, Ordering::Relaxed);
        Some(text(StatusCode::OK, "OK\n"))
    }

    fn server_info(&self) -> serde_json::Value {
        let workers = self.hooks.server.as_ref().map_or(0, |server| server().workers);
        pages::server_info(self.started.elapsed(), self.state(), workers)
    }

    fn certificates(&self) -> serde_json::Value {
        match &self.hooks.certificates {
            Some(of) => pages::certificates(&of(), SystemTime::now()),
            None => serde_json::json!({ "certificates": [] }),
        }
    }

    fn config_dump(&self, query: &Query) -> Option<Answer> {
        let dump = self.hooks.config_dump.as_ref()?;
        // Envoy names no character set here.
        let refused = |status, reason: String| answer(status, "text/plain", reason);
        let wanted = match dump::Wanted::new(query) {
            Ok(wanted) => wanted,
            Err(reason) => return Some(refused(StatusCode::BAD_REQUEST, reason)),
        };
        Some(match wanted.of(dump(query.has("include_eds"))) {
            Ok(configs) => json(&serde_json::json!({ "configs": configs })),
            Err(reason) => refused(StatusCode::NOT_FOUND, reason),
        })
    }

    async fn snapshot(&self) -> Option<Snapshot> {
        let mut snapshot = self.hooks.stats.as_ref()?();
        let clusters = match &self.hooks.clusters {
            Some(clusters) => clusters().await,
            None => Vec::new(),
        };
        let server = self.hooks.server.as_ref().map(|server| server()).unwrap_or_default();
        let state = match self.state() {
            "LIVE" => 0,
            "DRAINING" => 1,
            _ => 2,
        };
        let uptime_seconds = self.started.elapsed().as_secs();
        levels::add(&mut snapshot, &clusters, Server { uptime_seconds, state, ..server });
        if let Some(baseline) = &*self.baseline.lock().unwrap_or_else(PoisonError::into_inner) {
            snapshot.subtract(baseline);
        }
        Some(snapshot)
    }

    async fn stats(&self, query: &Query, default: Format) -> Result<Option<Answer>, String> {
        let wanted = Wanted::new(query, default)?;
        let Some(snapshot) = self.snapshot().await else { return Ok(None) };
        Ok(Some(match wanted.format() {
            Format::Json => compact_json(&wanted.json(&snapshot)),
            Format::Prometheus => {
                // Istio's and Leno's own have no name of Envoy's to be filtered by.
                let own = query.is_empty().then(|| stats::without_open_metrics(&self.registry.encode()));
                let page = wanted.prometheus(&snapshot) + &own.unwrap_or_default();
                answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page)
            }
            Format::Text => text(StatusCode::OK, wanted.text(&snapshot)),
        }))
    }

    /// Workers alone write what they count, so that what was counted so far is left out from now on.
    fn reset_counters(&self) -> Option<Answer> {
        let snapshot = self.hooks.stats.as_ref()?();
        *self.baseline.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        Some(text(StatusCode::OK, "OK\n"))
    }

    fn metrics(&self) -> Answer {
        answer(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", self.registry.encode())
    }

    async fn drain(&self, query: &Query) -> Option<Answer> {
        let how = match (query.has("graceful"), query.has("skip_exit")) {
            (false, false) => Some(Stop::AtOnce),
            // Envoy says that it is done, and does nothing.
            (false, true) => None,
            (true, false) => Some(Stop::Gracefully),
            (true, true) => Some(Stop::NotAtAll),
        };
        let which = if query.has("inboundonly") { Which::Inbound } else { Which::All };
        match (&self.hooks.drain, &self.hooks.stop_listeners) {
            (Some(leave), _) => leave().await,
            (None, Some(stop)) => {
                if let Some(how) = how {
                    stop(StopListeners { which, how }).await;
                }
            }
            (None, None) => return None,
        }
        Some(text(StatusCode::OK, "OK\n"))
    }

    fn runtime(&self) -> serde_json::Value {
        let none = || serde_json::json!({ "layers": [], "entries": {} });
        self.hooks.runtime.clone().unwrap_or_else(none)
    }

    /// Values are put in their places when the file is read, so that there is nothing to change later.
    fn modify_runtime(&self, query: &Query) -> Result<Option<Answer>, String> {
        if query.is_empty() {
            return Err(commands::RUNTIME_USAGE.to_owned());
        }
        Ok(Some(text(StatusCode::SERVICE_UNAVAILABLE, "No admin layer specified")))
    }

    async fn clusters(&self, query: &Query) -> Result<Option<Answer>, String> {
        let filter = query.regex("filter")?;
        let Some(clusters) = &self.hooks.clusters else { return Ok(None) };
        let mut clusters = clusters().await;
        clusters.retain(|cluster| filter.as_ref().is_none_or(|filter| filter.is_match(&cluster.config.name)));
        Ok(Some(match query.get("format") {
            Some("json") => json(&clusters::json(&clusters)),
            _ => text(StatusCode::OK, clusters::text(&clusters)),
        }))
    }

    async fn listeners(&self, query: &Query) -> Result<Option<Answer>, String> {
        let listeners = match &self.hooks.listeners {
            Some(list) => list().await,
            None => {
                let config = (self.config.0)();
                let of = |(name, listener): (&str, &Arc<leno_ir::Listener>)| (name.to_owned(), listener.address);
                config.listeners.iter().map(of).collect()
            }
        };
        Ok(Some(match query.get("format") {
            Some("json") => json(&pages::listeners_json(&listeners)),
            _ => text(StatusCode::OK, pages::listeners(&listeners)),
        }))
    }

    /// Shows the filter in force, after the change that the query asks for.
    fn logging(&self, query: &Query) -> Result<Option<Answer>, String> {
        let Some(set) = &self.hooks.set_log_filter else { return Ok(None) };
        let shown = || {
            let filter = self.hooks.log_filter.as_ref().map(|filter| filter()).unwrap_or_default();
            logging::page(&filter)
        };
        if !query.is_empty() {
            let changed = logging::filter(query).and_then(|filter| set(&filter));
            changed.map_err(|reason| format!("error: {reason}\n\n{}{}", logging::USAGE, shown()))?;
        }
        Ok(Some(text(StatusCode::OK, shown())))
    }
}

fn run(hook: Option<&(dyn Fn() + Send + Sync)>) -> Option<Answer> {
    hook?();
    Some(text(StatusCode::OK, "OK\n"))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=UTF-8", body)
}

fn json(value: &serde_json::Value) -> Answer {
    answer(StatusCode::OK, "application/json", format!("{value:#}\n"))
}

/// Without line breaks, as Envoy writes statistics.
fn compact_json(value: &serde_json::Value) -> Answer {
    answer(StatusCode::OK, "application/json", value.to_string())
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    headers.insert(hyper::header::X_CONTENT_TYPE_OPTIONS, hyper::header::HeaderValue::from_static("nosniff"));
    headers.insert(hyper::header::CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-cache, max-age=0"));
    response
}

#[cfg(test)]
mod tests;
