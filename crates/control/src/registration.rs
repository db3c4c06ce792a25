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
use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::{Kind, Resource, ResourceKey, WorkloadEntry, annotation};
use leno_ir::Node;
use leno_store::EmbeddedStore;
use leno_xds_server::{Refusal, StreamEnd};
use tokio::time::Instant;

const STATE_PREFIX: &str = "workload/";

#[derive(Debug, Default)]
pub(crate) struct Registrations {
    by_node: BTreeMap<String, Registration>,
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
        let mut by_node = BTreeMap::new();
        match store.states(STATE_PREFIX) {
            Ok(states) => {
                for (key, value) in states {
                    let parsed = serde_json::from_slice(&value).ok().and_then(|value| Resource::from_json(&value).ok());
                    let Some(entry) = parsed else { continue };
                    let node = key.strip_prefix(STATE_PREFIX).unwrap_or(&key).to_owned();
                    by_node.insert(node, Registration { entry: Arc::new(entry), link: Link::CutOff { until } });
                }
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "registered workloads cannot be read; they register again by themselves")
            }
        }
        Self { by_node }
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
        self.by_node.insert(node.id.clone(), registration);
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
                self.by_node.remove(node);
                forget(store, node);
            }
            StreamEnd::Broken => {
                registration.link = Link::CutOff { until };
                registration.entry = Arc::new(with_health(&registration.entry, "unhealthy"));
            }
        }
    }

    /// `CutOff` -> absent when the grace is over.
    pub(crate) fn expire(&mut self, now: Instant, store: &EmbeddedStore) {
        self.by_node.retain(|node, registration| match registration.link {
            Link::CutOff { until } if until <= now => {
                tracing::info!(node, "workload did not come back and is removed");
                forget(store, node);
                false
            }
            _ => true,
        });
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
        key.kind == Kind::WorkloadEntry && self.by_node.values().any(|registration| registration.entry.key() == *key)
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = Arc<Resource>> {
        self.by_node.values().map(|registration| registration.entry.clone())
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
