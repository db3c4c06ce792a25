use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use leno_identity::Identity;
use leno_runtime::Readiness;
use leno_telemetry::Registry;

use super::{ConfigDump, ProxyHandle};
use crate::admin::{
    Admin, AdminHooks, Ask, CertificatesInUse, ClusterStatus, EndpointStatus, Server, Stop, StopListeners,
};
use crate::worker::{Command, Which};

/// How long connections have before listeners close, when that is asked for: Envoy's default of `--drain-time-s`.
const DRAIN_TIME: Duration = Duration::from_secs(600);

type Certificates = Box<dyn Fn() -> CertificatesInUse + Send + Sync>;
type Dump = Box<dyn Fn(bool) -> Vec<serde_json::Value> + Send + Sync>;
type OnLeave = Ask<()>;

/// The admin interface of the proxy; `on_leave` is what `/drain_listeners` does.
pub(super) fn admin(
    proxy: &ProxyHandle,
    identity: Option<Identity>,
    registry: Registry,
    readiness: Readiness,
    dump: Option<ConfigDump>,
    on_leave: Option<OnLeave>,
    runtime: Option<serde_json::Value>,
) -> Admin {
    let of_stop = proxy.clone();
    let of_logs = proxy.clone();
    let (of_config, of_clusters, of_listeners, of_quit) = (proxy.clone(), proxy.clone(), proxy.clone(), proxy.clone());
    let (of_stats, of_server, of_health) = (proxy.clone(), proxy.clone(), proxy.clone());
    let of_dump = proxy.clone();
    let hooks = AdminHooks {
        config_dump: dump.map(|dump| -> Dump {
            Box::new(move |includes_endpoints| {
                let updated = *of_dump.inner.updated.lock().unwrap_or_else(PoisonError::into_inner);
                dump(&of_dump.config(), &humantime::format_rfc3339_millis(updated).to_string(), includes_endpoints)
            })
        }),
        stats: Some(Box::new(move || of_stats.inner.stats.snapshot())),
        server: Some(Box::new(move || {
            let memory = leno_runtime::memory::resident_bytes().unwrap_or(0);
            let (workers, listeners) = (of_server.inner.workers.len(), of_server.config().listeners.len());
            Server { workers, listeners, memory_physical_bytes: memory, ..Server::default() }
        })),
        set_unwell: Some(Box::new(move |is_unwell| of_health.inner.unwell.store(is_unwell, Ordering::Relaxed))),
        clusters: Some(Box::new(move || {
            let proxy = of_clusters.clone();
            Box::pin(async move { proxy.clusters().await })
        })),
        listeners: Some(Box::new(move || {
            let proxy = of_listeners.clone();
            Box::pin(async move { proxy.listeners().await })
        })),
        certificates: identity.map(|identity| -> Certificates {
            Box::new(move || {
                let svid = identity.current();
                CertificatesInUse { chain: svid.chain_summary(), roots: svid.roots_summary() }
            })
        }),
        log_filter: Some(Box::new(leno_telemetry::log_filter)),
        set_log_filter: Some(Box::new(|filter| {
            leno_telemetry::set_log_filter(filter).map_err(|error| error.to_string())?;
            tracing::info!(filter, "the log filter was changed by the admin interface");
            Ok(())
        })),
        reopen_logs: Some(Box::new(move || of_logs.reopen_access_logs())),
        quit: Some(Box::new(move || of_quit.inner.quit.notify_one())),
        drain: on_leave,
        stop_listeners: Some(Box::new(move |wish| {
            let proxy = of_stop.clone();
            Box::pin(async move { proxy.stop_listeners(wish).await })
        })),
        runtime,
    };
    Admin::new(registry, readiness, Box::new(move || of_config.config())).with_hooks(hooks)
}

impl ProxyHandle {
    /// Every listener that runs and where it is reached.
    pub async fn listeners(&self) -> Vec<(String, std::net::SocketAddr)> {
        let state = self.inner.state.lock().await;
        let listeners = state.plan.config.listeners.iter();
        listeners.filter_map(|(name, listener)| Some((name.to_owned(), state.sockets.address(listener)?))).collect()
    }

    async fn stop_listeners(&self, StopListeners { which, how }: StopListeners) {
        if how == Stop::AtOnce {
            return self.close_listeners(which).await;
        }
        for worker in &self.inner.workers {
            // One that has ended has no listeners.
            let _ = worker.commands.send(Command::DrainListeners(which)).await;
        }
        if how == Stop::Gracefully {
            let proxy = self.clone();
            self.inner.tasks.spawn("drain", async move {
                tokio::time::sleep(DRAIN_TIME).await;
                proxy.close_listeners(which).await;
            });
        }
    }

    async fn close_listeners(&self, which: Which) {
        self.ask_workers(|done| Command::StopListeners { which, done }).await;
    }

    async fn clusters(&self) -> Vec<ClusterStatus> {
        let answers = self.ask_workers(|done| Command::Status { done }).await;
        merge(answers.into_iter().flatten().flatten().collect())
    }
}

/// One status per cluster and address: requests added up, the worst of what workers think.
fn merge(statuses: Vec<ClusterStatus>) -> Vec<ClusterStatus> {
    let mut clusters: BTreeMap<String, (ClusterStatus, BTreeMap<std::net::SocketAddr, EndpointStatus>)> =
        BTreeMap::new();
    for mut status in statuses {
        let found = std::mem::take(&mut status.endpoints);
        let (_, endpoints) = clusters.entry(status.config.name.clone()).or_insert((status, BTreeMap::new()));
        for endpoint in found {
            endpoints
                .entry(endpoint.address)
                .and_modify(|known| {
                    known.active_requests += endpoint.active_requests;
                    known.counts.add(endpoint.counts);
                    known.is_ejected |= endpoint.is_ejected;
                    known.latency = known.latency.max(endpoint.latency);
                })
                .or_insert(endpoint);
        }
    }
    let status = |(status, endpoints): (ClusterStatus, BTreeMap<_, _>)| ClusterStatus {
        endpoints: endpoints.into_values().collect(),
        ..status
    };
    clusters.into_values().map(status).collect()
}
