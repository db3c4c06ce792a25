//! Workloads that are here because their streams are: WorkloadEntries that control itself writes.
//!
//! ```text
//!                 connected                 stream broke                grace is over
//! (absent) ──────────────────▶ Connected ──────────────────▶ CutOff ─────────────────▶ (absent)
//!    ▲                          │  ▲                           │
//!    └──── stream closed ───────┘  └──────── connected ────────┘
//! ```
//!
//! After a restart of the control plane every workload of before is `CutOff`, but still takes traffic.

use leno_telemetry::Chain;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::{Resource, ResourceKey, WorkloadEntry, annotation};
use leno_ir::Node;
use leno_store::EmbeddedStore;
use leno_xds_server::{Refusal, StreamEnd};
use tokio::time::Instant;

const STATE_PREFIX: &str = "workload/";

#[derive(Debug, Default)]
pub(crate) struct Registrations {
    by_node: BTreeMap<String, Registration>,
    /// Nodes by the name of their workload; of several the first has it.
    by_key: BTreeMap<ResourceKey, BTreeSet<String>>,
    /// Whose registrations were changed since somebody asked.
    changed: BTreeSet<ResourceKey>,
}

#[derive(Debug)]
struct Registration {
    entry: Arc<Resource>,
    link: Link,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    Connected { session: u64 },
    CutOff { until: Instant },
}

impl Registrations {
    /// What was registered before a restart; all may come back until `until`.
    pub(crate) fn load(store: &EmbeddedStore, until: Instant) -> Self {
        let mut all = Self::default();
        match store.states(STATE_PREFIX) {
            Ok(states) => {
                for (key, value) in states {
                    let parsed = serde_json::from_slice(&value).ok().and_then(|value| Resource::from_json(&value).ok());
                    let Some(entry) = parsed else { continue };
                    let node = key.strip_prefix(STATE_PREFIX).unwrap_or(&key).to_owned();
                    all.put(node, Registration { entry: Arc::new(entry), link: Link::CutOff { until } });
                }
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "registered workloads cannot be read; they register again by themselves")
            }
        }
        all
    }

    /// Refuses a node that takes the name of another identity's workload.
    pub(crate) fn check_name(&self, node: &Node) -> Result<(), Refusal> {
        let Some(Resource::WorkloadEntry(entry)) = self.by_node.get(&node.id).map(|registration| &*registration.entry)
        else {
            return Ok(());
        };
        let account = entry.spec.service_account.as_deref().unwrap_or_default();
        let namespace = entry.metadata.namespace();
        if (namespace, account) == (&*node.namespace, &*node.service_account) {
            return Ok(());
        }
        Err(Refusal::new(format!(
            "workload {} belongs to service account {namespace}/{account}; {}/{} may not take its name",
            node.id, node.namespace, node.service_account
        )))
    }

    /// Absent | Connected | `CutOff` -> Connected
    pub(crate) fn connected(&mut self, node: &Node, session: u64, store: &EmbeddedStore) {
        let entry = entry_of(node);
        let unchanged = self.by_node.get(&node.id).is_some_and(|before| *before.entry == entry);
        if !unchanged {
            save(store, &node.id, &entry);
        }
        let registration = Registration { entry: Arc::new(entry), link: Link::Connected { session } };
        self.put(node.id.clone(), registration);
    }

    fn put(&mut self, node: String, registration: Registration) {
        self.remove(&node);
        let key = registration.entry.key();
        self.changed.insert(key.clone());
        self.by_key.entry(key).or_default().insert(node.clone());
        self.by_node.insert(node, registration);
    }

    fn remove(&mut self, node: &str) {
        let Some(registration) = self.by_node.remove(node) else { return };
        let key = registration.entry.key();
        if let Some(nodes) = self.by_key.get_mut(&key) {
            nodes.remove(node);
            if nodes.is_empty() {
                self.by_key.remove(&key);
            }
        }
        self.changed.insert(key);
    }

    /// Connected -> absent when the stream was closed, -> `CutOff` when it broke. Ignores streams that were replaced.
    pub(crate) fn disconnected(
        &mut self,
        node: &str,
        session: u64,
        end: StreamEnd,
        until: Instant,
        store: &EmbeddedStore,
    ) {
        let Some(registration) = self.by_node.get_mut(node) else { return };
        if registration.link != (Link::Connected { session }) {
            return;
        }
        match end {
            StreamEnd::Clean => {
                self.remove(node);
                forget(store, node);
            }
            StreamEnd::Broken => {
                registration.link = Link::CutOff { until };
                registration.entry = Arc::new(with_health(&registration.entry, "unhealthy"));
                let key = registration.entry.key();
                self.changed.insert(key);
            }
        }
    }

    /// `CutOff` -> absent when the grace is over.
    pub(crate) fn expire(&mut self, now: Instant, store: &EmbeddedStore) {
        let is_over = |registration: &Registration| matches!(registration.link, Link::CutOff { until } if until <= now);
        let over = self.by_node.iter().filter(|(_, registration)| is_over(registration));
        for node in over.map(|(node, _)| node.clone()).collect::<Vec<_>>() {
            tracing::info!(node, "workload did not come back and is removed");
            forget(store, &node);
            self.remove(&node);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_node
            .values()
            .filter_map(|registration| match registration.link {
                Link::CutOff { until } => Some(until),
                Link::Connected { .. } => None,
            })
            .min()
    }

    pub(crate) fn holds(&self, key: &ResourceKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// The workload of a name, and whether it is the only one that has registered by it.
    pub(crate) fn get(&self, key: &ResourceKey) -> Option<(&Arc<Resource>, bool)> {
        let nodes = self.by_key.get(key)?;
        let registration = self.by_node.get(nodes.first()?)?;
        Some((&registration.entry, nodes.len() == 1))
    }

    /// Those that came, went or changed since the last call.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<ResourceKey> {
        std::mem::take(&mut self.changed)
    }
}

fn entry_of(node: &Node) -> Resource {
    let mut entry = WorkloadEntry {
        api_version: "networking.istio.io/v1".to_owned(),
        kind: "WorkloadEntry".to_owned(),
        ..WorkloadEntry::default()
    };
    entry.metadata.name.clone_from(&node.workload);
    entry.metadata.namespace = Some(node.namespace.clone());
    let annotations = &mut entry.metadata.annotations;
    annotations.insert(annotation::REGISTERED.to_owned(), "true".to_owned());
    if let Some(service) = &node.service {
        annotations.insert(annotation::SERVICE.to_owned(), service.clone());
    }
    let protocols: Vec<_> = node.ports.iter().map(|port| format!("{}={}", port.app, port.protocol)).collect();
    annotations.insert(annotation::PROTOCOLS.to_owned(), protocols.join(","));
    entry.spec.address = node.address.map(|address| address.to_string());
    entry.spec.labels.clone_from(&node.labels);
    entry.spec.ports = node.ports.iter().map(|port| (port.app.to_string(), port.inbound)).collect();
    entry.spec.service_account = Some(node.service_account.clone());
    entry.spec.locality = (!node.locality.is_empty()).then(|| node.locality.to_string());
    Resource::WorkloadEntry(Arc::new(entry))
}

fn with_health(entry: &Resource, health: &str) -> Resource {
    let mut entry = entry.clone();
    entry.metadata_mut().annotations.insert(annotation::HEALTH.to_owned(), health.to_owned());
    entry
}

/// A store that does not take it costs only the memory of this workload across a restart.
fn save(store: &EmbeddedStore, node: &str, entry: &Resource) {
    if let Err(error) = store.put_state(&format!("{STATE_PREFIX}{node}"), entry.to_json().to_string().as_bytes()) {
        tracing::warn!(node, error = %Chain(&error), "the registration cannot be saved; it is kept in memory");
    }
}

fn forget(store: &EmbeddedStore, node: &str) {
    if let Err(error) = store.delete_state(&format!("{STATE_PREFIX}{node}")) {
        tracing::warn!(node, error = %Chain(&error), "the registration cannot be removed from the store");
    }
}
