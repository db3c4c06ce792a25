//! What became of what was sent: per node and type, per object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use leno_api::{Kind, Located, Resource, ResourceKey};
use leno_ir::Flavor;
use leno_model::status::Condition;
use leno_model::{Problem, Severity, Snapshot};
use leno_xds_server::{Outcome, StatusReport};
use serde::Serialize;

use crate::Control;
use crate::control::{Shared, State};
use crate::session::NodeSession;

/// The state of the whole mesh.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Snapshots since the start.
    pub revision: u64,
    pub proxies: Vec<NodeStatus>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The workload's name.
    pub name: String,
    pub namespace: String,
    pub flavor: Flavor,
    pub identity: String,
    pub address: Option<String>,
    /// Seconds since 1970.
    pub connected_since: u64,
    /// Everything sent was taken.
    pub in_sync: bool,
    /// Resources taken, by type (`cluster`, `listener` …).
    pub taken: BTreeMap<String, usize>,
    /// Resources sent and not answered yet.
    pub pending: usize,
    pub rejected: Vec<RejectedResource>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RejectedResource {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub reason: String,
}

/// A node that runs what an object has a part in.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectProxy {
    /// The workload's name.
    pub name: String,
    pub namespace: String,
    /// `in sync`, `pending` or `rejected`.
    pub state: &'static str,
}

/// By type URL and resource name.
#[derive(Clone, Debug, Default)]
pub(crate) struct SyncState {
    types: BTreeMap<String, TypeState>,
}

#[derive(Clone, Debug, Default)]
struct TypeState {
    /// Name to version.
    pending: BTreeMap<String, String>,
    taken: BTreeMap<String, String>,
    /// Name to reason.
    rejected: BTreeMap<String, String>,
}

impl SyncState {
    fn record(&mut self, report: StatusReport) {
        let state = self.types.entry(report.type_url).or_default();
        for name in &report.removed {
            state.pending.remove(name);
            state.taken.remove(name);
            state.rejected.remove(name);
        }
        for (name, version) in report.resources {
            match &report.outcome {
                Outcome::Sent => {
                    state.pending.insert(name, version);
                }
                Outcome::Acked => {
                    if state.pending.get(&name) == Some(&version) {
                        state.pending.remove(&name);
                    }
                    state.rejected.remove(&name);
                    state.taken.insert(name, version);
                }
                Outcome::Rejected { reason } => {
                    state.pending.remove(&name);
                    state.rejected.insert(name, reason.clone());
                }
            }
        }
    }

    pub(crate) fn in_sync(&self) -> bool {
        !self.types.is_empty() && self.types.values().all(|state| state.pending.is_empty() && state.rejected.is_empty())
    }

    fn pending(&self) -> usize {
        self.types.values().map(|state| state.pending.len()).sum()
    }

    fn rejected(&self) -> Vec<RejectedResource> {
        let all = self.types.iter().flat_map(|(url, state)| {
            state.rejected.iter().map(|(name, reason)| RejectedResource {
                kind: short(url),
                name: name.clone(),
                reason: reason.clone(),
            })
        });
        all.collect()
    }
}

/// `cluster` for `type.googleapis.com/envoy.config.cluster.v3.Cluster`.
fn short(type_url: &str) -> String {
    type_url.rsplit('.').next().unwrap_or(type_url).to_ascii_lowercase()
}

impl State {
    pub(crate) fn record(&mut self, report: StatusReport) {
        if let Outcome::Rejected { reason } = &report.outcome {
            tracing::warn!(
                node = report.node_id,
                kind = short(&report.type_url),
                reason,
                "a node rejects configuration"
            );
        }
        // The newest session of the node: an older stream of it may still be on its way out.
        let session = self.sessions.values_mut().rev().find(|session| session.node.id == report.node_id);
        if let Some(session) = session {
            session.sync.record(report);
        }
    }
}

impl Control {
    pub fn status(&self) -> Status {
        let state = self.shared.lock();
        // The newest session of each node: an older one of it is on its way out, or shares its reports (gRPC opens a
        // stream per channel).
        let newest: BTreeMap<_, _> = state.sessions.values().map(|session| (&session.node.id, session)).collect();
        let proxies = newest
            .into_values()
            .map(|session| NodeStatus {
                name: session.node.workload.clone(),
                namespace: session.node.namespace.clone(),
                flavor: session.node.flavor,
                identity: session.peer.to_string(),
                address: session.node.address.map(|address| address.to_string()),
                connected_since: session.connected.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
                in_sync: session.sync.in_sync(),
                taken: session.sync.types.iter().map(|(url, state)| (short(url), state.taken.len())).collect(),
                pending: session.sync.pending(),
                rejected: session.sync.rejected(),
            })
            .collect();
        Status { revision: *self.shared.revision.borrow(), proxies }
    }

    /// Whether an object is understood, and whether every node runs what came of it.
    pub fn conditions(&self, key: &ResourceKey) -> Vec<Condition> {
        let mut state = self.shared.lock();
        if state.sources.in_force().get(key).is_none_or(|located| !self.shared.is_latest(key, located)) {
            let message = "it is not compiled yet";
            let unknown = Condition { kind: "Accepted", status: "Unknown", ..pending(message) };
            return vec![unknown, pending(message)];
        }
        let accepted = accepted(&state, key);
        let programmed = if accepted.status == "False" {
            Condition::fails("Programmed", "Invalid", "a part of the object has no effect; see Accepted")
        } else if *self.shared.published.borrow() < self.shared.store.revision() {
            pending("it is not compiled yet")
        } else {
            programmed(&mut state, key)
        };
        vec![accepted, programmed]
    }

    /// The nodes that have, or should have, configuration that an object has a part in. Looks at every resource of every
    /// node.
    pub fn proxies_of(&self, key: &ResourceKey) -> Vec<ObjectProxy> {
        let mut state = self.shared.lock();
        let services = state.services_of(key);
        let concerns = |name: &str| services.iter().any(|fqdn| ends_with_host(name, fqdn));
        let sessions = state.sessions.values().map(|session| (&session.node.id, session)).collect::<BTreeMap<_, _>>();
        let state_of = |session: &NodeSession| {
            let types = || session.sync.types.values();
            if types().any(|kind| kind.rejected.keys().any(|name| concerns(name))) {
                Some("rejected")
            } else if types().any(|kind| kind.pending.keys().any(|name| concerns(name))) {
                Some("pending")
            } else {
                types().any(|kind| kind.taken.keys().any(|name| concerns(name))).then_some("in sync")
            }
        };
        let proxy = |session: &NodeSession| {
            let (name, namespace) = (session.node.workload.clone(), session.node.namespace.clone());
            Some(ObjectProxy { name, namespace, state: state_of(session)? })
        };
        sessions.into_values().filter_map(proxy).collect()
    }
}

impl Shared {
    /// Whether nothing newer is stored under this name.
    fn is_latest(&self, key: &ResourceKey, located: &Located<Arc<Resource>>) -> bool {
        let stored = || self.store.read(key).is_none_or(|stored| Arc::ptr_eq(&stored, &located.value));
        !located.source.is_empty() || stored()
    }
}

fn pending(message: impl Into<String>) -> Condition {
    Condition::fails("Programmed", "Pending", message)
}

fn accepted(state: &State, key: &ResourceKey) -> Condition {
    let problems = state.problems_of(key);
    let message = problems.iter().map(|problem| match problem.field.as_str() {
        "" => problem.message.clone(),
        field => format!("{field}: {}", problem.message),
    });
    let message = message.collect::<Vec<_>>().join("; ");
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        Condition::fails("Accepted", "Invalid", message)
    } else {
        Condition { message, ..Condition::holds("Accepted", "Accepted") }
    }
}

impl State {
    /// They are sorted by object.
    pub(crate) fn problems_of(&self, key: &ResourceKey) -> &[Problem] {
        let from = self.problems.partition_point(|problem| problem.object < *key);
        let count = self.problems[from..].partition_point(|problem| problem.object == *key);
        &self.problems[from..from + count]
    }

    /// The names of the services in whose configuration an object has a part.
    fn services_of(&mut self, key: &ResourceKey) -> Vec<String> {
        let snapshot = &self.snapshot;
        self.parts.get_or_insert_with(|| parts(snapshot)).get(key).cloned().unwrap_or_default()
    }
}

fn programmed(state: &mut State, key: &ResourceKey) -> Condition {
    let services = state.services_of(key);
    let concerns = |name: &str| services.iter().any(|fqdn| ends_with_host(name, fqdn));
    let mut rejected = Vec::new();
    let mut waiting = 0;
    for session in state.sessions.values() {
        for kind in session.sync.types.values() {
            waiting += kind.pending.keys().filter(|name| concerns(name)).count();
            rejected.extend(
                kind.rejected
                    .iter()
                    .filter(|(name, _)| concerns(name))
                    .map(|(name, reason)| format!("{} rejects {name}: {reason}", session.node.workload)),
            );
        }
    }
    if !rejected.is_empty() {
        Condition::fails("Programmed", "Rejected", rejected.join("; "))
    } else if waiting > 0 {
        pending(format!("{waiting} resources are not acknowledged yet"))
    } else {
        Condition::holds("Programmed", "Programmed")
    }
}

/// `outbound|80||a.default.svc.cluster.local` is of that host, not of `default.svc.cluster.local`.
fn ends_with_host(name: &str, fqdn: &str) -> bool {
    name.strip_suffix(fqdn).is_some_and(|rest| rest.is_empty() || rest.ends_with('|'))
}

/// By object the names of the services in whose configuration it has a part.
pub(crate) type Parts = BTreeMap<ResourceKey, Vec<String>>;

fn parts(snapshot: &Snapshot) -> Parts {
    let mut parts = Parts::new();
    for (key, service) in &snapshot.services {
        let own = ResourceKey::new(Kind::Service, &key.namespace, &key.name);
        let origins = service.origins.iter().cloned();
        let rules = service.rules_keys();
        let workloads = service.workloads.iter().map(|workload| workload.key.clone());
        let objects: BTreeSet<_> = std::iter::once(own).chain(origins).chain(rules).chain(workloads).collect();
        for object in objects {
            parts.entry(object).or_default().push(service.fqdn.clone());
        }
    }
    parts
}
