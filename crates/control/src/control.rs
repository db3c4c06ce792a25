use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leno_api::{Located, ParseProblem, Resource, ResourceKey};
use leno_compile::Compiler;
use leno_ir::{Flavor, Node};
use leno_model::{MeshSettings, Problem, Snapshot};
use leno_names::SpiffeId;
use leno_runtime::Tasks;
use leno_store::{DirectoryContent, EmbeddedStore};
use leno_telemetry::Registry;
use leno_xds_server::{ConfigSource, Refusal, Secrets, Session, StatusReport};
use tokio::sync::{Notify, watch};

use crate::indices::Indices;
use crate::metrics::Metrics;
use crate::publish;
use crate::registration::Registrations;
use crate::session::{Guard, NodeSession};

/// Makes the secrets of a guest that gets them over SDS, and says how long they live.
pub type IssueSecrets = Arc<dyn Fn(&SpiffeId) -> Result<(Secrets, Duration), String> + Send + Sync>;

#[derive(Clone)]
pub struct ControlConfig {
    pub settings: MeshSettings,
    /// A workload whose stream broke is removed after this. Default 3 s.
    pub reconnect_grace: Duration,
    /// After a start, workloads of before have this long to come back. Default 15 s.
    pub restart_grace: Duration,
    pub issue_secrets: IssueSecrets,
}

impl std::fmt::Debug for ControlConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlConfig").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Handle to the running control plane; clones share it.
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: ControlConfig,
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) directory: watch::Receiver<Arc<DirectoryContent>>,
    pub(crate) state: Mutex<State>,
    /// Registrations or sessions have changed: publish again.
    pub(crate) dirty: Notify,
    /// Grows with every snapshot.
    pub(crate) revision: watch::Sender<u64>,
    pub(crate) metrics: Metrics,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Everything that changes. Held only for the time of a computation.
pub(crate) struct State {
    pub(crate) registrations: Registrations,
    pub(crate) sessions: BTreeMap<u64, NodeSession>,
    pub(crate) next_session: u64,
    pub(crate) indices: Indices,
    pub(crate) compiler: Compiler,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) resources: BTreeMap<ResourceKey, Located<Arc<Resource>>>,
    pub(crate) problems: Vec<Problem>,
}

impl Control {
    /// Reads what there is, publishes it, and keeps doing so while `tasks` run.
    pub fn start(
        config: ControlConfig,
        store: Arc<EmbeddedStore>,
        directory: watch::Receiver<Arc<DirectoryContent>>,
        tasks: &Tasks,
        registry: &Registry,
    ) -> Self {
        let now = tokio::time::Instant::now();
        let registrations = Registrations::load(&store, now + config.restart_grace);
        let indices = Indices::load(&store);
        let empty = Snapshot { settings: config.settings.clone(), services: BTreeMap::new() };
        let state = State {
            registrations,
            sessions: BTreeMap::new(),
            next_session: 1,
            indices,
            compiler: Compiler::new(),
            snapshot: Arc::new(empty),
            resources: BTreeMap::new(),
            problems: Vec::new(),
        };
        let shared = Arc::new(Shared {
            config,
            store,
            directory,
            state: Mutex::new(state),
            dirty: Notify::new(),
            revision: watch::Sender::new(0),
            metrics: Metrics::register(registry),
        });
        shared.publish();
        tasks.spawn("publisher", publish::run(shared.clone()));
        Self { shared }
    }

    /// Tells of new snapshots.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// All objects in force, those of files and registrations included.
    pub fn resources(&self) -> Vec<Arc<Resource>> {
        self.shared.lock().resources.values().map(|located| located.value.clone()).collect()
    }

    /// The file an object came from; `None` when it did not come from a file.
    pub fn origin(&self, key: &ResourceKey) -> Option<String> {
        let state = self.shared.lock();
        let located = state.resources.get(key)?;
        (!located.source.is_empty()).then(|| format!("{}:{}", located.source, located.line))
    }

    /// Of the objects in force, sorted.
    pub fn problems(&self) -> Vec<Problem> {
        self.shared.lock().problems.clone()
    }

    /// Of the files.
    pub fn file_problems(&self) -> Vec<ParseProblem> {
        self.shared.directory.borrow().problems.clone()
    }

    /// What would be wrong if `resources` were written; nothing changes.
    pub fn check(&self, resources: &[Resource]) -> Vec<Problem> {
        let state = self.shared.lock();
        let mut all: BTreeMap<_, _> =
            state.resources.iter().map(|(key, located)| (key.clone(), located.value.clone())).collect();
        all.extend(resources.iter().map(|resource| (resource.key(), Arc::new(resource.clone()))));
        let all: Vec<_> = all.into_values().collect();
        let (snapshot, mut problems) = Snapshot::build(&all, &self.shared.config.settings, state.indices.numbers());
        let mut compiler = Compiler::new();
        compiler.update(&Arc::new(snapshot));
        problems.extend(compiler.problems());
        let keys: Vec<_> = resources.iter().map(Resource::key).collect();
        problems.retain(|problem| keys.contains(&problem.object));
        problems.sort();
        problems.dedup();
        problems
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConfigSource for Control {
    fn connect(&self, node: Node, peer: SpiffeId) -> Result<Session, Refusal> {
        check_identity(&node, &peer)?;
        let mut state = self.shared.lock();
        state.registrations.check_name(&node)?;
        let (secrets, renew_secrets) = match node.flavor {
            Flavor::Envoy => {
                let (secrets, life) = (self.shared.config.issue_secrets)(&peer)
                    .map_err(|error| Refusal::new(format!("no certificate can be made for {peer}: {error}")))?;
                (Some(watch::Sender::new(Arc::new(secrets))), Some(tokio::time::Instant::now() + life / 2))
            }
            Flavor::Grpc | Flavor::Leno => (None, None),
        };
        let id = state.next_session;
        state.next_session += 1;
        let config = watch::Sender::new(Arc::new(state.compiler.node(&node)));
        let session = Session {
            config: config.subscribe(),
            secrets: secrets.as_ref().map(watch::Sender::subscribe),
            guard: Box::new(Guard::new(self.shared.clone(), id)),
        };
        if node.address.is_some() && node.flavor != Flavor::Grpc {
            state.registrations.connected(&node, id, &self.shared.store);
        }
        tracing::info!(node = node.id, %peer, flavor = ?node.flavor, "node connected");
        state.sessions.insert(id, NodeSession::new(node, peer, config, secrets, renew_secrets));
        drop(state);
        self.shared.dirty.notify_one();
        Ok(session)
    }

    fn report(&self, report: StatusReport) {
        self.shared.lock().record(report);
    }
}

/// A node may speak only for the identity it has proved.
fn check_identity(node: &Node, peer: &SpiffeId) -> Result<(), Refusal> {
    if node.namespace == peer.namespace && node.service_account == peer.service_account {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "node {} says that it is service account {}/{}, but its certificate is for {peer}",
        node.id, node.namespace, node.service_account
    )))
}
