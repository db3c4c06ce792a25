use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use leno_api::{Kind, Located, ParseProblem, Resource, ResourceKey};
use leno_compile::Compiler;
use leno_ir::{Flavor, Node};
use leno_model::{MeshSettings, Problem, Snapshot};
use leno_names::SpiffeId;
use leno_runtime::Tasks;
use leno_store::{DirectoryContent, EmbeddedStore};
use leno_telemetry::Registry;
use leno_xds_server::{ConfigSource, Outcome, Refusal, Secrets, Session, SharedLimits, StatusReport};
use tokio::sync::{Notify, watch};

use crate::indices::Indices;
use crate::metrics::Metrics;
use crate::publish;
use crate::registration::Registrations;
use crate::session::{Guard, NodeSession};
use crate::stamp::Statuses;
use crate::status::Parts;

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
    /// Grows with every snapshot and every answer of a node.
    pub(crate) changes: watch::Sender<u64>,
    /// The store's revision that the last snapshot holds.
    pub(crate) published: watch::Sender<u64>,
    /// Set once: what is registered stays so for the next start.
    pub(crate) stopped: AtomicBool,
    pub(crate) metrics: Metrics,
    /// Held only to take or replace what is in it: requests wait for it.
    pub(crate) limits: Mutex<Arc<SharedLimits>>,
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
    /// When an object changes by itself next.
    pub(crate) next_change: Option<tokio::time::Instant>,
    /// Which services an object has a part in; made when somebody asks, forgotten with the snapshot.
    pub(crate) parts: Option<Parts>,
    /// The statuses that were last given.
    pub(crate) given: Statuses,
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
        let empty = Snapshot::empty(config.settings.clone());
        let state = State {
            registrations,
            sessions: BTreeMap::new(),
            next_session: 1,
            indices,
            compiler: Compiler::finished_by(crate::envoy_filters::apply),
            snapshot: Arc::new(empty),
            resources: BTreeMap::new(),
            problems: Vec::new(),
            next_change: None,
            parts: None,
            given: Statuses::new(),
        };
        let shared = Arc::new(Shared {
            config,
            store,
            directory,
            state: Mutex::new(state),
            dirty: Notify::new(),
            revision: watch::Sender::new(0),
            changes: watch::Sender::new(0),
            published: watch::Sender::new(0),
            stopped: AtomicBool::new(false),
            metrics: Metrics::register(registry),
            limits: Mutex::default(),
        });
        shared.publish();
        tasks.spawn("publisher", publish::run(shared.clone()));
        Self { shared }
    }

    /// Tells of new snapshots, and of what nodes made of them: objects or their conditions may read differently.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// All objects in force, those of files and registrations included.
    pub fn resources(&self) -> Vec<Arc<Resource>> {
        self.shared.lock().resources.values().map(|located| located.value.clone()).collect()
    }

    /// Objects of a kind that are in force and that nobody wrote: those of files, and workloads that have registered.
    pub fn unwritten(&self, kind: Kind) -> Vec<Arc<Resource>> {
        let state = self.shared.lock();
        let of_kind = state.resources.range(ResourceKey::new(kind, "", "")..).take_while(|(key, _)| key.kind == kind);
        let unwritten = of_kind.filter(|(key, located)| !located.source.is_empty() || state.registrations.holds(key));
        unwritten.map(|(_, located)| located.value.clone()).collect()
    }

    /// [`Control::unwritten`], for one object.
    pub fn unwritten_object(&self, key: &ResourceKey) -> Option<Arc<Resource>> {
        let state = self.shared.lock();
        let located = state.resources.get(key)?;
        (!located.source.is_empty() || state.registrations.holds(key)).then(|| located.value.clone())
    }

    /// All namespaces that objects in force live in.
    pub fn namespaces(&self) -> BTreeSet<String> {
        self.shared.lock().resources.keys().map(|key| key.namespace.clone()).collect()
    }

    /// An object in force.
    pub fn resource(&self, key: &ResourceKey) -> Option<Arc<Resource>> {
        self.shared.lock().resources.get(key).map(|located| located.value.clone())
    }

    /// File and line an object came from; `None` when it did not come from a file.
    pub fn place(&self, key: &ResourceKey) -> Option<(Arc<str>, usize)> {
        let state = self.shared.lock();
        let located = state.resources.get(key)?;
        (!located.source.is_empty()).then(|| (located.source.clone(), located.line))
    }

    /// [`Control::place`] as `file:line`.
    pub fn origin(&self, key: &ResourceKey) -> Option<String> {
        self.place(key).map(|(file, line)| format!("{file}:{line}"))
    }

    /// Waits until everything that is in the store now is in force, so that who has written reads it back.
    pub async fn settled(&self) {
        let wanted = self.shared.store.revision();
        // An error means that we are going away.
        let _ = self.shared.published.subscribe().wait_for(|revision| *revision >= wanted).await;
    }

    /// To be called before streams are ended for a shutdown: from now on workloads that are cut off stay registered, to
    /// come back to the next start.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }

    /// Of the objects in force, sorted.
    pub fn problems(&self) -> Vec<Problem> {
        self.shared.lock().problems.clone()
    }

    /// Of one object in force.
    pub fn problems_of(&self, key: &ResourceKey) -> Vec<Problem> {
        self.shared.lock().problems_of(key).to_vec()
    }

    /// Of the files.
    pub fn file_problems(&self) -> Vec<ParseProblem> {
        self.shared.directory.borrow().problems.clone()
    }

    /// What would be wrong with `resources` if all of them were written; nothing changes. Compiles the whole mesh once.
    pub fn check(&self, resources: &[Resource]) -> Vec<Problem> {
        let (mut all, mut numbers) = {
            let state = self.shared.lock();
            let all: BTreeMap<_, _> =
                state.resources.iter().map(|(key, located)| (key.clone(), located.value.clone())).collect();
            (all, state.indices.numbers().clone())
        };
        all.extend(resources.iter().map(|resource| (resource.key(), Arc::new(resource.clone()))));
        let today = SystemTime::now();
        let all: Vec<_> = all.into_values().map(|resource| resource.at(today)).collect();
        for key in leno_model::service_keys(&all) {
            // Nothing is bound: any number will do.
            numbers.entry(key).or_insert(u16::MAX);
        }
        let (snapshot, mut problems) = Snapshot::build(&all, &self.shared.config.settings, &numbers);
        let mut compiler = Compiler::new();
        compiler.update(&Arc::new(snapshot));
        problems.extend(compiler.problems());
        let keys: BTreeSet<_> = resources.iter().map(Resource::key).collect();
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
        check_gateway(&node, &state.snapshot)?;
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
        if node.address.is_some() && node.gateway.is_none() && node.flavor != Flavor::Grpc {
            state.registrations.connected(&node, id, &self.shared.store);
        }
        tracing::info!(node = node.id, %peer, flavor = ?node.flavor, "node connected");
        state.sessions.insert(id, NodeSession::new(node, peer, config, secrets, renew_secrets));
        drop(state);
        self.shared.dirty.notify_one();
        Ok(session)
    }

    fn report(&self, report: StatusReport) {
        let answered = report.outcome != Outcome::Sent;
        self.shared.lock().record(report);
        if answered {
            self.shared.changes.send_modify(|changes| *changes += 1);
        }
    }
}

/// The configuration of a gateway holds its private keys: only the gateway's own service accounts get it.
fn check_gateway(node: &Node, snapshot: &Snapshot) -> Result<(), Refusal> {
    let Some(wanted) = &node.gateway else { return Ok(()) };
    let key = ResourceKey::new(Kind::Gateway, &wanted.namespace, &wanted.name);
    let written = snapshot.gateways.get(&key).map(|gateway| gateway.service_accounts.as_slice());
    let own = [wanted.name.clone()];
    let accounts = written.unwrap_or(&own);
    if node.namespace == wanted.namespace && accounts.contains(&node.service_account) {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "service account {}/{} may not serve {key}, but {} of its namespace; the Gateway's annotation {} allows others",
        node.namespace,
        node.service_account,
        accounts.join(", "),
        leno_api::annotation::SERVICE_ACCOUNTS
    )))
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
