use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortHandle, abortable, join_all};
use leno_identity::Identity;
use leno_ir::{Cluster, Config, Discovery};
use leno_runtime::Tasks;
use tokio::sync::{Notify, mpsc};

use crate::discovery::Lookups;
use crate::dynamics::Dynamics;
use crate::health::Checker;
use crate::tls::TlsContexts;
use crate::worker::Command;

/// A configuration is activated after this at the latest, even if something of it was not found out yet. Chosen: above
/// every sensible time-out of a first check, below what an operator waits for.
const MOST_WARMING: Duration = Duration::from_secs(15);

/// Keeps the tasks that find out, once for all workers, what clusters do not say: addresses by
/// names, health by checks.
#[derive(Debug)]
pub(crate) struct Supervisor {
    clusters: HashMap<String, Watched>,
    changed: Arc<Notify>,
    identity: Option<Identity>,
    contexts: TlsContexts,
    tasks: Tasks,
}

#[derive(Debug)]
struct Watched {
    config: Arc<Cluster>,
    dynamics: Arc<Dynamics>,
    /// Ends its tasks when dropped.
    _running: Vec<Running>,
}

#[derive(Debug)]
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Supervisor {
    pub(crate) fn new(identity: Option<Identity>, contexts: TlsContexts, tasks: Tasks) -> Self {
        Self { clusters: HashMap::new(), changed: Arc::new(Notify::new()), identity, contexts, tasks }
    }

    /// Starts to tell `workers` when there is something new to look at.
    pub(crate) fn tell(&self, workers: Vec<mpsc::WeakSender<Command>>) {
        let changed = self.changed.clone();
        self.tasks.spawn("tell-workers", async move {
            loop {
                changed.notified().await;
                for worker in &workers {
                    let Some(worker) = worker.upgrade() else { continue };
                    // It is gone only when it was told to end.
                    let _ = worker.send(Command::Refresh).await;
                }
            }
        });
    }

    /// Watches exactly the clusters of `config` that need it, and returns once what is new of it is known or has failed.
    pub(crate) async fn follow(&mut self, config: &Config) -> HashMap<String, Arc<Dynamics>> {
        let mut before = std::mem::take(&mut self.clusters);
        let mut fresh = Vec::new();
        for (name, cluster) in config.clusters.iter().filter(|(_, cluster)| needs_watching(cluster)) {
            let watched = match before.remove(name) {
                Some(watched) if Arc::ptr_eq(&watched.config, cluster) || watched.config == *cluster => watched,
                _ => {
                    let watched = self.watch(cluster);
                    fresh.push(watched.dynamics.clone());
                    watched
                }
            };
            if let Some(set) = configured(config, cluster) {
                watched.dynamics.set_endpoints(set);
            }
            self.clusters.insert(name.clone(), watched);
        }
        let warming = join_all(fresh.iter().map(|dynamics| dynamics.warm()));
        if tokio::time::timeout(MOST_WARMING, warming).await.is_err() {
            tracing::warn!("clusters are used before the health of all their endpoints is known");
        }
        self.clusters.iter().map(|(name, watched)| (name.clone(), watched.dynamics.clone())).collect()
    }

    fn watch(&self, cluster: &Arc<Cluster>) -> Watched {
        let (dynamics, failures) = Dynamics::new(cluster, self.changed.clone());
        let dynamics = Arc::new(dynamics);
        let mut running = Vec::new();
        if cluster.health_check.is_some() {
            let checker = Checker::new(
                cluster.clone(),
                dynamics.clone(),
                (self.identity.clone(), self.contexts.clone()),
                self.tasks.clone(),
            );
            running.push(self.run("health-checks", checker.run(failures)));
        }
        if let Some(lookups) = Lookups::new(cluster, dynamics.clone()) {
            running.push(self.run("dns-lookups", lookups.run()));
        }
        Watched { config: cluster.clone(), dynamics, _running: running }
    }

    fn run(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Running {
        let (task, handle) = abortable(task);
        self.tasks.spawn(name, async move {
            // Aborted: nobody wants to know any more.
            let _ = task.await;
        });
        Running(handle)
    }
}

fn needs_watching(cluster: &Cluster) -> bool {
    cluster.health_check.is_some() || matches!(cluster.discovery, Discovery::Dns(_))
}

/// The endpoints that the configuration has; `None` when others have to be asked.
fn configured(config: &Config, cluster: &Cluster) -> Option<Arc<leno_ir::EndpointSet>> {
    match &cluster.discovery {
        Discovery::Eds { service_name } => Some(config.endpoints.get(service_name).cloned().unwrap_or_default()),
        Discovery::Aggregate(_)
        | Discovery::Dns(_)
        | Discovery::DynamicHosts(_)
        | Discovery::OriginalDestination(_) => None,
        Discovery::Static(set) => Some(set.clone()),
    }
}
