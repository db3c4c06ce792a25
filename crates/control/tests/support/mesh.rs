#![allow(dead_code, reason = "shared by tests that use different parts")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
//! A control plane on a real store, with nodes that open and close streams.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use leno_api::{Kind, Resource, ResourceKey};
use leno_control::{Control, ControlConfig};
use leno_ir::{Flavor, Node, WorkloadPort};
use leno_model::MeshSettings;
use leno_names::SpiffeId;
use leno_runtime::Tasks;
use leno_store::{DirectoryContent, EmbeddedStore};
use leno_telemetry::Registry;
use leno_xds_server::{ConfigSource, Refusal, SecretText, Secrets, Session};
use tokio::sync::watch;

/// Virtual or not, no wait in these tests is longer.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Mesh {
    pub(crate) control: Control,
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) files: watch::Sender<Arc<DirectoryContent>>,
    pub(crate) issued: Arc<AtomicU64>,
    tasks: Tasks,
}

impl Mesh {
    pub(crate) fn start(directory: &Path) -> Self {
        let store = Arc::new(EmbeddedStore::open(&directory.join("store.redb")).unwrap());
        let (files, content) = watch::channel(Arc::default());
        let (tasks, issued) = (Tasks::new(), Arc::new(AtomicU64::new(0)));
        let count = issued.clone();
        let config = ControlConfig {
            settings: MeshSettings::new("cluster.local".parse().unwrap()),
            reconnect_grace: Duration::from_secs(3),
            restart_grace: Duration::from_secs(15),
            issue_secrets: Arc::new(move |id| {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let (chain_pem, roots_pem) = (format!("{id} {number}"), "root".to_owned());
                Ok((Secrets { chain_pem, key_pem: SecretText::new("key"), roots_pem }, Duration::from_secs(100)))
            }),
        };
        let control = Control::start(config, store.clone(), content, &tasks, &Registry::new());
        Self { control, store, files, issued, tasks }
    }

    /// As a kill would: nothing is told to anybody.
    pub(crate) async fn kill(self) {
        self.tasks.stop().await;
        assert_eq!(self.tasks.panics(), 0);
    }

    pub(crate) async fn apply(&self, yaml: &str) {
        let parsed = leno_api::parse("test", yaml);
        assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
        for located in parsed.resources {
            self.store.put(located.value, SystemTime::UNIX_EPOCH).unwrap();
        }
        self.control.settled().await;
    }

    pub(crate) fn connect(&self, node: Node) -> Result<Session, Refusal> {
        let peer = id(&node.namespace, &node.service_account);
        self.control.connect(node, peer)
    }

    /// Waits for snapshots until one is as `wanted`.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Control) -> bool) {
        let mut changes = self.control.changes();
        let waiting = async {
            while !wanted(&self.control) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
    }

    /// Name to health of the registered workloads.
    pub(crate) fn workloads(&self) -> BTreeMap<String, String> {
        workloads(&self.control)
    }

    pub(crate) fn condition(&self, key: &ResourceKey, kind: &str) -> (String, String) {
        let condition = self.control.conditions(key).into_iter().find(|condition| condition.kind == kind).unwrap();
        (condition.reason.to_owned(), condition.message)
    }
}

pub(crate) fn workloads(control: &Control) -> BTreeMap<String, String> {
    let health = |resource: &Resource| {
        let health = resource.metadata().annotation(leno_api::annotation::HEALTH).unwrap_or("healthy");
        (resource.metadata().name.clone(), health.to_owned())
    };
    let all = control.resources();
    all.iter().filter(|resource| resource.kind() == Kind::WorkloadEntry).map(|resource| health(resource)).collect()
}

pub(crate) fn id(namespace: &str, account: &str) -> SpiffeId {
    SpiffeId::new("cluster.local".parse().unwrap(), namespace, account)
}

/// An instance of `service` behind a Leno proxy.
pub(crate) fn node(workload: &str, service: &str) -> Node {
    Node {
        id: format!("{workload}.default"),
        flavor: Flavor::Leno,
        locality: leno_names::Locality::default(),
        namespace: "default".to_owned(),
        service_account: service.to_owned(),
        workload: workload.to_owned(),
        service: Some(service.to_owned()),
        labels: BTreeMap::from([("app".to_owned(), service.to_owned())]),
        address: Some([127, 0, 0, 1].into()),
        ports: vec![WorkloadPort {
            app: 80,
            app_address: ([127, 0, 0, 1], 8080).into(),
            inbound: 18080,
            protocol: "http".to_owned(),
        }],
        outbound_prefix: Some([127, 1]),
        http_proxy: None,
        access_log: None,
        gateway: None,
        access_log_format: None,
        control: None,
    }
}
