//! What changes reach whom, and what is told about it.

#[path = "support/mesh.rs"]
mod mesh;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use leno_api::{Kind, Located, ResourceKey};
use leno_ir::{Config, Resources};
use leno_store::DirectoryContent;
use leno_xds_server::{ConfigSource, Outcome, StatusReport, StreamEnd};
use mesh::{Mesh, node};

const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\n\
         spec: {{ selector: {{ app: {name} }}, ports: [{{ port: {port}, targetPort: 80, appProtocol: http }}] }}\n---\n"
    )
}

/// How many resources of each type are not the same object as before.
fn different(old: &Config, new: &Config) -> [usize; 4] {
    fn count<T>(old: &Resources<T>, new: &Resources<T>) -> usize {
        new.changes_since(old).count()
    }
    [
        count(&old.clusters, &new.clusters),
        count(&old.endpoints, &new.endpoints),
        count(&old.listeners, &new.listeners),
        count(&old.route_tables, &new.route_tables),
    ]
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_is_one_resource_for_every_node() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    mesh.apply(&(0..100).map(|number| service(&format!("s{number}"), 80)).collect::<String>()).await;
    let mut watchers: Vec<_> =
        (0..5).map(|number| mesh.connect(node(&format!("w-{number}"), "watcher")).unwrap()).collect();
    mesh.until("all registered", |control| mesh::workloads(control).len() == 5).await;
    let before: Vec<_> = watchers.iter_mut().map(|session| session.config.borrow_and_update().clone()).collect();

    let _endpoint = mesh.connect(node("s7-1", "s7")).unwrap();
    for (session, before) in watchers.iter_mut().zip(before) {
        session.config.changed().await.unwrap();
        let after = session.config.borrow_and_update().clone();
        assert_eq!(different(&before, &after), [0, 1, 0, 0]);
        let set = &after.endpoints["outbound|80||s7.default.svc.cluster.local"];
        assert_eq!(set.localities.iter().map(|locality| locality.endpoints.len()).sum::<usize>(), 1);
    }
    // A change that concerns nobody is sent to nobody.
    mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: { name: g }\nspec: { template: { serviceAccount: g } }\n",
    )
    .await;
    assert!(watchers.iter().all(|session| !session.config.has_changed().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn services_keep_their_numbers_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    mesh.apply(&service("z", 80)).await;
    mesh.apply(&service("a", 80)).await;
    let listeners = |session: &leno_xds_server::Session| {
        let config = session.config.borrow().clone();
        let listeners = config.listeners.iter().filter(|(name, _)| name.starts_with("outbound"));
        listeners.map(|(name, listener)| (name.to_owned(), listener.address)).collect::<BTreeMap<_, _>>()
    };
    let session = mesh.connect(node("w-1", "w")).unwrap();
    let before = listeners(&session);
    assert_eq!(before.len(), 2);
    session.guard.close(StreamEnd::Clean);
    mesh.kill().await;
    let mesh = Mesh::start(directory.path());
    mesh.store.delete(&ResourceKey::new(Kind::Service, "default", "z")).unwrap();
    mesh.control.settled().await;
    mesh.apply(&service("b", 80)).await;
    mesh.apply(&service("z", 80)).await;
    let after = listeners(&mesh.connect(node("w-1", "w")).unwrap());
    assert!(before.iter().all(|(name, address)| after[name] == *address), "{before:?} {after:?}");
}

fn report(outcome: Outcome) -> StatusReport {
    let resources = vec![("outbound|80||a.default.svc.cluster.local".to_owned(), "1".to_owned())];
    StatusReport {
        node_id: "w-1.default".to_owned(),
        type_url: CLUSTER.to_owned(),
        resources,
        removed: Vec::new(),
        outcome,
    }
}

#[tokio::test(start_paused = true)]
async fn what_nodes_say_is_seen_at_the_node_and_at_the_object() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    mesh.apply(&(service("a", 80) + &service("b", 80))).await;
    let _session = mesh.connect(node("w-1", "w")).unwrap();
    let [a, b] = ["a", "b"].map(|name| ResourceKey::new(Kind::Service, "default", name));

    mesh.control.report(report(Outcome::Sent));
    let status = mesh.control.status().proxies.remove(0);
    assert!(!status.in_sync && status.pending == 1 && status.name == "w-1");
    assert_eq!(mesh.condition(&a, "Programmed").0, "Pending");
    assert_eq!(mesh.condition(&b, "Programmed").0, "Programmed");

    let changes = mesh.control.changes();
    mesh.control.report(report(Outcome::Rejected { reason: "no such thing".to_owned() }));
    let status = mesh.control.status().proxies.remove(0);
    assert!(changes.has_changed().unwrap());
    let rejected = &status.rejected[0];
    assert_eq!((rejected.kind.as_str(), rejected.reason.as_str()), ("cluster", "no such thing"));
    assert!(!status.in_sync && status.pending == 0 && rejected.name.ends_with("a.default.svc.cluster.local"));
    let (reason, message) = mesh.condition(&a, "Programmed");
    assert!(reason == "Rejected" && message.contains("w-1") && message.contains("no such thing"), "{message}");

    mesh.control.report(report(Outcome::Sent));
    mesh.control.report(report(Outcome::Acked));
    let status = mesh.control.status().proxies.remove(0);
    assert!(status.in_sync && status.rejected.is_empty() && status.taken["cluster"] == 1);
    let proxies = mesh.control.proxies_of(&a);
    assert_eq!((proxies[0].name.as_str(), proxies[0].state, proxies.len()), ("w-1", "in sync", 1));
    assert!(mesh.control.proxies_of(&b).is_empty());
    assert_eq!(mesh.condition(&a, "Programmed").0, "Programmed");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_wrong_is_not_programmed_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    let route = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: a }\n\
                 spec: { hosts: [a], http: [{ route: [{ destination: { host: nobody } }] }] }\n";
    mesh.apply(&(service("a", 80) + route)).await;
    let key = ResourceKey::new(Kind::VirtualService, "default", "a");
    let (reason, message) = mesh.condition(&key, "Accepted");
    assert!(reason == "Invalid" && message.contains("spec.http[0].route[0].destination.host"), "{message}");
    assert_eq!(mesh.condition(&key, "Programmed").0, "Invalid");
}

#[tokio::test(start_paused = true)]
async fn objects_that_are_written_together_are_checked_together() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    let route = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: a }\n\
                 spec: { hosts: [a], http: [{ route: [{ destination: { host: a } }] }] }\n";
    let both = leno_api::parse("test", &(service("a", 80) + route)).resources;
    let both: Vec<_> = both.into_iter().map(|located| located.value).collect();
    assert!(mesh.control.check(&both).is_empty(), "{:?}", mesh.control.check(&both));
    assert!(!mesh.control.check(&both[1..]).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_file_says_wins_over_what_was_applied() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    mesh.apply(&service("a", 80)).await;
    let parsed = leno_api::parse("a.yaml", &service("a", 81)).resources.remove(0);
    let key = parsed.value.key();
    let located = Located { source: parsed.source, line: parsed.line, value: Arc::new(parsed.value) };
    let resources = BTreeMap::from([(key.clone(), located)]);
    mesh.files.send_replace(Arc::new(DirectoryContent { resources, problems: Vec::new() }));
    mesh.until("the file counts", |control| control.origin(&key).as_deref() == Some("a.yaml:1")).await;
    let (reason, message) = mesh.condition(&key, "Accepted");
    assert!(reason == "Invalid" && message.contains("a.yaml:1 defines it"), "{message}");
    assert_eq!(mesh.control.resource(&key).unwrap().to_json()["spec"]["ports"][0]["port"], 81);
    mesh.files.send_replace(Arc::default());
    mesh.until("what was applied counts", |control| control.origin(&key).is_none()).await;
    assert_eq!(mesh.condition(&key, "Accepted").0, "Accepted");
    assert!(mesh.store.put((*mesh.control.resource(&key).unwrap()).clone(), SystemTime::now()).is_ok());
}
